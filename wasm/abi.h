/* abi.h - the WASM boundary: every call that JavaScript makes into the module. The one
 * description of it: js/abi.gen.ts is made from this page (wasm/abi-gen.mjs).
 *
 * 1. One AbiHost holds one database, and what JavaScript needs to talk to it: an Answer,
 *    an input buffer and a page buffer.
 * 2. What can fail returns a nacre_status. Results stand in the Answer, whose words lie
 *    at the offsets below from the host's address. On failure its text says why.
 * 3. Bytes go in through the input buffer: the caller writes them there one after the
 *    other, in the order of the parameters NAME_size, and passes their sizes. abi_input
 *    makes room; its address stays until the next abi_input that returns another one.
 * 4. Bytes that an Answer points to are borrowed until the next call.
 * 5. Numbers of 64 bits cross as f64: all of them are at most 2^53.
 * 6. Rows of a page lie one after the other, each at a multiple of 4 bytes:
 *        key_size u32 | value_size u32 | vector_size u32 | distance f32
 *        | key | vector, at a multiple of 4 | value | zeros up to a multiple of 4
 *    key_size is PAGE_ABSENT where abi_get_many found no row (all else is zero then).
 * 7. Changes lie one after the other in a page of their own, each at a multiple of 4 bytes:
 *        kind u32 | membrane id u32 | sequence u64 | index u32 | key_size u32 | value_size u32
 *        | vector_size u32 | expires u64 | key | vector | value, each at a multiple of 4
 *    PUT, DELETE: a row as in rule 6. LOAD: nothing more. CREATE, DROP, RENAME: key is the
 *    membrane's name; value the schema (CREATE) or the name before (RENAME).
 * 8. Any call may grow the memory, which detaches JavaScript's views of it. */
#ifndef WASM_ABI_H
#define WASM_ABI_H

#include <stdint.h>

typedef struct AbiHost AbiHost;

enum {
    ABI_VERSION = 1,

    ANSWER_DATA = 0,         /* u32: address */
    ANSWER_SIZE = 4,         /* u32: bytes there */
    ANSWER_KEY = 8,          /* u32: address */
    ANSWER_KEY_SIZE = 12,
    ANSWER_VECTOR = 16,      /* u32: address, of any alignment */
    ANSWER_VECTOR_SIZE = 20, /* bytes; 0: none */
    ANSWER_COUNT = 24,       /* u32 */
    ANSWER_POINTER = 28,     /* u32: a membrane, snapshot, cursor, or place to write */
    ANSWER_MORE = 32,        /* u32: 1, call again */
    ANSWER_NUMBER = 40,      /* f64 */
    ANSWER_SECOND = 48,      /* f64 */
    ANSWER_THIRD = 56,       /* f64 */
    ANSWER_TEXT = 64,        /* of a failure, ending with a zero byte */
    ANSWER_TEXT_SIZE = 320,

    PAGE_HEAD = 16,
    PAGE_ABSENT = 0xffffffff,
    PAGE_CHANGE_HEAD = 40,
    PAGE_SIZE = 256 << 10,   /* a page with more than one row is at most so large */
    INPUT_SIZE = 256 << 10,  /* of the input buffer at first */
};

/* What js/abi.gen.ts lists as functions: ABI(name) in front of a declaration exports it. */
#define ABI(name) __attribute__((export_name(#name)))

ABI(abi_version) uint32_t abi_version(void);

/* 0: no memory. The input buffer is at ANSWER_DATA, INPUT_SIZE bytes. */
ABI(abi_host_new) AbiHost *abi_host_new(void);

/* Room for `size` bytes of input; the address, or 0: no memory. */
ABI(abi_input) uint32_t abi_input(AbiHost *host, uint32_t size);

/* mode, durability and lock are those of nacre.h; memory and changes are in
 * bytes, 0 the default, and so is checkpoint_ms. key_size: of the encryption key, 32, or 0: none; it is
 * wiped from the input. */
ABI(abi_open) uint32_t abi_open(AbiHost *host, uint32_t path_size, uint32_t key_size, uint32_t mode,
                                uint32_t durability, uint32_t lock, double memory, double changes,
                                uint32_t checkpoint_ms);
/* The key, of 32 bytes, is wiped from the input. */
ABI(abi_rekey) uint32_t abi_rekey(AbiHost *host, uint32_t key_size);
/* Closes the database and frees the host's buffers; the host itself stays, to tell why
 * it failed. */
