/* kv_bench.c - key-value through nacre.h, every get checked: one JSON object on stdout.
 * The same work as kv.mjs.
 *
 *   kv_bench DIRECTORY ROWS DURABLE_PUTS VERB...
 *
 * Verbs: durable, loaded, sequential, transaction, membranes; large, with 64 MiB of memory. */
#define _GNU_SOURCE
#include "nacre.h"

#include "data.h"

#include <fcntl.h>
#include <unistd.h>

enum { BATCH = 1000, MEMORY = 256 << 20, MEMORY_LARGE = 64 << 20, MANY = 100, MEMBRANES = 10000 };

static nacre_db *db;

static void check(nacre_status status, const char *what) {
    if (status != NACRE_OK) die(what, db ? nacre_message(db) : nacre_status_name(status));
}

static nacre_membrane *open_with(const char *directory, const char *name,
                                 nacre_durability durability, uint64_t memory, bool mapped) {
    char path[4096];
    nacre_options options = NACRE_OPTIONS_INIT;
    options.durability = durability;
    options.memory = memory;
    options.mapped = mapped;
    nacre_error error;
    nacre_membrane *kv = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_BYTES, NACRE_BYTES);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (nacre_open(path, &options, &db, &error) != NACRE_OK) die(path, error.text);
    check(nacre_membrane_open(db, "kv", &schema, &kv), "membrane");
    return kv;
}

static nacre_membrane *open_kv(const char *directory, const char *name,
                               nacre_durability durability) {
    return open_with(directory, name, durability, MEMORY, false);
}

static void close_db(void) {
    nacre_error error;
    if (nacre_close(db, &error) != NACRE_OK) die("close", error.text);
    db = NULL;
}

static void check_value(uint32_t row, const nacre_row *got) {
    if (got->fields[0].bytes.size != VALUE ||
        memcmp(got->fields[0].bytes.data, value_of(row), VALUE) != 0)
        die("get", "wrong value");
}

static void get(nacre_membrane *kv, uint32_t row, bool ascending) {
    uint8_t bytes[KEY];
    nacre_row got;
    make_key(row, ascending, bytes);
    nacre_value key = nacre_bytes(bytes, KEY);
    check(nacre_get(kv, NULL, &key, &got), "get");
    check_value(row, &got);
}

static void rate(const char *what, double count, double wall_began, double cpu_began) {
    double w = wall() - wall_began, c = cpu() - cpu_began;
    printf("\"%s\":{\"perSecond\":%.0f,\"perCpuSecond\":%.0f},", what, count / w, count / c);
    fflush(stdout);
}

static void latency(const char *what, double *seconds, size_t count) {
    double took = 0;
    for (size_t i = 0; i < count; i++) took += seconds[i];
    double p50 = quantile(seconds, count, 0.5), p99 = quantile(seconds, count, 0.99);
    printf("\"%s\":{\"perSecond\":%.0f,\"p50us\":%.1f,\"p99us\":%.1f},", what, (double)count / took,
           p50 * 1e6, p99 * 1e6);
}

static double *seconds_alloc(size_t count) {
    double *seconds = malloc(count * sizeof *seconds);
    if (!seconds) die("memory", "none left");
    return seconds;
}

/* One sync per put, beside the machine's limit: before each put, a plain append of 140 bytes
 * and a sync. */
static void durable(const char *directory, uint32_t count) {
    char path[4096];
    uint8_t bytes[140] = {1};
    double *seconds = seconds_alloc(count), *floor = seconds_alloc(count);
    snprintf(path, sizeof path, "%s/floor", directory);
    int file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (file < 0) die(path, "cannot be written");
    nacre_membrane *kv = open_kv(directory, "durable", NACRE_STRICT);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key_bytes[KEY];
        make_key(i, false, key_bytes);
        nacre_value key = nacre_bytes(key_bytes, KEY), value = nacre_bytes(value_of(i), VALUE);
        double began = wall();
        if (write(file, bytes, sizeof bytes) != sizeof bytes || fdatasync(file) != 0)
            die(path, "write failed");
        double at = wall();
        floor[i] = at - began;
        check(nacre_put(kv, &key, NULL, &value), "put");
        seconds[i] = wall() - at;
    }
    latency("syncFloor", floor, count);
    latency("durable", seconds, count);
    free(floor);
    free(seconds);
    close(file);
    close_db();
    kv = open_kv(directory, "durable", NACRE_STRICT);
    for (uint32_t i = 0; i < count; i++) get(kv, i, false);
    close_db();
}

