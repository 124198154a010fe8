/* INLINE, UNROLL and IN_MEMORY. INLINE: for everything a kernel is made of, so that it is compiled for the kernel's instruction set. */
#ifndef PYE_DECODE_INLINE_H
#define PYE_DECODE_INLINE_H

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

/* After an array was stored: its elements are loaded from there. A load into all lanes costs next to nothing; the shuffles
 * that a compiler makes of it, because the array is still in a register, cost two instructions each. */
#if defined(__GNUC__)
#define IN_MEMORY(array) __asm__("" : "+m"(array))
#else
#define IN_MEMORY(array) ((void)0)
#endif

#endif
