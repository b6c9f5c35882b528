/* crypt_pages.c - bytes at any place, kept in pages that are sealed one by one. Knows nothing
 * of what they mean, nor of records (crypt_log.c). Rules are those of crypt_format.h. */
#include "host/crypt.h"

uint64_t crypt_pages_size(uint64_t under_size) {
    return under_size <= CRYPT_HEAD ? 0 : (under_size - CRYPT_HEAD) / CRYPT_STRIDE * CRYPT_PAGE;
}

static uint64_t page_place(uint64_t index) { return CRYPT_HEAD + index * CRYPT_STRIDE; }

static uint64_t page_count(uint64_t size) { return (size + CRYPT_PAGE - 1) / CRYPT_PAGE; }

static void page_extra(const CryptFile *f, uint64_t index, uint8_t extra[16]) {
    put_u32(extra, (uint32_t)f->file);
    put_u32(extra + 4, 0);
    put_u64(extra + 8, index);
}

static bool page_is_hole(const uint8_t *sealed) {
    for (size_t i = 0; i < CRYPT_STRIDE; i++)
        if (sealed[i]) return false;
    return true;
}

/* Rule 5. */
static void page_open(CryptFile *f, uint64_t index, const uint8_t *sealed, uint8_t *out) {
    uint8_t extra[16];
    page_extra(f, index, extra);
    if (page_is_hole(sealed)) memset(out, 0, CRYPT_PAGE);
    else (void)crypt_open(f->owner, extra, sizeof extra, sealed, sealed + CRYPT_SEAL, CRYPT_PAGE, out);
}

static void page_seal(CryptFile *f, uint64_t index, const uint8_t *text, uint8_t *sealed) {
    uint8_t extra[16];
    page_extra(f, index, extra);
    crypt_seal(f->owner, extra, sizeof extra, text, CRYPT_PAGE, sealed, sealed + CRYPT_SEAL);
}

static size_t at_most(uint64_t size, size_t most) { return size < most ? (size_t)size : most; }

/* Bytes [offset, offset + size) lie in pages from `index` on, which are in the buffer. */
static void pages_open(CryptFile *f, uint64_t index, size_t count, uint64_t offset, uint8_t *into, size_t size) {
    for (size_t i = 0; i < count; i++) {
        const uint8_t *sealed = f->owner->buffer + i * CRYPT_STRIDE;
        uint64_t start = (index + i) * CRYPT_PAGE;
        size_t from = offset > start ? (size_t)(offset - start) : 0, to = at_most(offset + size - start, CRYPT_PAGE);
        uint8_t page[CRYPT_PAGE];
        if (from == 0 && to == CRYPT_PAGE) {
            page_open(f, index + i, sealed, into + (start - offset));
        } else {
            page_open(f, index + i, sealed, page);
            memcpy(into + (start + from - offset), page + from, to - from);
        }
    }
}

nacre_status crypt_pages_read(CryptFile *f, uint64_t offset, uint8_t *into, size_t size) {
    Crypt *c = f->owner;
    while (size > 0) {
        uint64_t index = offset / CRYPT_PAGE;
        size_t count = at_most(page_count(offset + size) - index, CRYPT_BATCH);
        size_t part = at_most((index + count) * CRYPT_PAGE - offset, size);
        TRY(crypt_below(c, c->under->read(f->under, page_place(index), c->buffer, count * CRYPT_STRIDE)));
        pages_open(f, index, count, offset, into, part);
        into += part, offset += part, size -= part;
    }
    return NACRE_OK;
}

/* A part of a page; the rest stays as it reads, or is zeros where the file ends before it. */
static nacre_status page_patch(CryptFile *f, uint64_t text, uint64_t offset, const uint8_t *from, size_t size) {
    Crypt *c = f->owner;
    uint64_t index = offset / CRYPT_PAGE;
    uint8_t page[CRYPT_PAGE] = {0};
    if (index * CRYPT_PAGE < text) TRY(crypt_pages_read(f, index * CRYPT_PAGE, page, CRYPT_PAGE));
    memcpy(page + offset % CRYPT_PAGE, from, size);
    page_seal(f, index, page, c->buffer);
    return crypt_below(c, c->under->write(f->under, page_place(index), c->buffer, CRYPT_STRIDE));
}

nacre_status crypt_pages_truncate(CryptFile *f, uint64_t size) {
    Crypt *c = f->owner;
    uint64_t under_size = 0;
    TRY(crypt_under_size(f, &under_size));
    uint64_t text = crypt_pages_size(under_size);
    if (size % CRYPT_PAGE && size < text) { /* what is cut off within the last page is zeros from now on */
        uint8_t zeros[CRYPT_PAGE] = {0};
        TRY(page_patch(f, text, size, zeros, (size_t)(CRYPT_PAGE - size % CRYPT_PAGE)));
    }
    return crypt_below(c, c->under->truncate(f->under, page_place(page_count(size))));
}

nacre_status crypt_pages_write(CryptFile *f, uint64_t offset, const uint8_t *from, size_t size) {
    Crypt *c = f->owner;
    uint64_t under_size = 0;
    TRY(crypt_under_size(f, &under_size));
    uint64_t text = crypt_pages_size(under_size), start = page_place(offset / CRYPT_PAGE);
    if (start > under_size) TRY(crypt_below(c, c->under->truncate(f->under, start)));
    while (size > 0) {
        size_t part = at_most(CRYPT_PAGE - offset % CRYPT_PAGE, size);
        if (part < CRYPT_PAGE) {
            TRY(page_patch(f, text, offset, from, part));
        } else {
            size_t count = at_most(size / CRYPT_PAGE, CRYPT_BATCH);
            uint64_t index = offset / CRYPT_PAGE;
            for (size_t i = 0; i < count; i++)
                page_seal(f, index + i, from + i * CRYPT_PAGE, c->buffer + i * CRYPT_STRIDE);
            TRY(crypt_below(c, c->under->write(f->under, page_place(index), c->buffer, count * CRYPT_STRIDE)));
            part = count * CRYPT_PAGE;
        }
        from += part, offset += part, size -= part;
    }
    return NACRE_OK;
}
