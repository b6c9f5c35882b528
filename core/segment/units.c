/* units.c - the vectors of a segment, in units of the cache that are checked when they are read
 * (segment_format.h). A unit is read for one vector, an extent of units for a scan. */
#include "segment/units.h"

enum { UNITS_OF_EXTENT = EXTENT_SIZE / VECTOR_UNIT };

/* Reads whole units from `first` on, `size` bytes, and checks each. */
nacre_status segment_read_units(Segment *segment, uint32_t first, uint8_t *into, size_t size) {
    TRY(data_read(segment->io->data, &segment->streams[STREAM_VECTORS].extents, (uint64_t)first * VECTOR_UNIT, into,
                  size));
    for (size_t at = 0; at < size; at += VECTOR_UNIT) {
        uint32_t unit = first + (uint32_t)(at / VECTOR_UNIT);
        size_t part = size - at < VECTOR_UNIT ? size - at : VECTOR_UNIT;
        uint64_t expected = get_u64(segment->meta.unit_checksums + 8 * (size_t)unit);
        if (checksum64(place_seed(segment->id, STREAM_VECTORS, unit), into + at, part) != expected)
            return env_fail(segment->io->env, NACRE_CORRUPT, "%s: offset %llu: segment %llu: vectors at %llu: checksum",
                            segment->io->data->name,
                            segment_place_shown(segment, STREAM_VECTORS, (uint64_t)unit * VECTOR_UNIT),
                            (unsigned long long)segment->id,
                            (unsigned long long)unit * VECTOR_UNIT);
    }
    return NACRE_OK;
}

static uint32_t segment_extents(const Segment *segment) {
    return (segment->meta.unit_count + UNITS_OF_EXTENT - 1) / UNITS_OF_EXTENT;
}

void segment_leave_vectors(Segment *segment) {
    for (uint32_t i = 0; i < segment->vector_slots; i++) cache_leave(segment->io->cache, &segment->vectors[i]);
    env_free(segment->io->env, segment->vectors, segment->vector_slots * sizeof *segment->vectors);
    segment->vectors = NULL;
    segment->vector_slots = 0;
}

/* What the cache has of units and, behind them, of extents. */
static nacre_status segment_know_vectors(Segment *segment) {
    ASSERT(segment->meta_entry);
    if (segment->vectors) return NACRE_OK;
    uint32_t slots = segment->meta.unit_count + segment_extents(segment);
    if (!(segment->vectors = env_alloc_zeroed(segment->io->env, slots * sizeof *segment->vectors))) return NACRE_RESOURCE_EXHAUSTED;
    segment->vector_slots = slots;
    return NACRE_OK;
}

static CacheEntry **segment_extent_home(Segment *segment, uint32_t index) {
    return &segment->vectors[segment->meta.unit_count + index];
}

/* `room` bytes of units from `first` on (less at the end), cached at `home`. */
static nacre_status segment_units(Segment *segment, CacheEntry **home, uint32_t first, size_t room, CacheEntry **pin) {
    Cache *cache = segment->io->cache;
    ASSERT(first < segment->meta.unit_count);
    CacheEntry *entry = *home;
    if (entry) {
        cache_pin(cache, entry);
    } else {
        uint64_t left = segment->streams[STREAM_VECTORS].size - (uint64_t)first * VECTOR_UNIT;
        cache->misses++;
        TRY(cache_add(cache, segment->id, 0, left < room ? (size_t)left : room, &entry));
        nacre_status status = segment_read_units(segment, first, entry->data, entry->size);
        if (status != NACRE_OK) {
            cache_abandon(cache, entry);
            return status;
        }
        cache_publish(cache, entry, home);
    }
    *pin = entry;
    return NACRE_OK;
}

nacre_status segment_vector_extent(Segment *segment, uint32_t index, CacheEntry **pin, size_t *size) {
    TRY(segment_know_vectors(segment));
    TRY(segment_units(segment, segment_extent_home(segment, index), index * UNITS_OF_EXTENT, EXTENT_SIZE, pin));
    *size = (*pin)->size;
    return NACRE_OK;
}

/* What a scan has left in the cache serves too; else one unit is read. *within: of the offset, in *pin. */
static nacre_status segment_unit_at(Segment *segment, uint64_t offset, CacheEntry **pin, size_t *within) {
    TRY(segment_know_vectors(segment));
    CacheEntry *extent = *segment_extent_home(segment, (uint32_t)(offset / EXTENT_SIZE));
    if (extent) {
        cache_pin(segment->io->cache, extent);
        *pin = extent;
        *within = (size_t)(offset % EXTENT_SIZE);
        return NACRE_OK;
    }
    uint32_t unit = (uint32_t)(offset / VECTOR_UNIT);
    *within = (size_t)(offset % VECTOR_UNIT);
    return segment_units(segment, &segment->vectors[unit], unit, VECTOR_UNIT, pin);
}

static nacre_status segment_read_vectors(Segment *segment, uint64_t offset, uint8_t *into, size_t size) {
    if (offset > segment->streams[STREAM_VECTORS].size || size > segment->streams[STREAM_VECTORS].size - offset)
        return segment_corrupt(segment, "a row refers to a vector that is not there");
    while (size > 0) {
        CacheEntry *pin;
        size_t within;
        TRY(segment_unit_at(segment, offset, &pin, &within));
        if (within >= pin->size) { /* two segments of one id in a made-up manifest */
            cache_unpin(segment->io->cache, pin);
            return segment_corrupt(segment, "vectors of another segment");
        }
        size_t part = pin->size - within < size ? pin->size - within : size;
        memcpy(into, pin->data + within, part);
        cache_unpin(segment->io->cache, pin);
        into += part, offset += part, size -= part;
    }
    return NACRE_OK;
}

nacre_status segment_read_vector(Segment *segment, const Section *section, uint32_t slot, uint8_t *into) {
    if (slot < section->first_slot || slot - section->first_slot >= section->slot_count)
        return segment_corrupt(segment, "a row refers to a vector that is not there");
    uint64_t offset = section->offset + (uint64_t)(slot - section->first_slot) * section->stride;
    return segment_read_vectors(segment, offset, into, section->stride);
}

nacre_status segment_vector(Segment *segment, const Section *section, uint32_t slot, uint8_t **scratch,
                            size_t *capacity, const uint8_t **vector, CacheEntry **pin) {
    uint64_t offset = section->offset + (uint64_t)(slot - section->first_slot) * section->stride;
    ASSERT(slot >= section->first_slot && slot - section->first_slot < section->slot_count);
    size_t within, stride = section->stride;
    if (offset + stride > segment->streams[STREAM_VECTORS].size) return segment_corrupt(segment, "a row refers to a vector that is not there");
    TRY(segment_unit_at(segment, offset, pin, &within));
    if (within + stride <= (*pin)->size) {
        *vector = (*pin)->data + within;
        return NACRE_OK;
    }
    cache_unpin(segment->io->cache, *pin);
    *pin = NULL;
    void *memory = *scratch;
    TRY(env_grow(segment->io->env, &memory, capacity, stride, 1));
    *scratch = memory;
    TRY(segment_read_vectors(segment, offset, *scratch, stride));
    *vector = *scratch;
    return NACRE_OK;
}
