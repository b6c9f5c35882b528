/* data_file_test.c - reads and writes of a stream in extents (data_file.h): what lies outside is
 * damage, what the file does not give is told apart from it, and after a failed sync nothing
 * more is written. */
#include "lib/check.h"
#include "lib/sim_disk.h"
#include "store/data_file.h"
#include "store/superblock.h"

#include <string.h>

typedef struct World {
    SimDisk *disk;
    Env env;
    DataFile data;
    ExtentList extents; /* 3, 1, 2: not in the order of the file */
} World;

static void world_new(World *w) {
    *w = (World){.disk = sim_disk_new(1)};
    env_init(&w->env, sim_disk_vfs(w->disk), NULL, 1 << 20);
    w->data = (DataFile){.env = &w->env, .name = "db"};
    CHECK_EQ(w->env.vfs->open(w->env.vfs->self, "db", VFS_CREATE, &w->data.file), NACRE_OK);
    static const uint32_t order[3] = {3, 1, 2};
    for (int i = 0; i < 3; i++) CHECK_EQ(extent_list_add(&w->env, &w->extents, order[i]), NACRE_OK);
    CHECK_EQ(data_truncate(&w->data, 4 * EXTENT_SIZE), NACRE_OK);
}

static void world_close(World *w) {
    extent_list_clear(&w->env, &w->extents);
    (void)w->env.vfs->close(w->data.file);
    CHECK_EQ(w->env.memory_used, 0);
    sim_disk_free(w->disk);
}

static void expect_read(World *w, uint64_t offset, size_t size, nacre_status want, const char *words) {
    uint8_t bytes[64];
    env_clear(&w->env);
    CHECK_EQ(data_read(&w->data, &w->extents, offset, bytes, size), want);
    if (words) CHECK(strstr(w->env.error.text, words));
}

static void streams_end_with_their_extents(void) {
    World w;
    world_new(&w);
    const uint64_t end = 3 * (uint64_t)EXTENT_SIZE;
    uint8_t wrote[64], read[64];
    memset(wrote, 7, sizeof wrote);
    CHECK_EQ(data_write(&w.data, &w.extents, EXTENT_SIZE - 32, wrote, 64), NACRE_OK); /* over a seam */
    CHECK_EQ(data_read(&w.data, &w.extents, EXTENT_SIZE - 32, read, 64), NACRE_OK);
    CHECK_BYTES(read, 64, wrote, 64);
    expect_read(&w, end - 64, 64, NACRE_OK, NULL);
    expect_read(&w, end - 63, 64, NACRE_CORRUPT, "3 extents");
    expect_read(&w, end, 0, NACRE_OK, NULL);
    expect_read(&w, end + 1, 0, NACRE_CORRUPT, "3 extents");
    expect_read(&w, UINT64_MAX, 64, NACRE_CORRUPT, "3 extents");
    world_close(&w);
}

/* A file that ends too early is damaged; one that fails to be read is not, for all we know. */
static void what_a_file_does_not_give_is_damage_or_a_failure(void) {
    World w;
    world_new(&w);
    CHECK_EQ(data_truncate(&w.data, 4 * EXTENT_SIZE - 1), NACRE_OK);
    expect_read(&w, EXTENT_SIZE - 64, 64, NACRE_CORRUPT, "cut short");
    sim_disk_fault(w.disk, (SimFault){.kinds = SIM_READ, .nth = 1, .status = NACRE_IO});
    expect_read(&w, 0, 64, NACRE_IO, "data file");
    sim_disk_fault(w.disk, (SimFault){.kinds = SIM_READ | SIM_SIZE, .nth = 1, .forever = true, .status = NACRE_IO});
    expect_read(&w, EXTENT_SIZE - 64, 64, NACRE_IO, "data file");
    world_close(&w);
}

