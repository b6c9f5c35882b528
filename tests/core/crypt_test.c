/* crypt_test.c - H08: the encrypting layer by itself, against arrays of bytes; then databases on
 * it: keys, damage, what lies in the files. Its crash laws are those of tests/crash. */
#include "host/aead.h"
#include "host/poly1305.h"
#include "host/vfs_crypt.h"
#include "base/codec.h"
#include "base/checksum.h"
#include "lib/check.h"
#include "lib/failing_allocator.h"
#include "lib/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t key_one[33] = "the first key of this test, 32 b";
static const uint8_t key_two[33] = "another one, as long as it is so";
static const char *const files[3] = {"db", "db-wal0", "db-wal1"};

static int unhex(const char *hex, uint8_t *out) {
    int size = 0;
    for (; hex[2 * size]; size++) {
        unsigned byte = 0;
        sscanf(hex + 2 * size, "%2x", &byte);
        out[size] = (uint8_t)byte;
    }
    return size;
}

/* draft-irtf-cfrg-xchacha-03, A.3.1 */
static void h08_the_cipher_is_xchacha20_poly1305(void) {
    static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
                               "future, sunscreen would be it.";
    uint8_t key[32], nonce[24], extra[12], want[114], tag[16], want_tag[16], sealed[114], opened[114];
    CHECK_EQ(unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key), 32);
    CHECK_EQ(unhex("404142434445464748494a4b4c4d4e4f5051525354555657", nonce), 24);
    CHECK_EQ(unhex("50515253c0c1c2c3c4c5c6c7", extra), 12);
    CHECK_EQ(unhex("c0875924c1c7987947deafd8780acf49", want_tag), 16);
    CHECK_EQ(unhex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64"
                   "c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c"
                   "97637da9768812f615c68b13b52e", want), 114);
    AeadKey subkey;
    aead_key(&subkey, key, nonce);
    aead_seal(&subkey, nonce + 16, extra, 12, (const uint8_t *)text, 114, sealed, tag);
    CHECK_BYTES(sealed, 114, want, 114);
    CHECK_BYTES(tag, 16, want_tag, 16);
    CHECK(aead_open(&subkey, nonce + 16, extra, 12, tag, sealed, 114, opened));
    CHECK_BYTES(opened, 114, text, 114);
    for (int bit = 0; bit < 114 * 8; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!aead_open(&subkey, nonce + 16, extra, 12, tag, sealed, 114, opened));
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    extra[3] ^= 1;
    CHECK(!aead_open(&subkey, nonce + 16, extra, 12, tag, sealed, 114, opened));
}

/* Every length around the sizes that ciphers work in, in place and not: sealed with the text
 * in other pieces is the same. */
static void h08_every_length_opens_again(void) {
    static uint8_t text[1400], sealed[1400], opened[1400];
    uint64_t random = test_seed();
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)test_random(&random);
    AeadKey key;
    aead_key(&key, key_one, key_two);
    for (size_t size = 0; size <= sizeof text; size += size < 700 ? 1 : 37) {
        uint8_t tag[16], again[16];
        aead_seal(&key, text, text, size % 29, text, size, sealed, tag);
        memcpy(opened, text, size);
        aead_seal(&key, text, text, size % 29, opened, size, opened, again);
        CHECK(memcmp(opened, sealed, size) == 0 && memcmp(tag, again, 16) == 0);
        CHECK(aead_open(&key, text, text, size % 29, tag, sealed, size, opened));
        CHECK(memcmp(opened, text, size) == 0);
    }
}

/* ---- the cipher, as slowly as the pages say it ---- */

static void slow_quarter(uint32_t *w, int a, int b, int c, int d) {
    static const int by[4] = {16, 12, 8, 7};
    for (int i = 0; i < 4; i++) {
        int x = i % 2 ? c : a, y = i % 2 ? d : b, z = i % 2 ? b : d;
        w[x] = (uint32_t)((uint64_t)w[x] + w[y]);
        uint64_t turned = (uint64_t)(w[z] ^ w[x]) << by[i];
        w[z] = (uint32_t)turned | (uint32_t)(turned >> 32);
    }
}

/* RFC 8439, 2.3, with a counter of 64 bits. */
static void slow_block(const uint8_t *key, const uint8_t *nonce, uint64_t counter, uint8_t *out) {
    static const char expand[] = "expand 32-byte k";
    uint32_t first[16], w[16];
    for (int i = 0; i < 4; i++) first[i] = get_u32((const uint8_t *)expand + 4 * i);
    for (int i = 0; i < 8; i++) first[4 + i] = get_u32(key + 4 * i);
    first[12] = (uint32_t)counter, first[13] = (uint32_t)(counter >> 32);
    for (int i = 0; i < 2; i++) first[14 + i] = get_u32(nonce + 4 * i);
    memcpy(w, first, sizeof w);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++) slow_quarter(w, i, 4 + i, 8 + i, 12 + i);
        for (int i = 0; i < 4; i++) slow_quarter(w, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (int i = 0; i < 16; i++) put_u32(out + 4 * i, (uint32_t)((uint64_t)w[i] + first[i]));
}

/* Numbers of 17 bytes, modulo 2^130 - 5. */
static void slow_poly_block(uint32_t sum[17], const uint8_t key[16], const uint8_t block[16]) {
    static const uint8_t clamp[16] = {255, 255, 255, 15, 252, 255, 255, 15, 252, 255, 255, 15, 252, 255, 255, 15};
    uint32_t product[34] = {0}, carry = 0;
    for (int i = 0; i < 17; i++) {
        carry += sum[i] + (i < 16 ? block[i] : 1);
        sum[i] = carry & 255, carry >>= 8;
    }
    for (int i = 0; i < 17; i++)
        for (int k = 0; k < 16; k++) product[i + k] += sum[i] * (key[k] & clamp[k]);
    for (int i = 0; i < 33; i++) product[i + 1] += product[i] >> 8, product[i] &= 255;
    for (int again = 0; again < 3; again++) { /* what is above 2^130, times 5 */
        uint32_t high[18] = {0};
        for (int i = 0; i < 18 && 16 + i < 34; i++)
            high[i] = (product[16 + i] >> 2 | (17 + i < 34 ? product[17 + i] << 6 : 0)) & 255;
        product[16] &= 3;
        for (int i = 17; i < 34; i++) product[i] = 0;
        for (int i = 0; i < 18; i++) product[i] += 5 * high[i];
        for (int i = 0; i < 33; i++) product[i + 1] += product[i] >> 8, product[i] &= 255;
    }
    for (int i = 0; i < 17; i++) sum[i] = product[i];
}

static void slow_poly_end(const uint32_t sum[17], const uint8_t pad[16], uint8_t tag[16]) {
    uint32_t less[17], carry = 5;
    for (int i = 0; i < 17; i++) carry += sum[i], less[i] = carry & 255, carry >>= 8;
    const uint32_t *least = less[16] >= 4 ? less : sum;
    carry = 0;
    for (int i = 0; i < 16; i++) carry += least[i] + pad[i], tag[i] = (uint8_t)carry, carry >>= 8;
}

