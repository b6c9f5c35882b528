/* version_test.c - the state of a database as a manifest: it comes back as it was; one that
 * lies, under checksums that are right, is CORRUPT or harmless (B08, B20, B30, H19). */
#include "segment_lab.h"

#include "base/checksum.h"

#include "nacre.h"
#include "store/superblock.h"
#include "store/version.h"

#include <stdio.h>

/* ---- round trip ---- */

static LabRows numbered(uint32_t from, uint32_t to) {
    LabRows rows = {NULL, 0};
    for (uint32_t i = from; i < to; i++) {
        uint8_t tail[4];
        put_u32_be(tail, i);
        LabRow *row = lab_add(&rows, 1, tail, 4);
        row->value_size = i % 30 == 3 ? 2000 : i % 50;
        row->vector_size = 16;
        row->deleted = i % 9 == 2;
        if (row->deleted) row->vector_size = 0;
    }
    return rows;
}

/* Three runs of one to three segments, the second with a bound. */
static Version *make_version(Lab *lab, Version **all) {
    Version *version = NULL;
    CHECK_EQ(version_alloc(&lab->env, all, &version), NACRE_OK);
    for (uint32_t r = 0; r < 3; r++) {
        CHECK_EQ(version_insert_run(version, r, 10 + r, r == 2 ? TIER_LAST : r), NACRE_OK);
        for (uint32_t s = 0; s <= r; s++) {
            LabRows rows = numbered(s * 100, s * 100 + 90);
            Segment *segment = lab_write(lab, &rows, 0, rows.count);
            CHECK_EQ(run_append(&lab->env, &version->runs[r], segment), NACRE_OK);
            segment_release(segment);
            lab_rows_free(&rows);
        }
    }
    uint8_t above[8];
    put_u32_be(above, 1);
    put_u32_be(above + 4, 50);
    CHECK_EQ(run_trim(&lab->env, &version->runs[1], span_of(above, 8)), NACRE_OK);
    return version;
}

static uint8_t *encode(const Version *version, size_t *size) {
    ManifestTail tail = {.catalog = span_of("copy", 4), .generation = 5, .epoch = 6, .flushed_lsn = 7};
    *size = manifest_size(version, tail.catalog.size);
    uint8_t *bytes = malloc(*size);
    manifest_encode(version, (ManifestIds){77, 88}, &tail, bytes, *size);
    return bytes;
}

static void a_manifest_comes_back_as_it_was(void) {
    Lab lab;
    Version *all = NULL, *back = NULL;
    ManifestIds ids;
    size_t size, again_size;
    lab_open(&lab, 4096, 10, 1 << 20);
    Version *version = make_version(&lab, &all);
    uint8_t *bytes = encode(version, &size);
    CHECK_EQ(version_alloc(&lab.env, &all, &back), NACRE_OK);
    CHECK_EQ(manifest_decode(&lab.io, span_of(bytes, size), lab.map.count, back, &ids), NACRE_OK);
    CHECK_EQ(ids.next_segment, 77);
    CHECK_EQ(ids.next_run, 88);
    CHECK_EQ(back->count, 3);
    CHECK_EQ(version_segments(back), version_segments(version));
    CHECK_EQ(version_bytes(back), version_bytes(version));
    uint8_t *again = encode(back, &again_size);
    CHECK_BYTES(again, again_size, bytes, size);
    for (size_t r = 0; r < back->count; r++) /* and every row is read from it */
        for (size_t s = 0; s < back->runs[r].count; s++) {
            uint64_t problems = 0;
            CHECK_EQ(segment_verify(back->runs[r].segments[s], NULL, NULL, &problems), NACRE_OK);
            CHECK_EQ(problems, 0);
        }
    Version *copy = NULL;
    CHECK_EQ(version_copy(back, &copy), NACRE_OK);
    uint8_t *third = encode(copy, &again_size);
    CHECK_BYTES(third, again_size, bytes, size);
    free(bytes);
    free(again);
    free(third);
    version_release(copy);
    version_release(back);
    version_release(version);
    CHECK(all == NULL);
    lab_close(&lab);
}

