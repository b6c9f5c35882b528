/* memory_test.c - the budget holds (A12): sixteen times as much data as memory is put, read,
 * scanned, searched, compacted and verified, and never is more asked of the allocator.
 *
 * NACRE_MEMORY_MIB and NACRE_DATA_MIB ask for other sizes (make memory-long: 64 and 1024);
 * then the files are real ones, and what the process takes is looked at as well. */
#include "lib/check.h"
#include "lib/count_disk.h"

#include "db/state.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUE = 1000, DIMENSIONS = 64, MIB = 1 << 20 };

typedef struct Counting {
    uint64_t live, peak, limit;
    bool over;
} Counting;

static void *counting_alloc(void *self, size_t size) {
    Counting *c = self;
    c->live += size;
    if (c->live > c->peak) c->peak = c->live;
    return malloc(size);
}

static void counting_free(void *self, void *memory, size_t size) {
    Counting *c = self;
    c->live -= size;
    free(memory);
}

static uint64_t wanted_mib(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* Bytes that the process takes now, or took at most; 0: cannot be told here. */
static uint64_t process_bytes(void) {
#ifdef __wasm__
    return (uint64_t)__builtin_wasm_memory_size(0) * 65536;
#else
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu", &kib) == 1) break;
    fclose(file);
    return kib * 1024;
#endif
}

typedef struct Memory {
    nacre_options options;
    Counting counting;
    CountDisk *disk;
    char path[4096];
    nacre_db *db;
    nacre_membrane *kv, *vectors;
    uint32_t rows, vector_rows;
} Memory;

static bool memory_open(Memory *m) {
    nacre_schema kv = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    nacre_schema collection = nacre_schema_collection(NACRE_INTEGER, DIMENSIONS, NACRE_L2, NULL, 0);
    return CHECK_EQ(nacre_open(m->path, &m->options, &m->db, NULL), NACRE_OK) &&
           CHECK_EQ(nacre_membrane_open(m->db, "kv", &kv, &m->kv), NACRE_OK) &&
           CHECK_EQ(nacre_membrane_open(m->db, "vectors", &collection, &m->vectors), NACRE_OK);
}

static int64_t memory_key(uint32_t i) { return (int64_t)((uint64_t)i * 0x9e3779b97f4a7c15u); }

static void memory_value(uint32_t i, uint8_t value[VALUE]) {
    uint64_t noise = i;
    for (int b = 0; b < VALUE; b += 8) {
        uint64_t word = test_random(&noise);
        memcpy(value + b, &word, 8);
    }
}

static void memory_vector(uint32_t i, float vector[DIMENSIONS]) {
    uint64_t noise = i + 77;
    for (int d = 0; d < DIMENSIONS; d++) vector[d] = (float)(test_random(&noise) >> 40) / 16777216.0f;
}

static bool memory_put(Memory *m) {
    for (uint32_t from = 0; from < m->rows; from += 50) {
        nacre_batch *batch = NULL;
        if (!CHECK_EQ(nacre_batch_begin(m->db, &batch), NACRE_OK)) return false;
        for (uint32_t i = from; i < from + 50 && i < m->rows; i++) {
            uint8_t bytes[VALUE];
            float vector[DIMENSIONS];
            memory_value(i, bytes);
            nacre_value key = nacre_integer(memory_key(i)), value = nacre_bytes(bytes, VALUE);
            if (!CHECK_EQ(nacre_batch_put(batch, m->kv, &key, NULL, &value), NACRE_OK)) return false;
            if (i >= m->vector_rows) continue;
            memory_vector(i, vector);
            if (!CHECK_EQ(nacre_batch_put(batch, m->vectors, &key, vector, NULL), NACRE_OK)) return false;
        }
        if (!CHECK_EQ(nacre_batch_commit(batch), NACRE_OK)) return false;
    }
    return true;
}

/* `gone`: rows whose number it divides are deleted; 0: none. */
static void memory_read(Memory *m, uint32_t gone) {
    uint64_t random = test_seed() + 600, seen = 0, count = 0;
    for (int g = 0; g < 2000; g++) {
        uint32_t i = (uint32_t)(test_random(&random) % m->rows);
        uint8_t bytes[VALUE];
        nacre_value key = nacre_integer(memory_key(i));
        nacre_row row;
        nacre_status status = nacre_get(m->kv, NULL, &key, &row);
        bool there = !gone || i % gone;
        if (!CHECK_EQ(status, there ? NACRE_OK : NACRE_NOT_FOUND) || status != NACRE_OK) continue;
        memory_value(i, bytes);
        CHECK_BYTES(row.fields[0].bytes.data, row.fields[0].bytes.size, bytes, VALUE);
    }
    nacre_cursor *cursor = NULL;
    nacre_row row;
    CHECK_EQ(nacre_cursor_open(m->kv, NULL, NULL, &cursor), NACRE_OK);
    while (nacre_cursor_next(cursor, &row) == NACRE_OK) seen += row.fields[0].bytes.size == VALUE;
    nacre_cursor_close(cursor);
    CHECK_EQ(seen, gone ? m->rows - (m->rows + gone - 1) / gone : m->rows);
    CHECK_EQ(nacre_count(m->kv, NULL, NULL, &count), NACRE_OK);
    CHECK_EQ(count, seen);
    for (uint32_t q = 0; q < 8; q++) {
        uint32_t i = (uint32_t)(test_random(&random) % m->vector_rows);
        float vector[DIMENSIONS];
        nacre_hits *hits = NULL;
        memory_vector(i, vector);
        if (!CHECK_EQ(nacre_search(m->vectors, NULL, vector, NULL, &hits), NACRE_OK)) continue;
        CHECK_EQ(nacre_hits_at(hits, 0, NULL, &row), NACRE_OK);
        CHECK(row.key[0].integer == memory_key(i));
        nacre_hits_free(hits);
    }
}

static void a12_everything_works_within_the_budget(void) {
    const uint64_t budget = wanted_mib("NACRE_MEMORY_MIB", 4) * MIB, data = wanted_mib("NACRE_DATA_MIB", 64) * MIB;
    const bool real = getenv("NACRE_DATA_MIB") != NULL;
    static Memory m; /* larger than a stack of WebAssembly likes */
    m = (Memory){.rows = (uint32_t)(data / (VALUE + 16)), .options = NACRE_OPTIONS_INIT};
    if (real && !test_dir()) return;
    m.vector_rows = m.rows / 16;
    m.options.memory = budget;
    m.options.durability = NACRE_NONE;
    m.options.lock = NACRE_LOCK_BREAK;
    m.options.allocator = (nacre_allocator){&m.counting, counting_alloc, counting_free};
    snprintf(m.path, sizeof m.path, "%s%sa12", real ? test_dir() : "", real ? "/" : "");
    if (!real) m.options.vfs = count_disk_vfs(m.disk = count_disk_new(NULL));
    const uint64_t before = process_bytes();

    if (!memory_open(&m) || !memory_put(&m)) return;
    memory_read(&m, 0);
    for (uint32_t i = 0; i < m.rows; i += 3) {
        nacre_value key = nacre_integer(memory_key(i));
        if (!CHECK_EQ(nacre_delete(m.kv, &key), NACRE_OK)) break;
    }
    memory_read(&m, 3);
    nacre_compact_report report;
    uint64_t problems = 1;
    CHECK_EQ(nacre_compact(m.db, &report), NACRE_OK);
    CHECK(report.after < report.before);
    CHECK_EQ(nacre_close(m.db, NULL), NACRE_OK);
    CHECK_EQ(m.counting.live, 0);
    if (!memory_open(&m)) return;
    memory_read(&m, 3);
    CHECK_EQ(nacre_verify(m.db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    CHECK_EQ(nacre_close(m.db, NULL), NACRE_OK);

    CHECK_EQ(m.counting.live, 0);
    const uint64_t handles = real ? 16 << 10 : 0; /* of the system's files, which lie beside the budget */
    CHECK(m.counting.peak <= budget + handles && m.counting.peak > budget / 2);
    if (real) { /* the allocator's own waste, and the stack */
        uint64_t grown = process_bytes() - before;
        printf("    budget %llu MiB, asked for at most %.1f, the process grew by %.1f\n",
               (unsigned long long)(budget / MIB), (double)m.counting.peak / (double)MIB, (double)grown / (double)MIB);
        CHECK(grown <= budget + budget / 10);
    }
    count_disk_free(m.disk);
}

void memory_test(void) { RUN(a12_everything_works_within_the_budget); }
