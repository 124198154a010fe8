/* Well-formed UTF-8, for messages and for formats that demand it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Length of the sequence that begins at `p`, with `left` bytes left, at least one; 0 if it is malformed (the
 * Unicode standard, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). */
static inline size_t pye_utf8_length(const uint8_t *p, size_t left) {
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || n > left)
        return 0;
    uint8_t low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return n;
}
