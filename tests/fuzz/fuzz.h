/* fuzz.h - what the fuzz targets share. Each target is a file fuzz_NAME.c with libFuzzer's
 * LLVMFuzzerTestOneInput; README.md says what each one asks and how to run it.
 *
 * 1. The library is what is shipped: no check is left out for the fuzzer. Where a checksum
 *    would end everything, the harness computes it anew over the hostile bytes (seal.c).
 * 2. A target is deterministic: clock, random numbers and files are the harness's own.
 * 3. What must hold is said with MUST: it ends the program, and libFuzzer keeps the input. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "base/codec.h"
#include "base/vfs.h"
#include "nacre.h"
#include "segment/segment_format.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                   \
        }                                                                              \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);

/* ---- Numbers from the input; zeros behind its end. ---- */

typedef ByteReader Input;
static inline Input input_over(const uint8_t *data, size_t size) { return br_over(span_of(data, size)); }
static inline bool input_ended(const Input *in) { return br_left(in) == 0; }
/* 0 ... below - 1 */
static inline uint32_t input_below(Input *in, uint32_t below) {
    return below <= 256 ? br_u8(in) % below : br_u16(in) % below;
}
/* At most `most` bytes: a size of one byte (255: two bytes follow), then they. */
static inline Span input_bytes(Input *in, size_t most) {
    size_t size = br_u8(in);
    if (size == 255) size = br_u16(in);
    if (size > most) size = most;
    if (size > br_left(in)) size = br_left(in);
    return br_bytes(in, size);
}
/* All that is left. */
static inline Span input_rest(Input *in) { return br_bytes(in, br_left(in)); }

/* ---- files.c: a Vfs over a few buffers, without failures ---- */

enum { FUZZ_FILES = 8 };

typedef struct FuzzFile {
    char name[64]; /* empty: there is none */
    uint8_t *bytes;
    size_t size, capacity;
    size_t limit;   /* beyond it: NACRE_QUOTA */
    size_t handles; /* open */
} FuzzFile;

typedef struct FuzzDisk {
    FuzzFile files[FUZZ_FILES];
    Vfs vfs;
    uint64_t random, now;
} FuzzDisk;

void fuzz_disk_init(FuzzDisk *disk);
void fuzz_disk_clear(FuzzDisk *disk); /* every handle must be closed */
void fuzz_disk_copy(const FuzzDisk *from, FuzzDisk *into);
FuzzFile *fuzz_disk_find(FuzzDisk *disk, const char *name); /* NULL: none */
void fuzz_disk_put(FuzzDisk *disk, const char *name, Span bytes);

/* ---- seal.c: checksums made right ---- */

/* Of superblocks, manifests, indexes, blocks, vectors and values, wherever the bytes say that
 * they are; what cannot be is passed by. */
void seal_database(uint8_t *data, size_t size);
/* Of headers and frames. `chain`: previous and kind of each frame as well. */
void seal_log(uint8_t *log, size_t size, bool chain);
void seal_block(uint8_t *block, size_t size, uint64_t seed);

/* A stream of a file: its bytes lie in extents. */
typedef struct SealStream {
    uint8_t *data; /* of the file */
    size_t data_size;
    const uint8_t *runs; /* first u32, length u32 */
    uint32_t run_count;
    uint64_t size;
} SealStream;
typedef struct SealSegment {
    uint64_t id, meta_offset, meta_size;
    uint32_t page_size;
    SealStream streams[STREAM_COUNT];
} SealSegment;
/* All inside of one segment; the checksum of its index. */
uint64_t seal_segment(uint8_t *data, size_t size, const SealSegment *segment);

/* Told of each piece of a database that a checksum covers. */
typedef void SealVisit(void *self, int kind, uint64_t offset, uint64_t size);
enum { PIECE_SUPERBLOCK, PIECE_MANIFEST, PIECE_META, PIECE_BLOCK, PIECE_VECTORS, PIECE_BLOBS, PIECE_KINDS };
void seal_visit(uint8_t *data, size_t size, SealVisit *visit, void *self);

/* ---- bases.c: databases that targets begin with; the same in each run ---- */

enum { BASES = 4 };
extern FuzzDisk bases[BASES];
void bases_make(void); /* once */
/* One with the same membranes and few rows, all of them in segments. Its last LSN. */
uint64_t base_small(FuzzDisk *disk);
nacre_options base_options(const FuzzDisk *disk);

/* ---- patch.c: hostile files ---- */

enum { PATCH_UNSEALED = 2, PATCH_CHAIN = 4, PATCH_CUT = 0x80 };
void patches_begin(void); /* once; makes the bases */
/* A copy of one of the bases, as the input says, with patches from it; and its flags: unless
 * PATCH_UNSEALED with right checksums, with PATCH_CHAIN of each frame what it follows, too;
 * PATCH_CUT: one file ends early. */
uint32_t patches_disk(FuzzDisk *disk, Input *in);
/* One patch of `size` bytes. */
void patch_bytes(uint8_t *into, size_t size, Input *in);

/* ---- visit.c: everything that can be asked of a database ---- */

/* Reads all of it in every way; what is malformed must be said with a status. */
void visit_database(nacre_db *db);
/* Writes, merges and reads again. */
void visit_and_change(nacre_db *db);
/* Is it one that a hostile file may be answered with? `db` (or NULL) tells what failed if not. */
bool status_is_an_answer(nacre_status status);
/* Opens "db" on the disk, visits it (unless `read`, changes it too), closes it: so many times. */
void open_and_visit(const FuzzDisk *disk, bool read, int rounds);
#define ANSWERED(db, call) answered((db), (call), __FILE__, __LINE__, #call)
nacre_status answered(const nacre_db *db, nacre_status status, const char *file, int line, const char *what);

#endif