static void slow_poly(const uint8_t key[32], const uint8_t *bytes, size_t size, uint32_t sum[17]) {
    for (size_t at = 0; at < size; at += 16) {
        uint8_t block[16] = {0};
        memcpy(block, bytes + at, size - at < 16 ? size - at : 16);
        slow_poly_block(sum, key, block);
    }
}

static void h08_the_fast_cipher_is_the_slow_one(void) {
    static uint8_t text[5000], stream[5000 + 128], sealed[5000], want[5000];
    uint64_t random = test_seed();
    AeadKey key;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)test_random(&random);
    for (size_t size = 0; size <= sizeof text; size += size < 1100 ? 1 : 173) {
        uint8_t nonce[8], tag[16], want_tag[16], sizes[16], extra[24];
        uint32_t sum[17] = {0};
        size_t extra_size = size % 25;
        for (int i = 0; i < 32; i++) key.subkey[i] = (uint8_t)test_random(&random);
        for (int i = 0; i < 24; i++) nonce[i % 8] = extra[i] = (uint8_t)test_random(&random);
        for (size_t block = 0; block <= (size + 63) / 64; block++) slow_block(key.subkey, nonce, block, stream + 64 * block);
        for (size_t i = 0; i < size; i++) want[i] = text[i] ^ stream[64 + i];
        slow_poly(stream, extra, extra_size, sum);
        slow_poly(stream, want, size, sum);
        put_u64(sizes, extra_size), put_u64(sizes + 8, size);
        slow_poly(stream, sizes, 16, sum);
        slow_poly_end(sum, stream + 16, want_tag);
        aead_seal(&key, nonce, extra, extra_size, text, size, sealed, tag);
        if (!CHECK(memcmp(sealed, want, size) == 0)) printf("# %zu bytes\n", size);
        if (!CHECK(memcmp(tag, want_tag, 16) == 0)) printf("# tag of %zu bytes\n", size);
    }
}

/* Numbers at the edges: all bits set in key, text and pad, or few. */
static void h08_the_fast_tag_is_the_slow_one(void) {
#ifdef POLY1305_WIDE
    static const uint8_t bytes[] = {0, 1, 2, 4, 5, 251, 252, 253, 254, 255};
    uint64_t random = test_seed();
    uint8_t key[32], text[400], tag[16], want[16];
    for (int trial = 0; trial < 30000; trial++) {
        size_t size = 16 * (size_t)(test_random(&random) % (sizeof text / 16));
        uint8_t fill[3];
        for (int i = 0; i < 3; i++) fill[i] = bytes[test_random(&random) % sizeof bytes];
        memset(key, fill[0], 16), memset(key + 16, fill[1], 16), memset(text, fill[2], sizeof text);
        if (trial % 2) key[test_random(&random) % 32] = (uint8_t)test_random(&random), text[test_random(&random) % sizeof text] = 5;
        if (trial % 3 == 0) memset(key, 0, 16), key[0] = (uint8_t)(1 + trial % 7);
        uint32_t sum[17] = {0};
        Poly1305 poly;
        poly1305_init(&poly, key);
        poly1305_add(&poly, text, size);
        poly1305_end(&poly, tag);
        slow_poly(key, text, size, sum);
        slow_poly_end(sum, key + 16, want);
        if (!CHECK(memcmp(tag, want, 16) == 0)) printf("# trial %d, %zu bytes\n", trial, size);
    }
#else
    CHECK(true); /* Monocypher's */
#endif
}

/* ---- the layer ---- */

typedef struct Layer {
    SimDisk *disk;
    FailingAllocator memory;
    Vfs *vfs;
    VfsFile *files[3];
} Layer;

static bool layer_open(Layer *l) {
    for (int i = 0; i < 3; i++)
        if (!CHECK_EQ(l->vfs->open(l->vfs->self, files[i], VFS_CREATE, &l->files[i]), NACRE_OK)) return false;
    return true;
}

static void layer_close(Layer *l) {
    for (int i = 0; i < 3; i++)
        if (l->files[i]) CHECK_EQ(l->vfs->close(l->files[i]), NACRE_OK);
    memset(l->files, 0, sizeof l->files);
}

static bool layer_init(Layer *l) {
    memset(l, 0, sizeof *l);
    l->disk = sim_disk_new(test_seed());
    failing_allocator_init(&l->memory);
    return CHECK_EQ(vfs_crypt_create(&l->memory.allocator, sim_disk_vfs(l->disk), "db", key_one, &l->vfs), NACRE_OK) &&
           layer_open(l);
}

static void layer_clear(Layer *l) {
    layer_close(l);
    l->vfs->destroy(l->vfs->self);
    CHECK_EQ(sim_disk_open_handles(l->disk), 0);
    CHECK(failing_allocator_clean(&l->memory));
    failing_allocator_clear(&l->memory);
    sim_disk_free(l->disk);
}

enum { ROOM = 200000 };

/* NAME: writes, cuts and reads at any place; the file is as long as its pages. */
static void h08_pages_are_bytes_at_any_place(void) {
    Layer l;
    REQUIRE(layer_init(&l));
    uint8_t *model = calloc(1, ROOM), *got = malloc(ROOM), *from = malloc(ROOM);
    uint64_t random = test_seed(), size = 0, file_size = 0;
    REQUIRE(model && got && from);
    for (int i = 0; i < 600; i++) {
        uint64_t at = test_random(&random) % ROOM, most = ROOM - at;
        size_t part = (size_t)(test_random(&random) % (i % 3 ? 9000 : ROOM));
        if (part > most) part = (size_t)most;
        const Vfs *vfs = l.vfs;
        VfsFile *file = l.files[0];
        if (i % 4 == 0) at = at / 4096 * 4096;
        switch (test_random(&random) % 8) {
        case 0:
            CHECK_EQ(vfs->truncate(file, at), NACRE_OK);
            if (at < size) memset(model + at, 0, (size_t)(size - at));
            size = round_up(at, 4096);
            break;
        case 1:
            layer_close(&l);
            REQUIRE(layer_open(&l));
            break;
        default:
            for (size_t b = 0; b < part; b++) from[b] = (uint8_t)test_random(&random);
            CHECK_EQ(vfs->write(file, at, from, part), NACRE_OK);
            memcpy(model + at, from, part);
            if (part && round_up(at + part, 4096) > size) size = round_up(at + part, 4096);
        }
        file = l.files[0];
        CHECK_EQ(vfs->size(file, &file_size), NACRE_OK);
        if (size > ROOM) size = ROOM; /* what is beyond is not compared */
        CHECK(file_size == size || (size == ROOM && file_size >= ROOM));
        if (size == 0) continue;
        at = test_random(&random) % size;
        part = (size_t)(test_random(&random) % (size - at + 1));
        CHECK_EQ(vfs->read(file, at, got, part), NACRE_OK);
        CHECK(memcmp(got, model + at, part) == 0);
        CHECK_EQ(vfs->read(file, file_size, got, 1), NACRE_IO);
    }
    free(model);
    free(got);
    free(from);
    layer_clear(&l);
}

