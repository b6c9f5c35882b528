/* memtable.c - building and asking the tree of the newest rows. It knows records
 * (record_format.h) but not batches, files or when to flush. Nodes: mem_nodes.h.
 *
 * How much room nodes can need. Inserting an older key needs none; a new key takes
 * at most one node from its chunk: either a node of 4, or the next larger size of a
 * node that was full. So `count` insertions need at most count * sizeof(MemNode256).
 *
 * That is far too much for many insertions, and a second bound is strict as well: a
 * tree of n keys has ever cut at most (n - 1) * sizeof(MemNode4) bytes. Proof: n - 1 is
 * the sum of (children - 1) over the nodes; give each such unit 40 bytes. Follow one
 * node from its birth as a node of 4 through its replacements, and suppose that no
 * place is ever used again:
 *
 *       cut for it, summed up     units it owns by then    bytes per unit
 *       4:      40                 1  (2 children)          40
 *       16:    140                 4  (5 children)          35
 *       48:    640                16  (17 children)         40
 *       256:  1716                48  (49 children)         35.8
 *
 * A node is cut only when the last one of its chunk does not fit: a chunk left behind
 * holds MEM_CHUNK_HOLDS bytes of nodes or more (the first lacks a word, as 0 is no
 * node). If c chunks do not suffice, more than c * MEM_CHUNK_HOLDS bytes were cut. */
#include "memtable/mem_nodes.h"

enum { MEM_CHUNK_HOLDS = MEM_CHUNK_SIZE - (int)sizeof(MemNode256) };

static const uint16_t mem_node_sizes[MEM_KIND_COUNT] = {sizeof(MemNode4), sizeof(MemNode16),
                                                        sizeof(MemNode48), sizeof(MemNode256)};

_Static_assert(sizeof(MemNode4) == 40 && sizeof(MemNode16) == 100 && sizeof(MemNode48) == 500 &&
                   sizeof(MemNode256) == 1076,
               "the proof above counts with these sizes");
_Static_assert(MEM_CHUNK_SIZE == MEM_WORD << MEM_WORD_BITS, "a reference reaches all of a chunk");

/* ---- room ---- */

/* Keys are different and a record has a head: so many fit into the arena. */
static uint64_t mem_key_count_max(size_t capacity) { return capacity / RECORD_HEAD; }

/* Chunks that surely hold so many bytes of nodes, whatever order they come in. */
static uint64_t mem_chunks_holding(uint64_t bytes) {
    return (bytes + MEM_CHUNK_HOLDS - 1) / MEM_CHUNK_HOLDS;
}

/* What the nodes of so many keys can ever take. */
static uint64_t mem_bytes_of_keys(uint64_t key_count) {
    return key_count > 1 ? (key_count - 1) * sizeof(MemNode4) : 0;
}

/* Chunks needed for `count` more records, the present ones included. */
static uint64_t mem_chunks_for(const Memtable *memtable, uint64_t count) {
    uint64_t key_count_max = mem_key_count_max(memtable->capacity);
    if (count > key_count_max - memtable->key_count) count = key_count_max - memtable->key_count;
    uint64_t by_keys = mem_bytes_of_keys(memtable->key_count + count);
    uint64_t by_steps = memtable->nodes->cut + count * sizeof(MemNode256);
    return mem_chunks_holding(by_keys < by_steps ? by_keys : by_steps);
}

static size_t mem_nodes_size(uint64_t chunk_count_max) {
    return sizeof(MemNodes) + (size_t)chunk_count_max * sizeof(uint8_t *);
}

static uint64_t mem_bytes_with(const Memtable *memtable, uint64_t chunk_count) {
    return sizeof(Memtable) + mem_nodes_size(memtable->nodes->chunk_count_max) +
           chunk_count * MEM_CHUNK_SIZE;
}

nacre_status memtable_alloc(Env *env, size_t capacity, uint64_t base_lsn, uint32_t log,
                            Memtable **memtable) {
    ASSERT(capacity / 4 <= MEM_LEAF); /* what a leaf can name */
    uint64_t chunks = mem_chunks_holding(mem_bytes_of_keys(mem_key_count_max(capacity)));
    if (chunks > MEM_CHUNK_COUNT_MAX) chunks = MEM_CHUNK_COUNT_MAX;
    Memtable *made = env_alloc_zeroed(env, sizeof *made);
    if (!made) return NACRE_RESOURCE_EXHAUSTED;
    made->env = env;
    made->references = 1;
    made->capacity = capacity;
    made->base_lsn = made->last_lsn = base_lsn;
    made->log = log;
    made->nodes = env_alloc_zeroed(env, mem_nodes_size(chunks));
    if (made->nodes) {
        made->nodes->chunk_count_max = (uint32_t)chunks;
        made->nodes->position = MEM_WORD; /* reference 0 is none */
        made->arena = env_alloc(env, capacity);
    }
    if (!made->arena) {
        memtable_release(made);
        return NACRE_RESOURCE_EXHAUSTED;
    }
    *memtable = made;
    return NACRE_OK;
}