/* Rule 3: trimming hides keys, and drops the segments that are wholly hidden. */
static void trimming_drops_what_is_wholly_below(void) {
    Lab lab;
    Version *all = NULL;
    lab_open(&lab, 4096, 10, 1 << 20);
    Version *version = make_version(&lab, &all);
    Run *run = &version->runs[2];
    uint8_t above[8];
    put_u32_be(above, 1);
    static const struct { uint32_t above; size_t left; } rows[5] = {{0, 3}, {88, 3}, {89, 2}, {150, 2}, {500, 0}};
    for (int i = 0; i < 5; i++) {
        put_u32_be(above + 4, rows[i].above);
        CHECK_EQ(run_trim(&lab.env, run, span_of(above, 8)), NACRE_OK);
        CHECK_EQ(run->count, rows[i].left);
        CHECK_BYTES(run->above, run->above_size, above, 8);
    }
    /* The bound only rises: what an earlier merge hid stays hidden. */
    run = &version->runs[1];
    put_u32_be(above + 4, 20);
    CHECK_EQ(run_trim(&lab.env, run, span_of(above, 8)), NACRE_OK);
    put_u32_be(above + 4, 50);
    CHECK_BYTES(run->above, run->above_size, above, 8);
    CHECK_EQ(version_find_run(version, 11), 1);
    CHECK_EQ(version_find_run(version, 99), 3);
    version_remove_run(version, 1);
    CHECK_EQ(version_find_run(version, 12), 1);
    version_release(version);
    lab_close(&lab);
}

/* Rule 5: of each id there is one, and it is below the next. */
static void b20_ids_that_repeat_or_were_never_given_are_refused(void) {
    Lab lab;
    Version *all = NULL;
    lab_open(&lab, 4096, 10, 1 << 20);
    Version *version = make_version(&lab, &all);
    uint64_t *run = &version->runs[2].id, *segment = &version->runs[2].segments[1]->id;
    const struct { uint64_t *id, wrong; } rows[6] = {{run, version->runs[0].id}, {segment, version->runs[0].segments[0]->id},
                                                     {run, 0}, {segment, 0}, {run, 88}, {segment, 77}};
    for (int i = 0; i < 6; i++) {
        Version *back = NULL;
        ManifestIds ids;
        size_t size;
        uint64_t right = *rows[i].id;
        *rows[i].id = rows[i].wrong;
        uint8_t *bytes = encode(version, &size);
        CHECK_EQ(version_alloc(&lab.env, &all, &back), NACRE_OK);
        CHECK_EQ(manifest_decode(&lab.io, span_of(bytes, size), lab.map.count, back, &ids), NACRE_CORRUPT);
        *rows[i].id = right;
        version_release(back);
        env_clear(&lab.env);
        free(bytes);
    }
    version_release(version);
    lab_close(&lab);
}

/* B20, B21: cut short anywhere, or edited anywhere: CORRUPT or VERSION, or a version whose
 * extents all lie in the file. */
