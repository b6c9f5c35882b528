/* data_file.h - the file NAME as streams of bytes laid into extents. */
#ifndef STORE_DATA_FILE_H
#define STORE_DATA_FILE_H

#include "store/extents.h"

typedef struct DataFile {
    Env *env;
    const char *name; /* borrowed from the database */
    VfsFile *file;
    uint64_t unsynced; /* bytes written since the last sync */
    uint64_t written;  /* bytes, ever; for write amplification */
    uint64_t syncs;
    bool broken;       /* a sync failed: what is on the device is unknown */
    const uint8_t *map;  /* the file as memory; NULL: it is not mapped */
    uint64_t map_size;   /* addresses */
    uint64_t map_end;    /* of them, those that lie in the file for sure */
} DataFile;

/* From now on data_mapped answers. NACRE_UNSUPPORTED: the host's files cannot be mapped. */
NACRE_CHECKED nacre_status data_map(DataFile *data);
/* Bytes [offset, offset + size) of the stream, where they lie together and in the file;
 * NULL: to be read. Good while their extents belong to the stream. */
const uint8_t *data_mapped(DataFile *data, const ExtentList *extents, uint64_t offset, size_t size);
NACRE_CHECKED nacre_status data_truncate(DataFile *data, uint64_t size);

/* Bytes [offset, offset + size) of the stream in `extents`. A range beyond the
 * extents, or beyond the end of the file, is NACRE_CORRUPT. */
NACRE_CHECKED nacre_status data_read(DataFile *data, const ExtentList *extents, uint64_t offset, void *into,
                                     size_t size);
/* Within the extents. */
NACRE_CHECKED nacre_status data_write(DataFile *data, const ExtentList *extents, uint64_t offset,
                                      const void *from, size_t size);
NACRE_CHECKED nacre_status data_sync(DataFile *data);

#endif