/* A log: headers at any place, appends, cuts to where one of them ends, resets. */
static void h08_logs_are_bytes_that_are_appended_to(void) {
    Layer l;
    REQUIRE(layer_init(&l));
    uint8_t *model = calloc(1, ROOM), *got = malloc(ROOM);
    uint64_t ends[4000], random = test_seed(), file_size = 0;
    size_t count = 0;
    REQUIRE(model && got);
    CHECK_EQ(l.vfs->truncate(l.files[1], 8192), NACRE_OK);
    ends[0] = 8192;
    for (int i = 0; i < 900; i++) {
        const Vfs *vfs = l.vfs;
        uint64_t end = ends[count];
        size_t part = 1 + (size_t)(test_random(&random) % (i % 20 ? 300 : 90000)), at;
        switch (test_random(&random) % 30) {
        case 0:
            count = (size_t)(test_random(&random) % (count + 1));
            CHECK_EQ(vfs->truncate(l.files[1], ends[count]), NACRE_OK);
            break;
        case 1:
            layer_close(&l);
            REQUIRE(layer_open(&l));
            break;
        case 2:
            at = (size_t)(test_random(&random) % 8192);
            part = at + part > 8192 ? 8192 - at : part;
            memset(model + at, i, part);
            CHECK_EQ(vfs->write(l.files[1], at, model + at, part), NACRE_OK);
            break;
        default:
            if (end + part > ROOM) {
                count = 0;
                CHECK_EQ(vfs->truncate(l.files[1], 8192), NACRE_OK);
                break;
            }
            for (size_t b = 0; b < part; b++) model[end + b] = (uint8_t)test_random(&random);
            CHECK_EQ(vfs->write(l.files[1], end, model + end, part), NACRE_OK);
            ends[++count] = end + part;
        }
        end = ends[count];
        VfsFile *reader = NULL; /* another handle sees the same */
        CHECK_EQ(vfs->open(vfs->self, files[1], VFS_READ, &reader), NACRE_OK);
        VfsFile *file = i % 2 ? reader : l.files[1];
        CHECK_EQ(vfs->size(file, &file_size), NACRE_OK);
        CHECK_EQ(file_size, end);
        uint64_t from = i % 5 ? test_random(&random) % end : ends[test_random(&random) % (count + 1)];
        part = (size_t)(test_random(&random) % (end - from + 1));
        CHECK_EQ(vfs->read(file, from, got, part), NACRE_OK);
        CHECK(memcmp(got, model + from, part) == 0);
        CHECK_EQ(vfs->read(file, end, got, 1), NACRE_IO);
        CHECK_EQ(vfs->write(reader, end, got, 1), NACRE_PERMISSION);
        CHECK_EQ(vfs->close(reader), NACRE_OK);
        if (count > 1) CHECK_EQ(vfs->write(l.files[1], end - 1, got, 1), NACRE_IO); /* what is there stays */
    }
    free(model);
    free(got);
    layer_clear(&l);
}

/* A byte of a record is changed, its head or its text: its bytes read as poison, all others as
 * they are, at the offsets that they had. */
static void h08_a_damaged_record_takes_no_other_along(void) {
    Layer l;
    REQUIRE(layer_init(&l));
    uint8_t model[8192 + 600], got[sizeof model + 64];
    memset(model, 0, sizeof model);
    CHECK_EQ(l.vfs->truncate(l.files[1], 8192), NACRE_OK);
    for (size_t i = 0; i < 6; i++) {
        memset(model + 8192 + 100 * i, (int)i + 1, 100);
        CHECK_EQ(l.vfs->write(l.files[1], 8192 + 100 * i, model + 8192 + 100 * i, 100), NACRE_OK);
    }
    for (size_t at = 0; at < 5 * 164; at++) {
        layer_close(&l);
        uint64_t bit = (CRYPT_LOG_HEAD + at) * 8 + at % 8, size = 0;
        sim_disk_flip(l.disk, files[1], bit);
        REQUIRE(layer_open(&l));
        CHECK_EQ(l.vfs->size(l.files[1], &size), NACRE_OK);
        CHECK_EQ(size, sizeof model);
        CHECK_EQ(l.vfs->read(l.files[1], 0, got, sizeof model), NACRE_OK);
        for (size_t i = 0; i < sizeof model; i++)
            if (got[i] != (i >= 8192 && (i - 8192) / 100 == at / 164 ? CRYPT_POISON : model[i])) {
                CHECK(got[i] == model[i]);
                break;
            }
        sim_disk_flip(l.disk, files[1], bit);
    }
    layer_clear(&l);
}

static void h08_files_of_others_are_refused(void) {
    Layer l;
    VfsFile *file = NULL;
    REQUIRE(layer_init(&l));
    CHECK_EQ(l.vfs->open(l.vfs->self, "db-other", VFS_CREATE, &file), NACRE_IO);
    CHECK_EQ(sim_disk_file_count(l.disk), 3);
    layer_clear(&l);
}

/* ---- databases ---- */

static nacre_options crypt_options(SimDisk *disk, const uint8_t *key) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.vfs = sim_disk_vfs(disk);
    options.encryption_key = key;
    options.memory = 4 << 20;
    options.memtable_size = 64 << 10;
    return options;
}

static nacre_status crypt_open_db(SimDisk *disk, const uint8_t *key, nacre_mode mode, nacre_db **db, nacre_error *error) {
    nacre_options options = crypt_options(disk, key);
    *db = NULL;
    options.mode = mode;
    return nacre_open("db", &options, db, error);
}

static nacre_status put_rows(nacre_db *db, int from, int to) {
    nacre_membrane *rows = NULL;
    nacre_schema schema = nacre_schema_kv(NACRE_TEXT, NACRE_TEXT);
    nacre_status status = nacre_membrane_open(db, "PLAINTEXTMEMBRANE", &schema, &rows);
    for (int i = from; i < to && status == NACRE_OK; i++) {
        char key[60], value[120];
        snprintf(key, sizeof key, "PLAINTEXTKEY%06d", i);
        snprintf(value, sizeof value, "PLAINTEXTVALUE%06d", i);
        nacre_value k = nacre_text(key), v = nacre_text(value);
        status = nacre_put(rows, &k, NULL, &v);
    }
    return status;
}

static bool has_rows(nacre_db *db, int count) {
    nacre_membrane *rows = NULL;
    uint64_t got = 0;
    if (nacre_membrane_open(db, "PLAINTEXTMEMBRANE", NULL, &rows) != NACRE_OK) return count == 0;
    if (nacre_count(rows, NULL, NULL, &got) != NACRE_OK || got != (uint64_t)count) return false;
    for (int i = 0; i < count; i += 7) {
        char key[60], value[120];
        nacre_row row;
        snprintf(key, sizeof key, "PLAINTEXTKEY%06d", i);
        snprintf(value, sizeof value, "PLAINTEXTVALUE%06d", i);
        nacre_value k = nacre_text(key);
        if (nacre_get(rows, NULL, &k, &row) != NACRE_OK || row.fields[0].bytes.size != strlen(value) ||
            memcmp(row.fields[0].bytes.data, value, strlen(value)) != 0)
            return false;
    }
    return true;
}