static void a_manifest_that_lies_is_refused_or_harmless(void) {
    Lab lab;
    Version *all = NULL;
    size_t size;
    uint64_t random = test_seed() + 130;
    lab_open(&lab, 4096, 10, 1 << 20);
    Version *version = make_version(&lab, &all);
    uint8_t *bytes = encode(version, &size);
    uint64_t accepted = 0;
    for (uint64_t round = 0; round < size + 8000; round++) {
        Version *back = NULL;
        ManifestIds ids;
        size_t cut = round < size ? (size_t)round : size;
        uint8_t *edited = malloc(cut + 1);
        memcpy(edited, bytes, cut);
        if (round >= size)
            for (uint64_t edits = 1 + test_random(&random) % 3; edits > 0; edits--) {
                size_t at = (size_t)(test_random(&random) % size);
                if (test_random(&random) % 2 && at + 4 <= size)
                    put_u32(edited + at, (uint32_t)(test_random(&random) >> test_random(&random) % 40));
                else edited[at] ^= (uint8_t)(1u << test_random(&random) % 8);
            }
        if (round >= size && round % 8) put_u64(edited + size - 8, checksum64(0, edited, size - 8)); /* a seal that lies */
        CHECK_EQ(version_alloc(&lab.env, &all, &back), NACRE_OK);
        nacre_status status = manifest_decode(&lab.io, span_of(edited, cut), lab.map.count, back, &ids);
        if (round < size) CHECK_EQ(status, NACRE_CORRUPT);
        CHECK(status == NACRE_OK || status == NACRE_CORRUPT || status == NACRE_VERSION);
        if (status == NACRE_OK) {
            accepted++;
            version_mark(back, &lab.map, EXTENT_PINNED); /* asserts that each is in reach */
            extent_map_unmark(&lab.map, EXTENT_PINNED);
        } else {
            CHECK(lab.env.error.text[0]);
        }
        version_release(back);
        env_clear(&lab.env);
        free(edited);
    }
    CHECK(accepted > 100);
    free(bytes);
    version_release(version);
    lab_close(&lab);
}

static nacre_status decode(Lab *lab, Version **all, const uint8_t *bytes, size_t size) {
    Version *back = NULL;
    ManifestIds ids;
    env_clear(&lab->env);
    nacre_status status = version_alloc(&lab->env, all, &back);
    if (status == NACRE_OK) status = manifest_decode(&lab->io, span_of(bytes, size), lab->map.count, back, &ids);
    version_release(back);
    return status;
}

/* The manifest of what cannot be, its seal right. */
static void expect_refused(Lab *lab, Version **all, const Version *version, const char *words) {
    size_t size;
    uint8_t *bytes = encode(version, &size);
    CHECK_EQ(decode(lab, all, bytes, size), NACRE_CORRUPT);
    if (!CHECK(strstr(lab->env.error.text, words))) printf("  %s\n", lab->env.error.text);
    free(bytes);
}

static void b20_a_manifest_of_what_cannot_be_is_refused(void) {
    Lab lab;
    Version *all = NULL;
    lab_open(&lab, 4096, 10, 1 << 20);
    Version *version = make_version(&lab, &all);
    Segment *segment = version->runs[0].segments[0];
    uint64_t rows = segment->rows, deletes = segment->deletes;
    segment->rows = segment->deletes = 0;
    expect_refused(&lab, &all, version, "a segment that cannot be");
    segment->rows = rows;
    segment->deletes = rows + 1;
    expect_refused(&lab, &all, version, "a segment that cannot be");
    segment->deletes = deletes;
    /* An archive of changes with a bound: nothing is looked for in it. */
    CHECK_EQ(run_append(&lab.env, &version->feed, segment), NACRE_OK);
    version->feed.id = 70;
    CHECK_EQ(run_set_above(&lab.env, &version->feed, span_of("above", 5)), NACRE_OK);
    expect_refused(&lab, &all, version, "an archive of changes with a bound");
    CHECK_EQ(run_set_above(&lab.env, &version->feed, (Span){NULL, 0}), NACRE_OK);
    expect_refused(&lab, &all, version, "ids that are used twice");
    run_remove_first(&version->feed);
    /* Bytes behind the seal, and streams of which there are two. */
    size_t size;
    uint8_t *bytes = encode(version, &size), *longer = calloc(1, size + 4);
    memcpy(longer, bytes, size);
    CHECK_EQ(decode(&lab, &all, longer, size), NACRE_OK);
    CHECK_EQ(decode(&lab, &all, longer, size + 4), NACRE_CORRUPT);
    uint8_t stream[16] = {0};
    int found = 0;
    for (uint32_t kind = 1; kind < STREAM_COUNT; kind++) {
        if (segment->streams[kind].size == 0) continue;
        put_u32(stream, kind);
        put_u64(stream + 8, segment->streams[kind].size);
        for (size_t at = 0; at + sizeof stream <= size; at++) {
            if (memcmp(longer + at, stream, sizeof stream) != 0) continue;
            put_u32(longer + at, 0); /* rows, which it has already */
            put_u64(longer + size - 8, checksum64(0, longer, size - 8));
            CHECK_EQ(decode(&lab, &all, longer, size), NACRE_CORRUPT);
            CHECK(strstr(lab.env.error.text, "streams"));
            put_u32(longer + at, kind);
            put_u64(longer + at + 8, 0); /* one of nothing */
            put_u64(longer + size - 8, checksum64(0, longer, size - 8));
            CHECK_EQ(decode(&lab, &all, longer, size), NACRE_CORRUPT);
            memcpy(longer, bytes, size);
            found++;
            break;
        }
    }
    CHECK(found > 0);
    free(bytes);
    free(longer);
    version_release(version);
    lab_close(&lab);
}

