/* mem_cursor.c - walking a memtable in the order of keys. Knows the tree's nodes
 * (mem_nodes.h) and nothing of how they come to be.
 *
 * 1. `path` leads from the root to the leaf stood on, `depth` steps of it; a step
 *    is a node and the place of a child: in nodes of 4 and 16 its index, in larger
 *    ones its byte. It holds while the memtable's `changes` are the cursor's.
 * 2. A path deeper than there is room for is not written down to its end. A move
 *    then searches for the key beside the last one, as it does after a change.
 * 3. Keys never leave the tree, and the arena never moves: the record stood on
 *    always tells the last key. */
#include "memtable/mem_nodes.h"

enum {
    MEM_PATH = sizeof((MemCursor *)0)->path / sizeof((MemCursor *)0)->path[0],
    MEM_NO_PLACE = -1,
};

static inline const uint8_t *mem_present(const MemNode *node) {
    return node->kind == MEM_NODE48 ? ((const MemNode48 *)node)->present
                                    : ((const MemNode256 *)node)->present;
}

/* The nearest place with a child beyond byte or index `at`; at = -1: the first. */
static inline int32_t mem_place_after(const MemNode *node, int32_t at) {
    at++;
    if (node->kind <= MEM_NODE16) return at < node->count ? at : MEM_NO_PLACE;
    if (at > 255) return MEM_NO_PLACE;
    const uint8_t *present = mem_present(node);
    uint64_t bits = get_u64(present + at / 64 * 8) >> at % 64;
    if (bits) return at + mem_lowest(bits);
    for (at = at / 64 * 64 + 64; at < 256; at += 64) {
        bits = get_u64(present + at / 8);
        if (bits) return at + mem_lowest(bits);
    }
    return MEM_NO_PLACE;
}

/* The nearest place with a child before `at`; at = 256: the last. */
static inline int32_t mem_place_before(const MemNode *node, int32_t at) {
    if (node->kind <= MEM_NODE16) return at > node->count ? node->count - 1 : at - 1;
    at--;
    if (at < 0) return MEM_NO_PLACE;
    const uint8_t *present = mem_present(node);
    uint64_t bits = get_u64(present + at / 64 * 8) << (63 - at % 64);
    if (bits) return at - 63 + mem_highest(bits);
    for (at = at / 64 * 64 - 64; at >= 0; at -= 64) {
        bits = get_u64(present + at / 8);
        if (bits) return at + mem_highest(bits);
    }
    return MEM_NO_PLACE;
}

static inline int32_t mem_place_beside(const MemNode *node, int32_t at, bool forward) {
    return forward ? mem_place_after(node, at) : mem_place_before(node, at);
}

/* Places are indices in small nodes: the one from which a step reaches the nearest
 * child beyond `byte`, whether or not `byte` has a child. */
static inline int32_t mem_place_of(const MemNode *node, uint8_t byte, bool forward) {
    if (node->kind > MEM_NODE16) return byte;
    const uint8_t *bytes = node->kind == MEM_NODE4 ? ((const MemNode4 *)node)->bytes
                                                   : ((const MemNode16 *)node)->bytes;
    int32_t at = 0;
    while (at < node->count && bytes[at] < byte) at++;
    return forward && !(at < node->count && bytes[at] == byte) ? at - 1 : at;
}

static inline uint32_t mem_child_at(const MemNode *node, uint32_t place) {
    switch (node->kind) {
    case MEM_NODE4: return ((const MemNode4 *)node)->children[place];
    case MEM_NODE16: return ((const MemNode16 *)node)->children[place];
    case MEM_NODE48: {
        const MemNode48 *n = (const MemNode48 *)node;
        return n->children[n->slots[place] - 1];
    }
    default: return ((const MemNode256 *)node)->children[place];
    }
}

static inline void mem_path_push(MemCursor *cursor, uint32_t node, uint32_t place) {
    if (cursor->depth < MEM_PATH) {
        cursor->path[cursor->depth].node = node;
        cursor->path[cursor->depth].child = place;
    }
    cursor->depth++; /* rule 2: it counts on */
}

/* The first leaf below `reference`, seen from where the walk comes. */
static inline uint32_t mem_enter(MemCursor *cursor, uint32_t reference, bool forward) {
    while (!mem_is_leaf(reference)) {
        const MemNode *node = mem_node(cursor->memtable->nodes, reference);
        int32_t place = mem_place_beside(node, forward ? -1 : 256, forward);
        mem_path_push(cursor, reference, (uint32_t)place);
        reference = mem_child_at(node, (uint32_t)place);
    }
    return reference;
}

/* Where a search has to turn when nothing lies on its own way: the subtree beside. */
typedef struct MemTurn {
    uint32_t node, place, depth;
} MemTurn;

static uint32_t mem_take_turn(MemCursor *cursor, MemTurn turn, bool forward) {
    if (turn.node == 0) return 0;
    cursor->depth = turn.depth;
    mem_path_push(cursor, turn.node, turn.place);
    const MemNode *node = mem_node(cursor->memtable->nodes, turn.node);
    return mem_enter(cursor, mem_child_at(node, turn.place), forward);
}

/* The leaf nearest to `key` in one direction, with the path to it; 0: none. */
static uint32_t mem_find(MemCursor *cursor, Span key, bool forward, bool or_equal) {
    const Memtable *memtable = cursor->memtable;
    uint32_t reference = memtable->nodes->root, beneath = 0;
    MemTurn turn = {0, 0, 0};
    size_t depth = 0;
    int order = 0; /* of what lies below `reference`, against key */
    cursor->changes = memtable->changes;
    cursor->depth = 0;
    if (reference == 0) return 0;
    while (!mem_is_leaf(reference)) {
        MemNode *node = mem_node(memtable->nodes, reference);
        size_t size = node->prefix_size;
        const uint8_t *prefix = mem_prefix(memtable, reference, node, key, depth, &beneath);
        order = span_compare(
            span_of(prefix, size),
            span_of(key.data + depth, key.size - depth < size ? key.size - depth : size));
        depth += size;
        if (order == 0 && depth == key.size) order = 1; /* all below is longer */
        if (order != 0) break;
        uint8_t byte = key.data[depth++];
        int32_t place = mem_place_of(node, byte, forward);
        int32_t beside = mem_place_beside(node, place, forward);
        if (beside != MEM_NO_PLACE) turn = (MemTurn){reference, (uint32_t)beside, cursor->depth};
        const uint32_t *child = mem_child(node, byte);
        if (!child) return mem_take_turn(cursor, turn, forward);
        mem_path_push(cursor, reference, (uint32_t)place);
        reference = *child;
    }
    if (mem_is_leaf(reference)) {
        order = span_compare(mem_key(memtable, reference), key);
        if (order == 0 && or_equal) return reference;
    }
    if (forward ? order > 0 : order < 0) return mem_enter(cursor, reference, forward);
    return mem_take_turn(cursor, turn, forward);
}

/* The leaf beside the one stood on, whose newest record is `record`; 0: none. */
static inline uint32_t mem_step(MemCursor *cursor, const uint8_t *record, bool forward) {
    if (cursor->changes != cursor->memtable->changes || cursor->depth > MEM_PATH)
        return mem_find(cursor, record_key(record), forward, false);
    while (cursor->depth > 0) {
        uint32_t last = cursor->depth - 1;
        const MemNode *node = mem_node(cursor->memtable->nodes, cursor->path[last].node);
        int32_t place = mem_place_beside(node, (int32_t)cursor->path[last].child, forward);
        if (place != MEM_NO_PLACE) {
            cursor->path[last].child = (uint32_t)place;
            return mem_enter(cursor, mem_child_at(node, (uint32_t)place), forward);
        }
        cursor->depth = last;
    }
    return 0;
}

/* Stands on `leaf`, or on the nearest one behind it that has a version to see. */
static inline bool mem_settle(MemCursor *cursor, uint32_t leaf, bool forward) {
    cursor->record = NULL;
    while (leaf) {
        cursor->record = mem_version(cursor->memtable, leaf, cursor->stamp);
        if (cursor->record) return true;
        leaf = mem_step(cursor, mem_record(cursor->memtable, leaf), forward);
    }
    return false;
}

void mem_cursor_init(MemCursor *cursor, const Memtable *memtable, uint32_t stamp) {
    *cursor = (MemCursor){.memtable = memtable, .stamp = stamp};
}

bool mem_cursor_seek(MemCursor *cursor, Span key) {
    return mem_settle(cursor, mem_find(cursor, key, true, true), true);
}

bool mem_cursor_seek_back(MemCursor *cursor, Span key) {
    return mem_settle(cursor, mem_find(cursor, key, false, true), false);
}

/* The leaf at one end; 0: the memtable is empty. */
static uint32_t mem_end(MemCursor *cursor, bool forward) {
    uint32_t root = cursor->memtable->nodes->root;
    cursor->changes = cursor->memtable->changes;
    cursor->depth = 0;
    return root ? mem_enter(cursor, root, forward) : 0;
}

bool mem_cursor_first(MemCursor *cursor) { return mem_settle(cursor, mem_end(cursor, true), true); }

bool mem_cursor_last(MemCursor *cursor) {
    return mem_settle(cursor, mem_end(cursor, false), false);
}

bool mem_cursor_next(MemCursor *cursor) {
    if (!cursor->record) return false;
    return mem_settle(cursor, mem_step(cursor, cursor->record, true), true);
}

bool mem_cursor_prev(MemCursor *cursor) {
    if (!cursor->record) return false;
    return mem_settle(cursor, mem_step(cursor, cursor->record, false), false);
}

enum { MEM_AHEAD_MAX = 64, MEM_LINE = 64, MEM_LINES = 3 };

size_t mem_cursor_ahead(MemCursor *cursor, const uint8_t **records, size_t room) {
    uint32_t leaves[MEM_AHEAD_MAX];
    size_t count = 0, found = 0;
    const uint8_t *last = cursor->record;
    if (!last) return 0;
    if (room > MEM_AHEAD_MAX) room = MEM_AHEAD_MAX;
    while (found == 0) {
        for (count = 0; count < room; count++) {
            leaves[count] = mem_step(cursor, last, true);
            if (leaves[count] == 0) break;
            last = mem_record(cursor->memtable, leaves[count]);
            for (int line = 0; line < MEM_LINES; line++) memory_expect(last + line * MEM_LINE);
        }
        if (count == 0) {
            cursor->record = NULL;
            return 0;
        }
        for (size_t i = 0; i < count; i++) {
            records[found] = mem_version(cursor->memtable, leaves[i], cursor->stamp);
            found += records[found] != NULL;
        }
    }
    cursor->record = last; /* the newest version of the last key: a move only asks for its key */
    return found;
}
