/* A GGUF file that lies inside a zip archive as it is, which is how a llamafile holds its model. */
#pragma once

#include "base/map.h"

/* Finds the only entry of an archive that is named *.gguf and stored without compression. `place` is where its bytes lie
 * in the file. PYE_ERROR_NOT_FOUND, without filling `error`, for a file that is no archive or holds no such name;
 * PYE_ERROR_GGUF for one that holds it compressed, damaged or more than once. Only while the model is being opened. */
pye_status pye_zip_find_gguf(pye_map *map, pye_range *place, pye_error *error);
