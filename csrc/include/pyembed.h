/* pyembed: embedding tables of model files, from bytes on disk to rows of floats.
 *
 * A model is opened once and is immutable from then on; a table is a view of one of its tensors whose
 * rows can be gathered by id. Rows come out exactly as the file stores them, dequantised: no
 * architecture's scale, norm or position is applied.
 *
 * OWNERSHIP. Every `open` has a `close`. Tables and vocabularies keep their model alive, so handles may be
 * closed in any order. A pye_string points into the model's memory: it is not NUL-terminated and lives
 * until the last handle of that model is closed. Output memory always belongs to the caller.
 *
 * THREADS. Open handles are immutable: any number of threads may use one at the same time. A `close` waits
 * for nobody: no other thread may be using that same handle then, or afterwards. No state is kept in
 * thread-locals, none in globals but that of the guard below, and nothing runs when the library is loaded. A model creates worker threads when
 * a gather first wants some, with all signals blocked that no instruction causes, and joins them when its last handle is closed; the
 * child of a fork may go on using open handles and gets workers of its own, also where a callback forked in the middle of
 * a call: this call then does alone, in the child, what the parent's workers do in the parent.
 *
 * ERRORS. A fallible function returns a pye_status, 0 for success, and fills the pye_error it is given;
 * that pointer, always the last argument, may be NULL. A failing function writes nothing to its other
 * out-parameters, unless it says so. Files are not trusted: whatever bytes they hold, the answer is a status, not a
 * crash.
 *
 * GUARD. A mapped file that is truncated while it is in use raises SIGBUS where its bytes are missing, as any mapping
 * does, and so does a disk that fails. A model opened with `guard` answers PYE_ERROR_IO instead, from the call that met
 * the gap (whose output then holds zeros in place of the file's bytes) and from every later one: open the model anew. For
 * this a handler of SIGBUS is installed while a guarded model is open. It deals with the mappings of guarded models, and
 * hands everything else to the handler that was there before. What the guard cannot do: help a thread that blocks SIGBUS,
 * or where a handler that is installed later does not pass on what is not its own. The modes that read need no guard.
 *
 * SIZES. `n_` counts elements, `_bytes` counts bytes. Shapes are rows first, the reverse of the order in
 * which GGUF stores dimensions.
 */
#ifndef PYEMBED_H
#define PYEMBED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef PYE_API
#if defined(__GNUC__) && !defined(_WIN32)
#define PYE_API __attribute__((visibility("default")))
#else
#define PYE_API
#endif
#endif

#define PYE_VERSION_MAJOR 0
#define PYE_VERSION_MINOR 1
#define PYE_VERSION_PATCH 0

/* "major.minor.patch" of the library that is linked, which may be newer than this header. Static memory. */
PYE_API const char *pye_version(void);

/* The back end that decodes blocks: the best of "avx512", "avx2", "neon" and "portable" that runs on this machine, or the
 * one that the environment variable PYEMBED_ISA names; "" where that one cannot run, and then opening a table fails.
 * Static memory. */
PYE_API const char *pye_isa(void);

/* ------------------------------------------------------------------------------------------- errors */

typedef enum pye_status {
    PYE_OK = 0,
    PYE_ERROR_IO = 1,          /* a system call failed; pye_error.system_errno says how */
    PYE_ERROR_MEMORY = 2,      /* an allocation failed */
    PYE_ERROR_ARGUMENT = 3,    /* the caller passed something that makes no sense */
    PYE_ERROR_ID = 4,          /* an id is not a row; pye_error.offset is its position among the ids */
    PYE_ERROR_FORMAT = 5,      /* not a file of any kind that can be read here */
    PYE_ERROR_GGUF = 6,        /* a damaged or inconsistent GGUF file */
    PYE_ERROR_SAFETENSORS = 7, /* a damaged or inconsistent safetensors file or index */
    PYE_ERROR_NPY = 8,         /* a damaged .npy file, or one that holds no table */
    PYE_ERROR_TYPE = 9,        /* a tensor type or value type that cannot be decoded here */
    PYE_ERROR_NOT_FOUND = 10,  /* no tensor, metadata key or token of that name */
    PYE_ERROR_VOCABULARY = 11, /* no vocabulary, or one whose parts contradict each other */
    PYE_ERROR_CANCELLED = 12   /* the progress callback asked to stop */
} pye_status;