ABI(abi_close) uint32_t abi_close(AbiHost *host);

/* schema_size 0: none given. POINTER the membrane, COUNT its id, DATA its schema, KEY
 * its name. */
ABI(abi_membrane_open) uint32_t abi_membrane_open(AbiHost *host, uint32_t name_size, uint32_t schema_size);
/* The same, for the index-th by name; NOT_FOUND past the last. */
ABI(abi_membrane_at) uint32_t abi_membrane_at(AbiHost *host, uint32_t index);
/* The same, by its id; NOT_FOUND: it was dropped. */
ABI(abi_membrane_by_id) uint32_t abi_membrane_by_id(AbiHost *host, uint32_t id);
ABI(abi_membrane_drop) uint32_t abi_membrane_drop(AbiHost *host, uint32_t name_size);
ABI(abi_membrane_rename) uint32_t abi_membrane_rename(AbiHost *host, uint32_t from_size, uint32_t to_size);
/* NUMBER: bytes, about. */
ABI(abi_membrane_bytes) uint32_t abi_membrane_bytes(AbiHost *host, uint32_t membrane);

/* POINTER: where batches and records go, as record_format.h says. */
ABI(abi_reserve) uint32_t abi_reserve(AbiHost *host, double bytes, double records);
ABI(abi_commit) uint32_t abi_commit(AbiHost *host, uint32_t bytes, uint32_t sync);
/* Makes what is committed durable, as the database's level asks. */
ABI(abi_sync) uint32_t abi_sync(AbiHost *host);
/* Makes it durable whatever the level. */
ABI(abi_flush) uint32_t abi_flush(AbiHost *host);
ABI(abi_sequence) double abi_sequence(AbiHost *host);

/* `snapshot` is 0 for the newest state, here and below. DATA the value, VECTOR; NUMBER when
 * it expires, in milliseconds since 1970, 0 never. */
ABI(abi_get) uint32_t abi_get(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t key_size);
ABI(abi_has) uint32_t abi_has(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t key_size);
/* `keys` are `count` times: size u32 | key | zeros up to a multiple of 4. DATA a page of
 * the first COUNT of them (at least one; so many as fit), in their order. */
ABI(abi_get_many) uint32_t abi_get_many(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t count,
                                        uint32_t keys_size);

/* POINTER; NUMBER its sequence. */
ABI(abi_snapshot_open) uint32_t abi_snapshot_open(AbiHost *host);
ABI(abi_snapshot_release) void abi_snapshot_release(AbiHost *host, uint32_t snapshot);

/* Keys low <= key < high; high_size 0: no bound. filter_size 0: no filter. POINTER. */
ABI(abi_cursor_open) uint32_t abi_cursor_open(AbiHost *host, uint32_t membrane, uint32_t snapshot,
                                              uint32_t low_size, uint32_t high_size, uint32_t filter_size,
                                              uint32_t keys_only);
/* DATA a page of the next COUNT rows: at most `rows`, and about `bytes` (at least one
 * row if there is any). MORE 0: there are no more after these. */
ABI(abi_cursor_page) uint32_t abi_cursor_page(AbiHost *host, uint32_t cursor, uint32_t reverse, uint32_t rows,
                                              uint32_t bytes);
/* The same, from the first row with a key >= the one in the input on (in reverse: the last <=). */
ABI(abi_cursor_seek) uint32_t abi_cursor_seek(AbiHost *host, uint32_t cursor, uint32_t reverse, uint32_t key_size,
                                              uint32_t rows, uint32_t bytes);
ABI(abi_cursor_close) void abi_cursor_close(AbiHost *host, uint32_t cursor);

/* NUMBER: rows. */
ABI(abi_count) uint32_t abi_count(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t low_size,
                                  uint32_t high_size, uint32_t filter_size);
/* NUMBER: rows removed. */
ABI(abi_clear) uint32_t abi_clear(AbiHost *host, uint32_t membrane, uint32_t low_size, uint32_t high_size,
                                  uint32_t filter_size, uint32_t sync);

