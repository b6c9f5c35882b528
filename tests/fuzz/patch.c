/* patch.c - hostile files: patches over one of the bases, then checksums made right.
 *
 *   patch := place u8 | which u16 | offset u16 | how u8 | argument     */
#include "fuzz/fuzz.h"

#include "log/wal_format.h"

#include <string.h>

enum { PIECES_MAX = 600 };

typedef struct Piece {
    uint64_t offset, size;
} Piece;
typedef struct Pieces {
    Piece items[PIECE_KINDS][PIECES_MAX];
    size_t count[PIECE_KINDS];
} Pieces;
static Pieces pieces[BASES]; /* of each base's file */

static void piece_add(void *self, int kind, uint64_t offset, uint64_t size) {
    Pieces *p = self;
    if (p->count[kind] < PIECES_MAX) p->items[kind][p->count[kind]++] = (Piece){offset, size};
}

void patches_begin(void) {
    bases_make();
    for (int i = 0; i < BASES; i++) {
        FuzzFile *file = fuzz_disk_find(&bases[i], "db");
        seal_visit(file->bytes, file->size, piece_add, &pieces[i]);
        MUST(pieces[i].count[PIECE_SUPERBLOCK] == 2 && pieces[i].count[PIECE_BLOCK] > 0);
    }
}

/* What a patch changes: a piece of the file, or of a log. */
static Span patch_place(FuzzDisk *disk, uint32_t base, Input *in, uint8_t **into) {
    uint32_t place = br_u8(in) % (PIECE_KINDS + 4), which = br_u16(in);
    FuzzFile *file = fuzz_disk_find(disk, place < PIECE_KINDS || place == PIECE_KINDS + 2 ? "db" : which % 2 ? "db-wal1" : "db-wal0");
    Piece piece = {0, file ? file->size : 0};
    if (place < PIECE_KINDS) {
        if (pieces[base].count[place] == 0) return (Span){NULL, 0};
        piece = pieces[base].items[place][which % pieces[base].count[place]];
    } else if (file && place == PIECE_KINDS) { /* frames */
        piece = (Piece){WAL_HEAD, file->size > WAL_HEAD ? file->size - WAL_HEAD : 0};
    } else if (file && place == PIECE_KINDS + 1) { /* the header */
        piece = (Piece){0, WAL_HEADER_SIZE};
    }
    if (!file || piece.offset >= file->size) return (Span){NULL, 0};
    if (piece.size > file->size - piece.offset) piece.size = file->size - piece.offset;
    *into = file->bytes + piece.offset;
    return span_of(*into, (size_t)piece.size);
}

void patch_bytes(uint8_t *into, size_t size, Input *in) {
    static const uint64_t edges[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000u, 0xffffffffu,
                                     INT64_MAX, (uint64_t)1 << 63, UINT64_MAX, 65536, 4096, 512, 24};
    uint32_t offset = br_u16(in), how = br_u8(in);
    if (size == 0) return;
    size_t at = offset % size, left = size - at;
    uint64_t value = how & 0x80 ? edges[br_u8(in) % 16] : br_u32(in);
    uint8_t number[8];
    put_u64(number, value);
    switch (how % 8) {
    case 0: into[at] = (uint8_t)value; break;
    case 1: into[at] ^= (uint8_t)(1u << value % 8); break;
    case 2: memcpy(into + at, number, left < 2 ? left : 2); break;
    case 3: memcpy(into + at, number, left < 4 ? left : 4); break;
    case 4: memcpy(into + at, number, left < 8 ? left : 8); break;
    case 5: into[at] = (uint8_t)(into[at] + (int8_t)value); break;
    case 6: { /* bytes of the input */
        Span bytes = input_bytes(in, left);
        bytes_copy(into + at, bytes.data, bytes.size);
        break;
    }
    default: { /* from elsewhere in the piece */
        size_t from = (size_t)(value & 0xffff) % size, part = (size_t)(value >> 16 & 63);
        if (part > left) part = left;
        if (part > size - from) part = size - from;
        memmove(into + at, into + from, part);
    }
    }
}

static void patch(FuzzDisk *disk, uint32_t base, Input *in) {
    uint8_t *into = NULL;
    Span span = patch_place(disk, base, in, &into);
    patch_bytes(into, span.size, in);
}

static void cut(FuzzDisk *disk, Input *in) {
    static const char *const names[] = {"db", "db-wal0", "db-wal1"};
    FuzzFile *file = fuzz_disk_find(disk, names[br_u8(in) % 3]);
    if (file) file->size = file->size * br_u8(in) / 256;
}

static void patches_apply(FuzzDisk *disk, uint32_t base, uint32_t flags, Input *in) {
    static const char *const logs[] = {"db-wal0", "db-wal1"};
    for (int i = 0; i < 64 && !input_ended(in); i++) patch(disk, base, in);
    if (flags & PATCH_CUT) cut(disk, in);
    if (flags & PATCH_UNSEALED) return;
    FuzzFile *file = fuzz_disk_find(disk, "db");
    seal_database(file->bytes, file->size);
    for (int i = 0; i < 2; i++)
        if ((file = fuzz_disk_find(disk, logs[i]))) seal_log(file->bytes, file->size, flags & PATCH_CHAIN);
}

uint32_t patches_disk(FuzzDisk *disk, Input *in) {
    uint32_t base = br_u8(in) % BASES, flags = br_u8(in);
    fuzz_disk_init(disk);
    fuzz_disk_copy(&bases[base], disk);
    patches_apply(disk, base, flags, in);
    return flags;
}
