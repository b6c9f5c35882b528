/* element_test.c - elements other than 32-bit floats (F09, F10): conversions against their
 * definition, distances against those of the floats, and collections of them against a scan. */
#include "lib/check.h"

#include "base/codec.h"
#include "nacre.h"
#include "vector/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* IEEE 754, 3.4: exponent 5 bits, bias 15; finite ones only. */
static double half_value(uint16_t half) {
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half & 0x8000 ? -size : size;
}

static uint16_t half_of(float number) {
    uint8_t bytes[2];
    CHECK(element_encode(ELEMENT_F16, &number, 1, bytes) == bytes + 2);
    return get_u16(bytes);
}

static void f10_every_half_is_read_and_written_as_itself(void) {
    uint32_t wrong = 0;
    for (uint32_t half = 0; half < 0x10000; half++) {
        uint8_t bytes[2];
        float number = 0;
        put_u16(bytes, (uint16_t)half);
        element_decode(ELEMENT_F16, bytes, 1, &number);
        if ((half & 0x7c00) == 0x7c00) { /* none: rule 2 */
            wrong += !(fabsf(number) >= 65536) || element_takes(ELEMENT_F16, number);
            continue;
        }
        wrong += (double)number != half_value((uint16_t)half) || (signbit(number) != 0) != (half >= 0x8000);
        wrong += !element_takes(ELEMENT_F16, number) || half_of(number) != half;
    }
    CHECK_EQ(wrong, 0);
}