/* ---- transactions (nacre.h tells what they promise) ---- */
/* POINTER the transaction; NUMBER the sequence of its snapshot. */
ABI(abi_tx_begin) uint32_t abi_tx_begin(AbiHost *host);
/* Its snapshot, own writes included: for wherever one goes, until the transaction ends. */
ABI(abi_tx_view) uint32_t abi_tx_view(AbiHost *host, uint32_t tx);
/* As abi_reserve and abi_commit, but seen by the transaction only. */
ABI(abi_tx_reserve) uint32_t abi_tx_reserve(AbiHost *host, uint32_t tx, double bytes, double records);
ABI(abi_tx_write) uint32_t abi_tx_write(AbiHost *host, uint32_t tx, uint32_t bytes);
/* NUMBER: rows removed. */
ABI(abi_tx_clear) uint32_t abi_tx_clear(AbiHost *host, uint32_t tx, uint32_t membrane, uint32_t low_size,
                                        uint32_t high_size, uint32_t filter_size);
/* NUMBER: its serial. */
ABI(abi_tx_savepoint) uint32_t abi_tx_savepoint(AbiHost *host, uint32_t tx);
/* Undoes what was written since; the savepoint stays. */
ABI(abi_tx_rollback_to) uint32_t abi_tx_rollback_to(AbiHost *host, uint32_t tx, double serial);
/* Forgets it and those made since; what was written stays. */
ABI(abi_tx_release) uint32_t abi_tx_release(AbiHost *host, uint32_t tx, double serial);
/* The transaction is gone whatever is returned. CONFLICT: nothing was applied. NUMBER: the
 * database's sequence. */
ABI(abi_tx_commit) uint32_t abi_tx_commit(AbiHost *host, uint32_t tx, uint32_t sync);
ABI(abi_tx_rollback) void abi_tx_rollback(AbiHost *host, uint32_t tx);

/* Input: the vectors of `queries` searches one behind the other, then the filter. recall 0: the
 * default; probes 0: not said; max_distance counts with ABI_SEARCH_LIMITED; timeout_ms below 0: none.
 * DATA: the number of hits of each, u32, then a page of these COUNT hits, nearest first. MORE the
 * path (nacre_search_path); NUMBER codes compared, SECOND vectors compared, THIRD segments. */
ABI(abi_search) uint32_t abi_search(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t queries, uint32_t k,
                                    uint32_t flags, double recall, uint32_t probes, double max_distance,
                                    double timeout_ms, uint32_t vectors_size, uint32_t filter_size);
enum {
    ABI_SEARCH_VECTORS = 1, /* hits have their vectors */
    ABI_SEARCH_EXACT = 2,
    ABI_SEARCH_LIMITED = 4,
};

/* Changes after the sequence `since`; ABI_CHANGES_OLDEST: all that are kept. POINTER. NUMBER, also
 * of NOT_FOUND: the least sequence that can be given. */
ABI(abi_changes_open) uint32_t abi_changes_open(AbiHost *host, double since);
enum { ABI_CHANGES_OLDEST = -1 }; /* any number below zero */
/* DATA a page of the next COUNT changes, about `bytes` of them; none: nothing newer for now.
 * NUMBER as above. */
ABI(abi_changes_page) uint32_t abi_changes_page(AbiHost *host, uint32_t changes, uint32_t bytes);
ABI(abi_changes_close) void abi_changes_close(AbiHost *host, uint32_t changes);
/* NUMBER the sequence of the last acknowledged commit; SECOND rows put and THIRD rows deleted
 * in all since the database was opened. */
ABI(abi_acknowledged) uint32_t abi_acknowledged(AbiHost *host);

/* Bulk loads. POINTER the bulk. */
ABI(abi_bulk_begin) uint32_t abi_bulk_begin(AbiHost *host, uint32_t membrane);
/* Input: whole records as record_format.h says, without a batch's head, keys rising. */
ABI(abi_bulk_put) uint32_t abi_bulk_put(AbiHost *host, uint32_t bulk, uint32_t records_size);
/* NUMBER: rows. The bulk is gone whatever is answered. */
ABI(abi_bulk_commit) uint32_t abi_bulk_commit(AbiHost *host, uint32_t bulk);
ABI(abi_bulk_abort) void abi_bulk_abort(AbiHost *host, uint32_t bulk);

