/* harness_test.c - the harness itself: what a check answers, and repeatable numbers. */
#include "lib/check.h"

static void a_check_that_holds_is_true(void) {
    CHECK(CHECK(1 + 1 == 2));
    CHECK(CHECK_EQ(3u, 3));
    CHECK(CHECK_NEAR(0.1 + 0.2, 0.3, 1e-15));
    CHECK(CHECK_STR("nacre", "nacre"));
    CHECK(CHECK_BYTES("abc", 3, "abc", 3));
    CHECK(CHECK_BYTES(NULL, 0, "", 0));
}

static void the_same_seed_gives_the_same_numbers(void) {
    uint64_t a = 7, b = 7, zero = 0;
    for (int i = 0; i < 100; i++) CHECK(test_random(&a) == test_random(&b));
    CHECK(test_random(&zero) == 0xe220a8397b1dcdafu); /* splitmix64's first for 0 */
}

void harness_test(void) {
    RUN(a_check_that_holds_is_true);
    RUN(the_same_seed_gives_the_same_numbers);
}
