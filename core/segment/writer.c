/* writer.c - the one place that writes what segment_format.h describes. Knows nothing
 * of where rows come from or of when the segment becomes part of the database. */
#include "segment/writer.h"

#include "base/compress.h"
#include "segment/codes.h"
#include "segment/codes_format.h"
#include "segment/fields_format.h"
#include "segment/filter_blocks.h"

/* ---- streams ---- */

static nacre_status stream_flush(SegmentWriter *w, uint32_t which) {
    StreamWriter *s = &w->streams[which];
    if (s->used == 0) return NACRE_OK;
    Env *env = w->io->env;
    uint32_t extent = 0;
    TRY(extent_map_take(w->map, &extent));
    nacre_status status = extent_list_add(env, &s->stream.extents, extent);
    if (status != NACRE_OK) {
        extent_map_give_back(w->map, &(ExtentList){&extent, 1, 1});
        return status;
    }
    if (which == STREAM_VECTORS) {
        for (size_t at = 0; at < s->used; at += VECTOR_UNIT) {
            void *sums = w->unit_checksums;
            TRY(env_grow(env, &sums, &w->unit_checksums_capacity, w->unit_count + 1, 8));
            w->unit_checksums = sums;
            size_t size = s->used - at < VECTOR_UNIT ? s->used - at : VECTOR_UNIT;
            w->unit_checksums[w->unit_count] =
                checksum64(place_seed(w->id, STREAM_VECTORS, w->unit_count), s->buffer + at, size);
            w->unit_count++;
        }
    }
    TRY(data_write(w->io->data, &s->stream.extents, (uint64_t)(s->stream.extents.count - 1) * EXTENT_SIZE, s->buffer,
                   s->used));
    s->used = 0;
    return NACRE_OK;
}

static nacre_status stream_append(SegmentWriter *w, uint32_t which, Span bytes) {
    StreamWriter *s = &w->streams[which];
    if (!s->buffer && !(s->buffer = env_alloc(w->io->env, EXTENT_SIZE))) return NACRE_RESOURCE_EXHAUSTED;
    while (bytes.size > 0) {
        size_t part = EXTENT_SIZE - s->used < bytes.size ? EXTENT_SIZE - s->used : bytes.size;
        memcpy(s->buffer + s->used, bytes.data, part);
        s->used += part;
        s->stream.size += part;
        bytes.data += part, bytes.size -= part;
        if (s->used == EXTENT_SIZE) TRY(stream_flush(w, which));
    }
    return NACRE_OK;
}

static nacre_status stream_pad(SegmentWriter *w, uint32_t which, uint64_t unit) {
    static const uint8_t zeros[64];
    uint64_t pad = round_up(w->streams[which].stream.size, unit) - w->streams[which].stream.size;
    while (pad > 0) {
        size_t part = pad < sizeof zeros ? (size_t)pad : sizeof zeros;
        TRY(stream_append(w, which, span_of(zeros, part)));
        pad -= part;
    }
    return NACRE_OK;
}

/* ---- blocks ---- */

static Span writer_key(const SegmentWriter *w, uint32_t row) {
    uint32_t from = row ? w->key_ends[row - 1] : 0;
    return span_of(w->keys + from, w->key_ends[row] - from);
}

/* Bytes of a block of `count` rows with these sums; suffixes taken as differing. */
static uint64_t writer_block_size(uint64_t count, uint64_t keys, uint64_t values, uint64_t prefix) {
    return BLOCK_HEAD + 2 * count + 4 * (count + 1) + prefix + (keys - prefix * count) + values;
}

static nacre_status writer_grow(SegmentWriter *w, uint8_t **memory, size_t *capacity, size_t count) {
    void *p = *memory;
    if (count <= *capacity) return NACRE_OK; /* several times for each row */
    TRY(env_grow(w->io->env, &p, capacity, count, 1));
    *memory = p;
    return NACRE_OK;
}

static nacre_status writer_grow_u32(SegmentWriter *w, uint32_t **memory, size_t *capacity, size_t count) {
    void *p = *memory;
    if (count <= *capacity) return NACRE_OK;
    TRY(env_grow(w->io->env, &p, capacity, count, 4));
    *memory = p;
    return NACRE_OK;
}

/* What block_count, pages, separators and first_slots say of the block to come. */
static nacre_status writer_note_block(SegmentWriter *w, Span first_key, uint64_t pages) {
    Span last = span_of(w->last_key, w->rows ? w->last_key_size : 0);
    size_t size = w->block_count == 0 ? first_key.size : span_common_prefix(first_key, last) + 1;
    if (size > first_key.size) size = first_key.size;
    TRY(writer_grow_u32(w, &w->pages, &w->pages_capacity, (size_t)w->block_count + 1));
    TRY(writer_grow_u32(w, &w->first_slots, &w->first_slots_capacity, (size_t)w->block_count + 1));
    TRY(writer_grow_u32(w, &w->befores, &w->befores_capacity, (size_t)w->block_count + 1));
    TRY(writer_grow_u32(w, &w->separator_ends, &w->separator_ends_capacity, (size_t)w->block_count + 1));
    TRY(writer_grow(w, &w->separators, &w->separators_capacity, w->separators_size + size));
    memcpy(w->separators + w->separators_size, first_key.data, size);
    w->separators_size += size;
    if (w->separators_size > UINT32_MAX || w->next_page + pages > UINT32_MAX)
        return env_fail(w->io->env, NACRE_RESOURCE_EXHAUSTED, "segment: too large");
    w->pages[w->block_count] = (uint32_t)w->next_page;
    w->first_slots[w->block_count] = w->block_first_slot;
    w->befores[w->block_count] = w->block_before;
    w->separator_ends[w->block_count] = (uint32_t)w->separators_size;
    w->block_count++;
    w->next_page += pages;
    return NACRE_OK;
}

