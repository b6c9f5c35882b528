/* exports.c - the calls of abi.h, answered by the database's inner face (db.h).
 *
 * Knows bytes and addresses only: what keys, rows and filters mean is the business of
 * JavaScript above and of the database below. An address that JavaScript passes is
 * trusted, as a pointer from C would be. */
#include "abi.h"

#include "base/codec.h"
#include "base/json.h"
#include "db/db.h"
#include "host/aead.h"
#include "memtable/record_format.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PAGE_KEEP_MAX = 1 << 20, /* a larger page buffer is given back at the next call */
    WASM_PAGE = 64 << 10,
    GROW_MIN = 1 << 20,      /* bytes by which linear memory grows at least */
    GROW_PART = 8,           /* and at least this part of what there is */
};

/* The words of an Answer, in the order of their offsets. */
typedef struct Answer {
    uint32_t data, size, key, key_size, vector, vector_size, count, pointer, more, unused;
    double number, second, third;
    char text[ANSWER_TEXT_SIZE];
} Answer;

typedef struct Buffer {
    uint8_t *data;
    size_t capacity;
} Buffer;

struct AbiHost {
    Answer answer; /* first: its offsets are those of abi.h */
    Db *db;
    Restore *restore; /* before there is a database; NULL: none is under way */
    Buffer input, page;
    size_t page_used;
    _Alignas(8) uint8_t small[256]; /* a small value, copied */
};

_Static_assert(sizeof(void *) == 4, "addresses are u32 here");
_Static_assert(offsetof(Answer, pointer) == ANSWER_POINTER, "abi.h");
_Static_assert(offsetof(Answer, number) == ANSWER_NUMBER, "abi.h");
_Static_assert(offsetof(Answer, text) == ANSWER_TEXT, "abi.h");
_Static_assert(ANSWER_TEXT_SIZE >= NACRE_ERROR_TEXT_SIZE, "abi.h");

static uint32_t address(const void *p) { return (uint32_t)(uintptr_t)p; }
static Membrane *membrane_of(uint32_t p) { return (Membrane *)(uintptr_t)p; }
static Snapshot *snapshot_of(uint32_t p) { return (Snapshot *)(uintptr_t)p; }
static Transaction *tx_of(uint32_t p) { return (Transaction *)(uintptr_t)p; }
static Cursor *cursor_of(uint32_t p) { return (Cursor *)(uintptr_t)p; }

/* ---- Memory ----
 *
 * malloc grows the linear memory by 64 KiB at a time. Each growth gives JavaScript a new
 * ArrayBuffer, and V8 counts the old one as garbage of that size until it has collected:
 * thousands of small growths are thousands of collections. So whenever malloc had to grow,
 * it gets more than it asked for; what nobody touches costs no memory of the machine. */

static void *host_alloc(void *self, size_t size) {
    (void)self;
    size_t pages = __builtin_wasm_memory_size(0);
    void *memory = malloc(size);
    size_t grown = __builtin_wasm_memory_size(0);
    if (grown == pages) return memory;
    size_t more = grown / GROW_PART * WASM_PAGE;
    void *volatile reserve = malloc(more > GROW_MIN ? more : GROW_MIN); /* volatile: or it is optimised away */
    free(reserve); /* NULL is fine; malloc keeps what it has grown by */
    return memory;
}

static void host_free(void *self, void *memory, size_t size) {
    (void)self, (void)size;
    free(memory);
}

/* ---- Buffers, and failing ---- */

static uint32_t fail_text(AbiHost *host, nacre_status status, const char *text) {
    snprintf(host->answer.text, sizeof host->answer.text, "%s", text);
    return (uint32_t)status;
}

static uint32_t fail(AbiHost *host, nacre_status status) {
    const nacre_error *error = &db_env(host->db)->error;
    if (error->code != NACRE_OK) return fail_text(host, status, error->text);
    host->answer.text[0] = '\0'; /* a mere answer: nothing to tell, and nothing to pay for it */
    return (uint32_t)status;
}

static uint32_t answer(AbiHost *host, nacre_status status) {
    return status == NACRE_OK ? NACRE_OK : fail(host, status);
}

/* Makes room for `size` bytes; what is there stays. */
static bool buffer_reserve(Buffer *buffer, size_t size) {
    if (size <= buffer->capacity) return true;
    size_t capacity = buffer->capacity ? buffer->capacity : PAGE_SIZE;
    while (capacity < size) {
        if (capacity > SIZE_MAX / 2) return false;
        capacity *= 2;
    }
    uint8_t *data = host_alloc(NULL, capacity);
    if (!data && capacity != size) data = host_alloc(NULL, capacity = size);
    if (!data) return false;
    if (buffer->capacity) memcpy(data, buffer->data, buffer->capacity);
    free(buffer->data);
    *buffer = (Buffer){data, capacity};
    return true;
}

static void buffer_free(Buffer *buffer) {
    free(buffer->data);
    *buffer = (Buffer){0};
}

static nacre_status no_memory(AbiHost *host, size_t size) {
    return env_fail(db_env(host->db), NACRE_RESOURCE_EXHAUSTED, "memory: no room for an answer of %zu bytes", size);
}

/* Every call on an open database begins here. */
static Db *begin(AbiHost *host) {
    if (host->page.capacity > PAGE_KEEP_MAX) buffer_free(&host->page);
    host->page_used = 0;
    db_call(host->db);
    return host->db;
}

static Span input(const AbiHost *host, size_t offset, size_t size) {
    return span_of(host->input.data + offset, size);
}

static void answer_data(AbiHost *host, Span data) {
    host->answer.data = address(data.data);
    host->answer.size = (uint32_t)data.size;
}

