/* fields.c - reads STREAM_FIELDS. Directory and pages are entries of the cache, checked whole when
 * they come into it. */
#include "segment/fields.h"

#include "segment/fields_format.h"
#include "segment/spare.h"

enum { PAGE_ROWS = 12 }; /* where a page in the cache says, instead of zeros, below what its numbers are */

#define PLACE_FIELDS(number) ((uint64_t)STREAM_FIELDS << 56 | (number))

static nacre_status fields_corrupt(const Segment *segment, uint64_t offset, const char *what) {
    return env_fail(segment->io->env, NACRE_CORRUPT, "%s: offset %llu: segment %llu: indexed fields: %s",
                    segment->io->data->name, (unsigned long long)segment_place(segment, STREAM_FIELDS, offset),
                    (unsigned long long)segment->id, what);
}

/* ---- the directory ---- */

static void fields_lay(const CacheEntry *pin, SegmentFields *f) {
    const uint8_t *tail = pin->data + pin->size - FIELDS_TAIL_SIZE;
    f->entry_count = get_u32(tail);
    f->block_count = get_u32(tail + 4);
    f->entries = pin->data;
    f->before = pin->data + (size_t)FIELDS_ENTRY_SIZE * f->entry_count;
}

FieldIndex fields_entry(const SegmentFields *f, uint32_t index) {
    const uint8_t *e = f->entries + (size_t)FIELDS_ENTRY_SIZE * index;
    return (FieldIndex){get_u32(e), get_u16(e + 4), get_u32(e + 8), get_u32(e + 12), get_u32(e + 16), get_u32(e + 20)};
}

/* Rules 1 and 2. */
static bool fields_check_directory(const Segment *segment, const SegmentFields *f, uint64_t pages_size) {
    uint64_t pages = 0, last = 0;
    for (uint32_t i = 0; i < f->entry_count; i++) {
        FieldIndex e = fields_entry(f, i);
        uint64_t place = ((uint64_t)e.membrane << 16 | e.column) + 1;
        if (get_u16(f->entries + (size_t)FIELDS_ENTRY_SIZE * i + 6) || place <= last || e.first_page != pages || e.page_count == 0 || e.rows == 0 || e.rows > segment->rows) return false;
        if ((uint64_t)e.first + e.rows > segment->rows) return false;
        last = place;
        pages += e.page_count;
    }
    for (uint32_t i = 1; i < f->block_count; i++)
        if (fields_before(f, i) < fields_before(f, i - 1)) return false;
    return f->block_count > 0 && fields_before(f, 0) == 0 && pages * FIELDS_PAGE == pages_size;
}

static nacre_status fields_read_directory(Segment *segment, SegmentFields *f) {
    const SegmentIo *io = segment->io;
    const ExtentList *extents = &segment->streams[STREAM_FIELDS].extents;
    uint64_t stream = segment->streams[STREAM_FIELDS].size;
    uint8_t tail[FIELDS_TAIL_SIZE];
    if (stream < sizeof tail) return fields_corrupt(segment, 0, "directory");
    TRY(data_read(io->data, extents, stream - sizeof tail, tail, sizeof tail));
    uint64_t size = (uint64_t)FIELDS_ENTRY_SIZE * get_u32(tail) + 4 * (uint64_t)get_u32(tail + 4) + sizeof tail;
    if (size > stream || size > UINT32_MAX / 2) return fields_corrupt(segment, stream - sizeof tail, "directory");
    TRY(cache_add(io->cache, segment->id, PLACE_FIELDS(FIELDS_DIRECTORY_NUMBER), (size_t)size, &f->pin));
    nacre_status status = data_read(io->data, extents, stream - size, f->pin->data, (size_t)size);
    if (status == NACRE_OK && checksum64(place_seed(segment->id, STREAM_FIELDS, FIELDS_DIRECTORY_NUMBER), f->pin->data, (size_t)size - 8) !=
                                  get_u64(f->pin->data + size - 8))
        status = fields_corrupt(segment, stream - size, "directory: checksum");
    if (status == NACRE_OK) {
        fields_lay(f->pin, f);
        if (!fields_check_directory(segment, f, stream - size)) status = fields_corrupt(segment, stream - size, "directory");
    }
    CacheEntry *meta_pin = NULL;
    if (status == NACRE_OK) status = segment_pin_meta(segment, &meta_pin);
    if (status == NACRE_OK && f->block_count != segment->meta.block_count)
        status = fields_corrupt(segment, stream - size, "of other blocks");
    cache_unpin(io->cache, meta_pin);
    if (status != NACRE_OK) {
        cache_abandon(io->cache, f->pin);
        f->pin = NULL;
        return status;
    }
    cache_publish(io->cache, f->pin, &segment->fields);
    return NACRE_OK;
}

nacre_status segment_fields(Segment *segment, SegmentFields *f) {
    *f = (SegmentFields){0};
    if (segment->streams[STREAM_FIELDS].size == 0) return NACRE_OK;
    if (!segment->fields) return fields_read_directory(segment, f);
    cache_pin(segment->io->cache, segment->fields);
    f->pin = segment->fields;
    fields_lay(f->pin, f);
    return NACRE_OK;
}

bool fields_find(const SegmentFields *f, uint32_t membrane, uint32_t column, FieldIndex *index) {
    for (uint32_t i = 0; f->pin && i < f->entry_count; i++) {
        *index = fields_entry(f, i);
        if (index->membrane == membrane && index->column == column) return true;
    }
    return false;
}

