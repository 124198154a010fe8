/* How a mapped file's pages come and go. All of it is advice but the questions; a system that does not take it does nothing. */
#pragma once

#include "base/mapping.h"

/* Where a byte is: of a mapped file, read without waiting for a disk or not. */
typedef enum pye_presence { PYE_ABSENT, PYE_PRESENT, PYE_PRESENCE_UNKNOWN } pye_presence;

/* A system call. `base` is the first byte of the file's view. */
pye_presence pye_page_ask(pye_handle file, const uint8_t *base, uint64_t offset);

/* Page faults of this process that needed a disk, since it started; 0 where the system does not count them apart. */
uint64_t pye_n_major_faults(void);

/* Accesses to the view, or to the file by reading, are random: nothing is to be read ahead. */
void pye_view_expect_random(const uint8_t *base, size_t n_bytes);
void pye_file_expect_random(pye_handle file);

/* A range of whole pages of a view will be read from start to end. */
void pye_view_expect(const uint8_t *base, size_t n_bytes);

/* Begins to read a range into the page cache, and does not wait. */
void pye_page_hint(pye_handle file, const uint8_t *base, uint64_t offset, size_t n_bytes);

/* Enters pages that are in the page cache into this process's page table. False where the system has no call for it: they come
 * as they are touched. */
bool pye_view_populate(const uint8_t *base, size_t n_bytes);

/* Takes pages out of this process's page table; they remain in the page cache. */
void pye_view_drop(const uint8_t *base, size_t n_bytes);

/* Takes pages out of the page cache too. */
void pye_file_drop(pye_handle file, uint64_t offset, size_t n_bytes);

/* How pages are read here, in a few words; static memory. */
const char *pye_paging_mechanism(void);

/* Which pages this process has in its page table: a source to ask, to be opened once, and anew in the child of a fork. Returns 0
 * or a code for base/system_error. */
int pye_residency_open(pye_handle *source);
void pye_residency_close(pye_handle source);

/* What cannot be had then; static memory. */
extern const char pye_residency_source[];

/* Bit i of bits[i / 64] of `n` pages from address `base` on, n at most PYE_RESIDENCY_PAGES. False where the system does not
 * say. */
#define PYE_RESIDENCY_PAGES 512
bool pye_residency_look(pye_handle source, const uint8_t *base, size_t n, uint64_t *bits);