/* ---- Pages (rule 6) ---- */

static uint64_t page_row_size(const RowView *row) {
    return PAGE_HEAD + round_up(row->key.size, 4) + round_up(row->vector.size, 4) + round_up(row->value.size, 4);
}

static uint8_t *page_put(uint8_t *at, Span bytes) {
    size_t padded = (size_t)round_up(bytes.size, 4);
    if (padded != bytes.size) memset(at + padded - 4, 0, 4);
    bytes_copy(at, bytes.data, bytes.size);
    return at + padded;
}

static nacre_status page_room(AbiHost *host, uint64_t size) {
    uint64_t wanted = host->page_used + size;
    if (wanted > UINT32_MAX || !buffer_reserve(&host->page, (size_t)wanted)) return no_memory(host, (size_t)size);
    return NACRE_OK;
}

static nacre_status page_row(AbiHost *host, const RowView *row, float distance) {
    uint64_t size = page_row_size(row);
    TRY(page_room(host, size));
    uint8_t *at = host->page.data + host->page_used;
    uint32_t bits;
    memcpy(&bits, &distance, sizeof bits);
    put_u32(at, (uint32_t)row->key.size);
    put_u32(at + 4, (uint32_t)row->value.size);
    put_u32(at + 8, (uint32_t)row->vector.size);
    put_u32(at + 12, bits);
    page_put(page_put(page_put(at + PAGE_HEAD, row->key), row->vector), row->value);
    host->page_used += (size_t)size;
    return NACRE_OK;
}

static nacre_status page_absent(AbiHost *host) {
    TRY(page_room(host, PAGE_HEAD));
    uint8_t *at = host->page.data + host->page_used;
    memset(at, 0, PAGE_HEAD);
    put_u32(at, PAGE_ABSENT);
    host->page_used += PAGE_HEAD;
    return NACRE_OK;
}

static void answer_page(AbiHost *host, uint32_t count) {
    answer_data(host, span_of(host->page.data, host->page_used));
    host->answer.count = count;
}

/* ---- Opening ---- */

uint32_t abi_version(void) { return ABI_VERSION; }

AbiHost *abi_host_new(void) {
    AbiHost *host = calloc(1, sizeof *host);
    if (!host) return NULL;
    if (!buffer_reserve(&host->input, INPUT_SIZE)) {
        free(host);
        return NULL;
    }
    answer_data(host, span_of(host->input.data, host->input.capacity));
    return host;
}

uint32_t abi_input(AbiHost *host, uint32_t size) {
    return buffer_reserve(&host->input, size) ? address(host->input.data) : 0;
}

/* Moves a key out of the input, where a path may end upon it. False: that is no key. */
static bool take_key(AbiHost *host, uint32_t before, uint32_t key_size, uint8_t key[AEAD_KEY]) {
    if (key_size != AEAD_KEY || (uint64_t)before + key_size > host->input.capacity) return false;
    memcpy(key, host->input.data + before, AEAD_KEY);
    aead_wipe(host->input.data + before, AEAD_KEY);
    return true;
}

static uint32_t fail_key(AbiHost *host, const char *what) {
    char text[80];
    snprintf(text, sizeof text, "%s: the encryption key must have %d bytes", what, AEAD_KEY);
    return fail_text(host, NACRE_INVALID_ARGUMENT, text);
}

static nacre_options host_options(uint32_t durability, uint32_t lock, double memory, double changes,
                                  uint32_t checkpoint_ms) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.durability = (nacre_durability)durability;
    options.lock = (nacre_lock)lock;
    options.memory = (uint64_t)memory;
    options.changes_size = (uint64_t)changes;
    options.checkpoint_ms = checkpoint_ms;
    options.allocator = (nacre_allocator){NULL, host_alloc, host_free};
    return options;
}

/* The path in the input buffer, with a zero byte; NULL: no room. */
static const char *input_path(AbiHost *host, uint32_t path_size) {
    if (!buffer_reserve(&host->input, (size_t)path_size + 1)) return NULL;
    host->input.data[path_size] = '\0';
    return (const char *)host->input.data;
}

uint32_t abi_open(AbiHost *host, uint32_t path_size, uint32_t key_size, uint32_t mode, uint32_t durability,
                  uint32_t lock, double memory, double changes, uint32_t checkpoint_ms) {
    nacre_options options = host_options(durability, lock, memory, changes, checkpoint_ms);
    uint8_t key[AEAD_KEY];
    options.mode = (nacre_mode)mode;
    if (key_size && !take_key(host, path_size, key_size, key)) return fail_key(host, "open");
    options.encryption_key = key_size ? key : NULL;
    const char *path = input_path(host, path_size);
    nacre_error error = {NACRE_OK, "memory: no room for the path"};
    nacre_status status = path ? db_open(path, &options, &host->db, &error) : NACRE_RESOURCE_EXHAUSTED;
    aead_wipe(key, sizeof key);
    return status == NACRE_OK ? NACRE_OK : fail_text(host, status, error.text);
}

uint32_t abi_rekey(AbiHost *host, uint32_t key_size) {
    uint8_t key[AEAD_KEY];
    Db *db = begin(host);
    if (!take_key(host, 0, key_size, key)) return fail_key(host, "rekey");
    nacre_status status = db_rekey(db, key);
    aead_wipe(key, sizeof key);
    return answer(host, status);
}

uint32_t abi_close(AbiHost *host) {
    nacre_error error = {0};
    abi_restore_abort(host);
    nacre_status status = host->db ? db_close(host->db, &error) : NACRE_OK;
    host->db = NULL;
    buffer_free(&host->input);
    buffer_free(&host->page);
    return status == NACRE_OK ? NACRE_OK : fail_text(host, status, error.text);
}

