/* fuzz_segment.c - hostile blocks, learned indexes, compressed bytes and whole segments.
 *
 *   input := 0 u8 | a block          1 u8 | a model, then keys     2 u8 | size u16 | LZ4
 *          | 3 u8 | page u8 | index u16 | vectors u16 | blobs u16 | keys | the streams */
#include "fuzz/fuzz.h"

#include "base/compress.h"
#include "segment/run_iter.h"

#include <string.h>

static volatile uint32_t touched;

static void touch(Span span) {
    for (size_t i = 0; i < span.size; i++) touched += span.data[i];
}

static void ask_block(const Block *block) {
    uint8_t key[70000];
    for (uint32_t row = 0; row < block->count; row++) {
        Span suffix = block_suffix(block, row);
        touch(suffix), touch(block_value(block, row)), touch(block->prefix);
        if (block_flags(block, row) & ENTRY_VECTOR) touched += block_slot(block, row);
        if (block->prefix.size + suffix.size > sizeof key || row > 40) continue;
        bytes_copy(key, block->prefix.data, block->prefix.size);
        bytes_copy(key + block->prefix.size, suffix.data, suffix.size);
        Span whole = span_of(key, block->prefix.size + suffix.size);
        bool equal = false;
        MUST(block_seek(block, whole, &equal) <= block->count);
        MUST(block_find(block, whole, key_hash(whole.data, whole.size)) <= block->count);
    }
}

static void one_block(Span bytes) {
    size_t size = bytes.size < 65536 ? bytes.size : 65536;
    uint8_t *data = malloc(size + 1); /* so that one byte beyond is noticed */
    Block block;
    MUST(data);
    bytes_copy(data, bytes.data, size);
    data = realloc(data, size ? size : 1);
    seal_block(data, size, 5);
    size_t plain_size = block_plain_size(data, size);
    if (plain_size) {
        uint8_t *plain = malloc(plain_size);
        MUST(plain);
        if (!block_unpack(&block, data, size, 5, plain)) {
            ask_block(&block);
            block_reopen(&block, plain);
            ask_block(&block);
        }
        free(plain);
    } else if (!block_open(&block, data, size, 5)) {
        ask_block(&block);
        block_reopen(&block, data);
        ask_block(&block);
    }
    free(data);
}

static void one_model(Input *in) {
    Learned model = {0};
    Span keys = input_bytes(in, 256), bytes = input_rest(in);
    if (!learned_open(&model, bytes)) return;
    for (size_t i = 0; i + 8 <= keys.size; i += 8) {
        uint64_t key = get_u64(keys.data + i);
        for (int d = -1; d <= 1; d++) {
            LearnedWindow window = learned_find(&model, key + (uint64_t)(int64_t)d);
            MUST(window.low <= window.high && window.high <= model.key_count);
        }
    }
    for (uint32_t i = 0; i < model.piece_count && i < 50; i++) {
        LearnedWindow window = learned_find(&model, get_u64(model.firsts + 8 * (size_t)i));
        MUST(window.low <= window.high && window.high <= model.key_count);
    }
}

static void packed(Input *in) {
    size_t size = br_u16(in);
    Span bytes = input_rest(in);
    uint8_t *out = malloc(size + 1), *copy = malloc(bytes.size + 1);
    MUST(out && copy);
    out = realloc(out, size ? size : 1), copy = realloc(copy, bytes.size ? bytes.size : 1);
    bytes_copy(copy, bytes.data, bytes.size);
    if (decompress_lz4(span_of(copy, bytes.size), out, size) && size) {
        static uint64_t state[COMPRESS_STATE_SIZE / 8 + 1];
        static uint8_t small[70000], back[65536];
        size_t written = compress_lz4(state, span_of(out, size), small, sizeof small);
        MUST(written && decompress_lz4(span_of(small, written), back, size) && memcmp(back, out, size) == 0);
    }
    free(out), free(copy);
}

static void no_problem(void *self, const char *where, uint64_t offset, const char *what) {
    (void)offset;
    *(uint64_t *)self += strlen(where) + strlen(what);
}

static void ask_entry(Segment *segment, const Entry *entry) {
    touch(entry->key), touch(entry->value);
    if (entry->flags & ENTRY_BLOB && entry->blob.size < (1 << 20)) {
        uint8_t *blob = malloc((size_t)entry->blob.size + 1);
        MUST(blob);
        if (segment_read_blob(segment, entry->blob, blob) == NACRE_OK) touch(span_of(blob, (size_t)entry->blob.size));
        free(blob);
    }
    CacheEntry *pin = NULL;
    Section section = {0};
    if (entry->flags & ENTRY_VECTOR && entry->key.size >= 4 && segment_pin_meta(segment, &pin) == NACRE_OK) {
        if (segment_find_section(segment, get_u32_be(entry->key.data), &section) && section.stride <= 65536) {
            uint8_t *vector = malloc(section.stride + 1);
            MUST(vector);
            if (segment_read_vector(segment, &section, entry->slot, vector) == NACRE_OK) touch(span_of(vector, section.stride));
            free(vector);
        }
        cache_unpin(segment->io->cache, pin);
    }
}