#define PYE_ERROR_MESSAGE_BYTES 512
#define PYE_NO_OFFSET UINT64_MAX

/* What went wrong. `offset` is the byte offset in the file where that applies (PYE_ERROR_ID: the position
 * of the first bad id), else PYE_NO_OFFSET. `shard` is the index of the file at fault, 0 for a single
 * file. `message` is one line of UTF-8, NUL-terminated, without the path. */
typedef struct pye_error {
    pye_status status;
    int32_t system_errno;
    uint64_t offset;
    uint32_t shard;
    char message[PYE_ERROR_MESSAGE_BYTES];
} pye_error;

/* Short name of a status, such as "bad GGUF file"; "unknown status" for a number that is none. */
PYE_API const char *pye_status_name(pye_status status);

/* ------------------------------------------------------------------------------------- tensor types */

/* `data` is not NUL-terminated; the bytes are as in the file, which may not be valid UTF-8. */
typedef struct pye_string {
    const char *data;
    size_t size;
} pye_string;

typedef struct pye_type_info {
    int32_t id;           /* the number GGUF files use */
    const char *name;     /* such as "Q4_K"; static memory */
    uint32_t n_weights;   /* weights in a block */
    uint32_t block_bytes; /* bytes of a block */
} pye_type_info;

/* The live tensor types, in ascending order of id: index 0 .. pye_n_types() - 1. */
PYE_API size_t pye_n_types(void);
PYE_API pye_status pye_type_at(size_t index, pye_type_info *info, pye_error *error);

/* ------------------------------------------------------------------------------------------- models */

typedef struct pye_model pye_model;

typedef enum pye_format {
    PYE_FORMAT_AUTO = 0, /* by content: GGUF, .npy, safetensors (a file, an index or a directory) */
    PYE_FORMAT_GGUF = 1, /* versions 1 to 3, either byte order, split sets through their first shard; also the
                                 * only file *.gguf that a zip archive, such as a llamafile, stores uncompressed */
    PYE_FORMAT_SAFETENSORS = 2, /* a file, a *.index.json, or the directory that holds one of them */
    PYE_FORMAT_NPY = 3,         /* one array of NumPy's format 1.0 to 3.0, C order */
    PYE_FORMAT_RAW = 4          /* rows without a header; see pye_open_options */
} pye_format;

/* How bytes get from the file to memory. AUTO is MMAP. The modes that read copy the header when the model
 * is opened and a tensor when a table of it is first opened; the locking modes lock what they hold. */
typedef enum pye_load_mode {
    PYE_LOAD_AUTO = 0,
    PYE_LOAD_NONE = 1,       /* read into private memory */
    PYE_LOAD_MMAP = 2,       /* map the file read-only; pages come in when touched */
    PYE_LOAD_MLOCK = 3,      /* read into private memory and lock it */
    PYE_LOAD_MMAP_MLOCK = 4, /* map, and lock the header and the tensors of open tables */
    PYE_LOAD_DIRECT_IO = 5   /* read past the page cache; NONE where the file system cannot */
} pye_load_mode;

/* Told after every few MiB that a tensor is read into memory, and once at its end. Non-zero goes on, 0 cancels. */
typedef int (*pye_progress)(uint64_t n_bytes_done, uint64_t n_bytes_total, void *data);

/* Asked by calls that take long, at most ten times a second and only on the thread that called: non-zero ends the call
 * with PYE_ERROR_CANCELLED, with some of its output written. It may fork: the child works on alone. */
typedef int (*pye_interrupted)(void *data);