/* ---- Membranes ---- */

static nacre_status answer_membrane(AbiHost *host, Membrane *membrane) {
    const Schema *schema = membrane_schema(membrane);
    size_t size = schema_encoded_size(schema);
    TRY(page_room(host, size));
    (void)schema_encode(schema, host->page.data);
    answer_data(host, span_of(host->page.data, size));
    Span name = membrane_name(membrane);
    host->answer.key = address(name.data);
    host->answer.key_size = (uint32_t)name.size;
    host->answer.pointer = address(membrane);
    host->answer.count = membrane_id(membrane);
    return NACRE_OK;
}

static nacre_status membrane_open(AbiHost *host, Db *db, Span name, Span schema_bytes) {
    Schema schema = {0};
    Membrane *membrane = NULL;
    if (schema_bytes.size) TRY(schema_decode(db_env(db), schema_bytes, NACRE_INVALID_ARGUMENT, &schema));
    nacre_status status = db_membrane_open(db, name, schema_bytes.size ? &schema : NULL, &membrane);
    schema_clear(db_env(db), &schema);
    TRY(status);
    return answer_membrane(host, membrane);
}

uint32_t abi_membrane_open(AbiHost *host, uint32_t name_size, uint32_t schema_size) {
    Db *db = begin(host);
    return answer(host, membrane_open(host, db, input(host, 0, name_size), input(host, name_size, schema_size)));
}

uint32_t abi_membrane_at(AbiHost *host, uint32_t index) {
    Membrane *membrane = NULL;
    nacre_status status = db_membrane_at(begin(host), index, &membrane);
    return answer(host, status == NACRE_OK ? answer_membrane(host, membrane) : status);
}

uint32_t abi_membrane_by_id(AbiHost *host, uint32_t id) {
    Membrane *membrane = NULL;
    nacre_status status = db_membrane_by_id(begin(host), id, &membrane);
    return answer(host, status == NACRE_OK ? answer_membrane(host, membrane) : status);
}

uint32_t abi_membrane_drop(AbiHost *host, uint32_t name_size) {
    Db *db = begin(host);
    return answer(host, db_membrane_drop(db, input(host, 0, name_size)));
}

uint32_t abi_membrane_rename(AbiHost *host, uint32_t from_size, uint32_t to_size) {
    Db *db = begin(host);
    return answer(host, db_membrane_rename(db, input(host, 0, from_size), input(host, from_size, to_size)));
}

uint32_t abi_membrane_bytes(AbiHost *host, uint32_t membrane) {
    uint64_t bytes = 0;
    begin(host);
    nacre_status status = membrane_bytes(membrane_of(membrane), &bytes);
    host->answer.number = (double)bytes;
    return answer(host, status);
}

/* ---- Writing ---- */

uint32_t abi_reserve(AbiHost *host, double bytes, double records) {
    uint8_t *at = NULL;
    nacre_status status = db_reserve(begin(host), (uint64_t)bytes, (uint64_t)records, &at);
    host->answer.pointer = address(at);
    return answer(host, status);
}

uint32_t abi_commit(AbiHost *host, uint32_t bytes, uint32_t sync) {
    return answer(host, db_commit(begin(host), bytes, sync != 0));
}

uint32_t abi_sync(AbiHost *host) { return answer(host, db_sync(begin(host))); }

uint32_t abi_flush(AbiHost *host) { return answer(host, nacre_flush(begin(host))); }

double abi_sequence(AbiHost *host) { return (double)db_sequence(host->db); }

/* ---- Reading ---- */

uint32_t abi_get(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t key_size) {
    RowView row = {0};
    begin(host);
    nacre_status status = db_get(membrane_of(membrane), snapshot_of(snapshot), input(host, 0, key_size), &row);
    if (status != NACRE_OK) return fail(host, status);
    if (row.value.size <= sizeof host->small) { /* copied out faster from an address of words */
        bytes_copy(host->small, row.value.data, row.value.size);
        row.value.data = host->small;
    }
    answer_data(host, row.value);
    host->answer.vector = address(row.vector.data);
    host->answer.vector_size = (uint32_t)row.vector.size;
    host->answer.number = (double)row.expires;
    return NACRE_OK;
}

uint32_t abi_has(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t key_size) {
    begin(host);
    return answer(host, db_has(membrane_of(membrane), snapshot_of(snapshot), input(host, 0, key_size)));
}

typedef struct ManyRows {
    AbiHost *host;
    uint32_t done;
} ManyRows;

/* NACRE_ABORTED: the page is full. */
static nacre_status get_many_row(void *self, size_t index, const RowView *row) {
    (void)index;
    ManyRows *rows = self;
    if (rows->host->page_used >= PAGE_SIZE) return NACRE_ABORTED;
    RowView shown = {0};
    if (row) shown = *row;
    shown.key.size = 0; /* the caller has it */
    TRY(row ? page_row(rows->host, &shown, 0) : page_absent(rows->host));
    rows->done++;
    return NACRE_OK;
}

/* As many as fill a page. */
static nacre_status get_many(AbiHost *host, Membrane *membrane, Snapshot *snapshot, uint32_t count, Span keys) {
    ByteReader reader = br_over(keys);
    ManyRows rows = {host, 0};
    Span group[GET_GROUP];
    nacre_status status = NACRE_OK;
    for (uint32_t begun = 0, size = 0; begun < count && status == NACRE_OK; begun += size) {
        for (size = 0; size < GET_GROUP && begun + size < count; size++) {
            uint32_t key_size = br_u32(&reader);
            group[size] = span_of(br_bytes(&reader, round_up(key_size, 4)).data, key_size);
            if (!br_ok(&reader))
                return env_fail(db_env(host->db), NACRE_INVALID_ARGUMENT, "getMany: keys are cut short");
        }
        status = db_get_many(membrane, snapshot, group, size, get_many_row, &rows);
    }
    if (status != NACRE_OK && status != NACRE_ABORTED) return status;
    answer_page(host, rows.done);
    return NACRE_OK;
}