static nacre_status writer_emit(SegmentWriter *w, uint8_t *block, size_t size, size_t room) {
    put_u32(block + 8, (uint32_t)size);
    put_u32(block + 20, w->block_first_slot);
    put_u64(block, checksum64(place_seed(w->id, STREAM_ROWS, w->pages[w->block_count - 1]), block + 8, size - 8));
    memset(block + size, 0, room - size);
    return stream_append(w, STREAM_ROWS, span_of(block, room));
}

/* The block to come begins at a multiple of BLOCK_ALIGN; the zeros are the last one's. */
static nacre_status writer_align(SegmentWriter *w) {
    TRY(stream_pad(w, STREAM_ROWS, BLOCK_ALIGN));
    w->next_page = w->streams[STREAM_ROWS].stream.size / SEGMENT_PAGE;
    return NACRE_OK;
}

/* The block in `scratch` as one of kind 2, in `packed`; 0: it would not be a page smaller. */
static nacre_status writer_pack(SegmentWriter *w, size_t size, size_t *packed_size) {
    size_t pages = (size_t)round_up(size, SEGMENT_PAGE) / SEGMENT_PAGE;
    *packed_size = 0;
    if (pages < 2) return NACRE_OK;
    if (!w->packed && !(w->packed = env_alloc(w->io->env, COMPRESS_STATE_SIZE + BLOCK_SIZE_MAX)))
        return NACRE_RESOURCE_EXHAUSTED;
    uint8_t *out = w->packed + COMPRESS_STATE_SIZE;
    memcpy(out, w->scratch, BLOCK_HEAD);
    out[14] = BLOCK_LZ4;
    put_u32(out + BLOCK_HEAD, (uint32_t)size);
    size_t got = compress_lz4(w->packed, span_of(w->scratch + BLOCK_HEAD, size - BLOCK_HEAD), out + BLOCK_LZ4_HEAD,
                              (pages - 1) * SEGMENT_PAGE - BLOCK_LZ4_HEAD);
    if (got) *packed_size = BLOCK_LZ4_HEAD + got;
    return NACRE_OK;
}

/* Writes the rows gathered so far as one block, and remembers the last key. */
static nacre_status writer_end_block(SegmentWriter *w) {
    if (w->count == 0) return NACRE_OK;
    uint32_t n = w->count, prefix = w->prefix_size, width = (uint32_t)writer_key(w, 0).size - prefix;
    bool differ = false;
    for (uint32_t i = 1; i < n; i++) differ |= writer_key(w, i).size - prefix != width;
    if (width >= SUFFIXES_DIFFER) differ = true;
    Span last = writer_key(w, n - 1);
    uint32_t suffixes = w->keys_size - n * prefix;
    uint32_t at = BLOCK_HEAD + 2 * n + 2 * (n + 1) * (differ ? 2u : 1u) + prefix;
    size_t size = at + suffixes + w->values_size, room = (size_t)round_up(size, SEGMENT_PAGE);
    TRY(writer_grow(w, &w->scratch, &w->scratch_capacity, room));
    ByteWriter b = {w->scratch, w->scratch + room};
    memset(w->scratch, 0, BLOCK_HEAD);
    put_u16(w->scratch + 12, (uint16_t)n);
    w->scratch[14] = BLOCK_NORMAL;
    put_u16(w->scratch + 16, (uint16_t)prefix);
    put_u16(w->scratch + 18, differ ? SUFFIXES_DIFFER : (uint16_t)width);
    b.at += BLOCK_HEAD;
    bw_bytes(&b, span_of(w->row_fps, n));
    bw_bytes(&b, span_of(w->row_flags, n));
    for (uint32_t i = 0; i <= n; i++) bw_u16(&b, (uint16_t)(at + suffixes + (i ? w->value_ends[i - 1] : 0)));
    if (differ)
        for (uint32_t i = 0; i <= n; i++) bw_u16(&b, (uint16_t)(at + (i ? w->key_ends[i - 1] - i * prefix : 0)));
    bw_bytes(&b, span_of(w->keys, prefix));
    for (uint32_t i = 0; i < n; i++) {
        Span key = writer_key(w, i);
        bw_bytes(&b, span_of(key.data + prefix, key.size - prefix));
    }
    bw_bytes(&b, span_of(w->values, w->values_size));
    ASSERT(b.at == w->scratch + size);
    uint8_t *block = w->scratch;
    size_t packed_size = 0;
    if (w->layout.compress) TRY(writer_pack(w, size, &packed_size));
    if (packed_size) {
        block = w->packed + COMPRESS_STATE_SIZE;
        size = packed_size, room = (size_t)round_up(size, SEGMENT_PAGE);
    } else {
        TRY(writer_align(w));
    }
    TRY(writer_note_block(w, writer_key(w, 0), room / SEGMENT_PAGE));
    TRY(writer_emit(w, block, size, room));

    TRY(writer_grow(w, &w->last_key, &w->last_key_capacity, last.size));
    memcpy(w->last_key, last.data, last.size);
    w->last_key_size = last.size;
    w->count = w->keys_size = w->values_size = 0;
    return NACRE_OK;
}

