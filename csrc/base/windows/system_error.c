#include "base/system_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/windows/system.h"

int pye_system_errno(int code) {
    switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_INVALID_DRIVE:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_NET_NAME:
    case ERROR_BAD_PATHNAME:
    case ERROR_DELETE_PENDING:
        return ENOENT;
    case ERROR_DIRECTORY_NOT_SUPPORTED:
        return EISDIR;
    case ERROR_DIRECTORY:
        return ENOTDIR;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
    case ERROR_PRIVILEGE_NOT_HELD:
        return EACCES;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_WORKING_SET_QUOTA:
        return ENOMEM;
    case ERROR_TOO_MANY_OPEN_FILES:
        return EMFILE;
    case ERROR_INVALID_PARAMETER:
        return EINVAL;
    case ERROR_NO_UNICODE_TRANSLATION:
        return EILSEQ;
    case ERROR_FILENAME_EXCED_RANGE:
        return ENAMETOOLONG;
    default:
        return EIO;
    }
}

/* What to do, where the system's words leave it open; NULL where they do not. */
static const char *advice(int code) {
    switch (code) {
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
        return "another program holds it without sharing: close it there";
    case ERROR_NO_UNICODE_TRANSLATION:
        return "the path is not valid UTF-8: rename the file, or give its name in UTF-8";
    case ERROR_NETNAME_DELETED:
    case ERROR_UNEXP_NET_ERR:
    case ERROR_BAD_NETPATH:
    case ERROR_NETWORK_UNREACHABLE:
    case ERROR_DEV_NOT_EXIST:
    case ERROR_NOT_READY:
    case ERROR_DEVICE_NOT_CONNECTED:
        return "connect the drive again and open the model anew";
    default:
        return NULL;
    }
}

/* The system's words end with a full stop, a space and an end of line. */
static void trim(char *text) {
    size_t n = strlen(text);
    while (n > 0 && strchr(". \r\n", text[n - 1]) != NULL)
        text[--n] = '\0';
    for (; *text != '\0'; text++)
        if (*text == '\r' || *text == '\n')
            *text = ' ';
}

const char *pye_system_text(int code, char text[PYE_SYSTEM_TEXT_BYTES]) {
    wchar_t wide[PYE_SYSTEM_TEXT_BYTES / 4]; /* a unit of UTF-16 is three bytes of UTF-8 at most */
    const DWORD flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
    DWORD length = FormatMessageW(flags, NULL, (DWORD)code, 0, wide, sizeof wide / sizeof wide[0], NULL);
    int n = length == 0
                ? 0
                : WideCharToMultiByte(CP_UTF8, 0, wide, (int)length, text, PYE_SYSTEM_TEXT_BYTES - 1, NULL, NULL);
    text[n] = '\0';
    trim(text);
    if (text[0] == '\0')
        (void)snprintf(text, PYE_SYSTEM_TEXT_BYTES, "error %d of the system", code);
    size_t used = strlen(text);
    if (advice(code) != NULL)
        (void)snprintf(text + used, PYE_SYSTEM_TEXT_BYTES - used, "; %s", advice(code));
    return text;
}
