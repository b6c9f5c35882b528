/* pause_bench.c - how long single write calls take while many rows are put, natively: one
 * JSON object on stdout, the longest calls with what was done in them on stderr.
 *
 *   pause_bench DIRECTORY ROWS [BATCH] [MEMORY_MIB]
 *
 * 1. A write call is the commit of a batch. What gathers the batch beforehand counts, too.
 * 2. The files are the host's with a clock around each verb, so that waiting for a sync is
 *    told apart from work: a pause is wall time less the time inside of syncs.
 * 3. CPU time of a call is told beside it: where other processes share the machine, the
 *    wall clock runs on while this one waits for its turn. */
#define _GNU_SOURCE
#include "base/vfs.h"
#include "host/vfs_posix.h"
#include "nacre.h"

#include "data.h"

#include <sys/resource.h>

enum { SLOWEST = 12 };

typedef struct Clocks {
    double sync, write, truncate, read;
    uint64_t written, read_bytes, syncs;
} Clocks;

typedef struct Call {
    uint32_t number;
    double wall, cpu;
    long faults;
    Clocks in;
} Call;

static Vfs *host;
static Clocks clocks;
static nacre_db *db;

static void check(nacre_status status, const char *what) {
    if (status != NACRE_OK) die(what, db ? nacre_message(db) : nacre_status_name(status));
}

/* ---- the host's files, with a clock ---- */

static nacre_status timed_sync(VfsFile *file) {
    double began = wall();
    nacre_status status = host->sync(file);
    clocks.sync += wall() - began;
    clocks.syncs++;
    return status;
}

static nacre_status timed_write(VfsFile *file, uint64_t offset, const void *from, size_t size) {
    double began = wall();
    nacre_status status = host->write(file, offset, from, size);
    clocks.write += wall() - began;
    clocks.written += size;
    return status;
}

static nacre_status timed_read(VfsFile *file, uint64_t offset, void *into, size_t size) {
    double began = wall();
    nacre_status status = host->read(file, offset, into, size);
    clocks.read += wall() - began;
    clocks.read_bytes += size;
    return status;
}

static nacre_status timed_truncate(VfsFile *file, uint64_t size) {
    double began = wall();
    nacre_status status = host->truncate(file, size);
    clocks.truncate += wall() - began;
    return status;
}

static Clocks clocks_since(Clocks before) {
    return (Clocks){clocks.sync - before.sync,
                    clocks.write - before.write,
                    clocks.truncate - before.truncate,
                    clocks.read - before.read,
                    clocks.written - before.written,
                    clocks.read_bytes - before.read_bytes,
                    clocks.syncs - before.syncs};
}

static long page_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

static void *plain_alloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}

static void plain_free(void *self, void *memory, size_t size) {
    (void)self, (void)size;
    free(memory);
}

/* ---- the calls ---- */

static void put_batch(nacre_membrane *kv, uint32_t from, uint32_t count) {
    nacre_batch *batch = NULL;
    check(nacre_batch_begin(db, &batch), "batch");
    for (uint32_t i = from; i < from + count; i++) {
        uint8_t bytes[KEY];
        make_key(i, false, bytes);
        nacre_value key = nacre_bytes(bytes, KEY), value = nacre_bytes(value_of(i), VALUE);
        check(nacre_batch_put(batch, kv, &key, NULL, &value), "batch put");
    }
    check(nacre_batch_commit(batch), "commit");
}

static int by_pause(const void *a, const void *b) {
    const Call *x = a, *y = b;
    double p = x->wall - x->in.sync, q = y->wall - y->in.sync;
    return (p < q) - (p > q);
}

static void show_slowest(Call *calls, size_t count) {
    qsort(calls, count, sizeof *calls, by_pause);
    fprintf(stderr, "    call   pause  (cpu)    sync   write    read   trunc ms   written      read faults\n");
    for (size_t i = 0; i < SLOWEST && i < count; i++) {
        const Call *c = &calls[i];
        fprintf(stderr, "%8u %7.2f %6.2f %7.2f %7.2f %7.2f %7.2f %11llu %9llu %6ld\n", c->number,
                (c->wall - c->in.sync) * 1e3, c->cpu * 1e3, c->in.sync * 1e3, c->in.write * 1e3,
                c->in.read * 1e3, c->in.truncate * 1e3, (unsigned long long)c->in.written,
                (unsigned long long)c->in.read_bytes, c->faults);
    }
}