/* Rule 2: a row that cannot share a block. */
static nacre_status writer_long_row(SegmentWriter *w, Span key, uint32_t flags, Span value) {
    size_t size = BLOCK_LONG_HEAD + key.size + value.size, room = (size_t)round_up(size, SEGMENT_PAGE);
    TRY(writer_align(w));
    TRY(writer_note_block(w, key, room / SEGMENT_PAGE));
    uint8_t *block = env_alloc_zeroed(w->io->env, room);
    if (!block) return NACRE_RESOURCE_EXHAUSTED;
    put_u16(block + 12, 1);
    block[14] = BLOCK_LONG;
    block[BLOCK_HEAD] = (uint8_t)flags;
    put_u32(block + BLOCK_HEAD + 4, (uint32_t)key.size);
    put_u32(block + BLOCK_HEAD + 8, (uint32_t)value.size);
    memcpy(block + BLOCK_LONG_HEAD, key.data, key.size);
    if (value.size) memcpy(block + BLOCK_LONG_HEAD + key.size, value.data, value.size);
    nacre_status status = writer_emit(w, block, size, room);
    env_free(w->io->env, block, room);
    TRY(status);
    TRY(writer_grow(w, &w->last_key, &w->last_key_capacity, key.size));
    memcpy(w->last_key, key.data, key.size);
    w->last_key_size = key.size;
    return NACRE_OK;
}

/* ---- what does not lie in the block ---- */

/* A membrane begins: rows of another layout cannot share its blocks. */
static nacre_status writer_lay_out(SegmentWriter *w, uint32_t membrane) {
    const SegmentIo *io = w->io;
    BlockLayout layout = io->layout ? io->layout(io->layout_self, membrane) : (BlockLayout){io->block_size, false};
    if (layout.size != w->layout.size || layout.compress != w->layout.compress) TRY(writer_end_block(w));
    w->layout = layout;
    return NACRE_OK;
}

static nacre_status writer_note_codes(SegmentWriter *w, uint32_t membrane, const CodesPart *part) {
    size_t number = w->codes_directory_size / CODES_ENTRY_SIZE;
    const uint8_t *body = part->bytes + part->size - part->body_size;
    TRY(writer_grow(w, &w->codes_directory, &w->codes_directory_capacity,
                    w->codes_directory_size + CODES_ENTRY_SIZE + CODES_TAIL_SIZE));
    ByteWriter b = {w->codes_directory + w->codes_directory_size, w->codes_directory + w->codes_directory_capacity};
    bw_u32(&b, membrane);
    bw_u32(&b, 0);
    bw_u64(&b, w->streams[STREAM_CODES].stream.size);
    bw_u32(&b, (uint32_t)part->book_size);
    bw_u32(&b, (uint32_t)part->body_size);
    bw_u64(&b, checksum64(place_seed(w->id, STREAM_CODES, codes_book_number(number)), part->bytes, part->book_size));
    bw_u64(&b, checksum64(place_seed(w->id, STREAM_CODES, codes_body_number(number)), body, part->body_size));
    w->codes_directory_size += CODES_ENTRY_SIZE;
    return NACRE_OK;
}

/* The section under way has all its vectors: their codes go to the stream. */
static nacre_status writer_end_codes(SegmentWriter *w) {
    CodesPart part = {0};
    uint32_t membrane = w->codes.membrane;
    TRY(codes_writer_end(&w->codes, &part));
    if (!part.bytes) return NACRE_OK;
    nacre_status status = writer_note_codes(w, membrane, &part);
    if (status == NACRE_OK) status = stream_append(w, STREAM_CODES, span_of(part.bytes, part.size));
    codes_part_clear(w->io->env, &part);
    return status;
}

static nacre_status writer_end_codes_directory(SegmentWriter *w) {
    TRY(writer_end_codes(w));
    size_t size = w->codes_directory_size;
    if (size == 0) return NACRE_OK;
    uint8_t *tail = w->codes_directory + size;
    put_u32(tail, (uint32_t)(size / CODES_ENTRY_SIZE));
    put_u32(tail + 4, 0);
    put_u64(tail + 8, checksum64(place_seed(w->id, STREAM_CODES, CODES_DIRECTORY_NUMBER), w->codes_directory, size + 8));
    TRY(stream_append(w, STREAM_CODES, span_of(w->codes_directory, size + CODES_TAIL_SIZE)));
    return stream_flush(w, STREAM_CODES);
}

/* ---- indexed fields ---- */

