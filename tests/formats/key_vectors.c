/* key_vectors.c - prints random keys of every shape and their bytes as the C codec makes them,
 * for the codec in TypeScript to agree with: key_vectors COUNT SEED
 *
 *   part ... = hex          a part is TYPE:VALUE; integers and timestamps in decimal, a real as
 *                           the bits of it, text and bytes in hex
 */
#include "db/keycode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 3, BYTES = 12 };

static uint64_t next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void print_hex(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) printf("%02x", bytes[i]);
}

static int64_t random_integer(uint64_t *state) {
    static const int64_t edges[] = {0,         1,         -1,        255,       256,       -256,
                                    INT64_MAX, INT64_MIN, (1LL << 53) - 1, 1LL << 53, -(1LL << 53), 1000};
    if (next(state) % 2) return edges[next(state) % (sizeof edges / sizeof *edges)];
    int64_t some = (int64_t)(next(state) >> (next(state) % 63 + 1));
    return next(state) % 2 ? some : -some;
}

static double random_real(uint64_t *state) {
    static const double edges[] = {0, -0.0, 1, -1, .5, 1e300, -1e300, 5e-324, -5e-324};
    double real;
    uint64_t bits = next(state);
    memcpy(&real, &bits, sizeof real);
    return bits % 3 == 0 || real != real ? edges[next(state) % (sizeof edges / sizeof *edges)] : real;
}

static size_t random_bytes(uint64_t *state, bool text, uint8_t *out) {
    static const char *const letters[] = {"", "\x01", "a", "b", "\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    static const uint8_t bytes[] = {0, 0, 1, 2, 'a', 0xfe, 0xff};
    size_t size = 0;
    for (uint64_t left = next(state) % 4; left > 0; left--) {
        const char *letter = letters[next(state) % 8];
        if (!text) out[size++] = bytes[next(state) % sizeof bytes];
        else if (!*letter) out[size++] = 0;
        else memcpy(out + size, letter, strlen(letter)), size += strlen(letter);
    }
    return size;
}

int main(int argc, char **argv) {
    static const nacre_type types[] = {NACRE_INTEGER, NACRE_BIGINT, NACRE_REAL,     NACRE_BOOLEAN,
                                       NACRE_TEXT,    NACRE_BYTES,  NACRE_TIMESTAMP};
    static const char *const names[] = {"integer", "bigint", "real", "boolean", "text", "bytes", "timestamp"};
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (unsigned long i = 0; i < count; i++) {
        Schema schema = {.kind = NACRE_KV, .key_count = 1 + (uint32_t)(next(&state) % PARTS), .value_type = NACRE_BYTES};
        nacre_value values[PARTS];
        uint8_t room[PARTS][BYTES + 4], key[256];
        for (uint32_t p = 0; p < schema.key_count; p++) {
            uint64_t kind = next(&state) % 7;
            nacre_value *v = &values[p];
            *v = (nacre_value){.type = schema.key_types[p] = types[kind]};
            printf("%s:", names[kind]);
            if (v->type == NACRE_REAL) {
                uint64_t bits;
                v->real = random_real(&state);
                memcpy(&bits, &v->real, sizeof bits);
                printf("%" PRIu64 " ", bits);
            } else if (v->type == NACRE_TEXT || v->type == NACRE_BYTES) {
                v->bytes = (nacre_span){room[p], random_bytes(&state, v->type == NACRE_TEXT, room[p])};
                print_hex(room[p], v->bytes.size);
                printf(" ");
            } else {
                v->integer = random_integer(&state);
                if (v->type == NACRE_BOOLEAN) v->integer &= 1;
                if (v->type == NACRE_TIMESTAMP) v->integer %= LIMIT_TIMESTAMP_MS;
                printf("%" PRId64 " ", v->integer);
            }
        }
        uint8_t *end = key_encode(&schema, values, schema.key_count, KEY_WHOLE, key);
        printf("= ");
        print_hex(key, (size_t)(end - key));
        printf("\n");
    }
    return 0;
}
