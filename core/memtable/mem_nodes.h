/* mem_nodes.h - the nodes of a memtable's tree: where they lie, how a child is found.
 * Shared by memtable.c, which builds the tree, and mem_cursor.c, which walks it.
 *
 *   inner node, example: keys "roman", "romulus", "rome" under one node of 4
 *
 *       prefix "rom"   bytes  a       e       u
 *                      child  leaf    leaf    leaf ---> record "romulus" in the arena
 *
 * 1. A reference is a u32. 0: none. Bit 31 set: a leaf, the record at 4 * the other
 *    bits of the arena. Else a node: the chunk in the upper 17 bits, the word of 4
 *    bytes inside it in the lower 14.
 * 2. Nodes never move; one that outgrew its size is replaced and its place goes to
 *    a free list of its size.
 * 3. Every node has two children at least, and none is ever taken away.
 * 4. The bytes from a node's parent to its children are its prefix: the first
 *    MEM_PREFIX of them stand in the node, the others are read from the key of any
 *    record below (all of them share it).
 * 5. Nodes of 4 and 16 keep their bytes sorted. A node of 48 maps a byte to
 *    1 + an index of children, 0: none. A node of 256 has a reference per byte. Both
 *    have a set of their bytes besides, for cursors: steps through it take no guess. */
#ifndef MEMTABLE_MEM_NODES_H
#define MEMTABLE_MEM_NODES_H

#include "base/find16.h"
#include "memtable/memtable.h"

enum {
    MEM_PREFIX = 12,
    MEM_CHUNK_SIZE = 65536,
    MEM_WORD = 4,
    MEM_WORD_BITS = 14,
    MEM_CHUNK_COUNT_MAX = 1 << 17,
};
#define MEM_LEAF 0x80000000u

enum { MEM_NODE4, MEM_NODE16, MEM_NODE48, MEM_NODE256, MEM_KIND_COUNT };

typedef struct MemNode {
    uint8_t kind;
    uint16_t count;       /* of children */
    uint32_t prefix_size; /* in a free node: the next free one */
    uint8_t prefix[MEM_PREFIX];
} MemNode;

typedef struct MemNode4 {
    MemNode head;
    uint8_t bytes[4];
    uint32_t children[4];
} MemNode4;

typedef struct MemNode16 {
    MemNode head;
    uint8_t bytes[16];
    uint32_t children[16];
} MemNode16;

typedef struct MemNode48 {
    MemNode head;
    uint8_t present[32]; /* a bit per byte that has a child */
    uint8_t slots[256];
    uint32_t children[48];
} MemNode48;

typedef struct MemNode256 {
    MemNode head;
    uint8_t present[32];
    uint32_t children[256];
} MemNode256;

typedef struct MemNodes {
    uint32_t root;
    uint32_t free[MEM_KIND_COUNT];
    uint32_t chunk, position; /* where the next node is cut */
    uint32_t chunk_count;     /* allocated */
    uint32_t chunk_count_max; /* room in `chunks` */
    uint64_t cut;             /* bytes of nodes ever cut from chunks */
    uint8_t *chunks[];
} MemNodes;

/* Nodes are ordinary structs: chunks are aligned for any of them. */
static inline MemNode *mem_node(const MemNodes *nodes, uint32_t reference) {
    size_t word = reference & ((1u << MEM_WORD_BITS) - 1);
    return (MemNode *)(void *)(nodes->chunks[reference >> MEM_WORD_BITS] + word * MEM_WORD);
}

static inline bool mem_is_leaf(uint32_t reference) { return (reference & MEM_LEAF) != 0; }

static inline uint8_t *mem_record(const Memtable *memtable, uint32_t leaf) {
    return memtable->arena + (size_t)(leaf & ~MEM_LEAF) * 4;
}

static inline Span mem_key(const Memtable *memtable, uint32_t leaf) {
    return record_key(mem_record(memtable, leaf));
}

/* The newest version under `leaf` with a stamp <= `stamp`; NULL: none. */
static inline const uint8_t *mem_version(const Memtable *memtable, uint32_t leaf, uint32_t stamp) {
    const uint8_t *record = mem_record(memtable, leaf);
    while (record_stamp(record) > stamp) {
        uint32_t link = record_link(record);
        if (link == 0) return NULL;
        record = mem_record(memtable, link);
    }
    return record;
}

/* Indices of the lowest and the highest bit that are set; bits is not 0. */
static inline int32_t mem_lowest(uint64_t bits) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctzll(bits);
#else
    int32_t at = 0;
    while (!(bits >> at & 1)) at++;
    return at;
#endif
}
static inline int32_t mem_highest(uint64_t bits) {
#if defined(__GNUC__) || defined(__clang__)
    return 63 - __builtin_clzll(bits);
#else
    int32_t at = 63;
    while (!(bits >> at & 1)) at--;
    return at;
#endif
}

/* Bytes past the count are stale: the caller asks whether the index found is below the count,
 * and as valid bytes come first and the lowest index wins, that is enough. In 4 bytes; 4 or
 * more: nowhere. */
WRAPS static inline uint32_t mem_index4(const uint8_t bytes[4], uint8_t byte) {
    const uint32_t ones = 0x01010101u;
    uint32_t zero_where_equal = get_u32(bytes) ^ ones * byte;
    uint32_t found = (zero_where_equal - ones) & ~zero_where_equal & ones << 7;
    found &= 0 - found;
    return found ? (found >> 7) * 0x00010203u >> 24 : 4;
}

/* Where the reference to the child under `byte` stands; NULL: there is none. */
static inline uint32_t *mem_child(MemNode *node, uint8_t byte) {
    switch (node->kind) {
    case MEM_NODE4: {
        MemNode4 *n = (MemNode4 *)node;
        uint32_t i = mem_index4(n->bytes, byte);
        return i < node->count ? &n->children[i] : NULL;
    }
    case MEM_NODE16: {
        MemNode16 *n = (MemNode16 *)node;
        uint32_t i = find16(n->bytes, byte);
        return i < node->count ? &n->children[i] : NULL;
    }
    case MEM_NODE48: {
        MemNode48 *n = (MemNode48 *)node;
        return n->slots[byte] ? &n->children[n->slots[byte] - 1] : NULL;
    }
    default: {
        MemNode256 *n = (MemNode256 *)node;
        return n->children[byte] ? &n->children[byte] : NULL;
    }
    }
}

/* A leaf below `reference`, a node whose prefix begins at `depth` of `key`. The walk
 * follows `key` as far as there are children: so the leaf lies below each node that
 * the caller meets later on its way along `key`, and one walk serves them all. */
uint32_t mem_leaf_toward(const Memtable *memtable, uint32_t reference, Span key, size_t depth);

/* The whole prefix of a node, borrowed until the tree changes. *beneath is a leaf
 * below it from mem_leaf_toward, or 0 and then looked for when it is needed. */
static inline const uint8_t *mem_prefix(const Memtable *memtable, uint32_t reference,
                                        const MemNode *node, Span key, size_t depth,
                                        uint32_t *beneath) {
    if (node->prefix_size <= MEM_PREFIX) return node->prefix;
    if (*beneath == 0) *beneath = mem_leaf_toward(memtable, reference, key, depth);
    return mem_key(memtable, *beneath).data + depth;
}

#endif