static nacre_status writer_field_pages(SegmentWriter *w, const FieldColumn *column) {
    uint64_t first = w->streams[STREAM_FIELDS].stream.size / FIELDS_PAGE, number = first;
    TRY(writer_grow(w, &w->scratch, &w->scratch_capacity, FIELDS_PAGE));
    for (uint32_t row = 0; row < w->fields.count; number++) {
        fields_writer_page(&w->fields, column, &row, w->scratch);
        put_u64(w->scratch, checksum64(place_seed(w->id, STREAM_FIELDS, number), w->scratch + 8, FIELDS_PAGE - 8));
        TRY(stream_append(w, STREAM_FIELDS, span_of(w->scratch, FIELDS_PAGE)));
    }
    TRY(writer_grow(w, &w->fields_entries, &w->fields_entries_capacity, w->fields_entries_size + FIELDS_ENTRY_SIZE));
    ByteWriter b = {w->fields_entries + w->fields_entries_size, w->fields_entries + w->fields_entries_capacity};
    bw_u32(&b, w->fields.membrane);
    bw_u32(&b, column->column);
    bw_u32(&b, (uint32_t)first);
    bw_u32(&b, (uint32_t)(number - first));
    bw_u32(&b, w->fields.first);
    bw_u32(&b, w->fields.count);
    w->fields_entries_size += FIELDS_ENTRY_SIZE;
    return NACRE_OK;
}

/* The section under way has all its rows: what is indexed of them goes to the stream. */
static nacre_status writer_end_fields(SegmentWriter *w) {
    fields_writer_end(&w->fields);
    for (uint32_t i = 0; i < w->fields.column_count; i++) TRY(writer_field_pages(w, &w->fields.columns[i]));
    fields_writer_clear(&w->fields);
    return NACRE_OK;
}

static nacre_status writer_end_fields_directory(SegmentWriter *w) {
    TRY(writer_end_fields(w));
    size_t entries = w->fields_entries_size, size = entries + 4 * (size_t)w->block_count + FIELDS_TAIL_SIZE;
    if (entries == 0) return NACRE_OK;
    TRY(writer_grow(w, &w->fields_entries, &w->fields_entries_capacity, size));
    ByteWriter b = {w->fields_entries + entries, w->fields_entries + size};
    for (uint32_t i = 0; i < w->block_count; i++) bw_u32(&b, w->befores[i]);
    bw_u32(&b, (uint32_t)(entries / FIELDS_ENTRY_SIZE));
    bw_u32(&b, w->block_count);
    bw_u64(&b, checksum64(place_seed(w->id, STREAM_FIELDS, FIELDS_DIRECTORY_NUMBER), w->fields_entries, size - 8));
    TRY(stream_append(w, STREAM_FIELDS, span_of(w->fields_entries, size)));
    return stream_flush(w, STREAM_FIELDS);
}

/* How many rows so far are no deletions: the number of the next one (fields_format.h). */
static uint32_t writer_living(const SegmentWriter *w) { return (uint32_t)(w->rows - w->deletes); }

static nacre_status writer_section(SegmentWriter *w, uint32_t membrane, Section **section) {
    if (w->section_count == 0 || w->sections[w->section_count - 1].membrane != membrane) {
        TRY(writer_lay_out(w, membrane));
        TRY(writer_end_codes(w));
        TRY(writer_end_fields(w));
        fields_writer_begin(&w->fields, w->io->env, w->io->field_host, membrane, writer_living(w));
        void *sections = w->sections;
        TRY(env_grow(w->io->env, &sections, &w->sections_capacity, (size_t)w->section_count + 1, sizeof(Section)));
        w->sections = sections;
        w->sections[w->section_count++] = (Section){.membrane = membrane, .first_slot = w->slot_count};
    }
    *section = &w->sections[w->section_count - 1];
    return NACRE_OK;
}

/* A row that was coded alike before keeps its code. */
static nacre_status writer_code(SegmentWriter *w, const Entry *entry, const Section *from, Span vector) {
    nacre_error error = w->io->env->error;
    uint8_t *place = from->slot_count ? codes_writer_place(&w->codes) : NULL;
    if (place) {
        CodeFactors factors;
        uint32_t list = 0;
        bool copied;
        segment_copy_code(entry->segment, from, entry->slot - from->first_slot, w->codes.book, place, &factors, &list, &copied);
        if (copied) {
            codes_writer_took(&w->codes, &factors, list);
            return NACRE_OK;
        }
    }
    w->io->env->error = error;
    return codes_writer_add(&w->codes, vector);
}

static nacre_status writer_add_vector(SegmentWriter *w, const Entry *entry, Section *section, uint32_t *slot) {
    Span vector = entry->vector;
    Section from = {0};
    if (!vector.data) { /* it lies in another segment */
        CacheEntry *meta_pin = NULL;
        TRY(segment_pin_meta(entry->segment, &meta_pin));
        nacre_status status = NACRE_CORRUPT;
        if (segment_find_section(entry->segment, section->membrane, &from)) {
            status = writer_grow(w, &w->scratch, &w->scratch_capacity, from.stride);
            if (status == NACRE_OK) status = segment_read_vector(entry->segment, &from, entry->slot, w->scratch);
        } else {
            (void)env_fail(w->io->env, NACRE_CORRUPT, "%s: segment %llu: a vector without a section",
                           w->io->data->name, (unsigned long long)entry->segment->id);
        }
        cache_unpin(w->io->cache, meta_pin);
        TRY(status);
        vector = span_of(w->scratch, from.stride);
    }
    if (section->slot_count == 0) {
        TRY(stream_pad(w, STREAM_VECTORS, VECTOR_ALIGN));
        section->stride = (uint32_t)vector.size;
        section->offset = w->streams[STREAM_VECTORS].stream.size;
        section->first_slot = w->slot_count;
        codes_writer_begin(&w->codes, w->io->env, w->io->kernels, w->io->code_host, section->membrane, w->want_lists);
    }
    if (vector.size == 0 || vector.size != section->stride)
        return env_fail(w->io->env, NACRE_CORRUPT, "membrane %u: vectors of %u and of %zu bytes", section->membrane,
                        section->stride, vector.size);
    *slot = w->slot_count++;
    section->slot_count++;
    TRY(writer_code(w, entry, &from, vector));
    return stream_append(w, STREAM_VECTORS, vector);
}