/* Where a model takes its memory from; its workers' stacks and mapped files are not part of it. The functions may be
 * called by any thread that uses the model, several at a time, until its last handle is closed. */
typedef struct pye_allocator {
    void *(*allocate)(size_t n_bytes, void *context);             /* aligned as by malloc; NULL if there is none */
    void *(*resize)(void *memory, size_t n_bytes, void *context); /* as realloc; `memory` is never NULL */
    void (*release)(void *memory, void *context);                 /* `memory` is never NULL */
    void *context;
} pye_allocator;

/* Set `struct_bytes` to sizeof(pye_open_options) and the rest to zero, then what is wanted. The `raw_`
 * fields describe a PYE_FORMAT_RAW file: rows of `raw_columns` weights of type `raw_type` (a GGUF type id
 * whose blocks hold one weight, such as 1 for F16) in the file's `raw_big_endian` byte order, from byte
 * `raw_offset` on. */
typedef struct pye_open_options {
    size_t struct_bytes;
    pye_format format;
    pye_load_mode load_mode;
    int32_t raw_type;
    int32_t raw_big_endian;
    uint64_t raw_rows;
    uint64_t raw_columns;
    uint64_t raw_offset;
    pye_progress progress; /* may be NULL */
    void *progress_data;
    int32_t guard; /* non-zero: a mapped file that is truncated is an error, no SIGBUS; see GUARD */
    const pye_allocator *allocator; /* NULL: malloc, realloc and free; otherwise copied, all its functions set */
    pye_interrupted interrupted;    /* may be NULL; of every call that the model and what is opened of it get */
    void *interrupted_data;
    const char *const
        *paths; /* not NULL: the files of a split GGUF set under any names, in the order of split.no, each
                               * once; the argument `path` is then not looked at. pye_error.shard is an index here. */
    size_t n_paths;
} pye_open_options;

/* Opens `path`, or the files of options->paths, and checks all of it but the tensors' bytes: counts, lengths, names, and that every tensor
 * of a known type lies inside its file. `options` may be NULL: format by content, mapped. */
PYE_API pye_status pye_model_open(const char *path, const pye_open_options *options, pye_model **model,
                                  pye_error *error);
PYE_API void pye_model_close(pye_model *model); /* NULL is allowed */

PYE_API pye_format pye_model_format(const pye_model *model);
PYE_API pye_load_mode pye_model_load_mode(const pye_model *model); /* the mode really in use, never AUTO */
PYE_API size_t pye_model_n_shards(const pye_model *model);

/* What became of a model's files since they were opened, the worse the higher. */
typedef enum pye_change {
    PYE_CHANGE_NONE = 0,
    PYE_CHANGE_REPLACED = 1,    /* another file has the path now, the model goes on with the one that it opened */
    PYE_CHANGE_REMOVED = 2,     /* no file has the path now; likewise */
    PYE_CHANGE_OVERWRITTEN = 3, /* the file was written to: what is read from it is old, new, or a mixture */
    PYE_CHANGE_TRUNCATED = 4 /* the file is shorter than it was, or a page of a guarded mapping could not be had */
} pye_change;

/* Compares device, inode, size and time of change of every file with those when it was opened; `shard` is the file that
 * fares worst. A change within the file system's tick of time that leaves the size (a few milliseconds) is not seen.
 * Costs a system call a file. Also puts the guard's handler back where others removed it. */
PYE_API pye_status pye_model_check(const pye_model *model, pye_change *change, uint32_t *shard, pye_error *error);

/* PYE_ERROR_IO if a page of a guarded model could not be had, or a mapped file became shorter: what was read through a
 * pye_string before this call may then be zeros. The functions below ask this themselves. Costs a system call a file. */
PYE_API pye_status pye_model_intact(const pye_model *model, pye_error *error);

