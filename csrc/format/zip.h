/* A GGUF file stored uncompressed inside a zip archive, as a llamafile stores its model. */
#pragma once

#include "base/map.h"

/* Finds the only entry of an archive that is named *.gguf and stored without compression; `place` is the range of its bytes
 * in the file. PYE_ERROR_NOT_FOUND, without filling `error`, for a file that is not an archive or has no such name;
 * PYE_ERROR_GGUF if the entry is compressed, damaged or not the only one. Only while the model is being opened. */
pye_status pye_zip_find_gguf(pye_map *map, pye_range *place, pye_error *error);