/* The piece gathered, to its stream; its checksum, to the table. */
static nacre_status writer_end_piece(SegmentWriter *w) {
    if (w->piece_used == 0) return NACRE_OK;
    TRY(writer_grow(w, &w->checksums, &w->checksums_capacity, 8 * (w->piece_count + 1)));
    put_u64(w->checksums + 8 * w->piece_count, checksum64(w->piece_count, w->piece, w->piece_used));
    w->piece_count++;
    w->value_size += w->piece_used;
    TRY(stream_append(w, STREAM_BLOBS, span_of(w->piece, w->piece_used)));
    w->piece_used = 0;
    return NACRE_OK;
}

nacre_status segment_writer_stream(SegmentWriter *w, Span bytes) {
    if (!w->piece && !(w->piece = env_alloc(w->io->env, PIECE_SIZE))) return NACRE_RESOURCE_EXHAUSTED;
    while (bytes.size > 0) {
        size_t part = PIECE_SIZE - w->piece_used < bytes.size ? PIECE_SIZE - w->piece_used : bytes.size;
        memcpy(w->piece + w->piece_used, bytes.data, part);
        w->piece_used += part;
        bytes.data += part, bytes.size -= part;
        if (w->piece_used == PIECE_SIZE) TRY(writer_end_piece(w));
    }
    return NACRE_OK;
}

/* All of the value was streamed: the table goes behind it. */
static nacre_status writer_end_value(SegmentWriter *w, BlobRef *blob) {
    TRY(writer_end_piece(w));
    uint64_t size = w->value_size;
    *blob = (BlobRef){.offset = w->streams[STREAM_BLOBS].stream.size - size, .size = size, .pieces = true};
    blob->checksum = checksum64(size, w->checksums, 8 * w->piece_count);
    TRY(stream_append(w, STREAM_BLOBS, span_of(w->checksums, 8 * w->piece_count)));
    w->value_size = w->piece_count = 0;
    return NACRE_OK;
}

/* From another segment, where it has pieces: one after the other. */
static nacre_status writer_copy_pieces(SegmentWriter *w, const Entry *entry) {
    uint8_t *piece = env_alloc(w->io->env, PIECE_SIZE), *table = NULL;
    size_t capacity = 0;
    if (!piece) return NACRE_RESOURCE_EXHAUSTED;
    nacre_status status = segment_blob_table(entry->segment, &entry->blob, &table, &capacity);
    for (uint64_t i = 0; i < piece_count_of(entry->blob.size) && status == NACRE_OK; i++) {
        uint64_t left = entry->blob.size - i * PIECE_SIZE;
        status = segment_blob_piece(entry->segment, &entry->blob, table, i, piece);
        if (status == NACRE_OK)
            status = segment_writer_stream(w, span_of(piece, left < PIECE_SIZE ? (size_t)left : PIECE_SIZE));
    }
    env_free(w->io->env, piece, PIECE_SIZE);
    env_free(w->io->env, table, capacity);
    return status;
}

static nacre_status writer_add_blob(SegmentWriter *w, const Entry *entry, BlobRef *blob) {
    bool pieces = entry_is_solo(entry);
    if ((entry->flags & ENTRY_BLOB) && (!entry->segment || entry->blob.pieces)) fields_writer_clear(&w->fields); /* unseen */
    if ((entry->flags & ENTRY_BLOB) && !entry->segment) return writer_end_value(w, blob);
    if ((entry->flags & ENTRY_BLOB) && entry->blob.pieces) {
        TRY(writer_copy_pieces(w, entry));
        return writer_end_value(w, blob);
    }
    uint8_t *bytes = NULL;
    size_t size = entry->value.size;
    nacre_status status = NACRE_OK;
    if (entry->flags & ENTRY_BLOB) {
        TRY(segment_check_blob(entry->segment, &entry->blob));
        if (entry->blob.size > SIZE_MAX / 2)
            return env_fail(w->io->env, NACRE_CORRUPT, "%s: a value larger than memory", w->io->data->name);
        size = (size_t)entry->blob.size;
        if (!(bytes = env_alloc(w->io->env, size))) return NACRE_RESOURCE_EXHAUSTED;
        status = segment_read_blob(entry->segment, entry->blob, bytes);
    }
    Span value = span_of(bytes ? bytes : entry->value.data, size);
    if (status == NACRE_OK && !(entry->flags & ENTRY_DELETE)) status = fields_writer_add(&w->fields, value);
    if (status == NACRE_OK && pieces) {
        status = segment_writer_stream(w, value);
        if (status == NACRE_OK) status = writer_end_value(w, blob);
    } else if (status == NACRE_OK) {
        *blob = (BlobRef){.offset = w->streams[STREAM_BLOBS].stream.size, .size = size};
        blob->checksum = entry->flags & ENTRY_BLOB ? entry->blob.checksum : checksum64(size, value.data, size);
        status = stream_append(w, STREAM_BLOBS, value);
    }
    env_free(w->io->env, bytes, size);
    return status;
}

