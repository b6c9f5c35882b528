/* superblock_test.c - the two slots (B08, B10, B20): what is written is read, in the slot
 * of its generation, and anything else is told apart: damage, another version, no file of
 * ours, nothing. */
#include "lib/check.h"
#include "lib/sim_disk.h"
#include "base/checksum.h"
#include "store/superblock.h"

#include <string.h>

typedef struct World {
    SimDisk *disk;
    Env env;
    DataFile data;
} World;

static void world_open(World *w) {
    w->disk = sim_disk_new(1);
    env_init(&w->env, sim_disk_vfs(w->disk), NULL, 1 << 20);
    w->data = (DataFile){.env = &w->env, .name = "data"};
    CHECK_EQ(w->env.vfs->open(w->env.vfs->self, "data", VFS_CREATE, &w->data.file), NACRE_OK);
    CHECK_EQ(w->env.vfs->truncate(w->data.file, 10 * EXTENT_SIZE), NACRE_OK);
}

static void world_close(World *w) {
    w->env.vfs->close(w->data.file);
    CHECK_EQ(w->env.memory_used, 0);
    sim_disk_free(w->disk);
}

static void write_generation(World *w, uint64_t generation, size_t extents) {
    Superblock sb = {.database_id = {9, 8, 7}, .generation = generation, .epoch = generation + 1,
                     .flushed_lsn = generation + 2, .synced_lsn = generation + 3, .manifest_size = generation + 4,
                     .manifest_checksum = UINT64_MAX - generation};
    for (size_t i = 0; i < extents; i++) CHECK_EQ(extent_list_add(&w->env, &sb.manifest, 9 - (uint32_t)i % 8), NACRE_OK);
    CHECK_EQ(superblock_write(&w->data, &sb), NACRE_OK);
    superblock_clear(&w->env, &sb);
}

static SlotState read_slot(World *w, int slot) {
    Superblock sb;
    SlotState state;
    CHECK_EQ(superblock_read(&w->data, slot, &sb, &state), NACRE_OK);
    superblock_clear(&w->env, &sb);
    return state;
}

static void each_generation_is_read_from_its_slot(void) {
    World w;
    world_open(&w);
    CHECK_EQ(read_slot(&w, 0), SLOT_EMPTY);
    CHECK_EQ(read_slot(&w, 1), SLOT_EMPTY);
    for (uint64_t generation = 1; generation < 20; generation++) {
        write_generation(&w, generation, (size_t)generation % 9);
        for (uint64_t g = generation > 1 ? generation - 1 : 1; g <= generation; g++) { /* the one before stays */
            Superblock sb;
            SlotState state;
            CHECK_EQ(superblock_read(&w.data, (int)(g % 2), &sb, &state), NACRE_OK);
            CHECK_EQ(state, SLOT_VALID);
            CHECK_EQ(sb.generation, g);
            CHECK_EQ(sb.epoch, g + 1);
            CHECK_EQ(sb.flushed_lsn, g + 2);
            CHECK_EQ(sb.synced_lsn, g + 3);
            CHECK_EQ(sb.manifest_size, g + 4);
            CHECK(sb.manifest_checksum == UINT64_MAX - g);
            CHECK_EQ(sb.database_id[0], 9);
            CHECK_EQ(sb.manifest.count, g % 9);
            for (size_t i = 0; i < sb.manifest.count; i++) CHECK_EQ(sb.manifest.items[i], 9 - i);
            superblock_clear(&w.env, &sb);
        }
    }
    world_close(&w);
}

static void every_flipped_bit_is_damage(void) {
    World w;
    world_open(&w);
    write_generation(&w, 2, 5);
    write_generation(&w, 3, 5);
    for (int slot = 0; slot < 2; slot++)
        for (uint64_t bit = 0; bit < SUPERBLOCK_SIZE * 8; bit++) {
            uint64_t at = (slot ? SUPERBLOCK_SLOT : 0) * UINT64_C(8) + bit;
            sim_disk_flip(w.disk, "data", at);
            SlotState state = read_slot(&w, slot);
            CHECK(state != SLOT_VALID && state != SLOT_EMPTY);
            CHECK_EQ(state == SLOT_FOREIGN, bit < 64);    /* no magic: no file of ours */
            CHECK(bit < 96 || state == SLOT_DAMAGED); /* the version's bits: it may be one */
            CHECK(state != SLOT_VERSION);             /* but not surely */
            if (bit % 512 == 0) CHECK_EQ(read_slot(&w, 1 - slot), SLOT_VALID);
            sim_disk_flip(w.disk, "data", at);
        }
    world_close(&w);
}

