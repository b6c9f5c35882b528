/* main.c - runs the suites: PROGRAM [--dir PATH] [--seed N] [FILTER].
 *
 * One line per test, `ok NAME/law` or `not ok NAME/law`; the last line is
 * `N passed, N failed`. Exit 1 when a test failed, or when there was none and
 * no FILTER said so. */
#include "lib/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PRINTED_PER_TEST_MAX = 5, BYTES_PRINTED_MAX = 24 };

static struct {
    const char *suite, *filter, *dir;
    uint64_t seed;
    int failures; /* of the test that runs */
    int passed, failed;
} run = {.filter = "", .seed = 20261121};

uint64_t test_seed(void) { return run.seed; }
const char *test_dir(void) { return run.dir; }
bool test_emulated(void) { return getenv("TEST_EMULATED") != NULL; }

uint64_t test_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Counts a failure; true when it is one of those to print. */
static bool failed_at(const char *file, int line, const char *text) {
    if (++run.failures > PRINTED_PER_TEST_MAX) return false;
    printf("  %s:%d: %s", file, line, text);
    return true;
}

bool check_that(const char *file, int line, const char *text, bool held) {
    if (!held && failed_at(file, line, text)) printf("\n");
    return held;
}

bool check_eq(const char *file, int line, const char *text, long long got, long long want) {
    if (got == want) return true;
    if (failed_at(file, line, text)) printf(": got %lld, want %lld\n", got, want);
    return false;
}

bool check_near(const char *file, int line, const char *text, double got, double want,
                double tolerance) {
    double distance = got < want ? want - got : got - want;
    if (distance <= tolerance) return true; /* NaN is near nothing */
    if (failed_at(file, line, text))
        printf(": got %.17g, want %.17g within %g\n", got, want, tolerance);
    return false;
}

bool check_str(const char *file, int line, const char *text, const char *got, const char *want) {
    if (got == want || (got && want && strcmp(got, want) == 0)) return true;
    if (failed_at(file, line, text))
        printf(": got \"%s\", want \"%s\"\n", got ? got : "(NULL)", want ? want : "(NULL)");
    return false;
}

static void print_bytes(const char *name, const uint8_t *bytes, size_t size) {
    printf("    %s %zu bytes:", name, size);
    for (size_t i = 0; i < size && i < BYTES_PRINTED_MAX; i++) printf(" %02x", bytes[i]);
    printf(size > BYTES_PRINTED_MAX ? " ...\n" : "\n");
}

bool check_bytes(const char *file, int line, const char *text, const void *got, size_t got_size,
                 const void *want, size_t want_size) {
    if (got_size == want_size && (got_size == 0 || memcmp(got, want, got_size) == 0)) return true;
    if (failed_at(file, line, text)) {
        printf("\n");
        print_bytes("got ", got, got_size);
        print_bytes("want", want, want_size);
    }
    return false;
}

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void check_run(const char *law, void (*body)(void)) {
    char name[256];
    snprintf(name, sizeof name, "%s/%s", run.suite, law);
    if (!strstr(name, run.filter)) return;
    run.failures = 0;
    double start = now();
    body();
    double seconds = now() - start;
    if (run.failures > PRINTED_PER_TEST_MAX) printf("  %d failures\n", run.failures);
    if (run.failures == 0)
        run.passed++;
    else
        run.failed++;
    printf("%s %s", run.failures == 0 ? "ok" : "not ok", name);
    if (run.failures > 0) printf(" (seed %" PRIu64 ")", run.seed);
    if (seconds >= 1) printf(" (%.1f s)", seconds);
    printf("\n");
    fflush(stdout); /* a test that crashes comes after the last line printed */
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc)
            run.dir = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            run.seed = strtoull(argv[++i], NULL, 10);
        else
            run.filter = argv[i];
    }
    for (const CheckSuite *s = check_suites; s->name; s++) {
        run.suite = s->name;
        s->run();
    }
    printf("%d passed, %d failed\n", run.passed, run.failed);
    return run.failed > 0 || (run.passed == 0 && !*run.filter);
}