/* ---- rows ---- */

static nacre_status writer_note_row(SegmentWriter *w, const Entry *entry, uint64_t hash) {
    if (w->rows == 0) {
        TRY(writer_grow(w, &w->first_key, &w->first_key_capacity, entry->key.size));
        memcpy(w->first_key, entry->key.data, entry->key.size);
        w->first_key_size = entry->key.size;
    }
    void *hashes = w->hashes;
    TRY(env_grow(w->io->env, &hashes, &w->hashes_capacity, (size_t)w->rows + 1, 8));
    w->hashes = hashes;
    w->hashes[w->rows] = hash;
    w->rows++;
    w->deletes += (entry->flags & ENTRY_DELETE) != 0;
    if ((entry->flags & ENTRY_EXPIRES) && (w->first_expiry == 0 || entry->expires < w->first_expiry))
        w->first_expiry = entry->expires ? entry->expires : 1;
    return NACRE_OK;
}

nacre_status segment_writer_add(SegmentWriter *w, const Entry *entry) {
    if (entry->key.size < 4)
        return env_fail(w->io->env, NACRE_CORRUPT, "%s: a key without a membrane", w->io->data->name);
    uint64_t hash = key_hash(entry->key.data, entry->key.size);
    Section *section = NULL;
    TRY(writer_section(w, get_u32_be(entry->key.data), &section));
    section->rows++;

    uint32_t flags = entry->flags & (ENTRY_DELETE | ENTRY_VECTOR | ENTRY_EXPIRES), first_slot = w->slot_count;
    uint8_t head[8 + 4 + BLOB_REF_SIZE]; /* expiry, slot and reference */
    ByteWriter b = {head, head + sizeof head};
    if (flags & ENTRY_EXPIRES) bw_u64(&b, entry->expires);
    if (flags & ENTRY_VECTOR) {
        uint32_t slot = 0;
        TRY(writer_add_vector(w, entry, section, &slot));
        bw_u32(&b, slot);
    }
    Span value = entry->value;
    if ((entry->flags & ENTRY_BLOB) || value.size > w->layout.size / 4) {
        BlobRef blob;
        TRY(writer_add_blob(w, entry, &blob));
        flags |= blob.pieces ? ENTRY_BLOB | ENTRY_PIECES : ENTRY_BLOB;
        bw_u64(&b, blob.offset);
        bw_u64(&b, blob.size);
        bw_u64(&b, blob.checksum);
        value = (Span){NULL, 0};
    } else if (!(flags & ENTRY_DELETE)) {
        TRY(fields_writer_add(&w->fields, value));
    }
    size_t head_size = (size_t)(b.at - head), key_size = entry->key.size;

    /* Does it still fit? Offsets are 16 bits, so a block of 64 KiB is not quite filled. */
    uint64_t room = w->layout.size < 65536 ? w->layout.size : 65535;
    uint64_t prefix = w->count ? span_common_prefix(span_of(w->keys, w->prefix_size), entry->key) : key_size;
    if (w->count && (w->count == 0xffff || writer_block_size(w->count + 1u, w->keys_size + (uint64_t)key_size,
                                                             w->values_size + head_size + value.size, prefix) > room)) {
        TRY(writer_end_block(w));
        prefix = key_size;
    }
    if (w->count == 0) w->block_first_slot = first_slot, w->block_before = writer_living(w);
    if (w->count == 0 && writer_block_size(1, key_size, head_size + value.size, 0) + 64 > room) {
        TRY(writer_grow(w, &w->values, &w->values_capacity, head_size + value.size));
        if (head_size) memcpy(w->values, head, head_size);
        if (value.size) memcpy(w->values + head_size, value.data, value.size);
        TRY(writer_long_row(w, entry->key, flags, span_of(w->values, head_size + value.size)));
        return writer_note_row(w, entry, hash);
    }
    TRY(writer_grow(w, &w->keys, &w->keys_capacity, w->keys_size + key_size));
    TRY(writer_grow(w, &w->values, &w->values_capacity, w->values_size + head_size + value.size));
    TRY(writer_grow(w, &w->row_flags, &w->flags_capacity, w->count + 1u));
    TRY(writer_grow(w, &w->row_fps, &w->fps_capacity, w->count + 1u));
    TRY(writer_grow_u32(w, &w->key_ends, &w->key_ends_capacity, w->count + 1u));
    TRY(writer_grow_u32(w, &w->value_ends, &w->value_ends_capacity, w->count + 1u));
    bytes_copy(w->keys + w->keys_size, entry->key.data, key_size);
    if (head_size) memcpy(w->values + w->values_size, head, head_size);
    bytes_copy(w->values + w->values_size + head_size, value.data, value.size);
    w->keys_size += (uint32_t)key_size;
    w->values_size += (uint32_t)(head_size + value.size);
    w->row_flags[w->count] = (uint8_t)flags;
    w->row_fps[w->count] = fingerprint_of(hash);
    w->key_ends[w->count] = w->keys_size;
    w->value_ends[w->count] = w->values_size;
    w->prefix_size = (uint32_t)prefix;
    w->count++;
    return writer_note_row(w, entry, hash);
}