uint32_t fields_block_of(const SegmentFields *f, uint32_t number) {
    uint32_t low = 0, high = f->block_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (fields_before(f, middle) <= number) low = middle;
        else high = middle;
    }
    return low;
}

/* ---- pages ---- */

FieldGroup fields_group(const uint8_t **at) {
    const uint8_t *p = *at;
    FieldGroup g = {.null = p[0] == FIELDS_NULL};
    g.value = span_of(p + 1, g.null ? 0 : p[0]);
    p += 1 + g.value.size;
    g.count = get_u16(p);
    g.numbers = span_of(p + 4, get_u16(p + 2));
    *at = p + 4 + g.numbers.size;
    return g;
}

const uint8_t *fields_next(const uint8_t *at, uint32_t *number) {
    uint32_t above = *at & 0x7f;
    for (unsigned shift = 7; *at++ & 0x80; shift += 7) above |= (uint32_t)(*at & 0x7f) << shift;
    *number += above;
    return at;
}

void fields_mark(const FieldGroup *group, uint8_t *bits) {
    const uint8_t *at = group->numbers.data, *end = at + group->numbers.size;
    for (uint32_t number = 0; at < end;) {
        at = fields_next(at, &number);
        bits[number / 8] |= (uint8_t)(1u << number % 8);
    }
}

/* Are they varints, rising, below `rows`? */
static bool fields_check_numbers(ByteReader *r, uint32_t count, uint32_t rows) {
    uint64_t number = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t above = 0;
        unsigned shift = 0;
        uint8_t byte = 0x80;
        for (; byte & 0x80 && shift < 7 * FIELDS_VARINT_MAX; shift += 7) {
            byte = br_u8(r);
            above |= (uint64_t)(byte & 0x7f) << shift;
        }
        number += above;
        if (byte & 0x80 || (byte == 0 && shift > 7) || (i && above == 0) || number >= rows) return false;
    }
    return br_ok(r) && br_left(r) == 0;
}

int fields_order(const FieldGroup *a, const FieldGroup *b) {
    if (a->null || b->null) return (int)b->null - (int)a->null;
    return span_compare(a->value, b->value);
}

/* Rules 3, 4 and 6, within the page. */
static bool fields_check_page(const uint8_t *page, uint32_t rows) {
    size_t used = get_u16(page + 8);
    FieldGroup last = {0};
    if (used <= FIELDS_PAGE_HEAD || used > FIELDS_PAGE || get_u16(page + 10) || get_u32(page + PAGE_ROWS)) return false;
    ByteReader r = br_over(span_of(page + FIELDS_PAGE_HEAD, used - FIELDS_PAGE_HEAD));
    for (bool first = true; br_left(&r) > 0; first = false) {
        FieldGroup g = {0};
        uint8_t size = br_u8(&r);
        g.null = size == FIELDS_NULL;
        g.value = br_bytes(&r, g.null ? 0 : size);
        g.count = br_u16(&r);
        g.numbers = br_bytes(&r, br_u16(&r));
        if (!br_ok(&r) || g.count == 0 || g.value.size > FIELDS_VALUE_MAX) return false;
        ByteReader numbers = br_over(g.numbers);
        if (!fields_check_numbers(&numbers, g.count, rows)) return false;
        if (!first && fields_order(&last, &g) >= 0) return false;
        last = g;
    }
    return true;
}

nacre_status segment_field_page(Segment *segment, const FieldIndex *index, uint32_t page, CacheEntry **pin,
                                const uint8_t **at, const uint8_t **end) {
    const SegmentIo *io = segment->io;
    uint64_t number = (uint64_t)index->first_page + page, offset = number * FIELDS_PAGE;
    CacheEntry *entry = cache_get(io->cache, segment->id, PLACE_FIELDS(number));
    if (!entry) {
        TRY(cache_add(io->cache, segment->id, PLACE_FIELDS(number), FIELDS_PAGE, &entry));
        nacre_status status = data_read(io->data, &segment->streams[STREAM_FIELDS].extents, offset, entry->data, FIELDS_PAGE);
        const char *wrong = NULL;
        if (status == NACRE_OK && checksum64(place_seed(segment->id, STREAM_FIELDS, number), entry->data + 8, FIELDS_PAGE - 8) != get_u64(entry->data))
            wrong = "checksum";
        else if (status == NACRE_OK && !fields_check_page(entry->data, index->rows)) wrong = "a page";
        if (wrong) status = fields_corrupt(segment, offset, wrong);
        if (status != NACRE_OK) {
            cache_abandon(io->cache, entry);
            return status;
        }
        put_u32(entry->data + PAGE_ROWS, index->rows);
        cache_publish(io->cache, entry, NULL);
    }
    if (get_u32(entry->data + PAGE_ROWS) != index->rows) { /* two segments of one id in a made-up manifest */
        cache_unpin(io->cache, entry);
        return fields_corrupt(segment, offset, "of another segment");
    }
    *pin = entry;
    *at = entry->data + FIELDS_PAGE_HEAD;
    *end = entry->data + get_u16(entry->data + 8);
    return NACRE_OK;
}

void segment_forget_field_page(Segment *segment, const FieldIndex *index, uint32_t page) {
    Cache *cache = segment->io->cache;
    CacheEntry *entry = cache_get(cache, segment->id, PLACE_FIELDS((uint64_t)index->first_page + page));
    if (!entry) return;
    cache_unpin(cache, entry);
    if (entry->pins == 0) cache_drop(cache, entry);
}