/* A disk with `rows` rows, closed. */
static SimDisk *made(const uint8_t *key, int rows) {
    SimDisk *disk = sim_disk_new(test_seed());
    nacre_db *db = NULL;
    CHECK_EQ(crypt_open_db(disk, key, NACRE_READWRITE, &db, NULL), NACRE_OK);
    CHECK_EQ(put_rows(db, 0, rows), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return disk;
}

static void expect_open(SimDisk *disk, const uint8_t *key, nacre_status want, int rows) {
    for (nacre_mode mode = NACRE_READWRITE; mode <= NACRE_READ; mode++) {
        nacre_db *db = NULL;
        nacre_error error = {0};
        if (mode == NACRE_CREATE) continue;
        SimDisk *work = sim_disk_clone(disk);
        nacre_status status = crypt_open_db(work, key, mode, &db, &error);
        if (!CHECK_EQ(status, want)) printf("# mode %d: %s\n", (int)mode, error.text);
        if (db) CHECK(has_rows(db, rows));
        else CHECK(strstr(error.text, "db") != NULL);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(work);
    }
}

static void h08_only_the_key_opens_a_database(void) {
    SimDisk *disk = made(key_one, 1000), *plain = made(NULL, 1000);
    nacre_db *db = NULL;
    expect_open(disk, key_one, NACRE_OK, 1000);
    expect_open(disk, key_two, NACRE_PERMISSION, 0);
    expect_open(disk, NULL, NACRE_PERMISSION, 0);
    expect_open(plain, NULL, NACRE_OK, 1000);
    expect_open(plain, key_one, NACRE_INVALID_ARGUMENT, 0); /* a key never stands for nothing */
    for (int i = 0; i < 3; i++) { /* whatever of it is left */
        SimDisk *part = sim_disk_clone(disk);
        for (int k = 0; k < 3; k++)
            if (k != i) sim_disk_remove(part, files[k]);
        expect_open(part, NULL, NACRE_PERMISSION, 0);
        expect_open(part, key_one, NACRE_CORRUPT, 0);
        sim_disk_free(part);
    }
    nacre_options options = NACRE_OPTIONS_INIT;
    options.encryption_key = key_one;
    CHECK_EQ(nacre_open(":memory:", &options, &db, NULL), NACRE_INVALID_ARGUMENT);
    options = crypt_options(disk, key_one);
    options.mapped = true;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_UNSUPPORTED);
    sim_disk_free(disk);
    sim_disk_free(plain);
}

/* Each byte of a slot: the other one counts. Of both: CORRUPT, and never a wrong key. */
static void h08_a_damaged_key_is_told_from_a_wrong_one(void) {
    SimDisk *disk = made(key_one, 20);
    for (uint64_t byte = 0; byte < CRYPT_SLOT; byte++) {
        uint64_t bit = byte * 8 + byte % 8;
        for (int slots = 1; slots < 4; slots++) {
            SimDisk *work = sim_disk_clone(disk);
            if (slots & 1) sim_disk_flip(work, "db", bit);
            if (slots & 2) sim_disk_flip(work, "db", CRYPT_SLOT_COPY * 8 + bit);
            expect_open(work, key_one, slots == 3 ? NACRE_CORRUPT : NACRE_OK, 20);
            if (slots != 3) expect_open(work, key_two, NACRE_PERMISSION, 0);
            sim_disk_free(work);
        }
        SimDisk *work = sim_disk_clone(disk); /* a log's decides nothing */
        sim_disk_flip(work, "db-wal0", bit);
        expect_open(work, key_one, NACRE_OK, 20);
        sim_disk_free(work);
    }
    SimDisk *work = sim_disk_clone(disk); /* a version that is not known, whole */
    uint64_t size = 0;
    uint8_t *copy = malloc(1 << 20);
    const uint8_t *bytes = sim_disk_bytes(work, "db", &size);
    REQUIRE(copy && size < 1 << 20);
    memcpy(copy, bytes, (size_t)size);
    put_u32(copy + 8, CRYPT_VERSION + 1);
    put_u64(copy + CRYPT_SLOT - 8, checksum64(0, copy, CRYPT_SLOT - 8));
    sim_disk_put(work, "db", copy, (size_t)size);
    expect_open(work, key_one, NACRE_VERSION, 0);
    free(copy);
    sim_disk_free(work);
    sim_disk_free(disk);
}

static bool found_in(const SimDisk *disk, const void *what, size_t size) {
    for (size_t i = 0; i < sim_disk_file_count(disk); i++) {
        uint64_t has = 0;
        const uint8_t *bytes = sim_disk_bytes(disk, sim_disk_file_name(disk, i), &has);
        for (uint64_t at = 0; bytes && at + size <= has; at++)
            if (bytes[at] == *(const uint8_t *)what && memcmp(bytes + at, what, size) == 0) return true;
    }
    return false;
}

static void h08_no_file_shows_keys_values_or_names(void) {
    static const uint8_t *const keys[2] = {NULL, key_one};
    static const char *const words[] = {"PLAINTEXTKEY", "PLAINTEXTVALUE", "PLAINTEXTMEMBRANE", "NACREDB", "NACRELOG"};
    for (int k = 0; k < 2; k++) {
        SimDisk *disk = sim_disk_new(test_seed());
        nacre_db *db = NULL;
        bool seen[5] = {false};
        CHECK_EQ(crypt_open_db(disk, keys[k], NACRE_READWRITE, &db, NULL), NACRE_OK);
        for (int i = 0; i < 8; i++) {
            CHECK_EQ(put_rows(db, i * 200, i * 200 + 200), NACRE_OK);
            if (i == 4) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
            if (i == 6) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
            for (int w = 0; w < 5; w++) seen[w] |= found_in(disk, words[w], strlen(words[w]));
        }
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        for (int w = 0; w < 5; w++) CHECK_EQ(seen[w], keys[k] == NULL); /* the test would notice */
        sim_disk_free(disk);
    }
}

/* ---- nonces ---- */

typedef struct Nonces {
    uint8_t (*items)[24];
    size_t count, capacity;
} Nonces;

static void nonce_add(Nonces *n, const uint8_t *nonce) {
    if (n->count == n->capacity) {
        n->capacity = n->capacity ? 2 * n->capacity : 1024;
        if (!(n->items = realloc(n->items, n->capacity * 24))) abort();
    }
    memcpy(n->items[n->count++], nonce, 24);
}

static int nonce_compare(const void *a, const void *b) { return memcmp(a, b, 24); }

/* Those of one write, as crypt_format.h says where they are. */
static void nonces_of(Nonces *n, const SimDisk *disk, SimOperation op) {
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(disk, op.file, &size);
    bool log = strcmp(op.file, "db") != 0;
    if (op.offset < CRYPT_HEAD) {
        if (!log) nonce_add(n, bytes + op.offset + 24);
    } else if (log && op.offset >= CRYPT_LOG_HEAD) {
        nonce_add(n, bytes + op.offset);
    } else {
        CHECK_EQ((op.offset - CRYPT_HEAD) % CRYPT_STRIDE, 0);
        CHECK_EQ(op.size % CRYPT_STRIDE, 0);
        for (uint64_t at = op.offset; at < op.offset + op.size && at + 24 <= size; at += CRYPT_STRIDE)
            nonce_add(n, bytes + at);
    }
}

/* Over writes that fail and are tried again, crashes and reopenings. The data key's slots are the
 * same text with the same nonce: written twice, once more by an opening that mends them. */
