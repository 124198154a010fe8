/* Address ranges: views of files, and private memory that is as large as a file. Unless a function says otherwise it returns 0,
 * or a code for base/system_error. */
#pragma once

#include "base/files.h"

/* Bytes of a page of memory. */
size_t pye_page_bytes(void);

/* A view of the first n_bytes of a file, read-only. */
int pye_view_open(const uint8_t **base, pye_handle file, size_t n_bytes);

/* Also of a view that base/guard replaced. */
void pye_view_close(const uint8_t *base, size_t n_bytes);

/* Opens a view anew where the system cannot use large pages for it; does nothing where it would not. */
int pye_view_avoid_large_pages(const uint8_t **base, pye_handle file, size_t n_bytes);

/* Zeros that take no memory before they are written to. Ranges have to be committed first. */
int pye_memory_reserve(uint8_t **base, size_t n_bytes);
int pye_memory_commit(uint8_t *base, size_t n_bytes);
void pye_memory_free(const uint8_t *base, size_t n_bytes);

/* Keeps a range of whole pages, of either kind, out of swap. */
int pye_memory_lock(const uint8_t *base, size_t n_bytes);

/* What to do where that fails; static memory. */
extern const char pye_memory_lock_advice[];

/* Advises the system to back private memory with large pages: fewer TLB misses and page faults. */
void pye_want_large_pages(void *memory, size_t n_bytes);