uint32_t abi_get_many(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t count, uint32_t keys_size) {
    begin(host);
    return answer(host, get_many(host, membrane_of(membrane), snapshot_of(snapshot), count,
                                 input(host, 0, keys_size)));
}

uint32_t abi_snapshot_open(AbiHost *host) {
    Snapshot *snapshot = NULL;
    nacre_status status = snapshot_open(begin(host), &snapshot);
    if (status != NACRE_OK) return fail(host, status);
    host->answer.pointer = address(snapshot);
    host->answer.number = (double)snapshot_sequence(snapshot);
    return NACRE_OK;
}

void abi_snapshot_release(AbiHost *host, uint32_t snapshot) {
    begin(host);
    snapshot_release(snapshot_of(snapshot));
}

static KeyRange range_of(const AbiHost *host, size_t offset, uint32_t low_size, uint32_t high_size) {
    return (KeyRange){input(host, offset, low_size), input(host, offset + low_size, high_size)};
}

uint32_t abi_cursor_open(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t low_size,
                         uint32_t high_size, uint32_t filter_size, uint32_t keys_only) {
    Cursor *cursor = NULL;
    begin(host);
    nacre_status status = cursor_open(membrane_of(membrane), snapshot_of(snapshot),
                                      range_of(host, 0, low_size, high_size), &cursor);
    if (status != NACRE_OK) return fail(host, status);
    if (keys_only) cursor_keys_only(cursor);
    if (filter_size) status = cursor_filter(cursor, input(host, (size_t)low_size + high_size, filter_size));
    if (status != NACRE_OK) {
        cursor_close(cursor);
        return fail(host, status);
    }
    host->answer.pointer = address(cursor);
    return NACRE_OK;
}

/* `from`, if any: where the first row is sought. */
static nacre_status cursor_page(AbiHost *host, Cursor *cursor, const Span *from, bool reverse, uint32_t rows,
                                uint32_t bytes) {
    uint32_t count = 0;
    nacre_status status = NACRE_OK;
    while (count < rows && host->page_used < bytes) {
        RowView row = {0};
        if (from && count == 0) status = reverse ? cursor_seek_back(cursor, *from, &row) : cursor_seek(cursor, *from, &row);
        else status = reverse ? cursor_prev(cursor, &row) : cursor_next(cursor, &row);
        if (status == NACRE_NOT_FOUND) break;
        TRY(status);
        TRY(page_row(host, &row, 0));
        count++;
    }
    answer_page(host, count);
    host->answer.more = status == NACRE_OK;
    return NACRE_OK;
}

uint32_t abi_cursor_page(AbiHost *host, uint32_t cursor, uint32_t reverse, uint32_t rows, uint32_t bytes) {
    begin(host);
    return answer(host, cursor_page(host, cursor_of(cursor), NULL, reverse != 0, rows, bytes));
}

uint32_t abi_cursor_seek(AbiHost *host, uint32_t cursor, uint32_t reverse, uint32_t key_size, uint32_t rows,
                         uint32_t bytes) {
    begin(host);
    Span key = input(host, 0, key_size);
    return answer(host, cursor_page(host, cursor_of(cursor), &key, reverse != 0, rows, bytes));
}

void abi_cursor_close(AbiHost *host, uint32_t cursor) {
    begin(host);
    cursor_close(cursor_of(cursor));
}

uint32_t abi_count(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t low_size, uint32_t high_size,
                   uint32_t filter_size) {
    uint64_t count = 0;
    begin(host);
    nacre_status status = db_count(membrane_of(membrane), snapshot_of(snapshot),
                                   range_of(host, 0, low_size, high_size),
                                   input(host, (size_t)low_size + high_size, filter_size), &count);
    host->answer.number = (double)count;
    return answer(host, status);
}

uint32_t abi_clear(AbiHost *host, uint32_t membrane, uint32_t low_size, uint32_t high_size,
                   uint32_t filter_size, uint32_t sync) {
    uint64_t removed = 0;
    begin(host);
    nacre_status status =
        db_clear(membrane_of(membrane), range_of(host, 0, low_size, high_size),
                 input(host, (size_t)low_size + high_size, filter_size), sync != 0, &removed);
    host->answer.number = (double)removed;
    return answer(host, status);
}

/* ---- Transactions ---- */

uint32_t abi_tx_begin(AbiHost *host) {
    Transaction *tx = NULL;
    nacre_status status = transaction_begin(begin(host), &tx);
    if (status != NACRE_OK) return fail(host, status);
    host->answer.pointer = address(tx);
    host->answer.number = (double)snapshot_sequence(transaction_view(tx));
    return NACRE_OK;
}

uint32_t abi_tx_view(AbiHost *host, uint32_t tx) {
    (void)host;
    return address(transaction_view(tx_of(tx)));
}

uint32_t abi_tx_reserve(AbiHost *host, uint32_t tx, double bytes, double records) {
    uint8_t *at = NULL;
    begin(host);
    nacre_status status = transaction_reserve(tx_of(tx), (uint64_t)bytes, (uint64_t)records, &at);
    host->answer.pointer = address(at);
    return answer(host, status);
}

