/* fuzz_restore.c - hostile backups: pieces of a full backup, an incremental one and a log are patched,
 * left out, doubled or swapped, checksums made right, and given to a restore in pieces of any
 * size. What is made of them is opened and visited; what is refused leaves nothing behind.
 *
 *   input := flags u8 | step u16 | change*
 *   change := what u8 | which u16 | (patch of patch.c from `offset` on, or a u16: the other piece) */
#include "fuzz/fuzz.h"

#include "base/checksum.h"
#include "db/backup_format.h"

#include <string.h>

enum { STREAMS = 3, PIECES_MAX = 400, PIECES_MORE = 64, FLAG_UNSEALED = 2, FLAG_CHECK = 4, FLAG_FULL = 8, FLAG_UNTIL = 16 };

typedef struct Bytes {
    uint8_t *data;
    size_t size, capacity;
} Bytes;

static Bytes streams[STREAMS];

static void bytes_add(Bytes *b, const void *data, size_t size) {
    if (b->size + size > b->capacity) {
        b->capacity = 2 * (b->size + size);
        b->data = realloc(b->data, b->capacity);
        MUST(b->data);
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void drain(nacre_backup *backup, Bytes *into) {
    static uint8_t buffer[1 << 16];
    size_t got = 1;
    while (got > 0) {
        MUST(nacre_backup_read(backup, buffer, sizeof buffer, &got) == NACRE_OK);
        bytes_add(into, buffer, got);
    }
}

static void put_some(nacre_db *db, int from) {
    nacre_membrane *texts = NULL, *numbers = NULL;
    nacre_bulk *bulk = NULL;
    MUST(nacre_membrane_open(db, "texts", NULL, &texts) == NACRE_OK && nacre_membrane_open(db, "numbers", NULL, &numbers) == NACRE_OK);
    for (int i = 0; i < 5; i++) {
        nacre_value key = nacre_text(i % 2 ? "one" : "another"), value = nacre_json("{\"changed\":true}");
        MUST(nacre_put(texts, &key, NULL, &value) == NACRE_OK);
    }
    MUST(nacre_bulk_begin(numbers, &bulk) == NACRE_OK);
    for (int i = 0; i < 6; i++) {
        nacre_value key = nacre_integer(100000 + from + i), value = nacre_bytes("loaded", 6);
        MUST(nacre_bulk_put(bulk, &key, NULL, &value) == NACRE_OK);
    }
    MUST(nacre_bulk_commit(bulk, NULL) == NACRE_OK);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    FuzzDisk disk;
    nacre_db *db = NULL;
    nacre_backup *backup = NULL;
    nacre_backup_info info;
    nacre_archive *archive = NULL;
    (void)base_small(&disk);
    nacre_options options = base_options(&disk);
    MUST(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    MUST(nacre_backup_begin(db, NULL, &backup) == NACRE_OK);
    drain(backup, &streams[0]);
    nacre_backup_end(backup);
    put_some(db, 0);
    nacre_span base = {streams[0].data, streams[0].size};
    MUST(nacre_backup_begin(db, &base, &backup) == NACRE_OK);
    drain(backup, &streams[1]);
    MUST(nacre_backup_describe(backup, &info) == NACRE_OK);
    nacre_backup_end(backup);
    MUST(nacre_archive_open(db, info.sequence, &archive) == NACRE_OK);
    put_some(db, 50);
    MUST(nacre_archive_begin(archive, &backup) == NACRE_OK);
    drain(backup, &streams[2]);
    nacre_backup_end(backup);
    nacre_archive_close(archive);
    MUST(nacre_close(db, NULL) == NACRE_OK);
    fuzz_disk_clear(&disk);
    return 0;
}

/* ---- streams as pieces ---- */

typedef struct Piece {
    uint8_t *bytes; /* malloc's */
    size_t size;
    bool preface;   /* the beginning of a stream */
} Piece;

typedef struct Pieces {
    Piece items[PIECES_MAX + PIECES_MORE];
    size_t count;
} Pieces;

static void piece_put(Pieces *p, const uint8_t *bytes, size_t size, bool preface) {
    MUST(p->count < PIECES_MAX);
    uint8_t *copy = malloc(size);
    MUST(copy);
    memcpy(copy, bytes, size);
    p->items[p->count++] = (Piece){copy, size, preface};
}

static void pieces_of(Pieces *p, const Bytes *stream) {
    piece_put(p, stream->data, BACKUP_PREFACE, true);
    for (size_t at = BACKUP_PREFACE; at < stream->size;) {
        size_t size = get_u32(stream->data + at + 12);
        piece_put(p, stream->data + at, size, false);
        at += size;
    }
}

static void change(Pieces *p, Input *in) {
    uint32_t what = br_u8(in) % 8, which = br_u16(in) % (uint32_t)p->count;
    Piece *piece = &p->items[which];
    if (what < 5) { /* its kind, or its body */
        size_t from = piece->preface ? 0 : what == 0 ? 8 : BACKUP_PIECE_HEAD;
        patch_bytes(piece->bytes + from, piece->size - from, in);
    } else if (what == 5) { /* left out */
        if (p->count == 1) return;
        free(piece->bytes);
        memmove(piece, piece + 1, (p->count - which - 1) * sizeof *piece);
        p->count--;
    } else if (what == 6) { /* swapped with another one */
        Piece *other = &p->items[br_u16(in) % (uint32_t)p->count], swap = *other;
        *other = *piece;
        *piece = swap;
    } else if (p->count < PIECES_MAX) { /* twice, or shorter */
        if (br_u8(in) % 2) piece_put(p, piece->bytes, piece->size, piece->preface);
        else if (piece->size > BACKUP_PIECE_HEAD) piece->size -= br_u8(in) % (piece->size - BACKUP_PIECE_HEAD + 1);
    }
}

/* Sizes, the chain of checksums, and what an END counts. */
static void seal_pieces(Pieces *p) {
    uint64_t chain = 0, count = 0, bytes = 0;
    for (size_t i = 0; i < p->count; i++) {
        Piece *piece = &p->items[i];
        if (piece->preface) {
            chain = count = 0, bytes = BACKUP_PREFACE;
            continue;
        }
        if (piece->size < BACKUP_PIECE_HEAD) continue;
        put_u32(piece->bytes + 12, (uint32_t)piece->size);
        if (get_u32(piece->bytes + 8) == PIECE_END && piece->size >= BACKUP_PIECE_HEAD + BACKUP_END_HEAD + BACKUP_END_TAIL) {
            uint8_t *body = piece->bytes + BACKUP_PIECE_HEAD;
            put_u64(body + 32, count), put_u64(body + 40, bytes), put_u64(body + 48, chain);
            put_u64(body + 56, (piece->size - BACKUP_PIECE_HEAD - BACKUP_END_HEAD - BACKUP_END_TAIL) / 16);
            put_u32(piece->bytes + piece->size - 8, (uint32_t)piece->size);
            put_u32(piece->bytes + piece->size - 4, BACKUP_END_MAGIC);
        }
        chain = checksum64(chain, piece->bytes + 8, piece->size - 8);
        put_u64(piece->bytes, chain);
        count++;
        bytes += piece->size;
    }
}

/* ---- restoring ---- */

static bool is_answer(nacre_status status) { return status_is_an_answer(status) || status == NACRE_INVALID_ARGUMENT; }

static void restore(const Pieces *p, const FuzzDisk *disk, uint32_t flags, size_t step) {
    nacre_options options = base_options(disk);
    nacre_restore_options until = NACRE_RESTORE_INIT;
    nacre_restore *restore = NULL;
    nacre_db *db = NULL;
    nacre_error error = {.code = NACRE_OK};
    if (flags & FLAG_UNTIL) until.sequence = 1 + step % 40;
    const char *path = flags & FLAG_CHECK ? NULL : "db";
    MUST(nacre_restore_begin(path, &options, &until, &restore, &error) == NACRE_OK);
    nacre_status status = NACRE_OK;
    for (size_t i = 0; i < p->count && status == NACRE_OK; i++)
        for (size_t at = 0, part; at < p->items[i].size && status == NACRE_OK; at += part) {
            part = p->items[i].size - at < step ? p->items[i].size - at : step;
            status = nacre_restore_write(restore, p->items[i].bytes + at, part);
            if (status != NACRE_OK) MUST(is_answer(status) && nacre_restore_message(restore)[0]);
        }
    if (status != NACRE_OK) {
        nacre_restore_abort(restore);
    } else {
        status = nacre_restore_finish(restore, path ? &db : NULL, &error);
        MUST(is_answer(status) && (status == NACRE_OK || error.text[0]));
    }
    if (status == NACRE_OK && path) {
        visit_database(db);
        (void)nacre_close(db, NULL);
        open_and_visit(disk, false, 1);
    } else {
        options.mode = NACRE_EXISTING;
        MUST(nacre_open("db", &options, &db, NULL) == NACRE_NOT_FOUND);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    static Pieces pieces;
    FuzzDisk disk;
    uint32_t flags = br_u8(&in);
    size_t step = 1 + (size_t)br_u16(&in) * 7;
    pieces.count = 0;
    for (int i = 0; i < (flags & FLAG_FULL ? 1 : STREAMS); i++) pieces_of(&pieces, &streams[i]);
    for (int i = 0; i < 32 && !input_ended(&in); i++) change(&pieces, &in);
    if (!(flags & FLAG_UNSEALED)) seal_pieces(&pieces);
    fuzz_disk_init(&disk);
    restore(&pieces, &disk, flags, step);
    fuzz_disk_clear(&disk);
    for (size_t i = 0; i < pieces.count; i++) free(pieces.items[i].bytes);
    return 0;
}
