/* space.c - whose the bytes of the file are, and how many of them are still needed. Reads
 * only, and little: sections, fences, and a sample of blocks.
 *
 * 1. The bytes of a membrane are those of extents that hold its rows, overwritten ones that
 *    no merge has met yet included, and its records in memory.
 * 2. Live is what the newest state needs of segments and memtables: about what is left of
 *    them after a compaction. Whether a row is still the newest one of its key is asked of a
 *    sample of rows (SAMPLE_ROWS, from blocks at equal distances): with 3 000 of them the
 *    share is known within 1 % of the whole (one standard error) at worst. A database
 *    with few rows is looked at whole. */
#include "db/state.h"

enum { SAMPLE_ROWS = 3000, SAMPLE_BLOCKS_MIN = 32, SAMPLE_BLOCKS_MAX = 1024, BLOB_LOOK = 128 };

/* ---- one membrane ---- */

/* Where `bound` stands in a segment's rows, in pages; meta is pinned. */
static nacre_status space_page_of(Segment *segment, Span bound, double *page) {
    uint32_t index = segment_block_of(segment, bound);
    const uint8_t *pages = segment->meta.pages + 4 * (size_t)index;
    Block block;
    CacheEntry *pin = NULL;
    bool equal;
    TRY(segment_block(segment, index, &block, &pin));
    double share = (double)block_seek(&block, bound, &equal) / (double)block.count;
    *page = (double)get_u32(pages) + share * (double)(get_u32(pages + 4) - get_u32(pages));
    cache_unpin(segment->io->cache, pin);
    return NACRE_OK;
}

/* Looks through blocks from `index` on, `way` +1 or -1, for a row with a blob that lies on this
 * side of `bound`; of at most BLOB_LOOK blocks. */
WRAPS static nacre_status space_blob_near(Segment *segment, uint32_t index, int way, Span bound, BlobRef *blob, bool *found) {
    *found = false;
    for (uint32_t looked = 0; looked < BLOB_LOOK && index < segment->meta.block_count && !*found; looked++) {
        Block block;
        CacheEntry *pin = NULL;
        bool equal;
        TRY(segment_block(segment, index, &block, &pin));
        uint32_t at = block_seek(&block, bound, &equal), from = way > 0 ? at : 0, to = way > 0 ? block.count : at;
        for (uint32_t i = from; i < to && !*found; i++) {
            Entry entry;
            segment_entry(segment, &block, way > 0 ? i : to - 1 - (i - from), &entry);
            *found = (entry.flags & ENTRY_BLOB) != 0;
            if (*found) *blob = entry.blob;
        }
        cache_unpin(segment->io->cache, pin);
        index += (uint32_t)way; /* below 0: past the end, too */
    }
    return NACRE_OK;
}

/* Bytes of the blobs of rows from `low` to `high`: they lie one after the other, in the order
 * of rows. Where none is near either end, there are few or none. */
static nacre_status space_of_blobs(Segment *segment, Span low, Span high, double *bytes) {
    BlobRef first = {0}, last = {0};
    bool found = false;
    *bytes = 0;
    if (segment->streams[STREAM_BLOBS].size == 0) return NACRE_OK;
    TRY(space_blob_near(segment, segment_block_of(segment, low), 1, low, &first, &found));
    if (!found) return NACRE_OK;
    TRY(space_blob_near(segment, segment_block_of(segment, high), -1, high, &last, &found));
    if (found && last.offset >= first.offset) *bytes = (double)(last.offset + last.size - first.offset);
    return NACRE_OK;
}

/* The part of a stream, grown to the extents that it takes. */
static double space_of_stream(const Segment *segment, uint32_t stream, double part) {
    const Stream *s = &segment->streams[stream];
    return s->size ? part / (double)s->size * (double)s->extents.count * (double)EXTENT_SIZE : 0;
}