void memtable_retain(Memtable *memtable) { memtable->references++; }

void memtable_release(Memtable *memtable) {
    if (!memtable) return;
    ASSERT(memtable->references > 0);
    if (--memtable->references > 0) return;
    Env *env = memtable->env;
    MemNodes *nodes = memtable->nodes;
    if (nodes) {
        for (uint32_t i = 0; i < nodes->chunk_count; i++)
            env_free(env, nodes->chunks[i], MEM_CHUNK_SIZE);
        env_free(env, nodes, mem_nodes_size(nodes->chunk_count_max));
    }
    env_free(env, memtable->arena, memtable->capacity);
    env_free(env, memtable, sizeof *memtable);
}

uint64_t memtable_node_bytes(const Memtable *memtable) {
    return mem_bytes_with(memtable, memtable->nodes->chunk_count);
}

uint64_t memtable_node_bytes_max(const Memtable *memtable, uint64_t count) {
    uint64_t chunks = mem_chunks_for(memtable, count);
    if (chunks < memtable->nodes->chunk_count) chunks = memtable->nodes->chunk_count;
    return mem_bytes_with(memtable, chunks);
}

nacre_status memtable_reserve(Memtable *memtable, uint64_t count) {
    MemNodes *nodes = memtable->nodes;
    uint64_t chunks = mem_chunks_for(memtable, count);
    if (chunks > nodes->chunk_count_max)
        return env_fail(memtable->env, NACRE_RESOURCE_EXHAUSTED,
                        "memtable: %llu more records need more nodes than can be named",
                        (unsigned long long)count);
    while (nodes->chunk_count < chunks) {
        uint8_t *chunk = env_alloc(memtable->env, MEM_CHUNK_SIZE);
        if (!chunk) return NACRE_RESOURCE_EXHAUSTED;
        nodes->chunks[nodes->chunk_count++] = chunk;
    }
    return NACRE_OK;
}

/* ---- nodes ---- */

/* A place for a node; its content is whatever was there. Reserved: cannot fail. */
static uint32_t mem_node_cut(MemNodes *nodes, uint32_t kind) {
    uint32_t reference = nodes->free[kind];
    if (reference) {
        nodes->free[kind] = mem_node(nodes, reference)->prefix_size;
        return reference;
    }
    uint32_t size = mem_node_sizes[kind];
    if (size > MEM_CHUNK_SIZE - nodes->position) {
        nodes->chunk++;
        nodes->position = 0;
    }
    ASSERT(nodes->chunk < nodes->chunk_count); /* else insertions were not reserved */
    reference = nodes->chunk << MEM_WORD_BITS | nodes->position / MEM_WORD;
    nodes->position += size;
    nodes->cut += size;
    return reference;
}

/* Puts a byte into the set that cursors step through (rule 5). */
static void mem_add_present(uint8_t *present, uint8_t byte) {
    present[byte / 8] |= (uint8_t)(1u << byte % 8);
}

/* Rule 2: its place waits for the next node of its size. */
static void mem_node_free(MemNodes *nodes, uint32_t reference) {
    MemNode *node = mem_node(nodes, reference);
    node->prefix_size = nodes->free[node->kind];
    nodes->free[node->kind] = reference;
}

/* Puts a child that is not there yet among the `count` ones of a node of 4 or 16. */
static void mem_add_sorted(uint8_t *bytes, uint32_t *children, uint32_t count, uint8_t byte,
                           uint32_t child) {
    uint32_t i = count;
    for (; i > 0 && bytes[i - 1] > byte; i--) {
        bytes[i] = bytes[i - 1];
        children[i] = children[i - 1];
    }
    bytes[i] = byte;
    children[i] = child;
}