uint32_t abi_tx_write(AbiHost *host, uint32_t tx, uint32_t bytes) {
    begin(host);
    return answer(host, transaction_write(tx_of(tx), bytes));
}

uint32_t abi_tx_clear(AbiHost *host, uint32_t tx, uint32_t membrane, uint32_t low_size, uint32_t high_size,
                      uint32_t filter_size) {
    uint64_t removed = 0;
    begin(host);
    nacre_status status =
        transaction_clear(tx_of(tx), membrane_of(membrane), range_of(host, 0, low_size, high_size),
                          input(host, (size_t)low_size + high_size, filter_size), &removed);
    host->answer.number = (double)removed;
    return answer(host, status);
}

uint32_t abi_tx_savepoint(AbiHost *host, uint32_t tx) {
    uint64_t serial = 0;
    begin(host);
    nacre_status status = transaction_savepoint(tx_of(tx), &serial);
    host->answer.number = (double)serial;
    return answer(host, status);
}

uint32_t abi_tx_rollback_to(AbiHost *host, uint32_t tx, double serial) {
    begin(host);
    return answer(host, transaction_rollback_to(tx_of(tx), (uint64_t)serial));
}

uint32_t abi_tx_release(AbiHost *host, uint32_t tx, double serial) {
    begin(host);
    return answer(host, transaction_release(tx_of(tx), (uint64_t)serial));
}

uint32_t abi_tx_commit(AbiHost *host, uint32_t tx, uint32_t sync) {
    Db *db = begin(host);
    nacre_status status = transaction_commit(tx_of(tx), sync != 0);
    host->answer.number = (double)db_sequence(db);
    return answer(host, status);
}

void abi_tx_rollback(AbiHost *host, uint32_t tx) {
    begin(host);
    transaction_rollback(tx_of(tx));
}

/* ---- Bulk loads and large values ---- */

uint32_t abi_bulk_begin(AbiHost *host, uint32_t membrane) {
    Bulk *bulk = NULL;
    begin(host);
    nacre_status status = bulk_begin(membrane_of(membrane), &bulk);
    host->answer.pointer = address(bulk);
    return answer(host, status);
}

uint32_t abi_bulk_put(AbiHost *host, uint32_t bulk, uint32_t records_size) {
    begin(host);
    return answer(host, bulk_add((Bulk *)(uintptr_t)bulk, host->input.data, records_size));
}

uint32_t abi_bulk_commit(AbiHost *host, uint32_t bulk) {
    uint64_t rows = 0;
    begin(host);
    nacre_status status = bulk_commit((Bulk *)(uintptr_t)bulk, &rows);
    host->answer.number = (double)rows;
    return answer(host, status);
}

void abi_bulk_abort(AbiHost *host, uint32_t bulk) {
    begin(host);
    bulk_abort((Bulk *)(uintptr_t)bulk);
}

static ValueWriter *value_writer_of(uint32_t p) { return (ValueWriter *)(uintptr_t)p; }
static ValueReader *value_reader_of(uint32_t p) { return (ValueReader *)(uintptr_t)p; }

uint32_t abi_value_begin(AbiHost *host, uint32_t membrane, double ttl_ms, uint32_t key_size) {
    ValueWriter *writer = NULL;
    begin(host);
    uint64_t expiry = ttl_ms > 0 ? RECORD_LIFETIME + (uint64_t)ttl_ms : 0;
    nacre_status status = value_writer_open(membrane_of(membrane), input(host, 0, key_size), expiry, &writer);
    host->answer.pointer = address(writer);
    return answer(host, status);
}

uint32_t abi_value_append(AbiHost *host, uint32_t writer, uint32_t bytes_size) {
    begin(host);
    return answer(host, value_writer_append(value_writer_of(writer), input(host, 0, bytes_size)));
}

uint32_t abi_value_finish(AbiHost *host, uint32_t writer) {
    begin(host);
    return answer(host, value_writer_finish(value_writer_of(writer)));
}

void abi_value_abort(AbiHost *host, uint32_t writer) {
    begin(host);
    value_writer_abort(value_writer_of(writer));
}

uint32_t abi_value_open(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t key_size) {
    ValueReader *reader = NULL;
    begin(host);
    nacre_status status =
        value_reader_open(membrane_of(membrane), snapshot_of(snapshot), input(host, 0, key_size), &reader);
    if (status != NACRE_OK) return fail(host, status);
    host->answer.pointer = address(reader);
    host->answer.number = (double)value_reader_size(reader);
    return NACRE_OK;
}

uint32_t abi_value_read(AbiHost *host, uint32_t reader, double offset, uint32_t size) {
    begin(host);
    nacre_status status = page_room(host, size);
    if (status == NACRE_OK)
        status = value_reader_read(value_reader_of(reader), (uint64_t)offset, host->page.data, size);
    answer_data(host, span_of(host->page.data, size));
    return answer(host, status);
}

void abi_value_close(AbiHost *host, uint32_t reader) {
    begin(host);
    value_reader_close(value_reader_of(reader));
}

/* ---- Search ---- */

static nacre_status answer_hits(AbiHost *host, Hits **hits, uint32_t queries) {
    uint32_t total = 0;
    TRY(page_room(host, (uint64_t)queries * 4));
    host->page_used = (size_t)queries * 4;
    for (uint32_t q = 0; q < queries; q++) {
        uint32_t count = hits_count(hits[q]);
        put_u32(host->page.data + (size_t)q * 4, count);
        for (uint32_t i = 0; i < count; i++) {
            const Hit *hit = hits_at(hits[q], i);
            TRY(page_row(host, &hit->row, hit->distance));
        }
        total += count;
    }
    answer_page(host, total);
    return NACRE_OK;
}