/* Between each two neighbours: below the middle down, above it up, at it to the even one. */
static void f10_halves_are_rounded_to_the_nearest_and_even(void) {
    uint32_t wrong = 0;
    for (uint32_t half = 0; half < 0x7bff; half++) {
        double low = half_value((uint16_t)half), high = half_value((uint16_t)(half + 1));
        float middle = (float)((low + high) / 2);
        uint32_t even = half & 1 ? half + 1 : half;
        wrong += half_of(middle) != even || half_of(-middle) != (even | 0x8000);
        wrong += half_of(nextafterf(middle, 0)) != half || half_of(nextafterf(middle, INFINITY)) != half + 1;
        wrong += element_zero(ELEMENT_F16, middle) != (even == 0);
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(half_of(nextafterf(65520, 0)), 0x7bff);
    static const float beyond[] = {65520, -65520, 1e30f, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < 6; i++) CHECK(!element_takes(ELEMENT_F16, beyond[i]));
    CHECK_EQ(half_of(0x1p-149f), 0);
    CHECK_EQ(half_of(-0.0f), 0x8000);
}

static void f09_bytes_and_bits_are_whole_numbers(void) {
    static const float refused[] = {0.5f, 128, -129, 1e30f, NAN, INFINITY, -INFINITY};
    for (int i = -128; i < 128; i++) {
        float number = (float)i, back = 1000;
        uint8_t byte = 0;
        CHECK(element_takes(ELEMENT_I8, number) && element_takes(ELEMENT_BIT, number) == (i == 0 || i == 1));
        CHECK(element_encode(ELEMENT_I8, &number, 1, &byte) == &byte + 1);
        element_decode(ELEMENT_I8, &byte, 1, &back);
        CHECK(byte == (i & 255) && back == number);
    }
    for (size_t i = 0; i < 7; i++) CHECK(!element_takes(ELEMENT_I8, refused[i]) && !element_takes(ELEMENT_BIT, refused[i]));
    static const float bits[11] = {1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0};
    uint8_t packed[2] = {0xff, 0xff};
    float back[11];
    CHECK_EQ(element_size(ELEMENT_BIT, 11), 2);
    CHECK(element_encode(ELEMENT_BIT, bits, 11, packed) == packed + 2);
    CHECK(packed[0] == 0x89 && packed[1] == 0x02);
    element_decode(ELEMENT_BIT, packed, 11, back);
    CHECK(memcmp(bits, back, sizeof bits) == 0);
    CHECK(element_bits_end(packed, 11));
    packed[1] |= 0x08;
    CHECK(!element_bits_end(packed, 11) && element_bits_end(packed, 12));
}

/* Rows at an odd address, in sections of every length: the distance of the floats, bit for bit. */
static void f09_distances_are_those_of_the_floats(void) {
    enum { MOST = 70, ROWS = 21 };
    static uint8_t stored[1 + (ROWS + 1) * 2 * MOST];
    static float floats[(ROWS + 1) * MOST], room[20 * MOST];
    uint64_t random = 3;
    for (size_t n = 1; n <= MOST; n += n < 9 ? 1 : 13) {
        for (Element element = ELEMENT_F16; element <= ELEMENT_I8; element++) {
            size_t size = element_size(element, n);
            for (size_t i = 0; i < (ROWS + 1) * n; i++) floats[i] = (float)(test_random(&random) % 255) - 127;
            for (size_t i = 0; i <= ROWS; i++) (void)element_encode(element, floats + i * n, n, stored + 1 + i * size);
            CHECK(metric_room(element, n) <= 20 * MOST);
            for (Metric metric = METRIC_L2; metric <= METRIC_IP; metric++) {
                MetricQuery plain, made;
                float want[ROWS], got[ROWS];
                metric_query_init(&plain, kernels_choose(), metric, floats + ROWS * n, n);
                metric_many(&plain, floats, 4 * n, ROWS, want);
                metric_elements_init(&made, kernels_choose(), metric, element, stored + 1 + ROWS * size, n, room);
                metric_many(&made, stored + 1, size, ROWS, got);
                CHECK(memcmp(want, got, sizeof want) == 0);
            }
        }
    }
}

static void f03_hamming_counts_the_bits_that_differ(void) {
    enum { MOST = 40, ROWS = 5 };
    uint8_t bytes[1 + (ROWS + 1) * MOST];
    uint64_t random = 8;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)test_random(&random);
    for (size_t size = 1; size <= MOST; size++) {
        float chosen[ROWS], plain[ROWS];
        const uint8_t *query = bytes + 1 + ROWS * size;
        hamming_choose()(query, bytes + 1, size, ROWS, size, chosen);
        hamming_many_plain(query, bytes + 1, size, ROWS, size, plain);
        for (size_t row = 0; row < ROWS; row++) {
            int differ = 0;
            for (size_t bit = 0; bit < 8 * size; bit++)
                differ += ((query[bit / 8] ^ bytes[1 + row * size + bit / 8]) >> bit % 8 & 1) != 0;
            CHECK(chosen[row] == (float)differ && plain[row] == (float)differ);
        }
    }
}

/* ---- collections ---- */

enum { DIMENSIONS = 21, ROWS = 300, NEAR = 12 };

typedef struct Heap {
    nacre_membrane *membrane;
    nacre_element element;
    nacre_metric metric;
    float rows[ROWS][DIMENSIONS]; /* as they are given back */
    bool there[ROWS];
} Heap;

static float heap_number(nacre_element element, uint64_t *random) {
    uint64_t any = test_random(random);
    if (element == NACRE_BIT) return (float)(any & 1);
    if (element == NACRE_I8) return (float)(any % 256) - 128;
    return ((float)(any % 100000) - 50000) / 777;
}

static void heap_put(Heap *heap, uint32_t key, uint64_t *random) {
    uint8_t stored[4 * DIMENSIONS];
    nacre_value name = nacre_integer(key);
    float vector[DIMENSIONS];
    for (int i = 0; i < DIMENSIONS; i++) vector[i] = heap_number(heap->element, random);
    CHECK_EQ(nacre_put(heap->membrane, &name, vector, NULL), NACRE_OK);
    (void)element_encode((Element)heap->element, vector, DIMENSIONS, stored);
    element_decode((Element)heap->element, stored, DIMENSIONS, heap->rows[key]);
    heap->there[key] = true;
}