/* C27: whatever the budget is, a manifest is read or refused, and nothing is left of it. */
static void c27_a_manifest_fits_or_is_refused(void) {
    Lab lab;
    Version *all = NULL;
    size_t size;
    lab_open(&lab, 4096, 10, 1 << 20);
    Version *version = make_version(&lab, &all);
    uint8_t *bytes = encode(version, &size);
    uint64_t used = lab.env.memory_used, budget = lab.env.memory_budget, refused = 0;
    for (uint64_t room = 0;; room += 8) {
        lab.env.memory_budget = used + room;
        nacre_status status = decode(&lab, &all, bytes, size);
        CHECK_EQ(lab.env.memory_used, used);
        if (status == NACRE_OK) break;
        if (!CHECK_EQ(status, NACRE_RESOURCE_EXHAUSTED)) break;
        refused++;
    }
    CHECK(refused > 20);
    lab.env.memory_budget = budget;
    free(bytes);
    version_release(version);
    lab_close(&lab);
}

/* What somebody else reads is the same segment when it has the same id and the same extents. */
static void a_segment_is_known_by_its_place(void) {
    Lab lab;
    Version *all = NULL, *back = NULL;
    ManifestIds ids;
    size_t size;
    lab_open(&lab, 4096, 10, 1 << 20);
    Version *version = make_version(&lab, &all);
    uint8_t *bytes = encode(version, &size);
    CHECK_EQ(version_alloc(&lab.env, &all, &back), NACRE_OK);
    CHECK_EQ(manifest_decode(&lab.io, span_of(bytes, size), lab.map.count, back, &ids), NACRE_OK);
    for (size_t r = 0; r < back->count; r++)
        for (size_t i = 0; i < back->runs[r].count; i++) {
            Segment *segment = back->runs[r].segments[i];
            ExtentList *extents = &segment->streams[STREAM_ROWS].extents;
            CHECK(version_find_segment(version, segment) == version->runs[r].segments[i]);
            extents->count--;
            CHECK(!version_find_segment(version, segment));
            extents->count++;
            extents->items[0] += 1000;
            CHECK(!version_find_segment(version, segment));
            extents->items[0] -= 1000;
            segment->id += 1000;
            CHECK(!version_find_segment(version, segment));
            segment->id -= 1000;
        }
    free(bytes);
    version_release(back);
    version_release(version);
    lab_close(&lab);
}

/* ---- whole databases ---- */

static nacre_status open_db(SimDisk *disk, nacre_mode mode, nacre_db **db) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.memory = 8 << 20;
    options.memtable_size = 64 << 10;
    options.segment_size = 64 << 10;
    options.durability = NACRE_NONE;
    options.mode = mode;
    options.seed = 1;
    return nacre_open("db", &options, db, NULL);
}