/* Rule 2: the node at *slot is full; the next larger one takes its place. */
static MemNode *mem_grow(MemNodes *nodes, uint32_t *slot) {
    uint32_t old_reference = *slot;
    MemNode *old = mem_node(nodes, old_reference);
    uint32_t reference = mem_node_cut(nodes, old->kind + 1u);
    MemNode *node = mem_node(nodes, reference);
    if (old->kind == MEM_NODE4) {
        MemNode4 *from = (MemNode4 *)old;
        MemNode16 *to = (MemNode16 *)node;
        memset(to->bytes, 0, sizeof to->bytes); /* searched whole, so never uninitialised */
        memcpy(to->bytes, from->bytes, sizeof from->bytes);
        memcpy(to->children, from->children, sizeof from->children);
    } else if (old->kind == MEM_NODE16) {
        MemNode16 *from = (MemNode16 *)old;
        MemNode48 *to = (MemNode48 *)node;
        memset(to->present, 0, sizeof to->present);
        memset(to->slots, 0, sizeof to->slots);
        memcpy(to->children, from->children, sizeof from->children);
        for (uint32_t i = 0; i < 16; i++) {
            to->slots[from->bytes[i]] = (uint8_t)(i + 1);
            mem_add_present(to->present, from->bytes[i]);
        }
    } else {
        MemNode48 *from = (MemNode48 *)old;
        MemNode256 *to = (MemNode256 *)node;
        memcpy(to->present, from->present, sizeof to->present);
        memset(to->children, 0, sizeof to->children);
        for (uint32_t base = 0; base < 256; base += 64) {
            for (uint64_t bits = get_u64(to->present + base / 8); bits; bits &= bits - 1) {
                uint32_t byte = base + (uint32_t)mem_lowest(bits);
                to->children[byte] = from->children[from->slots[byte] - 1];
            }
        }
    }
    *node = *old; /* the head */
    node->kind++;
    mem_node_free(nodes, old_reference);
    *slot = reference;
    return node;
}

/* Adds a child under a byte that has none to the node at *slot. */
static void mem_add(MemNodes *nodes, uint32_t *slot, uint8_t byte, uint32_t child) {
    static const uint16_t full[MEM_KIND_COUNT] = {4, 16, 48, 256};
    MemNode *node = mem_node(nodes, *slot);
    if (node->count == full[node->kind]) node = mem_grow(nodes, slot);
    uint32_t count = node->count++;
    if (node->kind == MEM_NODE4) {
        MemNode4 *n = (MemNode4 *)node;
        mem_add_sorted(n->bytes, n->children, count, byte, child);
    } else if (node->kind == MEM_NODE16) {
        MemNode16 *n = (MemNode16 *)node;
        mem_add_sorted(n->bytes, n->children, count, byte, child);
    } else if (node->kind == MEM_NODE48) {
        MemNode48 *n = (MemNode48 *)node;
        mem_add_present(n->present, byte);
        n->children[count] = child;
        n->slots[byte] = (uint8_t)(count + 1);
    } else {
        MemNode256 *n = (MemNode256 *)node;
        mem_add_present(n->present, byte);
        n->children[byte] = child;
    }
}

static void mem_set_prefix(MemNode *node, const uint8_t *prefix, size_t size) {
    node->prefix_size = (uint32_t)size;
    memmove(node->prefix, prefix, size < MEM_PREFIX ? size : MEM_PREFIX);
}

/* A node of 4 with the given prefix and two children. */
static uint32_t mem_fork(MemNodes *nodes, const uint8_t *prefix, size_t prefix_size, uint8_t byte_a,
                         uint32_t a, uint8_t byte_b, uint32_t b) {
    uint32_t reference = mem_node_cut(nodes, MEM_NODE4);
    MemNode4 *node = (MemNode4 *)mem_node(nodes, reference);
    uint32_t first = byte_a > byte_b;
    node->head.kind = MEM_NODE4;
    node->head.count = 2;
    memset(node->bytes, 0, sizeof node->bytes);
    mem_set_prefix(&node->head, prefix, prefix_size);
    node->bytes[first] = byte_a;
    node->children[first] = a;
    node->bytes[1 - first] = byte_b;
    node->children[1 - first] = b;
    return reference;
}

uint32_t mem_leaf_toward(const Memtable *memtable, uint32_t reference, Span key, size_t depth) {
    while (!mem_is_leaf(reference)) {
        MemNode *node = mem_node(memtable->nodes, reference);
        depth += node->prefix_size;
        uint32_t *child = depth < key.size ? mem_child(node, key.data[depth]) : NULL;
        if (child) {
            reference = *child;
        } else if (node->kind == MEM_NODE4) {
            reference = ((MemNode4 *)node)->children[0];
        } else if (node->kind == MEM_NODE16) {
            reference = ((MemNode16 *)node)->children[0];
        } else if (node->kind == MEM_NODE48) {
            reference = ((MemNode48 *)node)->children[0];
        } else {
            uint32_t *children = ((MemNode256 *)node)->children;
            while (*children == 0) children++; /* rule 3 */
            reference = *children;
        }
        depth++;
    }
    return reference;
}

