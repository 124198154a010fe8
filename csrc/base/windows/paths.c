#include "base/windows/paths.h"

#include <stdbool.h>
#include <string.h>
#include <wchar.h>

/* From this length on, less the longest name of 8.3 form in a folder, the system takes only paths that begin with \\?\. */
#define SHORT_PATH (MAX_PATH - 13)

static wchar_t *allocate(size_t n) { return HeapAlloc(GetProcessHeap(), 0, n * sizeof(wchar_t)); }

void pye_wide_free(wchar_t *wide) {
    if (wide != NULL)
        (void)HeapFree(GetProcessHeap(), 0, wide);
}

static bool starts(const wchar_t *text, const wchar_t *start) { return wcsncmp(text, start, wcslen(start)) == 0; }

/* As UTF-16, with `end` behind it and one kind of separators: a path that begins with \\?\ has no other. */
static int translate(const char *path, const wchar_t *end, wchar_t **wide) {
    size_t end_length = wcslen(end);
    int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0); /* with the NUL */
    if (length <= 0)
        return (int)GetLastError();
    *wide = allocate((size_t)length + end_length);
    if (*wide == NULL)
        return ERROR_NOT_ENOUGH_MEMORY;
    (void)MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, *wide, length);
    memcpy(*wide + length - 1, end, (end_length + 1) * sizeof **wide);
    for (wchar_t *at = *wide; *at != L'\0'; at++)
        if (*at == L'/')
            *at = L'\\';
    return 0;
}

/* Absolute, and with the prefix for paths of any length. */
static int lengthen(wchar_t **wide) {
    DWORD room = GetFullPathNameW(*wide, 0, NULL, NULL); /* with the NUL */
    if (room == 0)
        return (int)GetLastError();
    static const wchar_t drive[] = L"\\\\?\\", share[] = L"\\\\?\\UNC\\";
    wchar_t *full = allocate(room), *whole = allocate(room + sizeof share / sizeof share[0]);
    DWORD length = full == NULL ? 0 : GetFullPathNameW(*wide, room, full, NULL);
    int code = full == NULL || whole == NULL ? ERROR_NOT_ENOUGH_MEMORY
               : length == 0                 ? (int)GetLastError()
               : length >= room              ? ERROR_PATH_NOT_FOUND /* the current folder changed meanwhile */
                                             : 0;
    if (code == 0) {
        bool is_share = starts(full, L"\\\\");
        (void)wcscpy(whole, is_share ? share : drive);
        (void)wcscat(whole, is_share ? full + 2 : full);
        pye_wide_free(*wide);
        *wide = whole;
        whole = NULL;
    }
    pye_wide_free(full);
    pye_wide_free(whole);
    return code;
}

int pye_wide_path(const char *path, const wchar_t *end, wchar_t **wide) {
    *wide = NULL;
    int code = translate(path, end, wide);
    if (code == 0 && !starts(*wide, L"\\\\?\\") && !starts(*wide, L"\\\\.\\")) {
        /* Devices such as NUL, and paths that are too short to matter, are left to the system's own rules. A relative path
         * counts from the current folder, whose length comes on top. */
        DWORD full = GetFullPathNameW(*wide, 0, NULL, NULL);
        if (full >= SHORT_PATH)
            code = lengthen(wide);
    }
    if (code != 0) {
        pye_wide_free(*wide);
        *wide = NULL;
    }
    return code;
}