/* Facts about one file of a model; those that a format has no notion of are 0. */
typedef struct pye_shard {
    const char *path; /* NUL-terminated, lives as long as the model */
    uint64_t file_bytes;
    uint64_t data_offset; /* where the tensors' bytes begin */
    uint64_t alignment;   /* GGUF: general.alignment, or its default of 32 */
    uint64_t n_metadata;
    uint64_t n_tensors;
    uint32_t version;   /* GGUF or .npy major version */
    int32_t big_endian; /* the file's byte order */
    uint64_t first;     /* where the model lies in the file: not at 0 for a GGUF file inside a zip archive */
    uint64_t end;       /* where it ends: file_bytes, but for such a file */
} pye_shard;

PYE_API pye_status pye_model_shard(const pye_model *model, size_t index, pye_shard *shard, pye_error *error);

/* ----------------------------------------------------------------------------------------- metadata */

typedef enum pye_value_type {
    PYE_VALUE_U8 = 0,
    PYE_VALUE_I8 = 1,
    PYE_VALUE_U16 = 2,
    PYE_VALUE_I16 = 3,
    PYE_VALUE_U32 = 4,
    PYE_VALUE_I32 = 5,
    PYE_VALUE_F32 = 6,
    PYE_VALUE_BOOL = 7,
    PYE_VALUE_STRING = 8,
    PYE_VALUE_ARRAY = 9,
    PYE_VALUE_U64 = 10,
    PYE_VALUE_I64 = 11,
    PYE_VALUE_F64 = 12
} pye_value_type;

/* One metadata value, found where it lies. Of `as`, the member that fits `type` is set: unsigned integers
 * and bools `u64`, signed ones `i64`, floats `f64`, strings `string`; an array sets none and is read with
 * the pye_array_ functions below, which take the value as it was handed out. */
typedef struct pye_value {
    pye_string key;       /* empty for an element of an array */
    int32_t type;         /* a pye_value_type */
    int32_t element_type; /* of an array; -1 otherwise */
    uint64_t n_elements;  /* of an array; 1 otherwise */
    uint64_t offset;      /* byte offset in the file of the value, or of an array's first element */
    union {
        uint64_t u64;
        int64_t i64;
        double f64;
        pye_string string;
    } as;
    const uint64_t *marks; /* private to the library */
} pye_value;

/* Metadata in the file's order; of a split set, the first shard's. Only GGUF has any. */
PYE_API size_t pye_model_n_metadata(const pye_model *model);
PYE_API pye_status pye_metadata_at(const pye_model *model, size_t index, pye_value *value, pye_error *error);
PYE_API pye_status pye_metadata_find(const pye_model *model, const char *key, size_t key_size, pye_value *value,
                                     pye_error *error);

/* Elements first .. first + n - 1 of an array. `read` is for numbers and bools (a byte each, 0 or 1), in
 * this machine's byte order, `n` elements of the element type's size; `strings` for strings; `arrays` for
 * arrays, whose elements are themselves arrays. Cost: proportional to n, for arrays to first + n. */
PYE_API pye_status pye_array_read(const pye_model *model, const pye_value *array, uint64_t first, uint64_t n,
                                  void *out, pye_error *error);
PYE_API pye_status pye_array_strings(const pye_model *model, const pye_value *array, uint64_t first, uint64_t n,
                                     pye_string *out, pye_error *error);
PYE_API pye_status pye_array_arrays(const pye_model *model, const pye_value *array, uint64_t first, uint64_t n,
                                    pye_value *out, pye_error *error);

/* ------------------------------------------------------------------------------------------ tensors */

#define PYE_MAX_DIMS 4
#define PYE_UNKNOWN_BYTES UINT64_MAX

typedef struct pye_tensor {
    pye_string name;
    pye_string type_name; /* "Q4_K"; of one unknown here what the file or a fork calls it, or empty */
    int32_t type;         /* GGUF type id; -1 for a type that has none */
    uint32_t n_dims;
    uint64_t shape[PYE_MAX_DIMS]; /* rows first; shape[n_dims - 1] is the row's width */
    uint64_t n_bytes;             /* PYE_UNKNOWN_BYTES where neither the type nor the file tells */
    uint64_t offset;              /* byte offset in its file */
    uint32_t shard;               /* index of its file */
} pye_tensor;