/* ---- insert and get ---- */

/* Hangs `leaf` into the tree. false: the prefix condition forbids it. *older is
 * the leaf it replaces, of the same key, or stays as it is. */
static bool mem_hang(Memtable *memtable, uint32_t leaf, Span key, uint32_t *older) {
    MemNodes *nodes = memtable->nodes;
    uint32_t *slot = &nodes->root;
    uint32_t beneath = 0;
    size_t depth = 0;
    while (*slot && !mem_is_leaf(*slot)) {
        MemNode *node = mem_node(nodes, *slot);
        size_t size = node->prefix_size, left = key.size - depth;
        if (size) {
            const uint8_t *prefix = mem_prefix(memtable, *slot, node, key, depth, &beneath);
            size_t same = bytes_common(prefix, key.data + depth, size < left ? size : left);
            if (same == left) return false;
            if (same < size) {
                *slot = mem_fork(nodes, prefix, same, prefix[same], *slot, key.data[depth + same],
                                 leaf);
                mem_set_prefix(node, prefix + same + 1, size - same - 1);
                return true;
            }
            depth += size;
        } else if (left == 0) {
            return false;
        }
        uint32_t *child = mem_child(node, key.data[depth]);
        if (!child) {
            mem_add(nodes, slot, key.data[depth], leaf);
            return true;
        }
        slot = child;
        depth++;
    }
    if (*slot) {
        Span other = mem_key(memtable, *slot);
        size_t left = key.size - depth, other_left = other.size - depth;
        size_t same = !left || !other_left ? 0
                                           : bytes_common(other.data + depth, key.data + depth,
                                                        left < other_left ? left : other_left);
        if (same == left && same == other_left) {
            *older = *slot;
        } else if (same == left || same == other_left) {
            return false;
        } else {
            leaf = mem_fork(nodes, key.data + depth, same, other.data[depth + same], *slot,
                            key.data[depth + same], leaf);
        }
    }
    *slot = leaf;
    return true;
}

bool memtable_insert(Memtable *memtable, uint32_t offset, uint32_t stamp) {
    uint8_t *record = memtable->arena + offset;
    uint32_t leaf = MEM_LEAF | offset / 4, older = 0;
    if (!mem_hang(memtable, leaf, record_key(record), &older)) return false;
    put_u32(record + 8, older & ~MEM_LEAF);
    put_u32(record + 12, stamp);
    memtable->key_count += older == 0;
    memtable->record_count++;
    memtable->changes++;
    return true;
}

/* The upper nodes are in the cache; what is asked for is a line of the second one and, once
 * that is there, the third or the record. */
void memtable_expect(const Memtable *memtable, Span key, bool nearer) {
    uint32_t reference = memtable->nodes->root;
    size_t depth = 0;
    for (int step = 0; step < 2; step++) {
        if (reference == 0 || mem_is_leaf(reference)) break;
        MemNode *node = mem_node(memtable->nodes, reference);
        depth += node->prefix_size;
        if (depth >= key.size) return;
        if (step == 1 && !nearer) {
            if (node->kind == MEM_NODE256) memory_expect(&((MemNode256 *)node)->children[key.data[depth]]);
            return;
        }
        uint32_t *child = mem_child(node, key.data[depth++]);
        if (!child) return;
        reference = *child;
    }
    if (reference == 0) return;
    if (mem_is_leaf(reference)) memory_expect(mem_record(memtable, reference));
    else memory_expect(mem_node(memtable->nodes, reference));
}

/* Skips prefixes unseen, because the record at the end has the whole key. */
const uint8_t *memtable_get(const Memtable *memtable, Span key, uint32_t stamp) {
    uint32_t reference = memtable->nodes->root;
    size_t depth = 0;
    while (!mem_is_leaf(reference)) {
        if (reference == 0) return NULL; /* no keys at all */
        MemNode *node = mem_node(memtable->nodes, reference);
        depth += node->prefix_size;
        if (depth >= key.size) return NULL;
        uint32_t *child = mem_child(node, key.data[depth++]);
        if (!child) return NULL;
        reference = *child;
    }
    if (!span_eq(mem_key(memtable, reference), key)) return NULL;
    return mem_version(memtable, reference, stamp);
}