static double heap_distance(const Heap *heap, const float *a, const float *b) {
    double square = 0, dot = 0, left = 0, right = 0;
    for (int i = 0; i < DIMENSIONS; i++) {
        double x = (double)a[i], y = (double)b[i];
        square += (x - y) * (x - y), dot += x * y, left += x * x, right += y * y;
    }
    switch (heap->metric) {
    case NACRE_L2: return sqrt(square);
    case NACRE_COSINE: return 1 - dot / sqrt(left * right);
    case NACRE_IP: return -dot;
    case NACRE_HAMMING: return square;
    }
    return 0;
}

static int heap_order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void heap_check(Heap *heap, uint64_t *random) {
    float query[DIMENSIONS], asked[DIMENSIONS];
    uint8_t stored[4 * DIMENSIONS];
    double all[ROWS];
    uint32_t count = 0;
    nacre_hits *hits = NULL;
    nacre_search_options options = NACRE_SEARCH_INIT;
    options.k = NEAR;
    for (int i = 0; i < DIMENSIONS; i++) query[i] = heap_number(heap->element, random);
    (void)element_encode((Element)heap->element, query, DIMENSIONS, stored); /* a query is a vector like any other */
    element_decode((Element)heap->element, stored, DIMENSIONS, asked);
    for (uint32_t key = 0; key < ROWS; key++)
        if (heap->there[key]) all[count++] = heap_distance(heap, asked, heap->rows[key]);
    qsort(all, count, sizeof *all, heap_order);
    CHECK_EQ(nacre_search(heap->membrane, NULL, query, &options, &hits), NACRE_OK);
    CHECK_EQ(nacre_hits_count(hits), NEAR);
    for (uint32_t i = 0; i < NEAR; i++) {
        float distance = 0;
        nacre_row row = {0};
        CHECK_EQ(nacre_hits_at(hits, i, &distance, &row), NACRE_OK);
        uint32_t key = (uint32_t)row.key[0].integer;
        CHECK(heap->there[key] && memcmp(row.vector, heap->rows[key], sizeof asked) == 0);
        CHECK(fabs((double)distance - all[i]) <= 1e-5 * (1 + fabs(all[i])));
        CHECK(fabs((double)distance - heap_distance(heap, asked, heap->rows[key])) <= 1e-5 * (1 + fabs(all[i])));
    }
    nacre_hits_free(hits);
}

static void heap_run(nacre_db *db, nacre_element element, nacre_metric metric) {
    static Heap heap;
    nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, DIMENSIONS, metric, NULL, 0);
    uint64_t random = (uint64_t)element * 10 + metric;
    nacre_row row = {0};
    heap = (Heap){.element = element, .metric = metric};
    schema.element = element;
    CHECK_EQ(nacre_membrane_open(db, "heap", &schema, &heap.membrane), NACRE_OK);
    CHECK_EQ(nacre_membrane_schema(heap.membrane)->element, element);
    for (uint32_t key = 0; key < 200; key++) heap_put(&heap, key, &random);
    heap_check(&heap, &random);
    CHECK_EQ(nacre_checkpoint(db), NACRE_OK);
    for (uint32_t key = 100; key < ROWS; key++) heap_put(&heap, key, &random);
    for (uint32_t key = 0; key < ROWS; key += 7) {
        nacre_value name = nacre_integer(key);
        CHECK_EQ(nacre_delete(heap.membrane, &name), NACRE_OK);
        heap.there[key] = false;
    }
    for (int i = 0; i < 5; i++) heap_check(&heap, &random);
    CHECK_EQ(nacre_compact(db, NULL), NACRE_OK);
    for (int i = 0; i < 5; i++) heap_check(&heap, &random);
    nacre_value one = nacre_integer(1);
    CHECK_EQ(nacre_get(heap.membrane, NULL, &one, &row), NACRE_OK);
    CHECK(row.vector && memcmp(row.vector, heap.rows[1], sizeof heap.rows[1]) == 0);
    uint64_t problems = 1;
    CHECK_EQ(nacre_verify(db, true, NULL, NULL, &problems), NACRE_OK);
    CHECK_EQ(problems, 0);
    CHECK_EQ(nacre_membrane_drop(db, "heap"), NACRE_OK);
}

