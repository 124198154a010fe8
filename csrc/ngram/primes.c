/* The test of Miller and Rabin, with enough bases to be exact. */
#include "ngram/primes.h"

#include <stddef.h>

/* The first twelve primes prove or refute every n below 3.1 * 10^23: Sorenson and Webster, "Strong pseudoprimes to twelve
 * prime bases", 2017. */
static const uint64_t bases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
enum { N_BASES = sizeof bases / sizeof *bases };

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t n) {
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)a * b % n);
}

static uint64_t power(uint64_t base, uint64_t exponent, uint64_t n) {
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            result = multiply(result, base, n);
        base = multiply(base, base, n);
    }
    return result;
}

/* False if `base` proves that the odd number n = odd 2^n_twos + 1 is composite. */
static bool passes(uint64_t n, uint64_t base, uint64_t odd, unsigned n_twos) {
    uint64_t x = power(base, odd, n);
    if (x == 1 || x == n - 1)
        return true;
    for (unsigned i = 1; i < n_twos; i++) {
        x = multiply(x, x, n);
        if (x == n - 1)
            return true;
    }
    return false;
}

bool pye_is_prime(uint64_t n) {
    if (n < 2)
        return false;
    for (size_t i = 0; i < N_BASES; i++)
        if (n % bases[i] == 0)
            return n == bases[i];
    uint64_t odd = n - 1;
    unsigned n_twos = 0;
    for (; odd % 2 == 0; odd /= 2)
        n_twos++;
    for (size_t i = 0; i < N_BASES; i++)
        if (!passes(n, bases[i], odd, n_twos))
            return false;
    return true;
}
