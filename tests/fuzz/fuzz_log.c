/* fuzz_log.c - a hostile log behind right headers: frames, batches, records, and what opening
 * makes of them.
 *
 *   input := flags u8 | bytes of the log from its first frame on
 *
 * Without FLAG_RAW the frames are made to hang together: sizes that cannot be become what is
 * left, LSNs count from where the segments end, checksums are right. */
#include "fuzz/fuzz.h"

#include "log/wal_format.h"
#include "memtable/record_format.h"

#include <string.h>

enum { FLAG_RAW = 1, FLAG_READ = 2, FLAG_FREE_LSN = 4, FLAG_OLDER = 8 };

static FuzzDisk base;
static uint64_t base_lsn;

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    base_lsn = base_small(&base);
    return 0;
}

static void join_batches(uint8_t *body, size_t size, uint64_t *lsn) {
    for (size_t at = 0; size - at >= BATCH_HEAD;) {
        uint64_t batch = get_u32(body + at);
        if (batch < BATCH_HEAD || batch % 4 || batch > size - at) put_u32(body + at, (uint32_t)(batch = (size - at) & ~(size_t)3));
        put_u64(body + at + 8, *lsn += 1 + (get_u64(body + at + 8) & 3) % 2);
        at += (size_t)batch;
    }
}

static void join_frames(uint8_t *log, size_t size, bool free_lsn) {
    uint64_t lsn = base_lsn;
    for (size_t at = WAL_HEAD; size - at >= FRAME_HEAD;) {
        uint8_t *frame = log + at;
        uint64_t frame_size = get_u32(frame + 12);
        if (frame_size < FRAME_HEAD || frame_size % 4 || frame_size > size - at)
            put_u32(frame + 12, (uint32_t)(frame_size = (size - at) & ~(size_t)3));
        if (get_u32(frame + 8) - FRAME_BATCHES > 4) put_u32(frame + 8, FRAME_BATCHES);
        if (!free_lsn) {
            put_u64(frame + 24, lsn);
            if (get_u32(frame + 8) == FRAME_BATCHES) join_batches(frame + FRAME_HEAD, (size_t)frame_size - FRAME_HEAD, &lsn);
            else lsn += 5;
            put_u64(frame + 16, lsn);
            if (get_u64(frame + 32) > lsn) put_u64(frame + 32, base_lsn);
        }
        at += (size_t)frame_size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    FuzzDisk disk;
    uint32_t flags = br_u8(&in);
    Span body = input_rest(&in);
    fuzz_disk_init(&disk);
    fuzz_disk_copy(&base, &disk);
    const char *names[2] = {"db-wal0", "db-wal1"};
    FuzzFile *logs[2] = {fuzz_disk_find(&disk, names[0]), fuzz_disk_find(&disk, names[1])};
    int newer = get_u64(logs[1]->bytes + 32) > get_u64(logs[0]->bytes + 32);
    if (flags & FLAG_OLDER) newer = !newer;
    uint8_t *log = malloc(WAL_HEAD + body.size);
    MUST(log);
    memcpy(log, logs[newer]->bytes, WAL_HEAD);
    bytes_copy(log + WAL_HEAD, body.data, body.size);
    if (!(flags & FLAG_RAW)) {
        join_frames(log, WAL_HEAD + body.size, flags & FLAG_FREE_LSN);
        seal_log(log, WAL_HEAD + body.size, false);
    }
    fuzz_disk_put(&disk, names[newer], span_of(log, WAL_HEAD + body.size));
    free(log);
    open_and_visit(&disk, flags & FLAG_READ, 2);
    fuzz_disk_clear(&disk);
    return 0;
}