/* Large values. POINTER the writer; ttl_ms 0: for ever. */
ABI(abi_value_begin) uint32_t abi_value_begin(AbiHost *host, uint32_t membrane, double ttl_ms, uint32_t key_size);
/* Input: the next bytes. */
ABI(abi_value_append) uint32_t abi_value_append(AbiHost *host, uint32_t writer, uint32_t bytes_size);
/* The writer is gone whatever is answered. */
ABI(abi_value_finish) uint32_t abi_value_finish(AbiHost *host, uint32_t writer);
ABI(abi_value_abort) void abi_value_abort(AbiHost *host, uint32_t writer);
/* POINTER the reader, NUMBER the value's size. */
ABI(abi_value_open) uint32_t abi_value_open(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t key_size);
/* DATA: `size` bytes from `offset` on, which must be inside. */
ABI(abi_value_read) uint32_t abi_value_read(AbiHost *host, uint32_t reader, double offset, uint32_t size);
ABI(abi_value_close) void abi_value_close(AbiHost *host, uint32_t reader);
enum { ABI_PIECE = 256 << 10 }; /* reads that begin and end at multiples of it are the cheapest */

/* Backups. Input: what ends with the token of an earlier one; base_size 0: a full backup.
 * POINTER; NUMBER the sequence. */
ABI(abi_backup_begin) uint32_t abi_backup_begin(AbiHost *host, uint32_t base_size);
/* Before it is read. Input: the key of the stream; key_size 0: it is not encrypted. */
ABI(abi_backup_encrypt) uint32_t abi_backup_encrypt(AbiHost *host, uint32_t backup, uint32_t key_size);
/* DATA: the next bytes, `size` at most; none: it is whole. */
ABI(abi_backup_read) uint32_t abi_backup_read(AbiHost *host, uint32_t backup, uint32_t size);
/* COUNT the kind (nacre.h), NUMBER the sequence, SECOND the base's, THIRD bytes, DATA the token. */
ABI(abi_backup_describe) uint32_t abi_backup_describe(AbiHost *host, uint32_t backup);
ABI(abi_backup_end) void abi_backup_end(AbiHost *host, uint32_t backup);
/* POINTER the archive. */
ABI(abi_archive_open) uint32_t abi_archive_open(AbiHost *host, double since);
/* POINTER a backup. */
ABI(abi_archive_begin) uint32_t abi_archive_begin(AbiHost *host, uint32_t archive);
ABI(abi_archive_close) void abi_archive_close(AbiHost *host, uint32_t archive);
/* Instead of abi_open: makes the database of backups. path_size 0: only checks them. `sequence`
 * and `time_ms`: up to where; 0: all. stream_key_size: of the key that the backups are encrypted with, behind
 * the database's; 0: the database's. */
ABI(abi_restore_begin) uint32_t abi_restore_begin(AbiHost *host, uint32_t path_size, uint32_t key_size,
                                                  uint32_t stream_key_size, uint32_t durability, uint32_t lock, double memory,
                                                  double changes, uint32_t checkpoint_ms, double sequence,
                                                  double time_ms);
/* Input: the next bytes. */
ABI(abi_restore_write) uint32_t abi_restore_write(AbiHost *host, uint32_t size);
/* As abi_backup_describe, of what was given so far. */
ABI(abi_restore_describe) uint32_t abi_restore_describe(AbiHost *host);
/* The database is open now, unless nothing was to be made. */
ABI(abi_restore_finish) uint32_t abi_restore_finish(AbiHost *host);
/* Nothing stays of it. */
ABI(abi_restore_abort) void abi_restore_abort(AbiHost *host);

ABI(abi_checkpoint) uint32_t abi_checkpoint(AbiHost *host);
/* Opened for reading: moves to the newest committed state. MORE: membranes may have other
 * names now, or be gone; the pointers stay those of the same membranes. */
ABI(abi_refresh) uint32_t abi_refresh(AbiHost *host);
/* MORE: whether work is left. */
ABI(abi_step) uint32_t abi_step(AbiHost *host, double bytes);
/* NUMBER bytes before, SECOND after, THIRD rows. */
ABI(abi_compact) uint32_t abi_compact(AbiHost *host);
/* DATA: [{"where":"...","offset":0,"what":"..."}, ...], of at most ABI_PROBLEMS_MAX;
 * NUMBER how many there are. */
ABI(abi_verify) uint32_t abi_verify(AbiHost *host, uint32_t deep);
enum { ABI_PROBLEMS_MAX = 1000 };
/* No database is open. Input: the path of the damaged one, that of the new one, the key of both. DATA:
 * JSON of what repair reports, with at most ABI_PROBLEMS_MAX findings. */
ABI(abi_repair) uint32_t abi_repair(AbiHost *host, uint32_t from_size, uint32_t to_size, uint32_t key_size, double memory);
/* DATA: JSON. */
ABI(abi_stats) uint32_t abi_stats(AbiHost *host);

#endif
