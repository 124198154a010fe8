/* Opens files by names from the standard input, where they may be any bytes, and prints what came of it.
 *
 *     paths < LINES      a line is a verb, a space and a path:
 *         open PATH      prints the status, the errno, the number of tensors and the message
 *         budget PATH    likewise, within a memory budget
 *         hold PATH      opens the file as a program does that shares it with nobody (Windows only)
 *         release        closes it again
 */
#include "system.h"

#include <stdlib.h>
#include <string.h>

#include "pyembed.h"

enum { MAX_LINE = 70000 };

static void open_model(const char *path, uint64_t memory_budget) {
    pye_open_options options = {.struct_bytes = sizeof options, .guard = 1, .memory_budget = memory_budget};
    pye_error error = {.message = ""};
    pye_model *model;
    pye_status status = pye_model_open(path, &options, &model, &error);
    printf("%d %d %zu %s\n", (int)status, (int)error.system_errno,
           status == PYE_OK ? pye_model_n_tensors(model) : 0, error.message);
    if (status == PYE_OK)
        pye_model_close(model);
}

#if defined(_WIN32)
static HANDLE held = INVALID_HANDLE_VALUE;

static int hold(const char *path) {
    wchar_t wide[MAX_PATH];
    if (MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, MAX_PATH) > 0)
        held = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    return held != INVALID_HANDLE_VALUE;
}

static int release(void) { return CloseHandle(held); }
#else
static int hold(const char *path) { return path == NULL; }

static int release(void) { return 0; }
#endif

int main(void) {
    char *line = malloc(MAX_LINE);
    binary_streams();
    while (line != NULL && fgets(line, MAX_LINE, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *space = strchr(line, ' ');
        if (space != NULL)
            *space = '\0';
        const char *path = space != NULL ? space + 1 : "";
        if (strcmp(line, "open") == 0)
            open_model(path, 0);
        else if (strcmp(line, "budget") == 0)
            open_model(path, (uint64_t)16 << 20);
        else if (strcmp(line, "hold") == 0 ? !hold(path) : !release())
            return 1;
    }
    free(line);
    return 0;
}