static void put_range(nacre_membrane *kv, uint32_t first, uint32_t end, bool ascending) {
    for (uint32_t from = first; from < end; from += BATCH) {
        nacre_batch *batch = NULL;
        check(nacre_batch_begin(db, &batch), "batch");
        for (uint32_t i = from; i < end && i < from + BATCH; i++) {
            uint8_t bytes[KEY];
            make_key(i, ascending, bytes);
            nacre_value key = nacre_bytes(bytes, KEY), value = nacre_bytes(value_of(i), VALUE);
            check(nacre_batch_put(batch, kv, &key, NULL, &value), "batch put");
        }
        check(nacre_batch_commit(batch), "commit");
    }
}

static void put_all(nacre_membrane *kv, uint32_t rows, bool ascending, const char *what) {
    double w = wall(), c = cpu();
    put_range(kv, 0, rows, ascending);
    rate(what, rows, w, c);
}

/* C09: all of it in one transaction, commit included; then as many again, of which half are
 * put anew, a quarter is deleted and a quarter is new. */
static void transactions(const char *directory, uint32_t rows) {
    nacre_membrane *kv = open_kv(directory, "transaction", NACRE_NONE);
    for (int mixed = 0; mixed < 2; mixed++) {
        nacre_transaction *tx = NULL;
        double w = wall(), c = cpu();
        check(nacre_begin(db, &tx), "begin");
        for (uint32_t j = 0; j < rows; j++) {
            uint8_t bytes[KEY];
            uint32_t row = !mixed ? j : j % 4 == 3 ? rows + j : j / 4 * 4 + j % 4;
            make_key(row, false, bytes);
            nacre_value key = nacre_bytes(bytes, KEY), value = nacre_bytes(value_of(row), VALUE);
            if (mixed && j % 4 == 2) check(nacre_transaction_delete(tx, kv, &key), "transaction delete");
            else check(nacre_transaction_put(tx, kv, &key, NULL, &value), "transaction put");
        }
        check(nacre_commit(tx), "commit");
        rate(mixed ? "transactionMixed" : "transaction", rows, w, c);
        for (uint32_t j = 0; j < rows; j += 97) {
            uint8_t bytes[KEY];
            nacre_row got;
            make_key(j, false, bytes);
            nacre_value key = nacre_bytes(bytes, KEY);
            nacre_status status = nacre_get(kv, NULL, &key, &got);
            if (status != (mixed && j % 4 == 2 ? NACRE_NOT_FOUND : NACRE_OK)) die("transaction", "a wrong row");
            if (status == NACRE_OK) check_value(j, &got);
        }
    }
    close_db();
}

static void scan(nacre_membrane *kv, uint32_t rows, const char *what) {
    double w = wall(), c = cpu();
    nacre_cursor *cursor = NULL;
    nacre_row row;
    uint8_t last[KEY] = {0};
    uint32_t seen = 0;
    check(nacre_cursor_open(kv, NULL, NULL, &cursor), "cursor");
    for (; nacre_cursor_next(cursor, &row) == NACRE_OK; seen++) {
        if (seen && memcmp(row.key[0].bytes.data, last, KEY) <= 0) die("scan", "out of order");
        if (row.fields[0].bytes.size != VALUE) die("scan", "wrong value");
        memcpy(last, row.key[0].bytes.data, KEY);
    }
    nacre_cursor_close(cursor);
    if (seen != rows) die("scan", "rows are missing");
    rate(what, rows, w, c);
}

