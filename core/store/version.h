/* version.h - the segments of one state of the database, and its bytes as a manifest. */
#ifndef STORE_VERSION_H
#define STORE_VERSION_H

#include "segment/segment.h"
#include "store/manifest_format.h"

typedef struct Run {
    uint64_t id;
    uint32_t tier;
    Segment **segments; /* a reference on each */
    size_t count, capacity;
    uint8_t *above;     /* manifest_format.h, rule 3 */
    size_t above_size;
} Run;

/* Counted. Changed only before it is published; then shared by whoever reads. */
typedef struct Version {
    Env *env;
    uint32_t references;
    Run *runs; /* newest first */
    size_t count, capacity;
    Run feed;  /* the archive of changes; of no segments: none. Not among the runs: no reader of rows meets it */
    struct Version *newer, *older; /* all that live, of the database */
    struct Version **all;
} Version;

/* `all` heads the list of the database's living versions. */
NACRE_CHECKED nacre_status version_alloc(Env *env, Version **all, Version **version);
NACRE_CHECKED nacre_status version_copy(const Version *from, Version **version);
void version_retain(Version *version);
void version_release(Version *version); /* NULL is fine */

NACRE_CHECKED nacre_status version_insert_run(Version *version, size_t at, uint64_t id, uint32_t tier);
void version_remove_run(Version *version, size_t at);
/* Index of the run, or count. */
size_t version_find_run(const Version *version, uint64_t id);
/* The segment of `version` that is the same as this one, in the same place; NULL: none is. */
Segment *version_find_segment(const Version *version, const Segment *segment);
/* Takes another reference on the segment. */
NACRE_CHECKED nacre_status run_append(Env *env, Run *run, Segment *segment);
/* Hides keys <= above, and drops the segments that are wholly below. */
NACRE_CHECKED nacre_status run_trim(Env *env, Run *run, Span above);
/* The same of one that nobody has checked: NACRE_CORRUPT unless it can be a segment, behind
 * those before it. */
NACRE_CHECKED nacre_status run_append_checked(SegmentIo *io, Run *run, Segment *segment);
/* Copies the bound; for one that has none yet. */
NACRE_CHECKED nacre_status run_set_above(Env *env, Run *run, Span above);
uint64_t run_bytes(const Run *run);

/* The runs and the feed, for what concerns all segments. */
static inline size_t version_run_count(const Version *version) { return version->count + 1; }
static inline Run *version_run_at(const Version *version, size_t at) {
    return at < version->count ? &version->runs[at] : (Run *)&version->feed;
}

void run_clear(Env *env, Run *run);
/* Forgets the first segment. */
void run_remove_first(Run *run);

void version_mark(const Version *version, ExtentMap *map, uint8_t mark);
uint64_t version_bytes(const Version *version);
uint64_t version_segments(const Version *version);

typedef struct ManifestIds {
    uint64_t next_segment, next_run;
} ManifestIds;

/* The seal's, and the copy of the catalog. */
typedef struct ManifestTail {
    Span catalog; /* of bytes, borrowed; empty in shapes 0 and 1 */
    bool sealed;  /* shape 2: what follows is known */
    uint8_t database_id[16];
    uint64_t generation, epoch, flushed_lsn;
} ManifestTail;

size_t manifest_size(const Version *version, size_t catalog_size);
void manifest_encode(const Version *version, ManifestIds ids, const ManifestTail *tail, uint8_t *out, size_t size);
/* `extent_limit`: extents that the file has. NACRE_CORRUPT says what is wrong. */
NACRE_CHECKED nacre_status manifest_decode(SegmentIo *io, Span bytes, uint64_t extent_limit, Version *version,
                                           ManifestIds *ids);
/* The same of bytes that nothing has proved, and that may go on behind it: *size are its own.
 * On failure `version` has what came before the place of the damage, and *size says where
 * that is. */
NACRE_CHECKED nacre_status manifest_parse(SegmentIo *io, Span bytes, uint64_t extent_limit, Version *version,
                                          ManifestIds *ids, ManifestTail *tail, size_t *size);
/* One segment of it, behind the others of `run`. */
NACRE_CHECKED nacre_status manifest_parse_segment(SegmentIo *io, ByteReader *reader, uint64_t extent_limit, Run *run);

#endif
