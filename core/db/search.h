/* search.h - what the parts of a search share: the k nearest so far, and the row of a slot. */
#ifndef DB_SEARCH_H
#define DB_SEARCH_H

#include "db/filter.h"
#include "db/state.h"
#include "vector/metric.h"

typedef struct Candidate {
    float distance;
    uint8_t *key; /* with the membrane's id; owned */
    size_t key_size, key_capacity;
    const uint8_t *record; /* in a memtable, or: */
    Segment *segment;
    uint32_t block, row;
} Candidate;

typedef struct Search {
    Db *db;
    Membrane *membrane;
    const Snapshot *view;
    const SearchQuery *query;
    MetricQuery metric;
    float *room; /* of the metric */
    size_t room_size;
    Filter *filter;
    bool masked; /* what is considered is known to match */
    uint64_t filter_asked, filter_matched; /* rows that the filter was asked about */
    uint32_t k;
    float recall;         /* wanted */
    float limit;          /* no row farther than this is asked for */
    uint64_t deadline_ms; /* 0: none */
    uint64_t segments;    /* that had vectors to score */
    uint64_t scored_memory, scored_flat; /* bytes of vectors in memtables, and of codes above the last level */
    nacre_search_path path;
    Candidate *heap; /* the farthest first */
    uint32_t count;
    size_t capacity;
    float *scores;
    size_t place; /* among the view's sources, of the one being scored */
    ViewSource source;
    uint8_t *scratch, *key, *blob;
    size_t scratch_capacity, key_capacity, blob_capacity;
    struct Coded *coded; /* sections that have codes; NULL: none yet */
    /* the segment being scored */
    Segment *segment;
    Section section;
    Block block;
    uint32_t block_index;
    CacheEntry *block_pin;
} Search;

/* The distance up to which a row might be among the k nearest. At it the key decides. */
static inline float search_limit(const Search *s) { return s->count < s->k ? s->limit : s->heap[0].distance; }

static inline bool search_wants(const Search *s, float distance) { return distance <= search_limit(s); }

/* NACRE_TIMEOUT, when the time is over. */
NACRE_CHECKED nacre_status search_in_time(const Search *s);
/* Is the row of a slot known to be gone? */
bool search_known_dead(const Search *s, const Segment *segment, uint32_t slot);
/* The row of a slot of s->segment, which is so near, goes among the k nearest if it is the newest
 * of its key and matches the filter. s->place, source and section are the segment's. */
NACRE_CHECKED nacre_status search_consider(Search *s, uint32_t slot, float distance);
void search_leave_block(Search *s);
/* Scores the vectors of s->section, which the search stands on. */
NACRE_CHECKED nacre_status search_section(Search *s);

/* ---- segments with codes (search_codes.c) ---- */

/* Takes the section under way aside, if it has codes and the query may use them: *taken. */
NACRE_CHECKED nacre_status coded_take(Search *s, bool *taken);
/* Searches what was taken. */
NACRE_CHECKED nacre_status coded_search(Search *s);
void coded_free(Search *s);

#endif