static void short_scans(nacre_membrane *kv, uint32_t rows, uint32_t scans) {
    double w = wall(), c = cpu();
    uint64_t seen = 0;
    for (uint32_t j = 0; j < scans; j++) {
        uint32_t from = random_row(j, rows), count = 0;
        uint8_t bytes[KEY];
        make_key(from, false, bytes);
        nacre_value key = nacre_bytes(bytes, KEY);
        nacre_range range = NACRE_RANGE_INIT;
        range.gte = &key;
        range.limit = MANY;
        nacre_cursor *cursor = NULL;
        nacre_row row;
        check(nacre_cursor_open(kv, NULL, &range, &cursor), "cursor");
        for (; nacre_cursor_next(cursor, &row) == NACRE_OK; count++)
            if (count == 0) check_value(from, &row);
        nacre_cursor_close(cursor);
        if (count == 0 || count > MANY) die("scan of 100", "wrong count");
        seen += count;
    }
    rate("scan100", (double)seen, w, c);
}

typedef struct Wanted {
    uint32_t rows[MANY];
} Wanted;

static nacre_status many_row(void *self, size_t index, const nacre_row *row) {
    const Wanted *wanted = self;
    if (!row) die("getMany", "a row is missing");
    check_value(wanted->rows[index], row);
    return NACRE_OK;
}

static void get_many(nacre_membrane *kv, uint32_t rows, const char *what) {
    uint32_t gets = rows < 500000 ? rows : 500000;
    static uint8_t bytes[MANY][KEY];
    nacre_value keys[MANY];
    Wanted wanted;
    double w = wall(), c = cpu();
    for (uint32_t j = 0; j < gets; j += MANY) {
        for (uint32_t i = 0; i < MANY; i++) {
            wanted.rows[i] = random_row(j + i, rows);
            make_key(wanted.rows[i], false, bytes[i]);
            keys[i] = nacre_bytes(bytes[i], KEY);
        }
        check(nacre_get_many(kv, NULL, keys, MANY, many_row, &wanted), "getMany");
    }
    rate(what, gets, w, c);
}

static void warm_gets(nacre_membrane *kv, uint32_t rows, const char *what) {
    uint32_t gets = rows < 500000 ? rows : 500000;
    for (int round = 0; round < 2; round++) { /* the first fills the cache */
        double w = wall(), c = cpu();
        for (uint32_t j = 0; j < gets; j++) get(kv, random_row(j, rows), false);
        if (round) rate(what, gets, w, c);
    }
}

static void loaded(const char *directory, uint32_t rows) {
    nacre_membrane *kv = open_kv(directory, "random", NACRE_NONE);
    put_all(kv, rows, false, "putRandom");
    warm_gets(kv, rows, "get");
    get_many(kv, rows, "getMany");
    scan(kv, rows, "scan");
    short_scans(kv, rows, 5000);
    const char *stats = NULL;
    nacre_compact_report report;
    check(nacre_stats_json(db, &stats), "stats");
    printf("\"stats\":%s,", stats);
    check(nacre_compact(db, &report), "compact");
    printf("\"fileBytes\":%llu,", (unsigned long long)report.after);
    warm_gets(kv, rows, "getCompacted");
    close_db();
    double began = wall();
    kv = open_kv(directory, "random", NACRE_NONE);
    printf("\"openMs\":%.2f,", (wall() - began) * 1e3);
    get(kv, 0, false);
    printf("\"openAndGetMs\":%.2f,", (wall() - began) * 1e3);
    close_db();
}

static void sequential(const char *directory, uint32_t rows) {
    nacre_membrane *kv = open_kv(directory, "sequential", NACRE_NONE);
    put_all(kv, rows, true, "putSequential");
    for (uint32_t i = 0; i < rows; i += 97) get(kv, i, true);
    close_db();
}

/* A number of stats by its name; 0: it is not there. */
static double figure(const char *name) {
    const char *json = NULL, *at;
    char quoted[64];
    check(nacre_stats_json(db, &json), "stats");
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    at = strstr(json, quoted);
    return at ? strtod(at + strlen(quoted), NULL) : 0;
}

