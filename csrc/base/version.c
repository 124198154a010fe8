#include "pyembed.h"

#define TEXT_(text) #text
#define TEXT(text) TEXT_(text)

const char *pye_version(void) {
    return TEXT(PYE_VERSION_MAJOR) "." TEXT(PYE_VERSION_MINOR) "." TEXT(PYE_VERSION_PATCH);
}