static nacre_status space_of_section(Segment *segment, const Section *section, double *bytes) {
    uint8_t low[4], high[4];
    double from = 0, to = 0, pages = (double)get_u32(segment->meta.pages + 4 * (size_t)segment->meta.block_count);
    put_u32_be(low, section->membrane);
    put_u32_be(high, section->membrane + 1);
    TRY(space_page_of(segment, span_of(low, 4), &from));
    TRY(space_page_of(segment, span_of(high, 4), &to));
    double share = pages > 0 ? (to - from) / pages : 0, blobs = 0;
    TRY(space_of_blobs(segment, span_of(low, 4), span_of(high, 4), &blobs));
    *bytes += space_of_stream(segment, STREAM_ROWS, share * (double)segment->streams[STREAM_ROWS].size) +
              space_of_stream(segment, STREAM_VECTORS, (double)section->stride * (double)section->slot_count) +
              space_of_stream(segment, STREAM_BLOBS, blobs);
    uint64_t vectors = segment->streams[STREAM_VECTORS].size;
    double coded = vectors ? (double)section->stride * (double)section->slot_count / (double)vectors : 0;
    *bytes += space_of_stream(segment, STREAM_CODES, coded * (double)segment->streams[STREAM_CODES].size);
    return NACRE_OK;
}

static nacre_status space_in_segment(Segment *segment, uint32_t membrane, double *bytes) {
    CacheEntry *pin = NULL;
    Section section;
    nacre_status status = NACRE_OK;
    TRY(segment_pin_meta(segment, &pin));
    if (segment->meta.section_count == 1)
        *bytes += segment_section(segment, 0).membrane == membrane ? (double)segment_bytes(segment) : 0;
    else if (segment_find_section(segment, membrane, &section))
        status = space_of_section(segment, &section, bytes);
    cache_unpin(segment->io->cache, pin);
    return status;
}

static uint64_t space_of_record(const uint8_t *record) {
    return record_size(record_key_size(record), record_value_size(record));
}

/* The records that a membrane has in memory. */
static uint64_t space_in_table(const Memtable *table, uint32_t membrane) {
    MemCursor cursor;
    uint64_t bytes = 0;
    uint8_t bound[4];
    put_u32_be(bound, membrane);
    mem_cursor_init(&cursor, table, UINT32_MAX);
    for (bool on = mem_cursor_seek(&cursor, span_of(bound, 4));
         on && memcmp(cursor.record + RECORD_HEAD, bound, 4) == 0; on = mem_cursor_next(&cursor))
        bytes += space_of_record(cursor.record);
    return bytes;
}

nacre_status membrane_bytes(Membrane *membrane, uint64_t *bytes) {
    Db *db = membrane->db;
    TRY(membrane_check(membrane));
    double sum = 0;
    const Version *version = db->version;
    for (size_t i = 0; i < version->count; i++)
        for (size_t s = 0; s < version->runs[i].count; s++) {
            Segment *segment = version->runs[i].segments[s];
            if (segment_spans(segment, membrane->id)) TRY(space_in_segment(segment, membrane->id, &sum));
        }
    *bytes = (uint64_t)sum + space_in_table(db->active, membrane->id);
    if (db->frozen) *bytes += space_in_table(db->frozen, membrane->id);
    return NACRE_OK;
}

/* ---- what is live ---- */

typedef struct Sample {
    double all, live; /* bytes of rows that were looked at; of those that are the newest of their keys */
    uint64_t step, next; /* pages between blocks that are looked at; until the next one */
    uint8_t *key;
    size_t key_capacity;
    BlocksAhead ahead;
} Sample;

static nacre_status sample_row(Db *db, Sample *sample, size_t run, Segment *segment, const Block *block,
                               uint32_t row) {
    Entry entry;
    bool gone = true;
    const Run *in = &db->version->runs[run];
    TRY(segment_row_key(&db->env, block, row, &sample->key, &sample->key_capacity, &entry.key));
    segment_entry(segment, block, row, &entry);
    double bytes = (double)(entry.key.size + entry.value.size);
    if (entry.flags & ENTRY_BLOB) bytes += (double)entry.blob.size;
    if (entry.flags & ENTRY_VECTOR) {
        const Membrane *membrane = catalog_by_id(db, get_u32_be(entry.key.data));
        bytes += membrane ? (double)schema_vector_size(&membrane->schema) : 0;
    }
    bool moved = in->above_size && span_compare(entry.key, span_of(in->above, in->above_size)) <= 0;
    if (!moved && !state_gone(db, &entry) && !maintain_dropped(db, get_u32_be(entry.key.data)))
        TRY(view_shadowed(db, state_view(db, NULL), entry.key, 2 + run, &gone));
    sample->all += bytes;
    sample->live += gone ? 0 : bytes;
    return NACRE_OK;
}