static nacre_status search(AbiHost *host, Membrane *membrane, const Snapshot *snapshot, const SearchQuery *query,
                           uint32_t queries) {
    Env *env = db_env(host->db);
    Hits *one = NULL, **hits = &one;
    if (queries > 1 && !(hits = env_alloc(env, queries * sizeof *hits))) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = db_search_many(membrane, snapshot, query, queries, hits);
    if (status == NACRE_OK) {
        status = answer_hits(host, hits, queries);
        for (uint32_t i = 0; i < queries; i++) hits_free(hits[i]);
    }
    if (queries > 1) env_free(env, hits, queries * sizeof *hits);
    return status;
}

uint32_t abi_search(AbiHost *host, uint32_t membrane, uint32_t snapshot, uint32_t queries, uint32_t k, uint32_t flags,
                    double recall, uint32_t probes, double max_distance, double timeout_ms, uint32_t vectors_size,
                    uint32_t filter_size) {
    Env *env = db_env(begin(host));
    nacre_search_report report = {0};
    SearchQuery query = {
        .vector = host->input.data, /* malloc aligns it */
        .k = k,
        .filter = input(host, vectors_size, filter_size),
        .want_vectors = (flags & ABI_SEARCH_VECTORS) != 0,
        .exact = (flags & ABI_SEARCH_EXACT) != 0,
        .recall = (float)recall,
        .probes = probes,
        .limited = (flags & ABI_SEARCH_LIMITED) != 0,
        .max_distance = (float)max_distance,
        .deadline_ms = timeout_ms < 0 ? 0 : env->vfs->now_ms(env->vfs->self) + (uint64_t)timeout_ms,
        .report = &report,
    };
    uint64_t needed = (uint64_t)queries * schema_vector_size(membrane_schema(membrane_of(membrane)));
    if (vectors_size != needed)
        return answer(host, env_fail(env, NACRE_INVALID_ARGUMENT, "search: the queries have %u bytes", (unsigned)vectors_size));
    nacre_status status = search(host, membrane_of(membrane), snapshot_of(snapshot), &query, queries);
    host->answer.more = (uint32_t)report.path;
    host->answer.number = (double)report.codes_scored;
    host->answer.second = (double)report.reranked;
    host->answer.third = (double)report.segments;
    return answer(host, status);
}

/* ---- Changes (rule 7) ---- */

static Changes *changes_of(uint32_t p) { return (Changes *)(uintptr_t)p; }

static void answer_oldest(AbiHost *host) {
    uint64_t oldest = 0, newest = 0;
    if (db_changes_bounds(host->db, &oldest, &newest) != NACRE_OK) oldest = 0;
    host->answer.number = (double)oldest;
}

uint32_t abi_changes_open(AbiHost *host, double since) {
    Changes *changes = NULL;
    Db *db = begin(host);
    nacre_status status = db_changes_open(db, since < 0 ? NACRE_CHANGES_OLDEST : (uint64_t)since, &changes);
    host->answer.pointer = address(changes);
    answer_oldest(host);
    return answer(host, status);
}

static nacre_status page_change(AbiHost *host, const ChangeView *view) {
    bool row = view->kind == NACRE_CHANGE_PUT || view->kind == NACRE_CHANGE_DELETE;
    RowView parts = row ? view->row : (RowView){.key = view->name, .value = view->schema};
    if (view->kind == NACRE_CHANGE_RENAME) parts.value = view->from;
    if (view->kind == NACRE_CHANGE_LOAD) parts.key.size = 0;
    uint64_t size = page_row_size(&parts) - PAGE_HEAD + PAGE_CHANGE_HEAD;
    TRY(page_room(host, size));
    uint8_t *at = host->page.data + host->page_used;
    put_u32(at, (uint32_t)view->kind);
    put_u32(at + 4, view->membrane ? membrane_id(view->membrane) : 0);
    put_u64(at + 8, view->sequence);
    put_u32(at + 16, view->index);
    put_u32(at + 20, (uint32_t)parts.key.size);
    put_u32(at + 24, (uint32_t)parts.value.size);
    put_u32(at + 28, (uint32_t)parts.vector.size);
    put_u64(at + 32, parts.expires);
    page_put(page_put(page_put(at + PAGE_CHANGE_HEAD, parts.key), parts.vector), parts.value);
    host->page_used += (size_t)size;
    return NACRE_OK;
}

static nacre_status changes_page(AbiHost *host, Changes *changes, uint32_t bytes) {
    uint32_t count = 0;
    while (host->page_used < bytes) {
        ChangeView view;
        nacre_status status = db_changes_next(changes, &view);
        if (status != NACRE_OK && count > 0) break; /* the next call says it again */
        TRY(status);
        if (view.kind == NACRE_CHANGE_NONE) break;
        TRY(page_change(host, &view));
        count++;
    }
    answer_page(host, count);
    return NACRE_OK;
}

uint32_t abi_changes_page(AbiHost *host, uint32_t changes, uint32_t bytes) {
    begin(host);
    nacre_status status = changes_page(host, changes_of(changes), bytes);
    answer_oldest(host);
    return answer(host, status);
}

void abi_changes_close(AbiHost *host, uint32_t changes) {
    begin(host);
    db_changes_close(changes_of(changes));
}

uint32_t abi_acknowledged(AbiHost *host) {
    nacre_commit_info totals = {0};
    nacre_status status = db_acknowledged(host->db, &totals);
    host->answer.number = (double)totals.sequence;
    host->answer.second = (double)totals.puts;
    host->answer.third = (double)totals.deletes;
    return answer(host, status);
}

/* ---- Backups ---- */