/* Gets of which hardly one is in the database's cache. (The page cache of the system has them
 * all.) The first round is not counted. */
static void large_gets(nacre_membrane *kv, uint32_t rows, const char *what) {
    const uint32_t gets = rows < 300000 ? rows : 300000;
    for (int round = 0; round < 2; round++) {
        double blocks = figure("blocksRead"), w = wall(), c = cpu();
        for (uint32_t j = 0; j < gets; j++) get(kv, random_row(j + (uint32_t)round * gets, rows), false);
        double took = wall() - w, used = cpu() - c;
        if (round)
            printf("\"%s\":{\"perSecond\":%.0f,\"perCpuSecond\":%.0f,\"readsPerGet\":%.3f},", what, gets / took,
                   gets / used, (figure("blocksRead") - blocks) / gets);
    }
}

/* As many gets again when every block of the mapped file has been looked at: what LMDB does. */
static void mapped_gets(const char *directory, uint32_t rows) {
    nacre_membrane *kv = open_with(directory, "large", NACRE_NONE, MEMORY_LARGE, true);
    large_gets(kv, rows, "getMappedFirst");
    scan(kv, rows, "scanMapped");
    large_gets(kv, rows, "getMapped");
    get_many(kv, rows, "getManyMapped");
    close_db();
}

/* Many rows and little memory: puts by tenths, which shows a cliff; then gets. */
static void large(const char *directory, uint32_t rows) {
    nacre_membrane *kv = open_with(directory, "large", NACRE_NONE, MEMORY_LARGE, false);
    double w = wall(), c = cpu(), tenths[10];
    for (uint32_t part = 0; part < 10; part++) {
        double began = wall();
        put_range(kv, part * (rows / 10), (part + 1) * (rows / 10), false);
        tenths[part] = rows / 10 / (wall() - began);
    }
    double puts = wall() - w, puts_cpu = cpu() - c;
    printf("\"putLarge\":{\"perSecond\":%.0f,\"perCpuSecond\":%.0f,\"bytesPerByte\":%.2f,\"tenths\":[",
           rows / puts, rows / puts_cpu, figure("writeAmplification"));
    for (int part = 0; part < 10; part++) printf("%s%.0f", part ? "," : "", tenths[part]);
    printf("]},");
    large_gets(kv, rows, "getLarge");
    close_db();
    mapped_gets(directory, rows);
}

static void membranes(const char *directory) {
    nacre_schema schema = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES);
    (void)open_kv(directory, "membranes", NACRE_NONE);
    for (int i = 0; i < MEMBRANES; i++) {
        char name[32];
        nacre_membrane *made = NULL;
        snprintf(name, sizeof name, "membrane %d", i);
        check(nacre_membrane_open(db, name, &schema, &made), "membrane");
    }
    close_db();
    double began = wall();
    (void)open_kv(directory, "membranes", NACRE_NONE);
    printf("\"membranesOpenMs\":%.2f,", (wall() - began) * 1e3);
    close_db();
}

int main(int argc, char **argv) {
    if (argc < 5) die(argv[0], "usage: kv_bench DIRECTORY ROWS DURABLE_PUTS VERB...");
    uint32_t rows = (uint32_t)strtoul(argv[2], NULL, 10);
    pool_init();
    printf("{");
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "durable") == 0) durable(argv[1], (uint32_t)strtoul(argv[3], NULL, 10));
        else if (strcmp(argv[i], "loaded") == 0) loaded(argv[1], rows);
        else if (strcmp(argv[i], "sequential") == 0) sequential(argv[1], rows);
        else if (strcmp(argv[i], "transaction") == 0) transactions(argv[1], rows);
        else if (strcmp(argv[i], "large") == 0) large(argv[1], rows);
        else if (strcmp(argv[i], "membranes") == 0) membranes(argv[1]);
        else die(argv[i], "no such verb");
    }
    printf("\"ok\":true}\n");
    return 0;
}