/* B21: cut short at every byte. */
static void a_file_that_is_cut_short_has_no_valid_slot(void) {
    World w;
    world_open(&w);
    write_generation(&w, 2, 1);
    write_generation(&w, 3, 1);
    for (uint64_t size = SUPERBLOCK_SLOT + SUPERBLOCK_SIZE - 1; size > 0; size--) {
        sim_disk_resize(w.disk, "data", size);
        CHECK(read_slot(&w, 1) != SLOT_VALID);
        if (size < SUPERBLOCK_SIZE) CHECK(read_slot(&w, 0) != SLOT_VALID);
    }
    sim_disk_resize(w.disk, "data", 0);
    CHECK_EQ(read_slot(&w, 0), SLOT_EMPTY);
    world_close(&w);
}

/* Edits a slot's bytes and makes the checksum right again. */
static void edit(World *w, size_t at, uint32_t value) {
    uint8_t bytes[SUPERBLOCK_SIZE];
    CHECK_EQ(w->env.vfs->read(w->data.file, 0, bytes, sizeof bytes), NACRE_OK);
    put_u32(bytes + at, value);
    put_u64(bytes + SUPERBLOCK_SIZE - 8, checksum64(0, bytes, SUPERBLOCK_SIZE - 8));
    CHECK_EQ(w->env.vfs->write(w->data.file, 0, bytes, sizeof bytes), NACRE_OK);
}

/* B10: another version is told from damage, and both from files of others. */
static void versions_and_foreign_files_are_told_apart(void) {
    World w;
    world_open(&w);
    write_generation(&w, 2, 1);
    for (uint32_t version = 0; version < 5; version++) {
        edit(&w, 8, version);
        bool known = version == 1 || version == 2;
        CHECK_EQ(read_slot(&w, 0), known ? SLOT_VALID : SLOT_VERSION);
    }
    edit(&w, 0, 0x53514c69); /* "SQLi" */
    CHECK_EQ(read_slot(&w, 0), SLOT_FOREIGN);
    world_close(&w);
}

/* B20: lists that lie, under a checksum that is right, are damage of the slot. */
static void a_manifest_outside_the_file_is_damage(void) {
    static const uint32_t rows[][3] = {{1, 0, 1}, {1, 10, 1}, {1, 9, 2}, {1, 1, UINT32_MAX}, {1, 1, 0}, {300, 1, 1}, {UINT32_MAX, 1, 1}};
    World w;
    world_open(&w);
    write_generation(&w, 2, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t f = 0; f < 3; f++) edit(&w, 80 + 4 * f, rows[i][f]);
        CHECK_EQ(read_slot(&w, 0), SLOT_DAMAGED);
        CHECK_EQ(w.env.error.code, NACRE_OK); /* the other slot may be right */
    }
    uint64_t random = test_seed() + 120;
    for (int round = 0; round < 3000; round++) {
        edit(&w, 8 + (size_t)(test_random(&random) % 120), (uint32_t)(test_random(&random) >> test_random(&random) % 32));
        (void)read_slot(&w, 0);
    }
    world_close(&w);
}

static void failures_of_the_file_go_up(void) {
    World w;
    Superblock sb;
    SlotState state;
    world_open(&w);
    write_generation(&w, 2, 1);
    sim_disk_fault(w.disk, (SimFault){.kinds = SIM_READ, .nth = 1, .forever = true, .way = SIM_FAULT_FAIL, .status = NACRE_IO});
    CHECK_EQ(superblock_read(&w.data, 0, &sb, &state), NACRE_IO);
    sim_disk_fault(w.disk, (SimFault){.kinds = SIM_WRITE, .nth = 1, .forever = true, .way = SIM_FAULT_FAIL, .status = NACRE_QUOTA});
    CHECK_EQ(superblock_write(&w.data, &(Superblock){.generation = 3}), NACRE_QUOTA);
    world_close(&w);
}

void superblock_test(void) {
    RUN(each_generation_is_read_from_its_slot);
    RUN(every_flipped_bit_is_damage);
    RUN(a_file_that_is_cut_short_has_no_valid_slot);
    RUN(versions_and_foreign_files_are_told_apart);
    RUN(a_manifest_outside_the_file_is_damage);
    RUN(failures_of_the_file_go_up);
}