static void after_a_failed_sync_nothing_is_written(void) {
    World w;
    Superblock superblock = {.generation = 1};
    world_new(&w);
    CHECK_EQ(data_write(&w.data, &w.extents, 0, "x", 1), NACRE_OK);
    sim_disk_fault(w.disk, (SimFault){.kinds = SIM_SYNC, .nth = 1, .status = NACRE_IO});
    CHECK_EQ(data_sync(&w.data), NACRE_IO);
    uint64_t before = sim_disk_hash(w.disk);
    for (int i = 0; i < 3; i++) {
        env_clear(&w.env);
        CHECK_EQ(i == 0   ? data_write(&w.data, &w.extents, 1, "y", 1)
                 : i == 1 ? data_sync(&w.data)
                          : superblock_write(&w.data, &superblock),
                 NACRE_IO);
        CHECK(strstr(w.env.error.text, "reopen"));
    }
    CHECK_EQ(sim_disk_hash(w.disk), before);
    world_close(&w);
}

/* A file as memory, of which only the size is asked. */
typedef struct Mapped {
    uint64_t size;
    nacre_status status;
} Mapped;

static nacre_status mapped_size(VfsFile *file, uint64_t *size) {
    const Mapped *m = (const Mapped *)(const void *)file;
    if (m->status == NACRE_OK) *size = m->size;
    return m->status;
}

static nacre_status mapped_map(VfsFile *file, const uint8_t **bytes, uint64_t *size) {
    (void)bytes, (void)size;
    return ((const Mapped *)(const void *)file)->status;
}

static const char *mapped_message(void *self) {
    (void)self;
    return "no addresses";
}

/* Only what lies together, within the addresses and before the end of the file may be touched. */
static void mapped_bytes_lie_together_and_in_the_file(void) {
    static const uint8_t memory[4 * EXTENT_SIZE] = {0};
    static uint32_t order[3] = {3, 1, 2};
    const ExtentList extents = {order, 3, 3};
    Mapped m = {.size = 4 * EXTENT_SIZE, .status = NACRE_OK};
    const Vfs vfs = {.size = mapped_size};
    Env env;
    env_init(&env, &vfs, NULL, 1 << 20);
    DataFile data = {.env = &env, .name = "db", .file = (VfsFile *)(void *)&m, .map_size = 4 * EXTENT_SIZE};
    CHECK_EQ(data_map(&data), NACRE_UNSUPPORTED); /* these files cannot be */
    const Vfs failing = {.size = mapped_size, .map = mapped_map, .message = mapped_message};
    env.vfs = &failing;
    m.status = NACRE_IO;
    env_clear(&env);
    CHECK_EQ(data_map(&data), NACRE_IO);
    CHECK(strstr(env.error.text, "no addresses"));
    env.vfs = &vfs;
    m.status = NACRE_OK;
    data.map_size = 4 * EXTENT_SIZE;
    CHECK(!data_mapped(&data, &extents, 0, 1)); /* and so nothing is shown */
    data.map = memory;
    CHECK(data_mapped(&data, &extents, EXTENT_SIZE, 2 * EXTENT_SIZE) == memory + EXTENT_SIZE); /* 1 and 2 are neighbours */
    CHECK(!data_mapped(&data, &extents, EXTENT_SIZE - 1, 2)); /* 3 and 1 are not */
    CHECK(!data_mapped(&data, &extents, 3 * EXTENT_SIZE, 1));
    CHECK(data_mapped(&data, &extents, 0, EXTENT_SIZE) == memory + 3 * EXTENT_SIZE);
    m.size = 4 * EXTENT_SIZE - 1; /* it was cut: whoever cuts it says so */
    data.map_end = 0;
    CHECK(data_mapped(&data, &extents, 0, EXTENT_SIZE - 1) != NULL);
    CHECK(!data_mapped(&data, &extents, 0, EXTENT_SIZE));
    m.status = NACRE_IO;
    CHECK(!data_mapped(&data, &extents, 0, EXTENT_SIZE));
    CHECK_EQ(data.map_end, 0);
    m = (Mapped){.size = 4 * EXTENT_SIZE, .status = NACRE_OK};
    data.map_size = 3 * EXTENT_SIZE - 1; /* fewer addresses than file */
    CHECK(!data_mapped(&data, &extents, 0, 1));
    CHECK(!data_mapped(&data, &extents, 2 * EXTENT_SIZE, EXTENT_SIZE));
    CHECK(data_mapped(&data, &extents, 2 * EXTENT_SIZE, EXTENT_SIZE - 1) != NULL);
}

