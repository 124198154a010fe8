/* Files and folders by path, and files that are open. Paths are bytes as the system has them, or UTF-8 where its own are
 * UTF-16. Unless a function says otherwise it returns 0, or a code for base/system_error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef intptr_t pye_handle;

#define PYE_NO_HANDLE ((pye_handle) - 1)

typedef enum pye_file_kind { PYE_FILE_REGULAR, PYE_FILE_FOLDER, PYE_FILE_OTHER } pye_file_kind;

/* Identifies a file and its version. */
typedef struct pye_identity {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    int64_t seconds; /* of the last change of its bytes */
    int64_t nanoseconds;
    pye_file_kind kind;
} pye_identity;

/* What may end the name of a folder in a path, the usual one first. */
extern const char pye_path_separators[];

/* The last component of a path. */
static inline const char *pye_file_name(const char *path) {
    const char *name = path;
    while (name[strcspn(name, pye_path_separators)] != '\0')
        name += strcspn(name, pye_path_separators) + 1;
    return name;
}

/* Opens a file for reading, with `direct` past the page cache, where the file system can. Does not wait for the other end of a
 * pipe; a folder is an error (EISDIR). After a code there is nothing to close. */
int pye_file_open(pye_handle *file, pye_identity *identity, const char *path, bool direct);
void pye_file_close(pye_handle file);

int pye_file_identify(pye_handle file, pye_identity *identity);

/* Of what a path leads to, links followed. */
int pye_path_identify(const char *path, pye_identity *identity);

/* Whether something has that name; a link that leads nowhere does. */
bool pye_path_exists(const char *path);

/* Reads up to n_bytes from byte `offset` on; *n_read is 0 at the end of the file. After a code it is not written. */
int pye_file_read(pye_handle file, uint64_t offset, void *out, size_t n_bytes, size_t *n_read);

/* Calls `visit` with each name in a folder, until it says false. */
int pye_folder_list(const char *path, bool (*visit)(const char *name, void *context), void *context);

/* Writes 8 bytes, the number 1, to what the caller has for being woken: an eventfd or a pipe, or a socket where the system has
 * no descriptors. It must not block; whether it took them is not known. */
void pye_notify(int descriptor);
