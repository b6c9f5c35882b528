/* extents.c - lists and marks of extents. Knows nothing of what is in them. */
#include "store/extents.h"

nacre_status extent_list_add(Env *env, ExtentList *list, uint32_t extent) {
    void *items = list->items;
    TRY(env_grow(env, &items, &list->capacity, list->count + 1, sizeof *list->items));
    list->items = items;
    list->items[list->count++] = extent;
    return NACRE_OK;
}

void extent_list_clear(Env *env, ExtentList *list) {
    env_free(env, list->items, list->capacity * sizeof *list->items);
    *list = (ExtentList){0};
}

size_t extent_list_encoded_size(const ExtentList *list) {
    size_t runs = 0;
    for (size_t i = 0; i < list->count; i++)
        if (i == 0 || list->items[i] != list->items[i - 1] + 1) runs++;
    return 4 + 8 * runs;
}

void extent_map_init(ExtentMap *map, Env *env, uint64_t database_size_max) {
    *map = (ExtentMap){.env = env, .limit = EXTENT_COUNT_MAX};
    if (database_size_max && database_size_max / EXTENT_SIZE < map->limit)
        map->limit = database_size_max / EXTENT_SIZE;
}

void extent_map_clear(ExtentMap *map) {
    env_free(map->env, map->marks, map->capacity);
    map->marks = NULL;
    map->count = map->capacity = 0;
}

nacre_status extent_map_reach(ExtentMap *map, uint32_t extent) {
    if (extent < map->count) return NACRE_OK;
    void *marks = map->marks;
    TRY(env_grow(map->env, &marks, &map->capacity, (size_t)extent + 1, 1));
    map->marks = marks;
    memset(map->marks + map->count, 0, (size_t)extent + 1 - map->count);
    map->count = (size_t)extent + 1;
    map->marks[0] |= EXTENT_CURRENT; /* rule 1 */
    return NACRE_OK;
}

nacre_status extent_map_take_run(ExtentMap *map, size_t count, uint32_t *first) {
    size_t start = map->lowest, length = 0;
    for (size_t i = map->lowest; i < map->count && length < count; i++) {
        if (map->marks[i] == 0) {
            if (length++ == 0) start = i;
        } else {
            length = 0;
        }
    }
    if (length == 0) start = map->count ? map->count : 1; /* extent 0 is never taken */
    if (start + count > map->limit - map->reserve)
        return env_fail(map->env, NACRE_QUOTA, "data file: %llu bytes are the limit, %llu more are needed",
                        (unsigned long long)map->limit * EXTENT_SIZE, (unsigned long long)count * EXTENT_SIZE);
    TRY(extent_map_reach(map, (uint32_t)(start + count - 1)));
    for (size_t i = start; i < start + count; i++) map->marks[i] |= EXTENT_WRITING;
    while (map->lowest < map->count && map->marks[map->lowest]) map->lowest++;
    *first = (uint32_t)start;
    return NACRE_OK;
}

nacre_status extent_map_take(ExtentMap *map, uint32_t *extent) { return extent_map_take_run(map, 1, extent); }

void extent_map_unmark(ExtentMap *map, uint8_t marks) {
    map->rounds++;
    for (size_t i = 0; i < map->count; i++) map->marks[i] &= (uint8_t)~marks;
}

void extent_map_mark(ExtentMap *map, const ExtentList *list, uint8_t mark) {
    for (size_t i = 0; i < list->count; i++) {
        ASSERT(list->items[i] < map->count);
        map->marks[list->items[i]] |= mark;
    }
}

void extent_map_give_back(ExtentMap *map, const ExtentList *list) {
    for (size_t i = 0; i < list->count; i++) map->marks[list->items[i]] &= (uint8_t)~EXTENT_WRITING;
    map->lowest = 0;
}

void extent_map_recount(ExtentMap *map) {
    if (map->count) map->marks[0] |= EXTENT_CURRENT;
    map->lowest = 0;
}

size_t extent_map_end(const ExtentMap *map) {
    size_t end = map->count;
    while (end > 1 && map->marks[end - 1] == 0) end--;
    return end;
}

size_t extent_map_used(const ExtentMap *map) {
    size_t used = 0;
    for (size_t i = 0; i < map->count; i++) used += map->marks[i] != 0;
    return used;
}