static nacre_status sample_block(Db *db, Sample *sample, size_t run, Segment *segment, uint64_t page) {
    uint32_t low = 0, high = segment->meta.block_count;
    while (high - low > 1) { /* the last block that begins at the page or before */
        uint32_t middle = low + (high - low) / 2;
        if (get_u32(segment->meta.pages + 4 * (size_t)middle) <= page) low = middle;
        else high = middle;
    }
    Block block;
    TRY(segment_block_ahead(segment, low, 0, &sample->ahead, &block));
    for (uint32_t row = 0; row < block.count; row++) TRY(sample_row(db, sample, run, segment, &block, row));
    return NACRE_OK;
}

static nacre_status sample_segment(Db *db, Sample *sample, size_t run, Segment *segment) {
    uint64_t pages = segment->meta_offset / segment->page_size;
    CacheEntry *pin = NULL;
    nacre_status status = NACRE_OK;
    if (sample->next < pages) TRY(segment_pin_meta(segment, &pin));
    for (; sample->next < pages && status == NACRE_OK; sample->next += sample->step)
        status = sample_block(db, sample, run, segment, sample->next);
    sample->next -= status == NACRE_OK ? pages : 0;
    cache_unpin(&db->cache, pin);
    return status;
}

/* Of the records in memory those that are the newest of their keys, without heads: in a block
 * what is written beside key and value is about what a shared prefix saves. */
static uint64_t space_live_in_tables(const Db *db) {
    MemCursor cursor;
    uint64_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        const Memtable *table = i ? db->frozen : db->active;
        if (!table) continue;
        mem_cursor_init(&cursor, table, UINT32_MAX);
        for (bool on = mem_cursor_first(&cursor); on; on = mem_cursor_next(&cursor)) {
            bool newest = i == 0 || !memtable_get(db->active, record_key(cursor.record), UINT32_MAX);
            if (newest && !(record_flags(cursor.record) & RECORD_DELETE))
                bytes += record_key_size(cursor.record) + record_value_size(cursor.record);
        }
    }
    return bytes;
}

/* Bytes of streams, without the empty ends of extents. */
static uint64_t space_filled(const Run *run) {
    uint64_t bytes = 0;
    for (size_t s = 0; s < run->count; s++)
        for (int k = 0; k < STREAM_COUNT; k++) bytes += run->segments[s]->streams[k].size;
    return bytes;
}

nacre_status space_live(Db *db, uint64_t *live) {
    const Version *version = db->version;
    uint64_t pages = 0, rows = 0, bytes = 0;
    double ends = 2; /* what empty ends of extents add in the run where they add least: of long segments */
    Sample sample = {0};
    nacre_status status = NACRE_OK;
    for (size_t i = 0; i < version->count; i++) {
        uint64_t filled = space_filled(&version->runs[i]);
        bytes += filled;
        if (filled && (double)run_bytes(&version->runs[i]) / (double)filled < ends)
            ends = (double)run_bytes(&version->runs[i]) / (double)filled;
        for (size_t s = 0; s < version->runs[i].count; s++) {
            const Segment *segment = version->runs[i].segments[s];
            pages += segment->meta_offset / segment->page_size;
            rows += segment->rows;
        }
    }
    uint64_t blocks = rows ? pages * SAMPLE_ROWS / rows : 0;
    if (blocks < SAMPLE_BLOCKS_MIN) blocks = SAMPLE_BLOCKS_MIN;
    if (blocks > SAMPLE_BLOCKS_MAX) blocks = SAMPLE_BLOCKS_MAX;
    sample.step = pages > blocks ? pages / blocks : 1;
    sample.next = sample.step / 2;
    for (size_t i = 0; i < version->count; i++)
        for (size_t s = 0; s < version->runs[i].count; s++)
            TRY_OUT(sample_segment(db, &sample, i, version->runs[i].segments[s]));
    double share = sample.all > 0 ? sample.live / sample.all : 1;
    *live = (uint64_t)(share * (double)bytes * ends) + space_live_in_tables(db);
out:
    env_free(&db->env, sample.key, sample.key_capacity);
    env_free(&db->env, sample.ahead.bytes, sample.ahead.capacity);
    return status;
}
