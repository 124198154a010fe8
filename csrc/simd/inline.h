/* INLINE and UNROLL. INLINE: for everything a kernel is made of, so that it is compiled for the kernel's instruction set. */
#pragma once

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#else
#define INLINE static inline
#endif

/* Before a loop of few, known turns: repeats its body, so that every shift in it is by a constant. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif
