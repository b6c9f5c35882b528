/* filter_tree.h - a compiled filter, for filter.c, which tests rows with it, and picks.c, which asks
 * indexes. Three arrays: nodes in the program's order, each knowing where its subtree ends; operands (a
 * composite key's operand is key_count of them); and bytes, a copy of the program followed by the
 * escaped forms of text that is compared with keys. */
#ifndef DB_FILTER_TREE_H
#define DB_FILTER_TREE_H

#include "db/filter.h"

typedef struct FilterOperand {
    nacre_value value; /* borrowed from the filter's bytes */
    Span encoded;      /* of text and bytes of a key: as in keycode_format.h */
} FilterOperand;

typedef struct FilterNode {
    uint8_t op;
    bool null; /* eq, ne: the operand is null; in: null is one of them */
    bool exists;
    uint16_t column;
    nacre_type type; /* of the column; of a key: of its first part */
    uint32_t first;  /* operand */
    uint32_t count;  /* operands (of a composite key: groups), or children */
    uint32_t end;    /* node after this subtree */
} FilterNode;

struct Filter {
    Env *env;
    FilterNode *nodes;
    FilterOperand *operands;
    uint8_t *bytes;
    nacre_value *fields; /* of the row that is tested, as far as they are needed */
    nacre_type *types;   /* of those fields */
    size_t node_count, node_capacity, operand_count, operand_capacity, bytes_size, bytes_used;
    uint32_t fields_needed; /* leading fields of a row */
    uint32_t fields_capacity;
    uint32_t key_count;
    nacre_type key_types[NACRE_KEY_PARTS_MAX];
    bool indexed; /* one of its fields is */
    Span key, row;
    bool row_read;
};

/* Rule 3: two values of types that may be compared; neither is null or JSON. */
int filter_order(const nacre_value *a, const nacre_value *b);
bool filter_has(Span hay, Span needle);

#endif
