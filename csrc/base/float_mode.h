/* The floating-point mode of a thread. Programs set another rounding, or flush subnormals to zero for speed (and threads
 * inherit that), but rows are the same bits in any caller's mode. */
#pragma once

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

/* MXCSR: all exceptions masked, nearest even, no flushing; the low six bits are flags, not modes (Intel's manual, volume
 * 1, 10.2.3). */
#define PYE_FLOAT_DEFAULT 0x1F80u
#define PYE_FLOAT_MODES 0xFFC0u

static inline uint64_t pye_float_mode_get(void) { return _mm_getcsr(); }
static inline void pye_float_mode_put(uint64_t mode) { _mm_setcsr((unsigned)mode); }

#elif defined(__aarch64__)

#define PYE_FLOAT_DEFAULT 0u
#define PYE_FLOAT_MODES UINT64_MAX

static inline uint64_t pye_float_mode_get(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline void pye_float_mode_put(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }

#else

#define PYE_FLOAT_DEFAULT 0u
#define PYE_FLOAT_MODES 0u

static inline uint64_t pye_float_mode_get(void) { return 0; }
static inline void pye_float_mode_put(uint64_t mode) { (void)mode; }

#endif

/* Sets the default mode where another is in force, which is rare: reading it is much cheaper than setting it. Returns what
 * to end with. */
static inline uint64_t pye_float_mode_begin(void) {
    uint64_t mode = pye_float_mode_get();
    if ((mode & PYE_FLOAT_MODES) != PYE_FLOAT_DEFAULT)
        pye_float_mode_put(PYE_FLOAT_DEFAULT);
    return mode;
}

static inline void pye_float_mode_end(uint64_t mode) {
    if ((mode & PYE_FLOAT_MODES) != PYE_FLOAT_DEFAULT)
        pye_float_mode_put(mode);
}