static void h08_no_nonce_is_used_twice(void) {
    SimDisk *disk = sim_disk_new(test_seed()), *at = sim_disk_new(0);
    Nonces n = {0};
    for (int life = 0; life < 6; life++) {
        nacre_db *db = NULL;
        REQUIRE(crypt_open_db(disk, key_one, NACRE_READWRITE, &db, NULL) == NACRE_OK);
        for (int i = 0; i < 5; i++) {
            sim_disk_fault(disk, (SimFault){.kinds = SIM_WRITE, .nth = 40, .way = SIM_FAULT_SHORT, .status = NACRE_IO});
            (void)!put_rows(db, i * 100, i * 100 + 100);
            sim_disk_fault(disk, (SimFault){0});
            CHECK_EQ(put_rows(db, i * 100, i * 100 + 100), NACRE_OK);
        }
        if (life == 3) CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    }
    for (size_t k = 0; k < sim_disk_operations(disk); k++) {
        SimOperation op = sim_disk_operation(disk, k);
        if (op.kind != SIM_WRITE) continue;
        sim_disk_replay(disk, k + 1, at);
        nonces_of(&n, at, op);
    }
    qsort(n.items, n.count, 24, nonce_compare);
    size_t twice = 0;
    for (size_t i = 1; i < n.count; i++) twice += memcmp(n.items[i - 1], n.items[i], 24) == 0;
    CHECK_EQ(twice, 1); /* the two slots */
    CHECK(n.count > 3000);
    free(n.items);
    sim_disk_free(at);
    sim_disk_free(disk);
}

/* ---- changing the key ---- */

static int opens_with(const SimDisk *disk, int rows) {
    int with = 0;
    for (int k = 0; k < 2; k++) {
        SimDisk *work = sim_disk_clone(disk);
        nacre_db *db = NULL;
        nacre_status status = crypt_open_db(work, k ? key_two : key_one, NACRE_READWRITE, &db, NULL);
        CHECK(status == NACRE_OK || status == NACRE_PERMISSION);
        if (db) CHECK(has_rows(db, rows) && nacre_flush(db) == NACRE_OK);
        if (db) with |= 1 << k;
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        sim_disk_free(work);
    }
    return with;
}

static void h08_a_changed_key_is_the_only_one(void) {
    SimDisk *disk = made(key_one, 50);
    nacre_db *db = NULL, *reader = NULL;
    REQUIRE(crypt_open_db(disk, key_one, NACRE_EXISTING, &db, NULL) == NACRE_OK);
    REQUIRE(crypt_open_db(disk, key_one, NACRE_READ, &reader, NULL) == NACRE_OK);
    CHECK_EQ(nacre_rekey(db, NULL), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(nacre_rekey(reader, key_two), NACRE_READONLY);
    CHECK_EQ(nacre_rekey(db, key_two), NACRE_OK);
    CHECK_EQ(put_rows(db, 50, 60), NACRE_OK); /* whoever has it open goes on */
    CHECK_EQ(nacre_refresh(reader), NACRE_OK);
    CHECK(has_rows(reader, 60));
    CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(opens_with(disk, 60), 2);
    uint64_t size = 0;
    const uint8_t *bytes = sim_disk_bytes(disk, "db", &size);
    CHECK(memcmp(bytes, bytes + CRYPT_SLOT_COPY, CRYPT_SLOT) == 0);
    sim_disk_free(disk);

    disk = made(NULL, 5);
    REQUIRE(crypt_open_db(disk, NULL, NACRE_EXISTING, &db, NULL) == NACRE_OK);
    CHECK_EQ(nacre_rekey(db, key_two), NACRE_UNSUPPORTED);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* Power fails at each of its operations, and each of them fails: one key opens it, and the new one
 * when it was acknowledged. */
static void h08_a_key_is_changed_whole_or_not_at_all(void) {
    SimDisk *base = made(key_one, 50);
    uint64_t random = test_seed();
    int found[4] = {0};
    for (size_t at = 0; at < 5; at++)
        for (int trial = 0; trial < 40; trial++) {
            SimDisk *disk = sim_disk_clone(base);
            nacre_db *db = NULL;
            REQUIRE(crypt_open_db(disk, key_one, NACRE_EXISTING, &db, NULL) == NACRE_OK);
            SimFaultWay way = trial % 3 == 0 ? SIM_FAULT_FAIL : trial % 3 == 1 ? SIM_FAULT_SHORT : SIM_FAULT_LOSE;
            if (trial < 20) sim_disk_power_off_at(disk, sim_disk_operations(disk) + at);
            else sim_disk_fault(disk, (SimFault){.kinds = SIM_WRITE | SIM_SYNC, .nth = at + 1, .way = way, .status = NACRE_IO});
            bool acknowledged = nacre_rekey(db, key_two) == NACRE_OK;
            CHECK_EQ(acknowledged, at >= 4);
            SimCrash policy = (SimCrash)(test_random(&random) % 7);
            uint64_t states = sim_disk_crash_states(disk, policy);
            sim_disk_crash(disk, policy, test_random(&random) % (states ? states : 1));
            sim_disk_power_off_at(disk, SIZE_MAX);
            sim_disk_fault(disk, (SimFault){0});
            (void)nacre_close(db, NULL);
            int with = opens_with(disk, 50);
            CHECK(with == 1 || with == 2);
            if (acknowledged) CHECK_EQ(with, 2);
            found[with]++;
            sim_disk_free(disk);
        }
    CHECK(found[1] > 0 && found[2] > 0);
    sim_disk_free(base);
}

/* ---- memory ---- */

static const uint8_t *secrets[2];

static void *watch_alloc(void *self, size_t size) {
    (void)self;
    return malloc(size);
}

static void watch_free(void *self, void *memory, size_t size) {
    size_t *leaks = self;
    for (int s = 0; s < 2; s++)
        for (size_t at = 0; memory && secrets[s] && at + 32 <= size; at++)
            *leaks += memcmp((uint8_t *)memory + at, secrets[s], 32) == 0;
    free(memory);
}

static void h08_keys_are_gone_from_memory_after_close(void) {
    SimDisk *disk = made(key_one, 50);
    nacre_options options = crypt_options(disk, key_one);
    nacre_db *db = NULL;
    uint64_t size = 0;
    const uint8_t *slot = sim_disk_bytes(disk, "db", &size);
    uint8_t data_key[32];
    AeadKey wrapping;
    aead_key(&wrapping, key_one, slot + 24);
    REQUIRE(aead_open(&wrapping, slot + 40, slot, 24, slot + 48, slot + 64, 32, data_key));
    size_t leaks = 0;
    secrets[0] = key_one;
    secrets[1] = data_key;
    options.allocator = (nacre_allocator){&leaks, watch_alloc, watch_free};
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    CHECK_EQ(put_rows(db, 0, 100), NACRE_OK);
    CHECK_EQ(nacre_rekey(db, key_two), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(leaks, 0);
    options.encryption_key = key_one;
    CHECK_EQ(nacre_open("db", &options, &db, NULL), NACRE_PERMISSION);
    CHECK_EQ(leaks, 0);
    sim_disk_free(disk);
}

/* ---- readers ---- */

static void h08_readers_follow_a_writer(void) {
    SimDisk *disk = made(key_one, 50);
    nacre_db *db = NULL, *reader = NULL;
    REQUIRE(crypt_open_db(disk, key_one, NACRE_EXISTING, &db, NULL) == NACRE_OK);
    REQUIRE(crypt_open_db(disk, key_one, NACRE_READ, &reader, NULL) == NACRE_OK);
    for (int rows = 50; rows < 5000; rows += 90) {
        CHECK_EQ(put_rows(db, rows, rows + 90), NACRE_OK);
        if (rows % 1000 < 90) CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
        CHECK_EQ(nacre_refresh(reader), NACRE_OK);
        CHECK(has_rows(reader, rows + 90));
    }
    CHECK_EQ(nacre_close(reader, NULL), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    sim_disk_free(disk);
}

/* ---- damaged files ---- */

static void count_line(void *self, const char *json) {
    (void)json;
    ++*(int *)self;
}

static void note_finding(void *self, const nacre_finding *finding) {
    if (strstr(finding->what, "copies of the key")) ++*(int *)self;
}

static nacre_status verify_of(SimDisk *disk, const uint8_t *key, uint64_t *problems) {
    nacre_options options = crypt_options(disk, key);
    *problems = 0;
    return nacre_verify_files("db", &options, true, NULL, NULL, problems, NULL);
}

static nacre_status repair_of(SimDisk *disk, const uint8_t *key, nacre_repair_report *report, int *slots) {
    nacre_options options = crypt_options(disk, key);
    *report = (nacre_repair_report){0};
    return nacre_repair("db", "new", &options, note_finding, slots, report, NULL);
}

static int lines_of(SimDisk *disk, const uint8_t *key, nacre_inspection what, nacre_status want) {
    nacre_options options = crypt_options(disk, key);
    nacre_error error = {0};
    int lines = 0;
    if (!CHECK_EQ(nacre_inspect("db", &options, what, count_line, &lines, &error), want)) printf("# %s\n", error.text);
    return lines;
}

/* With some rows in segments and some in a log. */
static SimDisk *made_both(const uint8_t *key) {
    SimDisk *disk = made(key, 3000);
    nacre_db *db = NULL;
    CHECK_EQ(crypt_open_db(disk, key, NACRE_EXISTING, &db, NULL), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    CHECK_EQ(put_rows(db, 3000, 3100), NACRE_OK);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    return disk;
}

static void expect_new(SimDisk *disk, const uint8_t *key, int rows) {
    nacre_options options = crypt_options(disk, key);
    nacre_db *db = NULL;
    CHECK_EQ(nacre_open("new", &options, &db, NULL), NACRE_OK);
    CHECK(db && has_rows(db, rows));
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    options = crypt_options(disk, key ? NULL : key_one);
    CHECK_EQ(nacre_open("new", &options, &db, NULL), key ? NACRE_PERMISSION : NACRE_INVALID_ARGUMENT);
}

/* H06: what the verbs for damaged files do with a key is what they do without one. */
static void h08_verify_repair_and_inspect_want_the_key(void) {
    SimDisk *disk = made_both(key_one), *plain = made_both(NULL);
    uint64_t problems = 0;
    nacre_repair_report report;
    int slots = 0;
    for (nacre_inspection what = NACRE_INSPECT_LOG; what <= NACRE_INSPECT_SEGMENTS; what++) {
        int lines = lines_of(disk, key_one, what, NACRE_OK);
        CHECK(lines > 0);
        CHECK_EQ(lines, lines_of(plain, NULL, what, NACRE_OK));
        CHECK_EQ(lines_of(disk, key_two, what, NACRE_PERMISSION), 0);
        CHECK_EQ(lines_of(disk, NULL, what, NACRE_PERMISSION), 0);
        CHECK_EQ(lines_of(plain, key_one, what, NACRE_INVALID_ARGUMENT), 0);
    }
    CHECK_EQ(verify_of(disk, key_one, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    CHECK_EQ(verify_of(disk, key_two, &problems), NACRE_PERMISSION);
    CHECK_EQ(verify_of(disk, NULL, &problems), NACRE_PERMISSION);
    CHECK_EQ(verify_of(plain, key_one, &problems), NACRE_INVALID_ARGUMENT);
    CHECK_EQ(repair_of(disk, key_two, &report, &slots), NACRE_PERMISSION);
    CHECK_EQ(repair_of(disk, NULL, &report, &slots), NACRE_PERMISSION);
    CHECK_EQ(repair_of(disk, key_one, &report, &slots), NACRE_OK);
    CHECK_EQ(report.rows, 3100);
    CHECK_EQ(report.damages + report.losses + report.doubts, 0);
    expect_new(disk, key_one, 3100);
    CHECK_EQ(repair_of(plain, NULL, &report, &slots), NACRE_OK);
    expect_new(plain, NULL, 3100);
    sim_disk_free(disk);
    sim_disk_free(plain);
}

/* One slot lost: told, and nothing else is. Both: nothing can be read, and that is said. */
static void h08_a_lost_copy_of_the_key_is_told(void) {
    SimDisk *disk = made_both(key_one);
    for (int lost = 1; lost < 4; lost++) {
        SimDisk *work = sim_disk_clone(disk);
        uint64_t problems = 0, open_problems = 0;
        nacre_repair_report report;
        nacre_db *db = NULL;
        int slots = 0;
        if (lost & 1) sim_disk_flip(work, "db", 700);
        if (lost & 2) sim_disk_flip(work, "db", CRYPT_SLOT_COPY * 8 + 300);
        CHECK_EQ(verify_of(work, key_one, &problems), lost == 3 ? NACRE_CORRUPT : NACRE_OK);
        CHECK_EQ(problems, lost != 3);
        CHECK_EQ(repair_of(work, key_one, &report, &slots), lost == 3 ? NACRE_CORRUPT : NACRE_OK);
        CHECK_EQ(slots, lost != 3);
        if (lost == 3) CHECK_EQ(lines_of(work, key_one, NACRE_INSPECT_LOG, NACRE_CORRUPT), 0);
        else CHECK(report.rows == 3100 && report.damages == 1 && report.losses + report.doubts == 0);
        if (lost != 3 && CHECK_EQ(crypt_open_db(work, key_one, NACRE_READ, &db, NULL), NACRE_OK)) {
            CHECK_EQ(nacre_verify(db, false, NULL, NULL, &open_problems), NACRE_OK);
            CHECK_EQ(open_problems, 1);
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        }
        if (lost != 3 && CHECK_EQ(crypt_open_db(work, key_one, NACRE_EXISTING, &db, NULL), NACRE_OK)) {
            CHECK_EQ(put_rows(db, 0, 1), NACRE_OK); /* whoever writes mends it */
            CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
            CHECK_EQ(verify_of(work, key_one, &problems), NACRE_OK);
            CHECK_EQ(problems, 0);
        }
        sim_disk_free(work);
    }
    sim_disk_free(disk);
}

/* A page or record somewhere: found when it is in use, and repair saves all the rest. */
static void h08_repair_saves_what_still_authenticates(void) {
    SimDisk *disk = made_both(key_one);
    uint64_t random = test_seed(), found = 0, saved = 0;
    enum { TRIALS = 40 };
    for (int trial = 0; trial < TRIALS; trial++) {
        SimDisk *work = sim_disk_clone(disk);
        const char *file = trial % 4 ? "db" : trial % 8 ? "db-wal0" : "db-wal1";
        uint64_t size = 0, problems = 0;
        nacre_repair_report report;
        int slots = 0;
        (void)sim_disk_bytes(work, file, &size);
        REQUIRE(size > CRYPT_HEAD);
        sim_disk_flip(work, file, CRYPT_HEAD * 8 + test_random(&random) % ((size - CRYPT_HEAD) * 8));
        CHECK_EQ(verify_of(work, key_one, &problems), NACRE_OK);
        CHECK_EQ(repair_of(work, key_one, &report, &slots), NACRE_OK);
        CHECK(report.rows == 3100 || report.losses > 0);
        CHECK(report.rows == 3100 || problems > 0);
        found += problems > 0;
        saved += report.rows;
        sim_disk_free(work);
    }
    CHECK(found > TRIALS / 4 && saved > 3100 * TRIALS / 2);
    sim_disk_free(disk);
}

/* ---- backups ---- */

typedef struct Bytes {
    uint8_t *data;
    size_t size, capacity;
} Bytes;

static void bytes_add(Bytes *b, const void *data, size_t size) {
    while (b->size + size > b->capacity) {
        b->capacity = b->capacity ? 2 * b->capacity : 1 << 16;
        if (!(b->data = realloc(b->data, b->capacity))) abort();
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static bool bytes_have(Bytes b, const char *word) {
    size_t size = strlen(word);
    for (size_t at = 0; at + size <= b.size; at++)
        if (b.data[at] == (uint8_t)word[0] && memcmp(b.data + at, word, size) == 0) return true;
    return false;
}

/* Adds the stream to *out, read in pieces of changing sizes. */
static nacre_status backup_into(nacre_backup *backup, Bytes *out, nacre_backup_info *info) {
    static uint8_t buffer[200000];
    uint64_t random = test_seed();
    size_t got = 1, before = out->size;
    nacre_status status = NACRE_OK;
    while (status == NACRE_OK && got > 0) {
        size_t room = 1 + (size_t)(test_random(&random) % (test_random(&random) % 3 ? 100 : sizeof buffer));
        status = nacre_backup_read(backup, buffer, room, &got);
        if (status == NACRE_OK) bytes_add(out, buffer, got);
    }
    CHECK_EQ(nacre_backup_describe(backup, info), NACRE_OK);
    CHECK_EQ(info->bytes, out->size - before);
    return status;
}

enum { AS_IT_IS, WITHOUT_KEY, WITH_KEY_TWO };

static void backup_full(nacre_db *db, int how, Bytes *out) {
    nacre_backup *backup = NULL;
    nacre_backup_info info;
    if (!CHECK_EQ(nacre_backup_begin(db, NULL, &backup), NACRE_OK)) return;
    if (how == WITHOUT_KEY) CHECK_EQ(nacre_backup_encrypt(backup, NULL), NACRE_OK);
    if (how == WITH_KEY_TWO) CHECK_EQ(nacre_backup_encrypt(backup, key_two), NACRE_OK);
    CHECK_EQ(backup_into(backup, out, &info), NACRE_OK);
    CHECK_EQ(nacre_backup_encrypt(backup, key_one), NACRE_MISUSE);
    nacre_backup_end(backup);
}

/* `key` of the new database, `stream_key` of the streams; piece 0: all at once. */
static nacre_status restore_from(SimDisk *disk, const char *name, const uint8_t *key, const uint8_t *stream_key, Bytes from,
                                 size_t piece, nacre_db **db) {
    nacre_options options = crypt_options(disk, key);
    nacre_restore_options until = NACRE_RESTORE_INIT;
    nacre_restore *restore = NULL;
    uint8_t copy[32], stream_copy[32];
    if (key) memcpy(copy, key, 32), options.encryption_key = copy;
    if (stream_key) memcpy(stream_copy, stream_key, 32), until.key = stream_copy;
    if (db) *db = NULL;
    nacre_status status = nacre_restore_begin(name, &options, &until, &restore, NULL);
    memset(copy, 0, 32), memset(stream_copy, 0, 32); /* borrowed only so long */
    for (size_t at = 0, part; at < from.size && status == NACRE_OK; at += part) {
        part = piece && piece < from.size - at ? piece : from.size - at;
        status = nacre_restore_write(restore, from.data + at, part);
    }
    if (status == NACRE_OK) return nacre_restore_finish(restore, db, NULL);
    nacre_restore_abort(restore);
    return status;
}

static void expect_restored(const uint8_t *key, const uint8_t *stream_key, Bytes from, size_t piece, nacre_status want) {
    SimDisk *disk = sim_disk_new(test_seed());
    nacre_db *db = NULL;
    if (!CHECK_EQ(restore_from(disk, "db", key, stream_key, from, piece, &db), want)) printf("# in pieces of %zu\n", piece);
    if (db) CHECK(has_rows(db, 3100));
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    if (want == NACRE_OK) CHECK_EQ(found_in(disk, "PLAINTEXTVALUE", 14), key == NULL);
    sim_disk_free(disk);
}

static void h08_a_backup_is_encrypted_as_its_database(void) {
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        SimDisk *disk = made_both(encrypted ? key_one : NULL);
        nacre_db *db = NULL;
        Bytes streams[3] = {{0}}, again = {0};
        REQUIRE(crypt_open_db(disk, encrypted ? key_one : NULL, NACRE_READ, &db, NULL) == NACRE_OK);
        for (int how = AS_IT_IS; how <= WITH_KEY_TWO; how++) {
            backup_full(db, how, &streams[how]);
            bool sealed = how == WITH_KEY_TWO || (how == AS_IT_IS && encrypted);
            CHECK_EQ(bytes_have(streams[how], "PLAINTEXTVALUE"), !sealed);
            CHECK_EQ(bytes_have(streams[how], "NACREBAK"), !sealed);
            CHECK_EQ(bytes_have(streams[how], "PLAINTEXTMEMBRANE"), !sealed);
        }
        backup_full(db, AS_IT_IS, &again); /* each has a nonce of its own; without a key they are equal */
        CHECK_EQ(again.size, streams[0].size);
        CHECK_EQ(memcmp(again.data + 16, streams[0].data + 16, again.size - 16) == 0, !encrypted);
        CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
        static const size_t pieces[] = {0, 1, 19, 4096, 65556, 70000};
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            expect_restored(encrypted ? key_one : NULL, NULL, streams[AS_IT_IS], pieces[i], NACRE_OK);
            expect_restored(key_one, key_two, streams[WITH_KEY_TWO], pieces[i], NACRE_OK);
        }
        expect_restored(NULL, NULL, streams[WITHOUT_KEY], 0, NACRE_OK);
        expect_restored(key_two, NULL, streams[WITHOUT_KEY], 0, NACRE_OK);
        expect_restored(NULL, key_two, streams[WITH_KEY_TWO], 0, NACRE_OK);
        expect_restored(key_two, NULL, streams[WITH_KEY_TWO], 0, NACRE_OK);
        expect_restored(key_one, NULL, streams[WITH_KEY_TWO], 0, NACRE_PERMISSION);
        expect_restored(NULL, key_one, streams[WITH_KEY_TWO], 7, NACRE_PERMISSION);
        expect_restored(NULL, NULL, streams[WITH_KEY_TWO], 0, NACRE_PERMISSION);
        expect_restored(key_one, key_one, streams[WITHOUT_KEY], 0, NACRE_INVALID_ARGUMENT); /* never for nothing */
        for (int how = 0; how < 3; how++) free(streams[how].data);
        free(again.data);
        sim_disk_free(disk);
    }
}

/* Full, incremental and log, with changing keys, one behind the other. */
static void h08_streams_of_any_encryption_follow_each_other(void) {
    SimDisk *disk = made(key_one, 1000);
    nacre_db *db = NULL;
    nacre_backup *backup = NULL;
    nacre_archive *archive = NULL;
    nacre_backup_info info;
    Bytes all = {0};
    nacre_options options = crypt_options(disk, key_one);
    options.changes_size = 4 << 20;
    REQUIRE(nacre_open("db", &options, &db, NULL) == NACRE_OK);
    REQUIRE(nacre_backup_begin(db, NULL, &backup) == NACRE_OK);
    CHECK_EQ(backup_into(backup, &all, &info), NACRE_OK);
    Bytes token = {0};
    bytes_add(&token, info.token.data, info.token.size);
    nacre_backup_end(backup);
    CHECK_EQ(put_rows(db, 1000, 2000), NACRE_OK);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    nacre_span whole = {all.data, all.size}, base = {token.data, token.size};
    CHECK_EQ(nacre_backup_begin(db, &whole, &backup), NACRE_INVALID_ARGUMENT); /* its end is encrypted */
    REQUIRE(nacre_backup_begin(db, &base, &backup) == NACRE_OK);
    CHECK_EQ(nacre_backup_encrypt(backup, NULL), NACRE_OK);
    CHECK_EQ(backup_into(backup, &all, &info), NACRE_OK);
    nacre_backup_end(backup);
    REQUIRE(nacre_archive_open(db, info.sequence, &archive) == NACRE_OK);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(put_rows(db, 2000, 3000 + 50 * i), NACRE_OK);
        REQUIRE(nacre_archive_begin(archive, &backup) == NACRE_OK);
        if (i == 1) { /* given up within its last chunk: not taken */
            uint8_t some[5000];
            size_t got = 0;
            CHECK_EQ(nacre_backup_read(backup, some, sizeof some, &got), NACRE_OK);
        } else {
            CHECK_EQ(backup_into(backup, &all, &info), NACRE_OK);
        }
        nacre_backup_end(backup);
    }
    nacre_archive_close(archive);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    expect_restored(key_one, NULL, all, 0, NACRE_OK);
    expect_restored(key_one, NULL, all, 1000, NACRE_OK);
    expect_restored(key_one, key_one, all, 0, NACRE_INVALID_ARGUMENT); /* one of them is plain */
    free(all.data);
    free(token.data);
    sim_disk_free(disk);
}

/* A stream that is cut, or changed anywhere, or whose chunks are left out or change places. */
static void h08_a_damaged_encrypted_backup_is_refused(void) {
    SimDisk *disk = made(key_one, 6000), *none = sim_disk_new(0);
    nacre_db *db = NULL;
    Bytes stream = {0}, work = {0};
    uint64_t random = test_seed();
    REQUIRE(crypt_open_db(disk, key_one, NACRE_READ, &db, NULL) == NACRE_OK);
    backup_full(db, AS_IT_IS, &stream);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
    CHECK_EQ(restore_from(none, NULL, key_one, NULL, stream, 0, NULL), NACRE_OK);
    bytes_add(&work, stream.data, stream.size);
    enum { CHUNK = 20 + 65536 };
    for (int i = 0; i < 300; i++) { /* the head bit by bit, then anywhere */
        uint64_t bit = i < 200 ? (uint64_t)(i * 9 / 4) : test_random(&random) % (stream.size * 8);
        work.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        nacre_status status = restore_from(none, NULL, key_one, NULL, work, 0, NULL);
        if (bit < 128) CHECK(status == NACRE_CORRUPT || status == NACRE_VERSION);
        else CHECK_EQ(status, NACRE_CORRUPT); /* and never a wrong key */
        work.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (int i = 0; i < 200; i++) {
        work.size = i < 100 ? (size_t)i : i < 120 ? stream.size - (size_t)(i - 99) : (size_t)(test_random(&random) % stream.size);
        CHECK_EQ(restore_from(none, NULL, key_one, NULL, work, 0, NULL), NACRE_CORRUPT);
    }
    REQUIRE(stream.size > 56 + 2 * CHUNK);
    work.size = 56 + CHUNK; /* cut between chunks */
    CHECK_EQ(restore_from(none, NULL, key_one, NULL, work, 0, NULL), NACRE_CORRUPT);
    work.size = 56;
    bytes_add(&work, stream.data + 56 + CHUNK, stream.size - 56 - CHUNK); /* one left out */
    CHECK_EQ(restore_from(none, NULL, key_one, NULL, work, 0, NULL), NACRE_CORRUPT);
    work.size = 56;
    bytes_add(&work, stream.data + 56 + CHUNK, CHUNK); /* two in another order */
    bytes_add(&work, stream.data + 56, CHUNK);
    bytes_add(&work, stream.data + 56 + 2 * CHUNK, stream.size - 56 - 2 * CHUNK);
    CHECK_EQ(restore_from(none, NULL, key_one, NULL, work, 0, NULL), NACRE_CORRUPT);
    free(stream.data);
    free(work.data);
    sim_disk_free(disk);
    sim_disk_free(none);
}

void crypt_test(void) {
    RUN(h08_the_cipher_is_xchacha20_poly1305);
    RUN(h08_every_length_opens_again);
    RUN(h08_the_fast_cipher_is_the_slow_one);
    RUN(h08_the_fast_tag_is_the_slow_one);
    RUN(h08_pages_are_bytes_at_any_place);
    RUN(h08_logs_are_bytes_that_are_appended_to);
    RUN(h08_a_damaged_record_takes_no_other_along);
    RUN(h08_files_of_others_are_refused);
    RUN(h08_only_the_key_opens_a_database);
    RUN(h08_a_damaged_key_is_told_from_a_wrong_one);
    RUN(h08_no_file_shows_keys_values_or_names);
    RUN(h08_no_nonce_is_used_twice);
    RUN(h08_a_changed_key_is_the_only_one);
    RUN(h08_a_key_is_changed_whole_or_not_at_all);
    RUN(h08_keys_are_gone_from_memory_after_close);
    RUN(h08_readers_follow_a_writer);
    RUN(h08_verify_repair_and_inspect_want_the_key);
    RUN(h08_a_lost_copy_of_the_key_is_told);
    RUN(h08_repair_saves_what_still_authenticates);
    RUN(h08_a_backup_is_encrypted_as_its_database);
    RUN(h08_streams_of_any_encryption_follow_each_other);
    RUN(h08_a_damaged_encrypted_backup_is_refused);
}
