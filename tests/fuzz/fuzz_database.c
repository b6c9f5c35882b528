/* fuzz_database.c - hostile files: patches over one of the bases, checksums made right, then
 * opened, read, verified, written to, merged and opened again.
 *
 *   input := base u8 | flags u8 | patch*         patch: patch.c */
#include "fuzz/fuzz.h"

enum { FLAG_READ = 1, FLAG_ONCE = 8 };

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    patches_begin();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    FuzzDisk disk;
    uint32_t flags = patches_disk(&disk, &in);
    open_and_visit(&disk, flags & FLAG_READ, flags & FLAG_ONCE ? 1 : 2);
    fuzz_disk_clear(&disk);
    return 0;
}