/* Tensors in the files' order, shard after shard. A .npy or raw file has one, named "data". */
PYE_API size_t pye_model_n_tensors(const pye_model *model);
PYE_API pye_status pye_tensor_at(const pye_model *model, size_t index, pye_tensor *tensor, pye_error *error);
PYE_API pye_status pye_tensor_find(const pye_model *model, const char *name, size_t name_size, pye_tensor *tensor,
                                   pye_error *error);

/* ------------------------------------------------------------------------------------------- tables */

typedef struct pye_table pye_table;

typedef struct pye_table_info {
    int32_t type;
    uint32_t shard;
    uint64_t n_rows;    /* product of all dimensions but the last */
    uint64_t n_columns; /* the last dimension: weights in a row */
    uint64_t row_bytes;
    uint64_t n_bytes;
} pye_table_info;

/* The rows of the tensor `name`, of one dimension or more: every index but the last, taken together,
 * counts rows. PYE_ERROR_NOT_FOUND, PYE_ERROR_TYPE for a type that cannot be decoded, and the errors of
 * reading it where the load mode reads. */
PYE_API pye_status pye_table_open(pye_model *model, const char *name, size_t name_size, pye_table **table,
                                  pye_error *error);
PYE_API void pye_table_close(pye_table *table); /* NULL is allowed */
PYE_API void pye_table_get_info(const pye_table *table, pye_table_info *info);

typedef enum pye_id_type {
    PYE_ID_I32 = 0,
    PYE_ID_I64 = 1,
    PYE_ID_U32 = 2,
    PYE_ID_U64 = 3,
    PYE_ID_I16 = 4,
    PYE_ID_U16 = 5,
    PYE_ID_I8 = 6,
    PYE_ID_U8 = 7
} pye_id_type;

typedef enum pye_dtype {
    PYE_DTYPE_F32 = 0,
    PYE_DTYPE_F16 = 1, /* the float32 value rounded to nearest even */
    PYE_DTYPE_BF16 = 2 /* likewise */
} pye_dtype;

/* Set `struct_bytes` to sizeof(pye_gather_options) and the rest to zero, then what is wanted. */
typedef struct pye_gather_options {
    size_t struct_bytes;
    pye_id_type id_type;
    pye_dtype dtype;
    uint64_t out_row_bytes; /* bytes from one output row to the next; 0: rows follow each other */
    uint32_t n_threads;     /* 1: the calling thread alone; 0: as many as the amount of work is worth */
} pye_gather_options;

/* Writes row ids[i] of the table to row i of `out`, for i < n_ids. `out` holds n_ids rows of n_columns
 * values. `options` may be NULL: int32 ids, float32 rows that follow each other.
 * float32 rows equal ggml's own dequantisation bit for bit (NaN as NaN). Neither array needs alignment; large outputs are
 * written fastest where rows lie on multiples of 64 bytes, and nearly as fast on multiples of 16.
 * All ids are checked before the first write: PYE_ERROR_ID names the first that is not a row. PYE_ERROR_ARGUMENT where
 * `out` and `ids` overlap, and, with some rows written, where another thread changed the ids meanwhile to what are no
 * rows. */
PYE_API pye_status pye_table_gather(const pye_table *table, const void *ids, size_t n_ids, void *out,
                                    const pye_gather_options *options, pye_error *error);

typedef enum pye_metric {
    PYE_METRIC_DOT = 0,
    PYE_METRIC_COSINE = 1 /* 0 where the norm of the row or of the query is 0 */
} pye_metric;

#define PYE_NO_ID UINT64_MAX