static nacre_status open_membranes(nacre_db *db, nacre_membrane *membranes[2]) {
    nacre_schema kv = nacre_schema_kv(NACRE_INTEGER, NACRE_BYTES), vectors = nacre_schema_collection(NACRE_INTEGER, 40, NACRE_L2, NULL, 0);
    nacre_status status = nacre_membrane_open(db, "kv", &kv, &membranes[0]);
    return status == NACRE_OK ? nacre_membrane_open(db, "vectors", &vectors, &membranes[1]) : status;
}

/* Everything one does with a database; any answer will do. */
static void use_db(nacre_db *db) {
    nacre_membrane *membranes[2];
    static uint8_t bytes[3000];
    float vector[40] = {1};
    uint64_t problems = 0, count = 0;
    nacre_hits *hits = NULL;
    nacre_row row;
    bool more = true;
    if (open_membranes(db, membranes) == NACRE_OK) {
        for (int i = 0; i < 60; i++) {
            nacre_value key = nacre_integer(i), value = nacre_bytes(bytes, i % 10 ? 100 : sizeof bytes);
            (void)!nacre_get(membranes[i % 2], NULL, &key, &row);
            (void)!nacre_put(membranes[0], &key, NULL, &value);
            if (i % 3 == 0) (void)!nacre_put(membranes[1], &key, vector, NULL);
            if (i % 20 == 9 && nacre_search(membranes[1], NULL, vector, NULL, &hits) == NACRE_OK) nacre_hits_free(hits);
        }
        for (int m = 0; m < 2; m++) (void)!nacre_count(membranes[m], NULL, NULL, &count);
    }
    (void)!nacre_verify(db, true, NULL, NULL, &problems);
    (void)!nacre_checkpoint(db);
    for (int i = 0; i < 200 && more && nacre_step(db, 1 << 20, &more) == NACRE_OK;) i++;
    (void)!nacre_compact(db, NULL);
}

static SimDisk *database_of_some_runs(void) {
    SimDisk *disk = sim_disk_new(5);
    nacre_db *db = NULL;
    nacre_membrane *membranes[2];
    static uint8_t bytes[3000];
    CHECK_EQ(open_db(disk, NACRE_READWRITE, &db), NACRE_OK);
    CHECK_EQ(open_membranes(db, membranes), NACRE_OK);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 30; i++) {
            float vector[40] = {(float)i, (float)round};
            nacre_value key = nacre_integer(i * (round + 1)), value = nacre_bytes(bytes, i % 10 ? 50 : sizeof bytes);
            CHECK_EQ(nacre_put(membranes[0], &key, NULL, &value), NACRE_OK);
            CHECK_EQ(nacre_put(membranes[1], &key, vector, NULL), NACRE_OK);
        }
        CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return disk;
}

typedef struct Image {
    uint8_t *bytes;
    size_t size;
} Image;

static Image image_of(SimDisk *disk) {
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(disk, "db", &size);
    Image image = {malloc((size_t)size), (size_t)size};
    memcpy(image.bytes, bytes, image.size);
    return image;
}

/* Where the manifest of a slot lies and its fields in the slot (superblock_format.h). */
typedef struct Place {
    uint8_t *slot, *manifest;
    size_t size;
} Place;

static Place newest_manifest(const Image *image) {
    Place place = {.slot = image->bytes};
    if (get_u64(image->bytes + SUPERBLOCK_SLOT + 32) > get_u64(image->bytes + 32)) place.slot += SUPERBLOCK_SLOT;
    place.size = (size_t)get_u64(place.slot + 64);
    place.manifest = image->bytes + (size_t)get_u32(place.slot + 84) * EXTENT_SIZE; /* one run of extents */
    return place;
}

static void seal(Place place) {
    put_u64(place.slot + 64, place.size);
    put_u64(place.slot + 72, checksum64(get_u64(place.slot + 32), place.manifest, place.size));
    put_u64(place.slot + SUPERBLOCK_SIZE - 8, checksum64(0, place.slot, SUPERBLOCK_SIZE - 8));
}

