#include "base/files.h"

#include "base/windows/paths.h"

/* In a name a colon would lead to another drive, or to a stream of the file. */
const char pye_path_separators[] = "\\/:";

static HANDLE handle_of(pye_handle file) { return (HANDLE)file; }

/* Others may go on writing, renaming and deleting. Whoever serves a pipe of that name may know who asks, not act for them. */
static int open_path(const char *path, DWORD access, DWORD flags, HANDLE *handle) {
    wchar_t *wide;
    int code = pye_wide_path(path, L"", &wide);
    if (code != 0)
        return code;
    const DWORD sharing = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    flags |= SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    *handle = CreateFileW(wide, access, sharing, NULL, OPEN_EXISTING, flags, NULL);
    code = *handle == INVALID_HANDLE_VALUE ? (int)GetLastError() : 0;
    pye_wide_free(wide);
    return code;
}

/* ----------------------------------------------------------------------------------------- identities */

#define TICKS_A_SECOND INT64_C(10000000)

static int identify(HANDLE handle, pye_identity *identity) {
    if (GetFileType(handle) != FILE_TYPE_DISK) {
        *identity = (pye_identity){.kind = PYE_FILE_OTHER};
        return 0;
    }
    BY_HANDLE_FILE_INFORMATION info;
    if (!GetFileInformationByHandle(handle, &info))
        return (int)GetLastError();
    int64_t changed = (int64_t)((uint64_t)info.ftLastWriteTime.dwHighDateTime << 32 |
                                info.ftLastWriteTime.dwLowDateTime); /* since the year 1601 */
    *identity = (pye_identity){
        .device = info.dwVolumeSerialNumber,
        .inode = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow,
        .size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow,
        .seconds = changed / TICKS_A_SECOND,
        .nanoseconds = changed % TICKS_A_SECOND * 100,
        .kind = (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0 ? PYE_FILE_FOLDER : PYE_FILE_REGULAR,
    };
    return 0;
}

int pye_file_identify(pye_handle file, pye_identity *identity) { return identify(handle_of(file), identity); }

/* With FILE_FLAG_BACKUP_SEMANTICS folders open too. */
int pye_path_identify(const char *path, pye_identity *identity) {
    HANDLE handle;
    int code = open_path(path, FILE_READ_ATTRIBUTES, FILE_FLAG_BACKUP_SEMANTICS, &handle);
    if (code != 0)
        return code;
    code = identify(handle, identity);
    (void)CloseHandle(handle);
    return code;
}

bool pye_path_exists(const char *path) {
    wchar_t *wide;
    if (pye_wide_path(path, L"", &wide) != 0)
        return false;
    bool exists = GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES; /* of a link itself */
    pye_wide_free(wide);
    return exists;
}

/* ----------------------------------------------------------------------------------------------- files */

int pye_file_open(pye_handle *file, pye_identity *identity, const char *path, bool direct) {
    HANDLE handle;
    const DWORD flags = FILE_FLAG_BACKUP_SEMANTICS; /* so that a folder is known as one */
    int code = open_path(path, GENERIC_READ, flags | (direct ? FILE_FLAG_NO_BUFFERING : 0), &handle);
    if (code == ERROR_INVALID_PARAMETER && direct)
        code = open_path(path, GENERIC_READ, flags, &handle);
    if (code != 0)
        return code;
    code = identify(handle, identity);
    if (code == 0 && identity->kind == PYE_FILE_FOLDER)
        code = ERROR_DIRECTORY_NOT_SUPPORTED;
    if (code != 0)
        (void)CloseHandle(handle);
    else
        *file = (pye_handle)handle;
    return code;
}

void pye_file_close(pye_handle file) { (void)CloseHandle(handle_of(file)); }

#define MOST_BYTES ((DWORD)1 << 30) /* of one read: a multiple of every block */

int pye_file_read(pye_handle file, uint64_t offset, void *out, size_t n_bytes, size_t *n_read) {
    OVERLAPPED at = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
    DWORD n = 0;
    if (!ReadFile(handle_of(file), out, n_bytes < MOST_BYTES ? (DWORD)n_bytes : MOST_BYTES, &n, &at)) {
        DWORD code = GetLastError();
        if (code != ERROR_HANDLE_EOF)
            return (int)code;
    }
    *n_read = n;
    return 0;
}

/* --------------------------------------------------------------------------------------------- folders */

/* What of a name is not Unicode becomes U+FFFD: such a file is listed, and opening it then says that it is not found. */
int pye_folder_list(const char *path, bool (*visit)(const char *name, void *context), void *context) {
    wchar_t *pattern;
    WIN32_FIND_DATAW item;
    char name[3 * sizeof item.cFileName / sizeof item.cFileName[0]];
    int code = pye_wide_path(path, L"\\*", &pattern);
    if (code != 0)
        return code;
    HANDLE list = FindFirstFileW(pattern, &item);
    code = list == INVALID_HANDLE_VALUE ? (int)GetLastError() : 0;
    pye_wide_free(pattern);
    while (code == 0) {
        int n = WideCharToMultiByte(CP_UTF8, 0, item.cFileName, -1, name, sizeof name, NULL, NULL);
        if (n > 0 && !visit(name, context))
            break;
        code = FindNextFileW(list, &item) ? 0 : (int)GetLastError();
    }
    if (list != INVALID_HANDLE_VALUE)
        (void)FindClose(list);
    return code == ERROR_NO_MORE_FILES ? 0 : code;
}

/* ---------------------------------------------------------------------------------------------- notices */

typedef int(WINAPI *send_function)(UINT_PTR socket, const char *bytes, int n_bytes, int flags);

/* Whoever has a socket has loaded what sends: nobody else has to. */
void pye_notify(int descriptor) {
    const uint64_t one = 1;
    HMODULE sockets = GetModuleHandleW(L"ws2_32.dll");
    FARPROC found = sockets == NULL ? NULL : GetProcAddress(sockets, "send");
    if (found != NULL)
        (void)((send_function)(void (*)(void))found)((UINT_PTR)descriptor, (const char *)&one, sizeof one, 0);
}