/* Set `struct_bytes` to sizeof(pye_scan_options) and the rest to zero, then what is wanted. */
typedef struct pye_scan_options {
    size_t struct_bytes;
    pye_metric metric;
    uint32_t n_threads;  /* 1: the calling thread alone; 0: as many as the amount of work is worth */
    uint64_t k;          /* the best k of the rows looked at; 0: all scores */
    const uint64_t *ids; /* the rows to look at, in any order; NULL: all rows */
    size_t n_ids;
    const uint64_t *excluded; /* rows that are not among the best k */
    size_t n_excluded;
    pye_progress progress; /* bytes of rows done, called on the calling thread only; may be NULL */
    void *progress_data;
} pye_scan_options;

/* Scores of `n_queries` vectors, queries[n_queries][n_columns], against the rows of a table of any type, which are
 * decoded in the first cache and never all in memory. `options` may be NULL: all dot products.
 *
 * With k 0, `scores` is [n_queries][rows looked at], in the order of `ids`, and `ids` may be NULL. Otherwise `scores` and
 * `ids` are [n_queries][k], the highest score first and of equal ones the lower id; where fewer than k rows are left,
 * the rest is NaN and PYE_NO_ID. n_nan[n_queries], which may be NULL, counts the rows whose score is NaN, of a row with a
 * NaN or of infinities that cancel: such rows are never among the best k.
 *
 * What a dot product is, to the bit, is defined by csrc/simd/generic/dot.h; of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL
 * and MXFP4 by csrc/simd/generic/coded.h, where the query is rounded to 24 bits first, as many as its largest magnitude in each 1024
 * columns has. It is off by less than 9e-7 of the sum of the products' magnitudes; with the latter types by less than
 * 2.1e-6 of that sum, in which minima count by themselves, and 1.2e-7 of that largest magnitude times the sum of the
 * weights'. Ten times less is usual. It is rounded to float32 once more. A cosine is that sum over the norms, between -1 and 1.
 * Sums whose parts leave the range of float32 are infinite or NaN. The bits depend neither on the processor nor on the
 * threads, on k, on `ids` or on the other queries.
 *
 * PYE_ERROR_ARGUMENT for a query that is not finite, for more rows of no columns than the file has bytes, and for k above
 * the number of rows looked at, PYE_ERROR_ID for an id that is no row, PYE_ERROR_MEMORY, and PYE_ERROR_CANCELLED, with some
 * scores written. Queries, ids and outputs may not overlap. The first scan by cosine computes the norms, as
 * pye_table_norms does. */
PYE_API pye_status pye_table_scan(const pye_table *table, const float *queries, size_t n_queries,
                                  const pye_scan_options *options, float *scores, uint64_t *ids, uint64_t *n_nan,
                                  pye_error *error);

/* The Euclidean norms of all rows: n_rows floats that belong to the table, computed in float64 by the first who asks
 * and kept until the table is closed. NaN for a row with a NaN. PYE_ERROR_ARGUMENT for more rows of no
 * columns than the file has bytes. */
PYE_API pye_status pye_table_norms(const pye_table *table, uint32_t n_threads, const float **norms,
                                   pye_error *error);

/* "sha256:", 64 hexadecimal digits and a NUL. */
#define PYE_DIGEST_BYTES 72

/* SHA-256 over the bytes of rows 0, step, 2 step, ... as the file stores them: with a step of 1 all of the table, with
 * a larger one a sample of it, read without the rows between. PYE_ERROR_ARGUMENT for a step of 0. */
PYE_API pye_status pye_table_digest(const pye_table *table, uint64_t step, char digest[PYE_DIGEST_BYTES],
                                    pye_error *error);

/* What pye_table_check says of a row, or'ed together. REFUSED is what llama.cpp refuses when it is asked to check tensors:
 * a float or a scale that is not finite, the exponent 255 of MXFP4, every row of Q8_1. */
typedef enum pye_row_fault {
    PYE_ROW_NAN = 1,      /* a weight is not a number */
    PYE_ROW_INFINITE = 2, /* a weight is infinite */
    PYE_ROW_REFUSED = 4,
    PYE_ROW_ZERO = 8,  /* all weights are zero */
    PYE_ROW_EQUAL = 16 /* all weights are the same number, zero included */
} pye_row_fault;