/* Opens an edited file both ways and uses it. True: it opened. */
static bool try_image(const SimDisk *disk, const Image *image) {
    bool opened = false;
    for (int reading = 0; reading < 2; reading++) {
        SimDisk *copy = sim_disk_clone(disk);
        nacre_db *db = NULL;
        sim_disk_put(copy, "db", image->bytes, image->size);
        nacre_status status = open_db(copy, reading ? NACRE_READ : NACRE_READWRITE, &db);
        CHECK(status == NACRE_OK || status == NACRE_CORRUPT || status == NACRE_VERSION || status == NACRE_RESOURCE_EXHAUSTED);
        if (status == NACRE_OK) {
            use_db(db);
            (void)nacre_close(db, NULL);
            opened = true;
        }
        CHECK_EQ(sim_disk_open_handles(copy), 0);
        sim_disk_free(copy);
    }
    return opened;
}

static void hostile_manifests_are_opened_or_refused(void) {
    SimDisk *disk = database_of_some_runs();
    uint64_t random = test_seed() + 131, opened = 0;
    Image right = image_of(disk), image = {malloc(right.size), right.size};
    CHECK(try_image(disk, &right));
    for (int round = 0; round < 200; round++) {
        memcpy(image.bytes, right.bytes, right.size);
        Place place = newest_manifest(&image);
        for (uint64_t edits = 1 + test_random(&random) % 2; edits > 0; edits--) {
            size_t at = (size_t)(test_random(&random) % place.size);
            if (test_random(&random) % 2 && at + 4 <= place.size)
                put_u32(place.manifest + at, (uint32_t)(test_random(&random) >> test_random(&random) % 40));
            else place.manifest[at] ^= (uint8_t)(1u << test_random(&random) % 8);
        }
        seal(place);
        opened += try_image(disk, &image);
    }
    CHECK(opened > 20);
    free(right.bytes);
    free(image.bytes);
    sim_disk_free(disk);
}

/* A manifest of runs in which there is nothing, enough of them to be merged. */
static void runs_of_nothing_are_opened_or_refused(void) {
    SimDisk *disk = database_of_some_runs();
    Image image = image_of(disk);
    Place place = newest_manifest(&image);
    put_u32(place.manifest + 16, 12);
    for (size_t i = 0; i < 12; i++) {
        uint8_t *run = place.manifest + 24 + 20 * i;
        memset(run, 0, 20);
        put_u64(run, 1000 + i);
    }
    place.size = 24 + 20 * 12;
    seal(place);
    (void)try_image(disk, &image);
    free(image.bytes);
    sim_disk_free(disk);
}

typedef struct BlockPlace {
    size_t at;
    uint64_t seed;
} BlockPlace;

/* The blocks of rows in a file, found by their checksums. */
static size_t find_blocks(const Image *image, BlockPlace *places, size_t room) {
    size_t count = 0;
    for (size_t at = EXTENT_SIZE; at + 4096 <= image->size; at += 4096) {
        const uint8_t *block = image->bytes + at;
        uint32_t size = get_u32(block + 8);
        if (size < BLOCK_HEAD || size > 4096) continue;
        for (uint64_t n = 0; n < 100 * 16 && count < room; n++) {
            uint64_t seed = place_seed(n / 16, STREAM_ROWS, n % 16);
            if (checksum64(seed, block + 8, size - 8) == get_u64(block)) places[count++] = (BlockPlace){at, seed};
        }
    }
    return count;
}