static void f09_f10_collections_of_other_elements_equal_the_scan(void) {
    nacre_db *db = NULL;
    CHECK_EQ(nacre_open(":memory:", NULL, &db, NULL), NACRE_OK);
    for (int element = NACRE_F32; element <= NACRE_I8; element++)
        for (int metric = NACRE_L2; metric <= NACRE_IP; metric++) heap_run(db, (nacre_element)element, (nacre_metric)metric);
    heap_run(db, NACRE_BIT, NACRE_HAMMING);
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

static void f09_what_an_element_cannot_be_is_refused(void) {
    static const struct {
        nacre_element element;
        nacre_metric metric;
        float number;
    } wrong[] = {
        {NACRE_F16, NACRE_L2, 65520}, {NACRE_F16, NACRE_L2, -1e30f}, {NACRE_F16, NACRE_L2, NAN}, {NACRE_F16, NACRE_COSINE, 0x1p-25f},
        {NACRE_I8, NACRE_L2, 0.5f}, {NACRE_I8, NACRE_L2, 128}, {NACRE_I8, NACRE_L2, -129}, {NACRE_I8, NACRE_COSINE, 0},
        {NACRE_BIT, NACRE_HAMMING, 2}, {NACRE_BIT, NACRE_HAMMING, 0.5f}, {NACRE_BIT, NACRE_HAMMING, NAN},
    };
    nacre_db *db = NULL;
    nacre_value key = nacre_integer(1);
    CHECK_EQ(nacre_open(":memory:", NULL, &db, NULL), NACRE_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, 3, wrong[i].metric, NULL, 0);
        nacre_membrane *membrane = NULL;
        nacre_hits *hits = NULL;
        nacre_row row;
        float vector[3] = {0, wrong[i].number, 0};
        schema.element = wrong[i].element;
        CHECK_EQ(nacre_membrane_open(db, "wrong", &schema, &membrane), NACRE_OK);
        CHECK_EQ(nacre_put(membrane, &key, vector, NULL), NACRE_INVALID_ARGUMENT);
        CHECK_EQ(nacre_search(membrane, NULL, vector, NULL, &hits), NACRE_INVALID_ARGUMENT);
        CHECK_EQ(nacre_get(membrane, NULL, &key, &row), NACRE_NOT_FOUND);
        CHECK_EQ(nacre_membrane_drop(db, "wrong"), NACRE_OK);
    }
    for (int element = NACRE_F32; element <= NACRE_BIT; element++)
        for (int metric = NACRE_L2; metric <= NACRE_HAMMING; metric++) {
            nacre_schema schema = nacre_schema_collection(NACRE_INTEGER, 3, (nacre_metric)metric, NULL, 0);
            nacre_membrane *membrane = NULL;
            schema.element = (nacre_element)element;
            bool fits = (element == NACRE_BIT) == (metric == NACRE_HAMMING);
            CHECK_EQ(nacre_membrane_open(db, "fits", &schema, &membrane), fits ? NACRE_OK : NACRE_INVALID_ARGUMENT);
            if (fits) CHECK_EQ(nacre_membrane_drop(db, "fits"), NACRE_OK);
        }
    CHECK_EQ(nacre_close(db, NULL), NACRE_OK);
}

void element_test(void) {
    RUN(f10_every_half_is_read_and_written_as_itself);
    RUN(f10_halves_are_rounded_to_the_nearest_and_even);
    RUN(f09_bytes_and_bits_are_whole_numbers);
    RUN(f09_distances_are_those_of_the_floats);
    RUN(f03_hamming_counts_the_bits_that_differ);
    RUN(f09_f10_collections_of_other_elements_equal_the_scan);
    RUN(f09_what_an_element_cannot_be_is_refused);
}
