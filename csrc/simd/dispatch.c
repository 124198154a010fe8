/* Choice of the back end: the best that runs here, or the one that PYEMBED_ISA names. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/status.h"
#include "base/text.h"
#include "simd/kernels.h"

typedef struct back_end {
    const pye_kernels *kernels;
    unsigned needs; /* pye_cpu_feature bits; 0 runs anywhere */
} back_end;

/* Best first. */
static const back_end back_ends[] = {
#if defined(__x86_64__)
    {&pye_kernels_avx512, PYE_CPU_AVX512},
    {&pye_kernels_avx2, PYE_CPU_AVX2},
#elif defined(__aarch64__)
    {&pye_kernels_neon, PYE_CPU_NEON},
#endif
    {&pye_kernels_portable, 0},
};

enum { N_BACK_ENDS = sizeof back_ends / sizeof back_ends[0] };

static const pye_kernels *choose(const char *forced) {
    unsigned features = pye_cpu_features();
    for (size_t i = 0; i < N_BACK_ENDS; i++) {
        bool runs = (back_ends[i].needs & features) == back_ends[i].needs;
        bool wanted = forced == NULL || strcmp(forced, back_ends[i].kernels->isa) == 0;
        if (runs && wanted)
            return back_ends[i].kernels;
    }
    return NULL;
}

pye_status pye_kernels_choose(const pye_kernels **kernels, pye_error *error) {
    /* Asking the processor is slow under some hypervisors; its answer never changes. */
    static _Atomic(const pye_kernels *) best;
    const char *forced = getenv("PYEMBED_ISA");
    const pye_kernels *chosen = forced == NULL ? atomic_load_explicit(&best, memory_order_relaxed) : NULL;
    if (chosen == NULL)
        chosen = choose(forced);
    if (chosen == NULL) {
        char quoted[PYE_QUOTE_BYTES];
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "PYEMBED_ISA asks for %s, which this machine or this build cannot run",
                        pye_quote(quoted, pye_text(forced)));
    }
    if (forced == NULL)
        atomic_store_explicit(&best, chosen, memory_order_relaxed);
    *kernels = chosen;
    return PYE_OK;
}

const char *pye_isa(void) {
    const pye_kernels *kernels;
    return pye_kernels_choose(&kernels, NULL) == PYE_OK ? kernels->isa : "";
}