/* Blocks of rows edited, and sealed again by their own checksums. */
static void hostile_blocks_are_read_or_refused(void) {
    SimDisk *disk = database_of_some_runs();
    uint64_t random = test_seed() + 132;
    BlockPlace places[64];
    Image right = image_of(disk), image = {malloc(right.size), right.size};
    size_t count = find_blocks(&right, places, 64);
    CHECK(count >= 4); /* a block for each run at least */
    for (int round = 0; round < 150 && count; round++) {
        memcpy(image.bytes, right.bytes, right.size);
        for (int edits = 0; edits < 3; edits++) {
            BlockPlace place = places[test_random(&random) % count];
            uint8_t *block = image.bytes + place.at;
            uint32_t size = get_u32(block + 8);
            for (uint64_t n = 1 + test_random(&random) % 3; n > 0; n--)
                block[12 + test_random(&random) % (size - 12)] = (uint8_t)test_random(&random);
            put_u64(block, checksum64(place.seed, block + 8, size - 8));
        }
        (void)try_image(disk, &image);
    }
    free(right.bytes);
    free(image.bytes);
    sim_disk_free(disk);
}

/* Two rows of the membrane, and one whose key is too short to name a membrane. */
static void forge_short_key(uint8_t *block, uint32_t membrane) {
    enum { ROWS = 3, KEY = 12, KEYS = BLOCK_HEAD + 2 * ROWS + 4 * (ROWS + 1), VALUES = KEYS + 2 * KEY + 1 };
    static const uint16_t keys[ROWS + 1] = {KEYS, KEYS + KEY, KEYS + 2 * KEY, VALUES};
    uint8_t *at = block + BLOCK_HEAD + 2 * ROWS; /* behind fingerprints and flags */
    memset(block + 8, 0, VALUES - 8);
    put_u32(block + 8, VALUES);
    put_u16(block + 12, ROWS);
    put_u16(block + 18, SUFFIXES_DIFFER);
    for (int i = 0; i <= ROWS; i++, at += 2) put_u16(at, VALUES);
    for (int i = 0; i <= ROWS; i++, at += 2) put_u16(at, keys[i]);
    for (int i = 0; i < 2; i++) {
        put_u32_be(block + keys[i], membrane);
        block[keys[i] + 4] = 0x80;
        block[keys[i] + 11] = (uint8_t)i;
    }
}

static void a_key_without_a_membrane_is_refused(void) {
    SimDisk *disk = database_of_some_runs();
    BlockPlace places[64];
    Image right = image_of(disk), image = {malloc(right.size), right.size};
    size_t count = find_blocks(&right, places, 64);
    CHECK(count >= 4);
    for (size_t i = 0; i < count; i++) {
        memcpy(image.bytes, right.bytes, right.size);
        uint8_t *block = image.bytes + places[i].at;
        forge_short_key(block, 1);
        put_u64(block, checksum64(places[i].seed, block + 8, get_u32(block + 8) - 8));
        sim_disk_put(disk, "db", image.bytes, image.size);
        nacre_db *db = NULL;
        nacre_membrane *membranes[2];
        uint64_t rows = 0;
        nacre_status status = open_db(disk, NACRE_READWRITE, &db); /* it looks for the catalog in each run */
        if (status == NACRE_OK) status = open_membranes(db, membranes);
        if (status == NACRE_OK) status = nacre_clear(membranes[0], NULL, &rows);
        CHECK_EQ(status, NACRE_CORRUPT);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
    free(right.bytes);
    free(image.bytes);
    sim_disk_free(disk);
}

void version_test(void) {
    RUN(a_manifest_comes_back_as_it_was);
    RUN(trimming_drops_what_is_wholly_below);
    RUN(b20_ids_that_repeat_or_were_never_given_are_refused);
    RUN(a_manifest_that_lies_is_refused_or_harmless);
    RUN(b20_a_manifest_of_what_cannot_be_is_refused);
    RUN(c27_a_manifest_fits_or_is_refused);
    RUN(a_segment_is_known_by_its_place);
    RUN(hostile_manifests_are_opened_or_refused);
    RUN(runs_of_nothing_are_opened_or_refused);
    RUN(hostile_blocks_are_read_or_refused);
    RUN(a_key_without_a_membrane_is_refused);
}