/* Looks at rows first .. first + n - 1 without decoding them all: floats and the blocks' scales are scanned as they lie,
 * and only what is suspicious is decoded. `faults` gets a byte a row, of pye_row_fault. `hashes`, which
 * may be NULL, gets a 64-bit hash of each row's bytes under `key`: equal rows have equal hashes, and who does not know the
 * key cannot make others collide. PYE_ERROR_ID where that range is not inside the table. */
PYE_API pye_status pye_table_check(const pye_table *table, uint64_t first, uint64_t n, uint8_t *faults,
                                   const uint64_t key[2], uint64_t *hashes, pye_error *error);

/* What the tables of a model have done since it was opened; read without a lock, at any time, by any thread. Set
 * `struct_bytes` to sizeof(pye_stats) before the call. */
typedef struct pye_stats {
    size_t struct_bytes;
    uint64_t n_gathers;       /* calls of pye_table_gather that returned PYE_OK */
    uint64_t n_rows;          /* rows written */
    uint64_t n_bytes_read;    /* bytes of the file's rows that were decoded for it */
    uint64_t n_bytes_written; /* bytes of output */
    uint64_t nanoseconds;     /* inside gathers, of all threads together; of calls for fewer than 16 rows every
                               * 16th is timed and counted 16 times */
    uint64_t n_major_faults;  /* of the whole process since its start: pages that had to be read from a disk */
} pye_stats;

PYE_API pye_status pye_model_stats(const pye_model *model, pye_stats *stats, pye_error *error);

/* --------------------------------------------------------------------------------------- vocabulary */

typedef struct pye_vocabulary pye_vocabulary;

typedef enum pye_token_type {
    PYE_TOKEN_UNDEFINED = 0,
    PYE_TOKEN_NORMAL = 1,
    PYE_TOKEN_UNKNOWN = 2,
    PYE_TOKEN_CONTROL = 3,
    PYE_TOKEN_USER_DEFINED = 4,
    PYE_TOKEN_UNUSED = 5,
    PYE_TOKEN_BYTE = 6
} pye_token_type;

typedef struct pye_token {
    pye_string text; /* as the file stores it */
    float score;     /* 0 where the file has no scores */
    int32_t type;    /* as the file has it, normally a pye_token_type; NORMAL where the file has no types */
} pye_token;

/* The token list of a GGUF file: tokenizer.ggml.tokens, with .scores and .token_type where present. */
PYE_API pye_status pye_vocabulary_open(pye_model *model, pye_vocabulary **vocabulary, pye_error *error);
PYE_API void pye_vocabulary_close(pye_vocabulary *vocabulary); /* NULL is allowed */
PYE_API uint64_t pye_vocabulary_n_tokens(const pye_vocabulary *vocabulary);

/* Tokens first .. first + n - 1. PYE_ERROR_ID where that range is not inside the vocabulary. */
PYE_API pye_status pye_vocabulary_tokens(const pye_vocabulary *vocabulary, uint64_t first, uint64_t n,
                                         pye_token *out, pye_error *error);

/* The lowest id whose stored text is exactly these bytes; PYE_ERROR_NOT_FOUND if there is none. The first
 * call of a vocabulary builds its index, 11 to 22 bytes a token; PYE_ERROR_MEMORY if that fails. */
PYE_API pye_status pye_vocabulary_find(const pye_vocabulary *vocabulary, const char *text, size_t text_size,
                                       uint64_t *id, pye_error *error);

/* SHA-256 over the tokens in order of id, each as its length in bytes (8 bytes, little-endian) followed by
 * its stored bytes: equal exactly when the ordered token lists are equal. */
PYE_API pye_status pye_vocabulary_digest(const pye_vocabulary *vocabulary, char digest[PYE_DIGEST_BYTES],
                                         pye_error *error);

