/* What the fuzz targets share. A target is a file of this folder that defines LLVMFuzzerTestOneInput; it is found,
 * built, run and replayed by its name alone. */
#ifndef PYE_TESTS_FUZZ_HARNESS_H
#define PYE_TESTS_FUZZ_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyembed.h"

/* Returns 0: every input is worth keeping. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process if something does not hold that has to hold for any input. */
void fuzz_require(bool holds, const char *what);

enum { FUZZ_PATH_BYTES = 512 };

/* Requires n floats, at any addresses, to be the same bits; a NaN must be met by a NaN, whatever its payload. */
void fuzz_require_alike(const uint8_t *got, const uint8_t *expected, size_t n, const char *what);

/* Writes a file into the folder that PYEMBED_FUZZ_FOLDER names; files of this process only. */
void fuzz_write(char path[FUZZ_PATH_BYTES], const char *name, const uint8_t *data, size_t size);

/* Opens the file in both ways, mapped and read, which must agree, and asks the model everything there is to ask. */
void fuzz_open(const char *path, pye_format format);

/* Asks everything: metadata, tensors, rows, vocabulary. */
void fuzz_exercise(pye_model *model);

#endif