uint64_t segment_writer_size(const SegmentWriter *w) {
    uint64_t size = w->keys_size + (uint64_t)w->values_size;
    for (int i = 0; i < STREAM_COUNT; i++) size += w->streams[i].stream.size;
    return size;
}

bool segment_writer_is_full(const SegmentWriter *w, uint64_t size, uint64_t vectors_size, uint64_t rows) {
    uint64_t vectors = w->streams[STREAM_VECTORS].stream.size;
    return fields_writer_is_full(&w->fields) || vectors >= vectors_size || segment_writer_size(w) - vectors >= size || w->rows >= rows;
}

Span segment_writer_last_key(const SegmentWriter *w) {
    return w->count ? writer_key(w, w->count - 1) : span_of(w->last_key, w->last_key_size);
}

/* ---- finishing ---- */

static uint64_t writer_fence(const SegmentWriter *w, uint32_t block, Span prefix) {
    uint32_t from = block ? w->separator_ends[block - 1] : 0;
    return fence_of(span_of(w->separators + from, w->separator_ends[block] - from), prefix.size);
}

/* Fits a model to the fences; it is kept only where it pays (rule 11). */
static nacre_status writer_fit_model(const SegmentWriter *w, Span prefix, LearnedBuilder *model) {
    if (w->block_count < MODEL_FENCES_MIN) return NACRE_OK;
    for (uint32_t i = 0; i < w->block_count; i++) TRY(learned_add(model, writer_fence(w, i, prefix)));
    TRY(learned_end(model));
    size_t pieces = learned_pieces(model);
    if (pieces > 1 && pieces * MODEL_FENCES_PER_PIECE > w->block_count) learned_clear(model);
    return NACRE_OK;
}

static size_t writer_model_size(const LearnedBuilder *model) { return learned_pieces(model) ? learned_size(model) : 0; }

static void writer_put_section(ByteWriter *b, const Section *s) {
    bw_u32(b, s->membrane);
    bw_u32(b, s->stride);
    bw_u32(b, s->first_slot);
    bw_u32(b, s->slot_count);
    bw_u64(b, s->offset);
    bw_u64(b, s->rows);
}

static void writer_fill_meta(const SegmentWriter *w, uint8_t *meta, size_t size, size_t filter_size, Span prefix,
                             const LearnedBuilder *model) {
    ByteWriter b = {meta, meta + size};
    bw_u32(&b, w->block_count);
    bw_u32(&b, (uint32_t)w->unit_count);
    bw_u32(&b, w->section_count);
    bw_u32(&b, (uint32_t)filter_size);
    bw_u32(&b, (uint32_t)w->separators_size);
    bw_u32(&b, (uint32_t)prefix.size);
    for (uint32_t i = 0; i < w->block_count; i++) bw_u32(&b, w->pages[i]);
    bw_u32(&b, (uint32_t)w->next_page);
    for (uint32_t i = 0; i < w->block_count; i++) bw_u32(&b, w->first_slots[i]);
    bw_u32(&b, 0);
    for (uint32_t i = 0; i < w->block_count; i++) bw_u32(&b, w->separator_ends[i]);
    for (uint32_t i = 0; i < w->section_count; i++) writer_put_section(&b, &w->sections[i]);
    for (uint32_t i = 0; i < w->block_count; i++) bw_u64(&b, writer_fence(w, i, prefix));
    for (size_t i = 0; i < w->unit_count; i++) bw_u64(&b, w->unit_checksums[i]);
    memset(b.at, 0, filter_size);
    if (filter_size)
        for (uint64_t i = 0; i < w->rows; i++) filter_blocks_add(b.at, filter_size, w->hashes[i]);
    b.at += filter_size;
    bw_bytes(&b, prefix);
    bw_bytes(&b, span_of(w->separators, w->separators_size));
    if (writer_model_size(model)) learned_write(model, &b);
    ASSERT(b.at == b.end);
}

static nacre_status writer_write_spare(SegmentWriter *w) {
    size_t size = SPARE_HEAD + (size_t)SECTION_SIZE * w->section_count + 8 * w->unit_count;
    if (w->unit_count == 0) return NACRE_OK;
    TRY(stream_pad(w, STREAM_ROWS, SEGMENT_PAGE));
    uint8_t *spare = env_alloc(w->io->env, size);
    if (!spare) return NACRE_RESOURCE_EXHAUSTED;
    ByteWriter b = {spare + 8, spare + size};
    bw_u32(&b, w->section_count);
    bw_u32(&b, (uint32_t)w->unit_count);
    for (uint32_t i = 0; i < w->section_count; i++) writer_put_section(&b, &w->sections[i]);
    for (size_t i = 0; i < w->unit_count; i++) bw_u64(&b, w->unit_checksums[i]);
    ASSERT(b.at == b.end);
    put_u64(spare, checksum64(place_seed(w->id, 255, 1), spare + 8, size - 8));
    nacre_status status = stream_append(w, STREAM_ROWS, span_of(spare, size));
    env_free(w->io->env, spare, size);
    return status;
}

