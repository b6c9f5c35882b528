/* The quickstart in C: a collection in one file, and the nearest records.
 *
 *     make lib
 *     cc examples/c/quickstart.c -Ibuild build/libnacre.a -lm -o quickstart && ./quickstart */
#include "nacre.h"

#include <stdio.h>

static nacre_status run(nacre_db *db) {
    const nacre_field fields[] = {{"title", NACRE_TEXT, false}, {"year", NACRE_INTEGER, false}};
    const nacre_schema schema = nacre_schema_collection(NACRE_TEXT, 3, NACRE_COSINE, fields, 2);
    nacre_membrane *notes = NULL;
    nacre_status status = nacre_membrane_open(db, "notes", &schema, &notes);
    if (status != NACRE_OK) return status;

    static const struct {
        const char *key, *title;
        int year;
        float vector[3];
    } rows[] = {
        {"shell", "How a shell grows", 2024, {0.9f, 0.1f, 0.0f}},
        {"pearl", "Pearls and their colours", 2026, {0.8f, 0.3f, 0.1f}},
        {"tides", "A table of tides", 2026, {0.1f, 0.2f, 0.9f}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const nacre_value key = nacre_text(rows[i].key);
        const nacre_value values[] = {nacre_text(rows[i].title), nacre_integer(rows[i].year)};
        status = nacre_put(notes, &key, rows[i].vector, values); /* synced when it returns NACRE_OK */
        if (status != NACRE_OK) return status;
    }

    nacre_search_options options = NACRE_SEARCH_INIT;
    options.k = 2;
    options.where_json = "{\"year\": {\"gte\": 2025}}";
    nacre_hits *hits = NULL;
    status = nacre_search(notes, NULL, (const float[]){1, 0, 0}, &options, &hits);
    for (uint32_t i = 0; status == NACRE_OK && i < nacre_hits_count(hits); i++) {
        float distance = 0;
        nacre_row row;
        status = nacre_hits_at(hits, i, &distance, &row);
        if (status == NACRE_OK) /* text is borrowed from the hits, and has a size instead of a zero at its end */
            printf("%.*s %.3f %.*s\n", (int)row.key[0].bytes.size, (const char *)row.key[0].bytes.data, (double)distance,
                   (int)row.fields[0].bytes.size, (const char *)row.fields[0].bytes.data);
    }
    nacre_hits_free(hits);
    return status;
}

int main(void) {
    nacre_db *db = NULL;
    nacre_error error;
    if (nacre_open("notes", NULL, &db, &error) != NACRE_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    const nacre_status status = run(db);
    if (status != NACRE_OK) fprintf(stderr, "%s: %s\n", nacre_status_name(status), nacre_message(db));
    const nacre_status closed = nacre_close(db, &error);
    if (closed != NACRE_OK) fprintf(stderr, "%s\n", error.text);
    return status != NACRE_OK || closed != NACRE_OK;
}
