/* INLINE: for everything a kernel is made of, so that it is compiled for the kernel's instruction set. */
#ifndef PYE_DECODE_INLINE_H
#define PYE_DECODE_INLINE_H

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#else
#define INLINE static inline
#endif

#endif