/* Lists of extents from a file. */
static void extents_that_no_file_has_are_refused(void) {
    static const struct {
        uint32_t runs, pairs[4];
        size_t size;
        uint64_t limit;
        nacre_status want;
    } rows[] = {
        {1, {1, 3}, 12, 4, NACRE_OK},
        {2, {1, 1, 3, 1}, 20, 4, NACRE_OK},
        {1, {1, 4}, 12, 4, NACRE_CORRUPT},          /* beyond the file */
        {1, {0, 1}, 12, 4, NACRE_CORRUPT},          /* the superblocks' */
        {1, {1, 0}, 12, 4, NACRE_CORRUPT},
        {1, {UINT32_MAX, 2}, 12, UINT64_MAX, NACRE_CORRUPT}, /* no file is so large, whatever it says */
        {2, {1, 3, 1, 3}, 20, 4, NACRE_CORRUPT},    /* more than the file has, in small pieces */
        {2, {1, 1, 3, 1}, 16, 4, NACRE_CORRUPT},    /* cut short */
        {UINT32_MAX, {1, 1, 3, 1}, 20, 4, NACRE_CORRUPT},
        {0, {0}, 2, 4, NACRE_CORRUPT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Env env;
        ExtentList list = {0};
        uint8_t bytes[20];
        env_init(&env, NULL, NULL, 1 << 20);
        put_u32(bytes, rows[i].runs);
        for (int k = 0; k < 4; k++) put_u32(bytes + 4 + 4 * k, rows[i].pairs[k]);
        ByteReader r = br_over(span_of(bytes, rows[i].size));
        CHECK_EQ(extent_list_decode(&env, "db", &r, rows[i].limit, &list), rows[i].want);
        extent_list_clear(&env, &list);
        CHECK_EQ(env.memory_used, 0);
    }
}

/* A file too short for its superblocks, and not to be read either. */
static void a_short_file_that_fails_is_a_failure(void) {
    World w;
    Superblock superblock;
    SlotState state;
    world_new(&w);
    CHECK_EQ(data_truncate(&w.data, 100), NACRE_OK);
    for (int fails = 0; fails < 2; fails++) {
        if (fails) sim_disk_fault(w.disk, (SimFault){.kinds = SIM_READ, .nth = 1, .status = NACRE_IO});
        CHECK_EQ(superblock_read(&w.data, 0, &superblock, &state), fails ? NACRE_IO : NACRE_OK);
        if (!fails) CHECK_EQ(state, SLOT_FOREIGN);
    }
    world_close(&w);
}

static void of_no_extents_none_is_used(void) {
    Env env;
    ExtentMap map;
    env_init(&env, NULL, NULL, 1 << 20);
    extent_map_init(&map, &env, 0);
    extent_map_recount(&map);
    CHECK_EQ(extent_map_used(&map), 0);
    CHECK_EQ(extent_map_end(&map), 0);
    extent_map_clear(&map);
}

void data_file_test(void) {
    RUN(a_short_file_that_fails_is_a_failure);
    RUN(of_no_extents_none_is_used);
    RUN(streams_end_with_their_extents);
    RUN(what_a_file_does_not_give_is_damage_or_a_failure);
    RUN(after_a_failed_sync_nothing_is_written);
    RUN(mapped_bytes_lie_together_and_in_the_file);
    RUN(extents_that_no_file_has_are_refused);
}