static Backup *backup_of(uint32_t p) { return (Backup *)(uintptr_t)p; }
static Archive *archive_of(uint32_t p) { return (Archive *)(uintptr_t)p; }

static void answer_info(AbiHost *host, const nacre_backup_info *info) {
    host->answer.count = (uint32_t)info->kind;
    host->answer.number = (double)info->sequence;
    host->answer.second = (double)info->base_sequence;
    host->answer.third = (double)info->bytes;
    answer_data(host, span_of(info->token.data, info->token.size));
}

static uint32_t backup_begun(AbiHost *host, nacre_status status, Backup *backup) {
    if (status != NACRE_OK) return fail(host, status);
    nacre_backup_info info;
    backup_describe(backup, &info);
    host->answer.pointer = address(backup);
    host->answer.number = (double)info.sequence;
    return NACRE_OK;
}

uint32_t abi_backup_begin(AbiHost *host, uint32_t base_size) {
    Backup *backup = NULL;
    Db *db = begin(host);
    nacre_status status = backup_begin(db, input(host, 0, base_size), &backup);
    return backup_begun(host, status, backup);
}

uint32_t abi_backup_encrypt(AbiHost *host, uint32_t backup, uint32_t key_size) {
    uint8_t key[AEAD_KEY];
    begin(host);
    if (key_size && !take_key(host, 0, key_size, key)) return fail_key(host, "backup");
    nacre_status status = backup_encrypt(backup_of(backup), key_size ? key : NULL);
    aead_wipe(key, sizeof key);
    return answer(host, status);
}

uint32_t abi_backup_read(AbiHost *host, uint32_t backup, uint32_t size) {
    size_t got = 0;
    begin(host);
    nacre_status status = page_room(host, size);
    if (status == NACRE_OK) status = backup_read(backup_of(backup), host->page.data, size, &got);
    answer_data(host, span_of(host->page.data, got));
    return answer(host, status);
}

uint32_t abi_backup_describe(AbiHost *host, uint32_t backup) {
    nacre_backup_info info;
    begin(host);
    backup_describe(backup_of(backup), &info);
    answer_info(host, &info);
    return NACRE_OK;
}

void abi_backup_end(AbiHost *host, uint32_t backup) {
    begin(host);
    backup_end(backup_of(backup));
}

uint32_t abi_archive_open(AbiHost *host, double since) {
    Archive *archive = NULL;
    nacre_status status = archive_open(begin(host), (uint64_t)since, &archive);
    host->answer.pointer = address(archive);
    return answer(host, status);
}

uint32_t abi_archive_begin(AbiHost *host, uint32_t archive) {
    Backup *backup = NULL;
    begin(host);
    nacre_status status = archive_begin(archive_of(archive), &backup);
    return backup_begun(host, status, backup);
}

void abi_archive_close(AbiHost *host, uint32_t archive) {
    begin(host);
    archive_close(archive_of(archive));
}

uint32_t abi_restore_begin(AbiHost *host, uint32_t path_size, uint32_t key_size, uint32_t stream_key_size,
                           uint32_t durability, uint32_t lock, double memory, double changes, uint32_t checkpoint_ms, double sequence, double time_ms) {
    nacre_options options = host_options(durability, lock, memory, changes, checkpoint_ms);
    nacre_restore_options until = NACRE_RESTORE_INIT;
    uint8_t key[AEAD_KEY], stream_key[AEAD_KEY];
    if (key_size && !take_key(host, path_size, key_size, key)) return fail_key(host, "restore");
    if (stream_key_size && !take_key(host, path_size + key_size, stream_key_size, stream_key)) return fail_key(host, "restore");
    options.encryption_key = key_size ? key : NULL;
    until.key = stream_key_size ? stream_key : NULL;
    const char *path = input_path(host, path_size);
    nacre_error error = {NACRE_OK, "memory: no room for the path"};
    until.sequence = (uint64_t)sequence;
    until.time_ms = (uint64_t)time_ms;
    nacre_status status = path ? restore_begin(path_size ? path : NULL, &options, &until, &host->restore, &error)
                               : NACRE_RESOURCE_EXHAUSTED;
    aead_wipe(key, sizeof key);
    aead_wipe(stream_key, sizeof stream_key);
    return status == NACRE_OK ? NACRE_OK : fail_text(host, status, error.text);
}

uint32_t abi_restore_write(AbiHost *host, uint32_t size) {
    nacre_status status = restore_write(host->restore, input(host, 0, size));
    return status == NACRE_OK ? NACRE_OK : fail_text(host, status, restore_env(host->restore)->error.text);
}

uint32_t abi_restore_describe(AbiHost *host) {
    nacre_backup_info info;
    restore_describe(host->restore, &info);
    answer_info(host, &info);
    return NACRE_OK;
}

uint32_t abi_restore_finish(AbiHost *host) {
    nacre_error error = {0};
    nacre_status status = restore_finish(host->restore, &host->db, &error);
    host->restore = NULL;
    return status == NACRE_OK ? NACRE_OK : fail_text(host, status, error.text);
}

void abi_restore_abort(AbiHost *host) {
    restore_abort(host->restore);
    host->restore = NULL;
}

/* ---- Keeping house ---- */

uint32_t abi_refresh(AbiHost *host) {
    bool membranes = false;
    nacre_status status = db_refresh(begin(host), &membranes);
    host->answer.more = membranes;
    return answer(host, status);
}

uint32_t abi_checkpoint(AbiHost *host) { return answer(host, db_checkpoint(begin(host))); }

uint32_t abi_step(AbiHost *host, double bytes) {
    bool more = false;
    nacre_status status = db_step(begin(host), (uint64_t)bytes, &more);
    host->answer.more = more;
    return answer(host, status);
}

