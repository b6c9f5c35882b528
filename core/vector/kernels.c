/* kernels.c - which kernels this build has and this processor runs. Knows nothing of what they
 * compute. */
#include "base/span.h"
#include "vector/kernels_body.h"

#include <stdbool.h>
#include <string.h>

/* From the fastest. */
static const Kernels *const kernels_built_in[] = {
#if defined(KERNELS_HAVE_X86)
    &kernels_avx512,
    &kernels_avx2,
    &kernels_ssse3,
    &kernels_sse2,
#elif defined(KERNELS_HAVE_WASM)
    &kernels_simd128,
#elif defined(KERNELS_HAVE_NEON)
    &kernels_neon,
#endif
    &kernels_scalar,
};

/* The compilers' builtin also asks whether the operating system saves the wide registers. */
static bool kernels_run_here(const Kernels *kernels) {
#if defined(KERNELS_HAVE_X86)
    if (kernels == &kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    if (kernels == &kernels_avx2) return __builtin_cpu_supports("avx2") != 0;
    if (kernels == &kernels_ssse3) return __builtin_cpu_supports("ssse3") != 0;
#endif
    (void)kernels;
    return true;
}

/* The one that is always first is named, so that a module of WebAssembly, where nobody asks for
 * another, need not contain the others. */
const Kernels *kernels_choose(void) {
#if defined(KERNELS_HAVE_WASM)
    return &kernels_simd128;
#else
    return kernels_at(0);
#endif
}

const Kernels *kernels_by_name(const char *name) {
    const Kernels *kernels = NULL;
    for (size_t i = 0; (kernels = kernels_at(i)) != NULL; i++)
        if (strcmp(kernels->name, name) == 0) break;
    return kernels;
}

WRAPS const Kernels *kernels_at(size_t index) {
    for (size_t i = 0; i < sizeof kernels_built_in / sizeof *kernels_built_in; i++)
        if (kernels_run_here(kernels_built_in[i]) && index-- == 0) return kernels_built_in[i];
    return NULL;
}