static void print(const char *name, double *seconds, size_t count) {
    double p999 = quantile(seconds, count, 0.999), p99 = quantile(seconds, count, 0.99);
    printf("\"%s\":{\"p99Ms\":%.2f,\"p999Ms\":%.2f,\"longestMs\":%.2f},", name, p99 * 1e3, p999 * 1e3,
           seconds[count - 1] * 1e3);
}

/* Rows of the slowest whole second over those of the mean one. */
static double slowest_second(const Call *calls, size_t count, bool with_syncs) {
    double at = 0, total = 0, slowest = 1e9;
    size_t seconds = 0, in_this = 0;
    for (size_t i = 0; i < count; i++) {
        double took = calls[i].wall - (with_syncs ? 0 : calls[i].in.sync);
        at += took, total += took;
        in_this++;
        if (at < 1) continue;
        if ((double)in_this < slowest) slowest = (double)in_this;
        at -= 1, in_this = 0, seconds++;
    }
    return seconds ? slowest / ((double)count / total) : 1;
}

int main(int argc, char **argv) {
    if (argc < 3) die(argv[0], "usage: pause_bench DIRECTORY ROWS [BATCH] [MEMORY_MIB]");
    uint32_t rows = (uint32_t)strtoul(argv[2], NULL, 10);
    uint32_t size = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1000;
    uint64_t memory = (argc > 4 ? strtoull(argv[4], NULL, 10) : 64) << 20;
    uint32_t count = (rows + size - 1) / size;
    Call *calls = calloc(count, sizeof *calls);
    double *seconds = calloc(count, sizeof *seconds);
    char path[4096];
    if (!calls || !seconds) die("memory", "none left");
    pool_init();
    nacre_allocator plain = {NULL, plain_alloc, plain_free};
    check(vfs_posix_create(&plain, &host), "files");
    Vfs files = *host;
    files.sync = timed_sync, files.write = timed_write, files.read = timed_read;
    files.truncate = timed_truncate, files.destroy = NULL;
    nacre_options options = NACRE_OPTIONS_INIT;
    options.durability = NACRE_NONE;
    options.memory = memory;
    options.vfs = &files;
    nacre_error error;
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_BYTES, NACRE_BYTES);
    snprintf(path, sizeof path, "%s/pauses", argv[1]);
    if (nacre_open(path, &options, &db, &error) != NACRE_OK) die(path, error.text);
    check(nacre_membrane_open(db, "kv", &schema, &kv), "membrane");
    double began = wall(), cpu_began = cpu();
    for (uint32_t i = 0; i < count; i++) {
        Clocks before = clocks;
        long faults = page_faults();
        double w = wall(), c = cpu();
        put_batch(kv, i * size, rows - i * size < size ? rows - i * size : size);
        calls[i] = (Call){i, wall() - w, cpu() - c, page_faults() - faults, clocks_since(before)};
    }
    double took = wall() - began, used = cpu() - cpu_began;
    for (uint32_t i = 0; i < 1000; i++) {
        uint8_t bytes[KEY];
        uint32_t row = random_row(i, rows);
        nacre_row got;
        make_key(row, false, bytes);
        nacre_value key = nacre_bytes(bytes, KEY);
        check(nacre_get(kv, NULL, &key, &got), "get");
        if (got.fields[0].bytes.size != VALUE || memcmp(got.fields[0].bytes.data, value_of(row), VALUE))
            die("get", "wrong value");
    }
    const char *stats = NULL;
    check(nacre_stats_json(db, &stats), "stats");
    printf("{\"rows\":%u,\"batch\":%u,\"perSecond\":%.0f,\"perCpuSecond\":%.0f,", rows, size,
           (double)rows / took, (double)rows / used);
    printf("\"slowestSecond\":%.2f,\"slowestSecondWithoutSyncs\":%.2f,", slowest_second(calls, count, true),
           slowest_second(calls, count, false));
    for (uint32_t i = 0; i < count; i++) seconds[i] = calls[i].wall;
    print("call", seconds, count);
    for (uint32_t i = 0; i < count; i++) seconds[i] = calls[i].wall - calls[i].in.sync;
    print("pause", seconds, count);
    for (uint32_t i = 0; i < count; i++) seconds[i] = calls[i].cpu;
    print("cpu", seconds, count);
    for (uint32_t i = 0; i < count; i++) seconds[i] = calls[i].in.sync;
    print("sync", seconds, count);
    printf("\"stats\":%s}\n", stats);
    show_slowest(calls, count);
    if (nacre_close(db, &error) != NACRE_OK) die("close", error.text);
    host->destroy(host->self);
    free(calls);
    free(seconds);
    return 0;
}