static nacre_status writer_write_meta(SegmentWriter *w, Segment *segment) {
    Env *env = w->io->env;
    Span first = span_of(w->first_key, w->first_key_size);
    Span prefix = span_of(first.data, span_common_prefix(first, span_of(w->last_key, w->last_key_size)));
    nacre_status status = NACRE_OK;
    uint8_t *meta = NULL;
    uint64_t size = 0;
    LearnedBuilder model = learned_begin(env, MODEL_EPSILON);
    TRY_OUT(writer_fit_model(w, prefix, &model));
    size_t filter_size = (size_t)filter_blocks_size(w->rows, w->io->filter_bits);
    size = META_HEAD + 4 * (3 * (uint64_t)w->block_count + 2) + (uint64_t)SECTION_SIZE * w->section_count +
                    8 * (uint64_t)w->block_count + 8 * (uint64_t)w->unit_count + filter_size + prefix.size +
                    w->separators_size + writer_model_size(&model);
    if (size > UINT32_MAX) TRY_OUT(env_fail(env, NACRE_RESOURCE_EXHAUSTED, "segment: too large"));
    if (!(meta = env_alloc(env, (size_t)size))) TRY_OUT(NACRE_RESOURCE_EXHAUSTED);
    writer_fill_meta(w, meta, (size_t)size, filter_size, prefix, &model);
    TRY_OUT(stream_pad(w, STREAM_ROWS, SEGMENT_PAGE));
    segment->meta_offset = w->streams[STREAM_ROWS].stream.size;
    segment->meta_size = size;
    segment->meta_checksum = checksum64(place_seed(w->id, 255, 0), meta, (size_t)size);
    TRY_OUT(stream_append(w, STREAM_ROWS, span_of(meta, (size_t)size)));
out:
    env_free(env, meta, (size_t)size);
    learned_clear(&model);
    return status;
}

nacre_status segment_writer_finish(SegmentWriter *w, Segment **out) {
    ASSERT(w->rows > 0);
    nacre_status status = NACRE_OK;
    Segment *segment = NULL;
    TRY_OUT(segment_alloc(w->io, w->id, &segment));
    TRY_OUT(writer_end_block(w));
    TRY_OUT(segment_set_keys(segment, span_of(w->first_key, w->first_key_size), span_of(w->last_key, w->last_key_size)));
    /* The meta holds the checksums of the vectors' units, and is the last of the rows. */
    TRY_OUT(stream_flush(w, STREAM_VECTORS));
    TRY_OUT(stream_flush(w, STREAM_BLOBS));
    TRY_OUT(writer_end_codes_directory(w));
    TRY_OUT(writer_end_fields_directory(w));
    TRY_OUT(writer_write_meta(w, segment));
    TRY_OUT(writer_write_spare(w));
    TRY_OUT(stream_flush(w, STREAM_ROWS));
    segment->rows = w->rows;
    segment->deletes = w->deletes;
    segment->first_expiry = w->first_expiry;
    for (int i = 0; i < STREAM_COUNT; i++) { /* extents change owner */
        segment->streams[i] = w->streams[i].stream;
        w->streams[i].stream = (Stream){0};
    }
    *out = segment;
    segment = NULL;
out:
    segment_release(segment);
    if (status == NACRE_OK) segment_writer_clear(w);
    return status;
}

void segment_writer_init(SegmentWriter *w, SegmentIo *io, ExtentMap *map, uint64_t id) {
    *w = (SegmentWriter){.io = io, .map = map, .id = id};
}

void segment_writer_clear(SegmentWriter *w) {
    if (!w->io) return;
    Env *env = w->io->env;
    for (int i = 0; i < STREAM_COUNT; i++) {
        extent_map_give_back(w->map, &w->streams[i].stream.extents);
        extent_list_clear(env, &w->streams[i].stream.extents);
        env_free(env, w->streams[i].buffer, EXTENT_SIZE);
    }
    env_free(env, w->key_ends, 4 * w->key_ends_capacity);
    env_free(env, w->value_ends, 4 * w->value_ends_capacity);
    env_free(env, w->row_flags, w->flags_capacity);
    env_free(env, w->row_fps, w->fps_capacity);
    env_free(env, w->keys, w->keys_capacity);
    env_free(env, w->values, w->values_capacity);
    env_free(env, w->pages, 4 * w->pages_capacity);
    env_free(env, w->first_slots, 4 * w->first_slots_capacity);
    env_free(env, w->befores, 4 * w->befores_capacity);
    env_free(env, w->separator_ends, 4 * w->separator_ends_capacity);
    env_free(env, w->separators, w->separators_capacity);
    env_free(env, w->hashes, 8 * w->hashes_capacity);
    env_free(env, w->unit_checksums, 8 * w->unit_checksums_capacity);
    env_free(env, w->sections, sizeof(Section) * w->sections_capacity);
    env_free(env, w->first_key, w->first_key_capacity);
    env_free(env, w->last_key, w->last_key_capacity);
    if (w->packed) env_free(env, w->packed, COMPRESS_STATE_SIZE + BLOCK_SIZE_MAX);
    env_free(env, w->scratch, w->scratch_capacity);
    env_free(env, w->piece, PIECE_SIZE);
    env_free(env, w->checksums, w->checksums_capacity);
    codes_writer_clear(&w->codes);
    fields_writer_clear(&w->fields);
    env_free(env, w->fields_entries, w->fields_entries_capacity);
    env_free(env, w->codes_directory, w->codes_directory_capacity);
    *w = (SegmentWriter){0};
}