static void ask_segment(SegmentIo *io, Segment *segment) {
    Iter *iter = NULL;
    Entry entry;
    CacheEntry *pin = NULL;
    uint8_t key[300];
    size_t key_size = 0;
    for (int way = 0; way < 4; way++) {
        if (run_iter_open(io, &segment, 1, (Span){NULL, 0}, way % 2, &iter) != NACRE_OK) continue;
        nacre_status status = way < 2 ? iter->verbs->seek(iter, (Span){NULL, 0}) : iter->verbs->seek_before(iter, span_of("\xff\xff\xff\xff\xff", 5));
        for (int i = 0; i < 500 && status == NACRE_OK && iter->valid; i++) {
            iter->verbs->entry(iter, &entry);
            ask_entry(segment, &entry);
            if (i == 3 && entry.key.size <= sizeof key) bytes_copy(key, entry.key.data, key_size = entry.key.size);
            status = way < 2 ? iter->verbs->next(iter) : iter->verbs->prev(iter);
        }
        iter->verbs->close(iter);
    }
    Span asked[3] = {span_of(key, key_size), segment_first_key(segment), segment_last_key(segment)};
    for (int i = 0; i < 3; i++)
        if (segment_get(segment, asked[i], key_hash(asked[i].data, asked[i].size), &entry, &pin) == NACRE_OK) {
            ask_entry(segment, &entry);
            cache_unpin(io->cache, pin);
        }
    if (segment_pin_meta(segment, &pin) == NACRE_OK) {
        for (uint32_t slot = 0; slot < 20; slot++) MUST(segment_block_of_slot(segment, slot) < segment->meta.block_count);
        for (uint32_t i = 0; i < segment->meta.section_count; i++) (void)segment_section(segment, i);
        cache_unpin(io->cache, pin);
    }
    uint64_t problems = 0, letters = 0;
    nacre_status status = segment_verify(segment, no_problem, &letters, &problems);
    MUST(status == NACRE_OK || status == NACRE_RESOURCE_EXHAUSTED);
}

static void whole_segment(Input *in) {
    static uint8_t file[4 * 65536];
    uint8_t runs[3][8];
    Env env;
    FuzzDisk disk;
    Cache cache;
    fuzz_disk_init(&disk);
    env_init(&env, &disk.vfs, NULL, 32 << 20);
    DataFile data = {.env = &env, .name = "db"};
    MUST(cache_init(&cache, &env, 1 << 20) == NACRE_OK);
    SegmentIo io = {.env = &env, .data = &data, .cache = &cache, .block_size = 4096, .filter_bits = 10};
    SealSegment seal = {.id = 9, .page_size = (uint32_t)SEGMENT_PAGE << br_u8(in) % 8};
    seal.meta_size = br_u16(in);
    uint64_t sizes[3] = {0, br_u16(in), br_u16(in)};
    Span first = input_bytes(in, 64), last = input_bytes(in, 64), rest = input_rest(in);
    memset(file, 0, sizeof file);
    for (int k = 1; k < 3; k++) {
        if (sizes[k] > rest.size) sizes[k] = rest.size;
        bytes_copy(file + 65536 * (k + 1), rest.data, (size_t)sizes[k]);
        rest = span_of(rest.data + sizes[k], rest.size - (size_t)sizes[k]);
    }
    sizes[0] = rest.size < 65536 ? rest.size : 65536;
    bytes_copy(file + 65536, rest.data, (size_t)sizes[0]);
    if (seal.meta_size > sizes[0]) seal.meta_size = sizes[0];
    seal.meta_offset = (sizes[0] - seal.meta_size) / seal.page_size * seal.page_size; /* as the manifest's reader asks */
    for (uint32_t k = 0; k < 3; k++) {
        put_u32(runs[k], k + 1), put_u32(runs[k] + 4, 1);
        seal.streams[k] = (SealStream){file, sizeof file, runs[k], sizes[k] > 0, sizes[k]};
    }
    Segment *segment = NULL;
    MUST(segment_alloc(&io, seal.id, &segment) == NACRE_OK);
    segment->page_size = seal.page_size;
    segment->meta_offset = seal.meta_offset, segment->meta_size = seal.meta_size;
    segment->rows = 3;
    segment->meta_checksum = seal_segment(file, sizeof file, &seal);
    if (first.size < 4) first = span_of("\0\0\0\1", 4);
    if (last.size < 4 || span_compare(last, first) < 0) last = first;
    MUST(segment_set_keys(segment, first, last) == NACRE_OK);
    for (uint32_t k = 0; k < 3; k++) {
        segment->streams[k].size = sizes[k];
        if (sizes[k]) MUST(extent_list_add(&env, &segment->streams[k].extents, k + 1) == NACRE_OK);
    }
    fuzz_disk_put(&disk, "db", span_of(file, sizeof file));
    MUST(disk.vfs.open(&disk, "db", VFS_WRITE, &data.file) == NACRE_OK);
    ask_segment(&io, segment);
    segment_release(segment);
    cache_clear(&cache);
    MUST(env.memory_used == 0);
    disk.vfs.close(data.file);
    fuzz_disk_clear(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Input in = input_over(data, size);
    switch (br_u8(&in) % 4) {
    case 0: one_block(input_rest(&in)); break;
    case 1: one_model(&in); break;
    case 2: packed(&in); break;
    default: whole_segment(&in); break;
    }
    return 0;
}