uint32_t abi_compact(AbiHost *host) {
    nacre_compact_report report = {0};
    nacre_status status = db_compact(begin(host), &report);
    host->answer.number = (double)report.before;
    host->answer.second = (double)report.after;
    host->answer.third = (double)report.rows;
    return answer(host, status);
}

/* JSON of the problems, in the page buffer. */
typedef struct Problems {
    AbiHost *host;
    uint32_t count;
    bool no_room;
} Problems;

static bool problems_room(Problems *p, size_t size) {
    if (!p->no_room) p->no_room = !buffer_reserve(&p->host->page, p->host->page_used + size);
    return !p->no_room;
}

static void problems_text(Problems *p, const char *text) {
    size_t size = strlen(text);
    if (!problems_room(p, size)) return;
    memcpy(p->host->page.data + p->host->page_used, text, size);
    p->host->page_used += size;
}

static void problems_string(Problems *p, const char *text) {
    size_t size = strlen(text);
    if (!problems_room(p, 6 * size + 2)) return;
    p->host->page_used += json_quote(span_of(text, size), (char *)p->host->page.data + p->host->page_used);
}

static void problems_add(void *self, const char *where, uint64_t offset, const char *what) {
    Problems *p = self;
    if (p->count == ABI_PROBLEMS_MAX) return;
    char number[64];
    snprintf(number, sizeof number, ",\"offset\":%llu,\"what\":", (unsigned long long)offset);
    problems_text(p, p->count ? ",{\"where\":" : "{\"where\":");
    problems_string(p, where);
    problems_text(p, number);
    problems_string(p, what);
    problems_text(p, "}");
    p->count++;
}

uint32_t abi_verify(AbiHost *host, uint32_t deep) {
    Problems problems = {.host = host};
    uint64_t count = 0;
    Db *db = begin(host);
    problems_text(&problems, "[");
    nacre_status status = db_verify(db, deep != 0, problems_add, &problems, &count);
    problems_text(&problems, "]");
    if (status == NACRE_OK && problems.no_room) status = no_memory(host, host->page_used);
    answer_page(host, problems.count);
    host->answer.number = (double)count;
    return answer(host, status);
}

static void problems_member(Problems *p, const char *name, const char *text) {
    if (!text) return;
    problems_text(p, name);
    problems_string(p, text);
}

static void problems_found(void *self, const nacre_finding *finding) {
    Problems *p = self;
    char number[64];
    if (p->count == ABI_PROBLEMS_MAX) return;
    snprintf(number, sizeof number, "\"offset\":%llu", (unsigned long long)finding->offset);
    problems_text(p, p->count++ ? ",{" : "{");
    problems_text(p, number);
    problems_member(p, ",\"kind\":", finding->kind == NACRE_FOUND_LOSS ? "loss" : finding->kind == NACRE_FOUND_DOUBT ? "doubt" : "damage");
    problems_member(p, ",\"where\":", finding->where);
    problems_member(p, ",\"what\":", finding->what);
    problems_member(p, ",\"membrane\":", finding->membrane);
    problems_member(p, ",\"from\":", finding->from);
    problems_member(p, ",\"to\":", finding->to);
    problems_text(p, "}");
}

/* The paths lie one behind the other, without zero bytes: a copy has them. */
static char *repair_paths(AbiHost *host, uint32_t from_size, uint32_t to_size) {
    char *paths = host_alloc(NULL, (size_t)from_size + to_size + 2);
    if (!paths) return NULL;
    memcpy(paths, host->input.data, from_size);
    memcpy(paths + from_size + 1, host->input.data + from_size, to_size);
    paths[from_size] = paths[from_size + 1 + to_size] = 0;
    return paths;
}

uint32_t abi_repair(AbiHost *host, uint32_t from_size, uint32_t to_size, uint32_t key_size, double memory) {
    nacre_options options = host_options(NACRE_STRICT, NACRE_LOCK_HOST, memory, 0, 0);
    nacre_repair_report report = {0};
    nacre_error error = {0};
    Problems problems = {.host = host};
    char numbers[320];
    uint8_t key[AEAD_KEY];
    if (key_size && !take_key(host, from_size + to_size, key_size, key)) return fail_key(host, "repair");
    options.encryption_key = key_size ? key : NULL;
    char *paths = repair_paths(host, from_size, to_size);
    if (!paths) return fail_text(host, NACRE_RESOURCE_EXHAUSTED, "memory: no room for the paths");
    host->page_used = 0;
    problems_text(&problems, "{\"findings\":[");
    nacre_status status = repair_files(paths, paths + from_size + 1, &options, problems_found, &problems, &report, &error);
    aead_wipe(key, sizeof key);
    free(paths);
    snprintf(numbers, sizeof numbers,
             "],\"membranes\":%llu,\"rows\":%llu,\"frames\":%llu,\"damages\":%llu,\"losses\":%llu,\"doubts\":%llu}",
             (unsigned long long)report.membranes, (unsigned long long)report.rows, (unsigned long long)report.frames,
             (unsigned long long)report.damages, (unsigned long long)report.losses, (unsigned long long)report.doubts);
    problems_text(&problems, numbers);
    if (status != NACRE_OK) return fail_text(host, status, error.text);
    if (problems.no_room) return fail_text(host, NACRE_RESOURCE_EXHAUSTED, "memory: no room for the findings");
    answer_page(host, problems.count);
    return NACRE_OK;
}

uint32_t abi_stats(AbiHost *host) {
    Span json = {0};
    nacre_status status = db_stats(begin(host), &json);
    answer_data(host, json);
    return answer(host, status);
}