/* What the text of a token tells, and which token has it first. */
typedef enum pye_text_flag {
    PYE_TEXT_EMPTY = 1,
    PYE_TEXT_NUL = 2,        /* a NUL byte inside */
    PYE_TEXT_NOT_UTF8 = 4,   /* not well-formed UTF-8 */
    PYE_TEXT_BYTE = 8,       /* <0xNN>; `number` is the byte */
    PYE_TEXT_ALPHABET = 16,  /* nothing but characters that stand for bytes in GPT-2's alphabet */
    PYE_TEXT_MARK = 32,      /* begins with U+2581, the mark of a space */
    PYE_TEXT_BRACKETED = 64, /* <...> or [...], at least one character inside */
    PYE_TEXT_PAD = 128,      /* [PADn] or <padn>; `number` is n */
    PYE_TEXT_UNUSED = 256,   /* <unusedn> or [unusedn], also after the mark of a space; likewise */
    PYE_TEXT_RESERVED = 512, /* <|reserved_special_token_n|> or the like; likewise */
    PYE_TEXT_REPEATED = 1024 /* one character, once or more often */
} pye_text_flag;

#define PYE_NO_TOKEN 0xFFFFFFFF
#define PYE_MAX_SPLIT_BYTES 512

typedef struct pye_token_facts {
    uint16_t flags;         /* of pye_text_flag */
    uint16_t n_code_points; /* of malformed UTF-8: bytes; at most 65535 */
    uint32_t code_point; /* the first, after a mark of a space if more follows; 0 of an empty or malformed text */
    uint32_t number;     /* see the flags */
    uint32_t first_id;   /* the lowest id of a token with the same text */
} pye_token_facts;

/* What is wrong with a merge "left right", which makes the token left + right. All three texts are unknown where the
 * entry has no space at or after its second byte. */
typedef enum pye_merge_flag {
    PYE_MERGE_LEFT_UNKNOWN = 1, /* the text is no token */
    PYE_MERGE_RIGHT_UNKNOWN = 2,
    PYE_MERGE_PRODUCT_UNKNOWN = 4,
    PYE_MERGE_LATE = 8 /* all three are tokens, and a part has no lower id than the product */
} pye_merge_flag;

/* How a token's text can be cut, between two code points, into two texts that are tokens. Of texts longer than
 * PYE_MAX_SPLIT_BYTES, or malformed, both are PYE_NO_TOKEN. */
typedef struct pye_token_splits {
    uint32_t n;        /* cuts of which both halves are tokens */
    uint32_t n_sooner; /* of those, where each half has a lower id than the token, or is one code point */
} pye_token_splits;

/* Set `struct_bytes` to sizeof(pye_vocabulary_facts); each pointer to an array of the caller's, or to NULL for what is
 * not wanted. */
typedef struct pye_vocabulary_facts {
    size_t struct_bytes;
    pye_token_facts *tokens;  /* one a token */
    pye_token_splits *splits; /* one a token */
    uint32_t *products;       /* one for each of tokenizer.ggml.merges: the token it makes, or PYE_NO_TOKEN */
    uint8_t *merge_flags;     /* one for each of the merges, of pye_merge_flag */
    uint64_t n_merges;        /* how many merges there is room for: as many as the file has */
    /* Room for one a token or one a merge, whichever are fewer: the merges that are the first to make their product,
     * ascending. */
    uint32_t *first_merges;
    uint64_t *n_first_merges; /* how many those are */
} pye_vocabulary_facts;

/* Works out what the laws of a vocabulary's order are judged by. Time and memory are proportional to the bytes of the
 * token list and the merges: 8 to 32 bytes a token are allocated until it returns, and a cut costs at most
 * PYE_MAX_SPLIT_BYTES. Where a call fails, the arrays may have been written in part.
 * PYE_ERROR_ARGUMENT where the file's merges are not `n_merges` strings, or of the four arrays of merges there are some
 * and not all; PYE_ERROR_MEMORY. */
PYE_API pye_status pye_vocabulary_examine(const pye_vocabulary *vocabulary, const pye_vocabulary_facts *facts,
                                          pye_error *error);

#ifdef __cplusplus
}
#endif

#endif
