/* search_many.c - several searches in one call. Knows nothing of how one is done. */
#include "db/db.h"

nacre_status db_search_many(Membrane *membrane, const Snapshot *snapshot, const SearchQuery *query, uint32_t count,
                            Hits **hits) {
    SearchQuery one = *query;
    nacre_status status = NACRE_OK;
    uint32_t done = 0;
    for (; done < count && status == NACRE_OK; done += status == NACRE_OK) {
        status = db_search(membrane, snapshot, &one, &hits[done]);
        one.vector = (const uint8_t *)one.vector + schema_vector_size(membrane_schema(membrane));
    }
    for (uint32_t i = 0; status != NACRE_OK && i < done; i++) {
        hits_free(hits[i]);
        hits[i] = NULL;
    }
    return status;
}
