/* pyembed: embedding tables of model files, from bytes on disk to rows of floats.
 *
 * A model is opened once and is immutable from then on. A table is a view of one of its tensors, or of
 * several that belong together; its rows are gathered by id. Rows come out as the file stores them, dequantised: the scale, norm or positions that
 * an architecture adds are not applied.
 *
 * OWNERSHIP. Every `open` has a `close`. Tables and vocabularies keep their model alive, so handles may be
 * closed in any order. A pye_string points into the model's memory: it is not NUL-terminated, and it is
 * valid until the last handle of that model is closed. Output memory always belongs to the caller.
 *
 * THREADS. Open handles are immutable: any number of threads may use one at the same time. A `close` does
 * not wait: no other thread may use that handle during the call or afterwards. The library has no
 * thread-local state, no global state but the guard's (below), and runs nothing when it is loaded. A model
 * starts worker threads, with all asynchronous signals blocked, when a call first needs them, and joins them
 * when its last handle is closed. The child of a fork may go on using open handles and gets workers of its
 * own. Where a callback forks in the middle of a call, the call goes on in the child too and does there,
 * alone, what the workers do in the parent.
 *
 * ERRORS. A fallible function returns a pye_status, 0 for success, and fills the pye_error it is given; that
 * pointer, always the last argument, may be NULL. Unless it says otherwise, a failing function leaves its
 * other out-parameters unwritten. Files are untrusted: whatever bytes they hold, the answer is a status, not
 * a crash.
 *
 * GUARD. Where a mapped file is truncated while in use, or its disk fails, reading the missing bytes raises
 * SIGBUS. A model opened with `guard` returns PYE_ERROR_IO instead, from the call that met the gap (its
 * output then holds zeros in place of the file's bytes) and from every later one: open the model anew. While
 * a guarded model is open, the library has a handler of SIGBUS installed, which passes on to the previous
 * handler every signal that does not concern a guarded mapping. The guard does not help a thread that blocks
 * SIGBUS, nor where a handler installed later does not pass on what is not its own. The load modes that read
 * need no guard.
 *
 * WINDOWS. Paths are UTF-8, of any length; a path of other bytes is PYE_ERROR_IO (EILSEQ). pye_error.system_errno is the errno
 * nearest to the system's error, whose words are in the message. The guard handles the exception
 * EXCEPTION_IN_PAGE_ERROR, and while a file is mapped the system itself refuses to truncate it. It has no budgets, no
 * large pages, no counts of major faults and no fork.
 *
 * SIZES. `n_` counts elements, `_bytes` counts bytes. Shapes are rows first, the reverse of GGUF's order.
 */
#ifndef PYEMBED_H
#define PYEMBED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef PYE_API
#if defined(_WIN32) && defined(PYE_DLL) /* for programs that are linked with the DLL */
#define PYE_API __declspec(dllimport)
#elif defined(__GNUC__) && !defined(_WIN32)
#define PYE_API __attribute__((visibility("default")))
#else
#define PYE_API
#endif
#endif

#define PYE_VERSION_MAJOR 0
#define PYE_VERSION_MINOR 2
#define PYE_VERSION_PATCH 0

/* "major.minor.patch" of the linked library, which may be newer than this header. Static memory. */
PYE_API const char *pye_version(void);

/* The back end that decodes blocks: the best of "avx512", "avx2", "neon" and "portable" that this machine
 * runs, or the one that the environment variable PYEMBED_ISA names. "" if that one cannot run here; opening
 * a table then fails. Static memory. */
PYE_API const char *pye_isa(void);

/* ------------------------------------------------------------------------------------------- errors */

typedef enum pye_status {
    PYE_OK = 0,
    PYE_ERROR_IO = 1,          /* a system call failed; pye_error.system_errno says how */
    PYE_ERROR_MEMORY = 2,      /* an allocation failed */
    PYE_ERROR_ARGUMENT = 3,    /* an invalid argument */
    PYE_ERROR_ID = 4,          /* an id is not a row; pye_error.offset is its index among the ids */
    PYE_ERROR_FORMAT = 5,      /* a file of no supported format */
    PYE_ERROR_GGUF = 6,        /* a damaged or inconsistent GGUF file */
    PYE_ERROR_SAFETENSORS = 7, /* a damaged or inconsistent safetensors file or index */
    PYE_ERROR_NPY = 8,         /* a damaged .npy file, or one that holds no table */
    PYE_ERROR_TYPE = 9,        /* a tensor type or value type that is not supported */
    PYE_ERROR_NOT_FOUND = 10,  /* no tensor, metadata key or token has that name */
    PYE_ERROR_VOCABULARY = 11, /* no vocabulary, or one whose parts contradict each other */
    PYE_ERROR_CANCELLED = 12   /* a callback asked to stop */
} pye_status;

#define PYE_ERROR_MESSAGE_BYTES 512
#define PYE_NO_OFFSET UINT64_MAX

/* What went wrong. `offset` is the byte offset in the file, or PYE_NO_OFFSET where none applies; for
 * PYE_ERROR_ID it is the index of the first bad id. `shard` is the index of the file at fault, 0 for a
 * single file. `message` is one line of UTF-8, NUL-terminated, without the path. */
typedef struct pye_error {
    pye_status status;
    int32_t system_errno;
    uint64_t offset;
    uint32_t shard;
    char message[PYE_ERROR_MESSAGE_BYTES];
} pye_error;

/* The short name of a status, such as "bad GGUF file"; "unknown status" for any other number. */
PYE_API const char *pye_status_name(pye_status status);

/* ------------------------------------------------------------------------------------- tensor types */

/* `data` is not NUL-terminated and may be malformed UTF-8: the bytes are the file's. */
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

/* How many tensor types the library decodes. */
PYE_API size_t pye_n_types(void);

/* Type number `index`, below pye_n_types(), in ascending order of id. */
PYE_API pye_status pye_type_at(size_t index, pye_type_info *info, pye_error *error);

/* ------------------------------------------------------------------------------------------- models */

typedef struct pye_model pye_model;

typedef enum pye_format {
    PYE_FORMAT_AUTO = 0, /* detected: GGUF, .npy, safetensors (a file, an index or a directory) */
    PYE_FORMAT_GGUF =
        1, /* versions 1 to 3, either byte order; split sets through their first shard; the only
                          * *.gguf file that a zip archive, such as a llamafile, stores uncompressed */
    PYE_FORMAT_SAFETENSORS = 2, /* a file, a *.index.json, or the directory that holds one of them */
    PYE_FORMAT_NPY = 3,         /* one array of NumPy's format 1.0 to 3.0, C order */
    PYE_FORMAT_RAW = 4          /* rows without a header; see pye_open_options */
} pye_format;

/* How bytes get from the file to memory. AUTO is MMAP. Modes that read copy the header when the model is
 * opened, and a tensor when its table is first opened. Modes that lock keep what they hold out of swap. */
typedef enum pye_load_mode {
    PYE_LOAD_AUTO = 0,
    PYE_LOAD_NONE = 1,       /* read into private memory */
    PYE_LOAD_MMAP = 2,       /* map the file read-only; the system pages it in on access */
    PYE_LOAD_MLOCK = 3,      /* read into private memory and lock it */
    PYE_LOAD_MMAP_MLOCK = 4, /* map, and lock the header and the tensors of open tables */
    PYE_LOAD_DIRECT_IO = 5   /* read, bypassing the page cache; as NONE where the file system cannot */
} pye_load_mode;

/* Called after every few MiB of a tensor that is read into memory, and once at its end. Return non-zero to
 * continue, 0 to cancel. */
typedef int (*pye_progress)(uint64_t n_bytes_done, uint64_t n_bytes_total, void *data);

/* Called during long calls, at most ten times a second and only on the calling thread. Return non-zero to
 * end the call with PYE_ERROR_CANCELLED; part of its output may be written then. It may fork: the child goes
 * on alone. */
typedef int (*pye_interrupted)(void *data);

/* Where a model gets its memory, except its workers' stacks and mapped files. Any thread that uses the model
 * calls these functions, several at a time, until the last handle is closed. */
typedef struct pye_allocator {
    void *(*allocate)(size_t n_bytes, void *context);             /* aligned as by malloc; NULL on failure */
    void *(*resize)(void *memory, size_t n_bytes, void *context); /* as realloc; `memory` is never NULL */
    void (*release)(void *memory, void *context);                 /* `memory` is never NULL */
    void *context;
} pye_allocator;

/* Zero the struct, set `struct_bytes` to its size, then the fields you need. The `raw_` fields describe a
 * PYE_FORMAT_RAW file: rows of `raw_columns` weights of type `raw_type` (a GGUF type id whose blocks hold
 * one weight, such as 1 for F16), in `raw_big_endian` byte order, from byte `raw_offset` on. */
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
    int32_t guard;                  /* non-zero: see GUARD above */
    const pye_allocator *allocator; /* copied, every function set; NULL: malloc, realloc and free */
    pye_interrupted interrupted; /* for every call on the model, its tables and vocabularies; may be NULL */
    void *interrupted_data;
    const char *const
        *paths; /* not NULL: all files of a split GGUF set, under any names, in the order of split.no;
                               * `path` is then ignored, and pye_error.shard is an index into this array */
    size_t n_paths;
    /* Bytes; 0: none. Of the model's mapped files together no more than that stays mapped, however rows are asked for:
     * what was not used lately is unmapped again, and the system decides what remains in its page cache. For load modes
     * that map. PYE_ERROR_ARGUMENT below 16 MiB, or where there is no /proc/self/pagemap, as on Windows and macOS. */
    uint64_t memory_budget;
} pye_open_options;

/* Opens `path`, or the files of options->paths, and checks everything but the tensors' bytes: counts,
 * lengths, names, and that every tensor of a known type lies inside its file. `options` may be NULL: detect
 * the format, map the file. It does not look for PATH.pyembed-undo beside a file, or beside the first of a set, which the
 * Python package's edits keep until they are done: it means that old and new bytes may be mixed. */
PYE_API pye_status pye_model_open(const char *path, const pye_open_options *options, pye_model **model,
                                  pye_error *error);

/* Ends this handle's use of the model. NULL is allowed. */
PYE_API void pye_model_close(pye_model *model);

/* The format, never AUTO. */
PYE_API pye_format pye_model_format(const pye_model *model);

/* The load mode in use, never AUTO. */
PYE_API pye_load_mode pye_model_load_mode(const pye_model *model);

/* How many files the model has. */
PYE_API size_t pye_model_n_shards(const pye_model *model);

/* What happened to a model's files since they were opened, in order of severity. */
typedef enum pye_change {
    PYE_CHANGE_NONE = 0,
    PYE_CHANGE_REPLACED = 1,    /* the path names another file; the model keeps the one it opened */
    PYE_CHANGE_REMOVED = 2,     /* the path names no file; likewise */
    PYE_CHANGE_OVERWRITTEN = 3, /* the file was written to: reads yield old bytes, new bytes or both */
    PYE_CHANGE_TRUNCATED = 4    /* the file got shorter, or a page of a guarded mapping could not be read */
} pye_change;

/* Compares device, inode, size and modification time of every file with those at opening; `shard` is the
 * file that fares worst. Costs one system call a file. A change that keeps the size, within the file
 * system's timestamp resolution (a few milliseconds), goes unnoticed. Also reinstalls the guard's handler
 * where others removed it. */
PYE_API pye_status pye_model_check(const pye_model *model, pye_change *change, uint32_t *shard,
                                   pye_error *error);

/* PYE_ERROR_IO if a page of a guarded model could not be read, or a mapped file got shorter: bytes read
 * through a pye_string before this call may then be zeros. The other functions make this check themselves.
 * Costs a system call a file. */
PYE_API pye_status pye_model_intact(const pye_model *model, pye_error *error);

/* Facts about one file of a model; 0 where its format does not define one. */
typedef struct pye_shard {
    const char *path; /* NUL-terminated, valid as long as the model */
    uint64_t file_bytes;
    uint64_t data_offset; /* where the tensors' bytes begin */
    uint64_t alignment;   /* GGUF: general.alignment, or its default of 32 */
    uint64_t n_metadata;
    uint64_t n_tensors;
    uint32_t version;   /* GGUF or .npy major version */
    int32_t big_endian; /* the file's byte order */
    uint64_t first; /* where the model begins in the file: 0, except for a GGUF file inside a zip archive */
    uint64_t end;   /* where it ends: file_bytes, except for such a file */
} pye_shard;

/* Facts about file number `index`, below pye_model_n_shards(). */
PYE_API pye_status pye_model_shard(const pye_model *model, size_t index, pye_shard *shard, pye_error *error);

/* Where the descriptions of the tensors begin in file number `index` of a GGUF model, in bytes: what lies
 * between the header's counts and this place is metadata. 0 for other formats. */
PYE_API pye_status pye_model_metadata_end(const pye_model *model, size_t index, uint64_t *offset,
                                          pye_error *error);

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

/* One metadata value. `type` selects the member of `as`: `u64` for unsigned integers and bools, `i64` for
 * signed integers, `f64` for floats, `string` for strings. An array has none: pass the value, unchanged, to
 * the pye_array_ functions below. */
typedef struct pye_value {
    pye_string key;       /* empty for an element of an array */
    int32_t type;         /* a pye_value_type */
    int32_t element_type; /* of an array; -1 otherwise */
    uint64_t n_elements;  /* of an array; 1 otherwise */
    uint64_t offset;      /* in the file, in bytes: of the value, or of an array's first element */
    union {
        uint64_t u64;
        int64_t i64;
        double f64;
        pye_string string;
    } as;
    const uint64_t *marks; /* private to the library */
} pye_value;

/* How many metadata entries the first file has. Only GGUF files have any. */
PYE_API size_t pye_model_n_metadata(const pye_model *model);

/* Metadata entry number `index`, in the file's order. */
PYE_API pye_status pye_metadata_at(const pye_model *model, size_t index, pye_value *value, pye_error *error);

/* The metadata value of a key; PYE_ERROR_NOT_FOUND if there is none. Logarithmic in the number of
 * entries. */
PYE_API pye_status pye_metadata_find(const pye_model *model, const char *key, size_t key_size,
                                     pye_value *value, pye_error *error);

/* Copies elements first .. first + n - 1 of an array of numbers or bools to `out`, in this machine's byte
 * order: n elements of the element type's size, bools as bytes 0 or 1. */
PYE_API pye_status pye_array_read(const pye_model *model, const pye_value *array, uint64_t first, uint64_t n,
                                  void *out, pye_error *error);

/* Elements first .. first + n - 1 of an array of strings. Takes time proportional to n. */
PYE_API pye_status pye_array_strings(const pye_model *model, const pye_value *array, uint64_t first,
                                     uint64_t n, pye_string *out, pye_error *error);

/* Elements first .. first + n - 1 of an array of arrays. Takes time proportional to first + n. */
PYE_API pye_status pye_array_arrays(const pye_model *model, const pye_value *array, uint64_t first,
                                    uint64_t n, pye_value *out, pye_error *error);

/* ------------------------------------------------------------------------------------------ tensors */

#define PYE_MAX_DIMS 4
#define PYE_UNKNOWN_BYTES UINT64_MAX

typedef struct pye_tensor {
    pye_string name;
    pye_string
        type_name; /* such as "Q4_K"; of an unsupported type the name a file or fork has for it, or "" */
    int32_t type;  /* GGUF type id; -1 if the type has none */
    uint32_t n_dims;
    uint64_t shape[PYE_MAX_DIMS]; /* rows first; shape[n_dims - 1] is the width of a row */
    uint64_t n_bytes;             /* PYE_UNKNOWN_BYTES where neither type nor file defines it */
    uint64_t offset;              /* of its bytes in its file */
    uint32_t shard;               /* index of its file */
} pye_tensor;

/* How many tensors the model has, in all files. A .npy or raw file has one, named "data". */
PYE_API size_t pye_model_n_tensors(const pye_model *model);

/* Tensor number `index`, in the files' order, shard after shard. */
PYE_API pye_status pye_tensor_at(const pye_model *model, size_t index, pye_tensor *tensor, pye_error *error);

/* The tensor of a name; PYE_ERROR_NOT_FOUND if there is none. Logarithmic in the number of tensors. */
PYE_API pye_status pye_tensor_find(const pye_model *model, const char *name, size_t name_size,
                                   pye_tensor *tensor, pye_error *error);

/* ------------------------------------------------------------------------------------------- tables */

typedef struct pye_table pye_table;

typedef struct pye_table_info {
    int32_t type;       /* GGUF type id; -1 for rows that are not blocks of one: see pye_table_layout */
    uint32_t shard;     /* index of the file that holds row 0 */
    uint64_t n_rows;    /* product of all dimensions but the last */
    uint64_t n_columns; /* the last dimension: weights in a row */
    uint64_t row_bytes; /* stored for each row: codes, and the scales and biases of that row alone */
    uint64_t n_bytes;   /* of all tensors that the table is made of */
} pye_table_info;

/* Opens the rows of the tensor `name`, which has at least one dimension: the last is a row's width, all
 * others together count rows. Codes come with the scales, biases and factors that lie beside them, by their
 * names, types and shapes; docs/conditional-memory.md lists which. `name` may also be what comes before the
 * numbers of a table's shards, `NAME.shard_0.weight` or `NAME.shards.0.weight`; a shard's own name opens
 * that shard alone. Of model2vec's tables, row i is that of token i.
 *
 * PYE_ERROR_NOT_FOUND; PYE_ERROR_TYPE for a type, or a kind of codes, that cannot be decoded; the file
 * format's error for a table with a part that is missing, doubled or of another shape or type than the rest;
 * the errors of reading the tensors in load modes that read. */
PYE_API pye_status pye_table_open(pye_model *model, const char *name, size_t name_size, pye_table **table,
                                  pye_error *error);

/* NULL is allowed. */
PYE_API void pye_table_close(pye_table *table);

/* Shape, type and size of a table. */
PYE_API void pye_table_get_info(const pye_table *table, pye_table_info *info);

typedef enum pye_sharing {
    PYE_SCALES_NONE = 0,
    PYE_SCALES_A_TABLE = 1, /* all rows share one; in a table of shards, those of a shard may */
    PYE_SCALES_A_ROW = 2,
    PYE_SCALES_A_GROUP = 3 /* of `group` columns */
} pye_sharing;

/* What a table is made of. With q the number that a code stands for, s its scale, b its bias and g the
 * factor, a weight is q, q s, q s + b, (q s) g or (q s) / g in float32, each step rounded to nearest even.
 * Names of number formats are static memory: those of tensor types, and "F8_E4M3", "F8_E5M2", "F8_E8M0",
 * "F4", and "U2" to "U8" for whole numbers of that many bits. */
typedef struct pye_table_layout {
    size_t struct_bytes; /* set to sizeof(pye_table_layout) before the call */
    const char *codes;
    const char *scales; /* "" where there are none */
    const char *biases; /* likewise; shared as the scales are */
    int32_t sharing;    /* a pye_sharing */
    int32_t factor;     /* 0: there is none; 1: it multiplies; 2: it divides */
    double factor_value;
    uint64_t group;       /* columns that share a scale; 0 without scales */
    uint64_t code_bytes;  /* of a row */
    uint64_t scale_bytes; /* likewise; those of all rows where they share one */
    uint64_t bias_bytes;  /* likewise */
    uint64_t n_shards;    /* 1: it is not cut by rows */
    uint64_t shard_rows;  /* of every shard but the last */
    uint64_t
        n_stored_rows; /* of the codes; a mapping may lead to each from any number of the table's rows */
    int32_t has_mapping;
    int32_t has_weights; /* the scales are model2vec's weights, one a token */
    uint64_t n_tensors;
    int32_t
        has_scale_value; /* all rows share one scale, which raw rows do not have: not so where each shard has its own */
    double scale_value;
} pye_table_layout;

/* PYE_ERROR_ARGUMENT for a struct_bytes that this version does not know; PYE_ERROR_IO. */
PYE_API pye_status pye_table_get_layout(const pye_table *table, pye_table_layout *layout, pye_error *error);

/* The tensor number `index`, below n_tensors, of those that a table is made of. */
PYE_API pye_status pye_table_tensor_at(const pye_table *table, size_t index, pye_tensor *tensor,
                                       pye_error *error);

/* The names of tables that are cut into shards, from position *position on in the order of names; sets it
 * to where the next call goes on. PYE_ERROR_NOT_FOUND when there are no more. Begin with *position 0. */
PYE_API pye_status pye_sharded_table_next(const pye_model *model, size_t *position, pye_string *name,
                                          pye_error *error);

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
    PYE_DTYPE_F16 = 1,  /* the float32 value, rounded to nearest even */
    PYE_DTYPE_BF16 = 2, /* likewise */
    PYE_DTYPE_RAW = 3   /* bytes as the file stores them, in its byte order: see pye_table_raw_bytes */
} pye_dtype;

/* What a raw row is: `codes` bytes of codes (of a GGUF type, its blocks), then `scales` bytes of what belongs
 * to them, all scales of the row before all biases, without gaps. Both are the same for all rows of a table,
 * and their sum is the stride of contiguous raw rows. A scale that all rows share is in none of them;
 * where each shard has one of its own, every row has its shard's. */
PYE_API void pye_table_raw_bytes(const pye_table *table, uint64_t *codes, uint64_t *scales);

/* Zero the struct, set `struct_bytes` to its size, then the fields you need. */
typedef struct pye_gather_options {
    size_t struct_bytes;
    pye_id_type id_type;
    pye_dtype dtype;
    uint64_t out_row_bytes; /* stride of the output; 0: rows are contiguous */
    uint32_t n_threads;     /* 1: the calling thread alone; 0: as many as the work is worth */
    int32_t has_window;     /* non-zero: see below */
    uint64_t window_first;
    uint64_t window_end;           /* at most n_rows */
    void *out_scales;              /* of raw rows: see below; NULL: behind their codes */
    uint64_t out_scales_row_bytes; /* stride of out_scales; 0: rows are contiguous */
} pye_gather_options;

/* Writes row ids[i] of the table to row i of `out`, for i < n_ids; `out` holds n_ids rows of n_columns
 * values, or of raw bytes, in the caller's memory, which may be pinned for a device. `options` may be NULL:
 * int32 ids, contiguous float32 rows. float32 rows equal ggml's own dequantisation bit for bit (NaN as NaN).
 * Neither array needs alignment; large outputs are written fastest where rows start at multiples of 64 bytes,
 * and nearly as fast at multiples of 16. Every id is checked before the first write: PYE_ERROR_ID names the
 * first that is not a row. PYE_ERROR_ARGUMENT if an output and `ids` overlap, for a window that is not inside
 * the table, and, with part of the output written, if another thread changes the ids meanwhile.
 *
 * A window is the rows that a rank holds, window_first .. window_end - 1: every other id, negative ones too,
 * stands for a row of zeros (of zero bytes, of a raw row) and is never an error.
 *
 * With `out_scales`, raw rows go to two outputs: the codes to `out`, and to `out_scales` all that belongs to
 * them. The two may be columns of one array, but must not overlap. */
PYE_API pye_status pye_table_gather(const pye_table *table, const void *ids, size_t n_ids, void *out,
                                    const pye_gather_options *options, pye_error *error);

typedef enum pye_pool_mode {
    PYE_POOL_MEAN = 0, /* the sum, divided by the number of ids */
    PYE_POOL_SUM = 1,
    PYE_POOL_MAX = 2 /* of each column */
} pye_pool_mode;

/* Zero the struct, set `struct_bytes` to its size, then the fields you need. */
typedef struct pye_pool_options {
    size_t struct_bytes;
    pye_id_type id_type;
    pye_pool_mode mode;
    int32_t normalize;  /* non-zero: divides every result by its Euclidean norm, unless that is 0 */
    uint32_t n_threads; /* 1: the calling thread alone; 0: as many as the work is worth */
} pye_pool_options;

/* Pools rows without writing them anywhere: out[b] becomes the sum, mean or maximum of the rows ids[offsets[b]] ..
 * ids[offsets[b + 1] - 1]. `out` is [n_bags][n_columns]; a bag of no ids yields zeros. offsets[n_bags + 1] begins with 0,
 * never falls and ends with n_ids. `weights`, one float an id, are multiplied into the rows; NULL: none, as for the
 * maximum. `options` may be NULL: int32 ids, the mean.
 *
 * csrc/simd/generic/sums.h defines sums and maxima to the bit: sequential float32 in the order of the ids. A mean is that
 * sum divided by the number of ids as float32, weights or not. A norm is that of pye_table_norms, in float64; the quotient
 * is rounded to float32. The bits depend neither on processor nor threads (NaN as NaN).
 *
 * Everything is checked before the first write: PYE_ERROR_ID names the first id that is not a row. PYE_ERROR_ARGUMENT,
 * with the position in the message, for offsets other than those above; for weights of a maximum; if the output overlaps
 * an input; and, with part of the output written, if another thread changes the ids or offsets meanwhile. */
PYE_API pye_status pye_table_pool(const pye_table *table, const void *ids, size_t n_ids,
                                  const int64_t *offsets, size_t n_bags, const float *weights, float *out,
                                  const pye_pool_options *options, pye_error *error);
/* Fetches the rows of some ids in the background and returns at once: a hint, for rows that will be asked for soon. Of
 * `options` the type of the ids counts. Does nothing for tables whose files are in memory; a hint too many is given up, which
 * pye_stats counts. PYE_ERROR_ID as pye_table_gather. The ids are no longer needed when it returns. */
PYE_API pye_status pye_table_prefetch(const pye_table *table, const void *ids, size_t n_ids,
                                      const pye_gather_options *options, pye_error *error);

/* A gather that goes on in the background. */
typedef struct pye_ticket pye_ticket;

/* As pye_table_gather, in a thread of the model's: returns a ticket at once. The ids are copied; `out` is written until the
 * ticket is done and has to stay; the table may be closed. What is wrong, an id that is not a row for example, is reported by
 * pye_ticket_wait. Up to eight tickets of a model are worked on at a time, up to 1024 wait, the next waits here. Where no
 * thread can be made the work is done here. PYE_ERROR_ARGUMENT, PYE_ERROR_MEMORY. */
PYE_API pye_status pye_table_submit(const pye_table *table, const void *ids, size_t n_ids, void *out,
                                    const pye_gather_options *options, pye_ticket **ticket,
                                    pye_error *error);

/* Waits until the ticket is done and returns what pye_table_gather would have returned: any thread, as often as you like.
 * PYE_ERROR_CANCELLED also if the model's `interrupted` asked for an end of the wait; the work then goes on. A ticket is of
 * no use in the child of a fork: PYE_ERROR_ARGUMENT. */
PYE_API pye_status pye_ticket_wait(pye_ticket *ticket, pye_error *error);

/* Non-zero if pye_ticket_wait would not wait. */
PYE_API int pye_ticket_done(pye_ticket *ticket);

/* Writes 8 bytes to the file descriptor `fd`, an eventfd or a pipe that does not block, when the ticket is done; now if it
 * is. On Windows it is a socket. A pipe without a reader is not an error and does not raise SIGPIPE. Replaces the descriptor
 * given before; -1: none. It has to stay open until then, or until the ticket is closed. */
PYE_API void pye_ticket_notify(pye_ticket *ticket, int fd);

/* Asks for an end: a ticket that was not begun, or is still reading, ends with PYE_ERROR_CANCELLED. Returns at once. */
PYE_API void pye_ticket_cancel(pye_ticket *ticket);

/* Cancels the ticket if it is not done, waits until nothing is written to `out` any more, and frees it. No other thread may
 * use it then. NULL is allowed. */
PYE_API void pye_ticket_close(pye_ticket *ticket);

typedef enum pye_metric {
    PYE_METRIC_DOT = 0,
    PYE_METRIC_COSINE = 1 /* 0 if the norm of the row or of the query is 0 */
} pye_metric;

#define PYE_NO_ID UINT64_MAX

/* Zero the struct, set `struct_bytes` to its size, then the fields you need. */
typedef struct pye_scan_options {
    size_t struct_bytes;
    pye_metric metric;
    uint32_t n_threads;  /* 1: the calling thread alone; 0: as many as the work is worth */
    uint64_t k;          /* the k best of the scanned rows; 0: all scores */
    const uint64_t *ids; /* the rows to scan, in any order; NULL: all rows */
    size_t n_ids;
    const uint64_t *excluded; /* rows to leave out of the k best */
    size_t n_excluded;
    pye_progress progress; /* gets bytes of rows, on the calling thread only; may be NULL */
    void *progress_data;
} pye_scan_options;

/* Scores `n_queries` vectors, queries[n_queries][n_columns], against the rows of a table of any type,
 * decoding a few rows at a time. `options` may be NULL: all dot products.
 *
 * With k 0, `scores` is [n_queries][scanned rows], in the order of `ids`, and `ids` may be NULL. Otherwise
 * `scores` and `ids` are [n_queries][k], best first and, of equal scores, the lower id first; where fewer
 * than k rows are left, the rest is NaN and PYE_NO_ID. n_nan[n_queries], which may be NULL, counts rows
 * whose score is NaN: rows with a NaN or with infinities that cancel. Such rows are never among the k best.
 *
 * csrc/simd/generic/dot.h defines dot products to the bit. For Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K,
 * IQ4_NL and MXFP4 csrc/simd/generic/coded.h does: there the query is first rounded, in each 1024 columns,
 * to multiples of a unit that gives its largest magnitude 24 bits. The error is less than 9e-7 of the sum
 * of the products' magnitudes; for the latter types, less than 2.1e-6 of that sum, in which minima count by
 * themselves, plus 1.2e-7 of that largest magnitude times the sum of the weights' magnitudes. A tenth of
 * that is usual. The sum is then rounded to float32. A cosine is that sum over the norms, clamped to -1 ..
 * 1. Sums whose parts leave the range of float32 are infinite or NaN. The bits depend neither on processor
 * nor threads, nor on k, `ids` or the other queries.
 *
 * PYE_ERROR_ARGUMENT for a query that is not finite, for more rows of no columns than the file has bytes,
 * and for k above the number of scanned rows; PYE_ERROR_ID for an id that is not a row; PYE_ERROR_MEMORY;
 * PYE_ERROR_CANCELLED, with part of the scores written. Queries, ids and outputs may not overlap. The first
 * scan by cosine computes the norms, as pye_table_norms does. */
PYE_API pye_status pye_table_scan(const pye_table *table, const float *queries, size_t n_queries,
                                  const pye_scan_options *options, float *scores, uint64_t *ids,
                                  uint64_t *n_nan, pye_error *error);

/* The Euclidean norms of all rows: n_rows floats that belong to the table. The first call computes them, in
 * float64, and the table keeps them until it is closed. NaN for a row with a NaN. PYE_ERROR_ARGUMENT for
 * more rows of no columns than the file has bytes. */
PYE_API pye_status pye_table_norms(const pye_table *table, uint32_t n_threads, const float **norms,
                                   pye_error *error);

/* "sha256:", 64 hexadecimal digits and a NUL. */
#define PYE_DIGEST_BYTES 72

/* SHA-256 of the stored bytes of rows 0, step, 2 step, ...: the whole table for a step of 1, a sample for a
 * larger one, without reading the rows between. Of rows with scales that is codes, scales and biases of one
 * row after those of another, whether rows share them or not, and last the factor as a float32: it does not
 * depend on how a table is cut. PYE_ERROR_ARGUMENT for a step of 0. */
PYE_API pye_status pye_table_digest(const pye_table *table, uint64_t step, char digest[PYE_DIGEST_BYTES],
                                    pye_error *error);

/* What pye_table_check finds in a row, or'ed together. REFUSED is what llama.cpp refuses when it checks
 * tensors: a float or a scale that is not finite, the exponent 255 of MXFP4, every row of Q8_1. */
typedef enum pye_row_fault {
    PYE_ROW_NAN = 1,      /* a weight is not a number */
    PYE_ROW_INFINITE = 2, /* a weight is infinite */
    PYE_ROW_REFUSED = 4,
    PYE_ROW_ZERO = 8,       /* all weights are zero */
    PYE_ROW_EQUAL = 16,     /* all weights are equal, zero included */
    PYE_ROW_ZERO_SCALE = 32 /* a scale that lies beside the codes is zero, and others of the row are not */
} pye_row_fault;

/* Checks rows first .. first + n - 1, mostly without decoding them: floats and block scales are scanned as
 * stored, and only suspicious rows are decoded, and rows whose scales lie beside their codes. `faults` gets one byte of pye_row_fault a row. `hashes`,
 * which may be NULL, gets a 64-bit hash of each row's bytes under `key`: equal rows have equal hashes, and
 * nobody without the key can make others collide. PYE_ERROR_ID if that range is not inside the table. */
PYE_API pye_status pye_table_check(const pye_table *table, uint64_t first, uint64_t n, uint8_t *faults,
                                   const uint64_t key[2], uint64_t *hashes, pye_error *error);

/* Totals over all tables of a model since it was opened. Set `struct_bytes` to sizeof(pye_stats) before the
 * call. */
typedef struct pye_stats {
    size_t struct_bytes;
    uint64_t n_gathers;       /* calls of pye_table_gather and pye_table_pool that returned PYE_OK */
    uint64_t n_rows;          /* rows written or pooled */
    uint64_t n_bytes_read;    /* stored bytes of the rows that were read: none for ids outside a window */
    uint64_t n_bytes_written; /* bytes of output */
    uint64_t nanoseconds; /* in these calls, all threads together; of those below 16 rows every 16th is timed
                               * and counted 16 times */
    uint64_t
        n_major_faults; /* page faults of the whole process that needed a disk, since it started; 0 on Windows */
    /* Of mapped files: how rows that were not in memory came there. */
    uint64_t n_rows_missed;    /* rows that were not known to be in memory when they were asked for */
    uint64_t n_reads;          /* runs of adjacent pages that were asked of the system */
    uint64_t n_bytes_fetched;  /* bytes of these pages */
    uint64_t n_pages_found;    /* pages not known to be in memory that were there, by a sample */
    uint64_t wait_nanoseconds; /* that gathers waited for pages, all threads together */
    uint64_t n_prefetches;     /* calls of pye_table_prefetch that had something to fetch */
    uint64_t
        n_prefetches_lost;    /* and those that were given up: too many at a time, no thread, or an error */
    uint64_t n_forgotten;     /* how often it was noticed that the system had taken pages back */
    uint64_t budget_bytes;    /* as the model was opened; 0: none */
    uint64_t held_bytes;      /* of the mappings, within a budget; 0 without one */
    uint64_t n_pages_evicted; /* unmapped for the sake of the budget */
    const char *mechanism;    /* how pages are read here, in a few words; static memory */
} pye_stats;

/* Reads the totals, without a lock: any thread may call it at any time. */
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
    int32_t type;    /* as stored, normally a pye_token_type; NORMAL where the file has no types */
} pye_token;

/* Opens the token list of a GGUF file: tokenizer.ggml.tokens, with .scores and .token_type where present. */
PYE_API pye_status pye_vocabulary_open(pye_model *model, pye_vocabulary **vocabulary, pye_error *error);

/* NULL is allowed. */
PYE_API void pye_vocabulary_close(pye_vocabulary *vocabulary);

/* How many tokens there are. */
PYE_API uint64_t pye_vocabulary_n_tokens(const pye_vocabulary *vocabulary);

/* Tokens first .. first + n - 1. PYE_ERROR_ID if that range is not inside the vocabulary. */
PYE_API pye_status pye_vocabulary_tokens(const pye_vocabulary *vocabulary, uint64_t first, uint64_t n,
                                         pye_token *out, pye_error *error);

/* The lowest id whose stored text is exactly these bytes; PYE_ERROR_NOT_FOUND if there is none. The first
 * call builds the vocabulary's index, 11 to 22 bytes a token; PYE_ERROR_MEMORY if that fails. */
PYE_API pye_status pye_vocabulary_find(const pye_vocabulary *vocabulary, const char *text, size_t text_size,
                                       uint64_t *id, pye_error *error);

/* SHA-256 of the tokens in order of id, each as its length in bytes (8 bytes, little-endian) and its stored
 * bytes: equal exactly if the ordered token lists are equal. */
PYE_API pye_status pye_vocabulary_digest(const pye_vocabulary *vocabulary, char digest[PYE_DIGEST_BYTES],
                                         pye_error *error);

/* What kind of text a token has. */
typedef enum pye_text_flag {
    PYE_TEXT_EMPTY = 1,
    PYE_TEXT_NUL = 2,        /* a NUL byte inside */
    PYE_TEXT_NOT_UTF8 = 4,   /* not well-formed UTF-8 */
    PYE_TEXT_BYTE = 8,       /* <0xNN>; `number` is the byte */
    PYE_TEXT_ALPHABET = 16,  /* only characters that stand for bytes in GPT-2's alphabet */
    PYE_TEXT_MARK = 32,      /* begins with U+2581, the mark that stands for a space */
    PYE_TEXT_BRACKETED = 64, /* <...> or [...], not empty */
    PYE_TEXT_PAD = 128,      /* [PADn] or <padn>; `number` is n */
    PYE_TEXT_UNUSED = 256,   /* <unusedn> or [unusedn], also after a mark; likewise */
    PYE_TEXT_RESERVED = 512, /* <|reserved_special_token_n|> or the like; likewise */
    PYE_TEXT_REPEATED = 1024 /* one character, once or more often */
} pye_text_flag;

#define PYE_NO_TOKEN 0xFFFFFFFF
#define PYE_MAX_SPLIT_BYTES 512

typedef struct pye_token_facts {
    uint16_t flags;         /* of pye_text_flag */
    uint16_t n_code_points; /* of malformed UTF-8: bytes; at most 65535 */
    uint32_t code_point;    /* the first, after a mark unless that is all; 0 of empty or malformed text */
    uint32_t number;        /* see the flags */
    uint32_t first_id;      /* the lowest id of a token with the same text */
} pye_token_facts;

/* What is wrong with a merge "left right", whose product is the token left + right. An entry without a space
 * at or after its second byte has all three texts unknown. */
typedef enum pye_merge_flag {
    PYE_MERGE_LEFT_UNKNOWN = 1, /* no token has the text */
    PYE_MERGE_RIGHT_UNKNOWN = 2,
    PYE_MERGE_PRODUCT_UNKNOWN = 4,
    PYE_MERGE_LATE = 8 /* all are tokens, and a part does not have a lower id than the product */
} pye_merge_flag;

/* The splits of a token: cuts of its text, between two code points, into two tokens. Both counts are
 * PYE_NO_TOKEN if the text is malformed or longer than PYE_MAX_SPLIT_BYTES. */
typedef struct pye_token_splits {
    uint32_t n;        /* all splits */
    uint32_t n_sooner; /* those in which each half has a lower id than the token, or is one code point */
} pye_token_splits;

/* Set `struct_bytes` to sizeof(pye_vocabulary_facts), and each pointer to an array of yours, or to NULL to
 * skip it. The four arrays of merges are filled together or not at all. */
typedef struct pye_vocabulary_facts {
    size_t struct_bytes;
    pye_token_facts *tokens;  /* one a token */
    pye_token_splits *splits; /* one a token */
    uint32_t *products;       /* one a merge of tokenizer.ggml.merges: its product, or PYE_NO_TOKEN */
    uint8_t *merge_flags;     /* one a merge, of pye_merge_flag */
    uint64_t n_merges;        /* in the file: how many the arrays have room for */
    uint32_t
        *first_merges; /* the merges that are the first with their product, ascending; as much room as there
                               * are tokens or merges, whichever are fewer */
    uint64_t *n_first_merges; /* how many those are */
} pye_vocabulary_facts;

/* Computes the facts by which the laws of a vocabulary's order are judged. Takes time and memory
 * proportional to the bytes of tokens and merges: it allocates 8 to 32 bytes a token until it returns. On
 * failure the arrays may be written in part. PYE_ERROR_ARGUMENT if the file does not have `n_merges` merges,
 * all strings, or if some but not all arrays of merges are given; PYE_ERROR_MEMORY. */
PYE_API pye_status pye_vocabulary_examine(const pye_vocabulary *vocabulary,
                                          const pye_vocabulary_facts *facts, pye_error *error);

/* ---------------------------------------------------------------------------- names of hashed rows */

/* Models with conditional memory look up, beside the row of each token, rows of the n-grams that end there. Which
 * rows these are is computed from ids alone: a hash of the last 2, 3, ... max_size tokens, for each of n_heads
 * heads, modulo a prime. A token has (max_size - 1) * n_heads names, one a column: first all heads of the 2-grams,
 * then those of the 3-grams, and so on. The gathered rows, put side by side in this order, are what the layer is
 * given. */
typedef struct pye_ngram pye_ngram;

/* What is hashed, and where a window ends; before its end `stand_in` takes the place of tokens. */
typedef enum pye_ngram_scheme {
    PYE_NGRAM_PLE = 0, /* Qwen: ids; behind the last earlier EOS, which is stand_in, or the start */
    PYE_NGRAM_ENGRAM =
        1, /* DeepSeek: mapped ids; behind the last dead token, itself included, or the start */
    PYE_NGRAM_LONGCAT = 2 /* LongCat: ids as digits of a number; 0 stands before the start. Each column has a
                           * table of its own, whose rows its names count */
} pye_ngram_scheme;

#define PYE_NGRAM_MAX_SIZE 8
#define PYE_NGRAM_MAX_HEADS 64
#define PYE_NGRAM_MAX_LAYERS 256

/* In a token map: the token is dead, such as the one in place of an image. */
#define PYE_NGRAM_DEAD 0xFFFFFFFF

/* The constants of a model. Zero the struct, set `struct_bytes` to its size, then the fields. n_columns is
 * (max_size - 1) * n_heads. The arrays are copied. */
typedef struct pye_ngram_description {
    size_t struct_bytes;
    pye_ngram_scheme scheme;
    uint32_t n_layers; /* layers with a table, 1 to PYE_NGRAM_MAX_LAYERS */
    uint32_t max_size; /* tokens of the longest n-grams, 2 to PYE_NGRAM_MAX_SIZE */
    uint32_t n_heads;  /* columns for n-grams of one size, 1 to PYE_NGRAM_MAX_HEADS */
    uint64_t n_vocab;  /* tokens of the vocabulary: ids are below */
    const uint64_t
        *multipliers;       /* [n_layers][max_size], odd, at most (2^63 - 1) / hashed ids; NULL of LongCat */
    const uint64_t *moduli; /* [n_layers][n_columns], primes but for LongCat */
    const uint64_t
        *offsets; /* [n_layers][n_columns]: added to a column's names; NULL: running sums of moduli */
    const uint32_t
        *token_map;        /* Engram: [n_vocab], what is hashed of each id, or PYE_NGRAM_DEAD; else NULL */
    uint64_t n_compressed; /* Engram: mapped ids are below */
    uint64_t stand_in;     /* PLE: the EOS id; Engram: the mapped id of padding; LongCat: ignored */
    const pye_allocator *allocator; /* copied, every function set; NULL: malloc, realloc and free */
    pye_interrupted interrupted;    /* for long calls; may be NULL */
    void *interrupted_data;
} pye_ngram_description;

/* Checks a description and keeps it. PYE_ERROR_ARGUMENT for what no file should hold: counts out of range, a
 * multiplier that is even or so large that products pass 2^63, a modulus that is not prime, columns whose rows
 * overlap or pass 2^63, a map beyond n_compressed. The message begins with the field at fault. */
PYE_API pye_status pye_ngram_open(const pye_ngram_description *description, pye_ngram **ngram,
                                  pye_error *error);

/* NULL is allowed. */
PYE_API void pye_ngram_close(pye_ngram *ngram);

/* How many names a token has in each layer. */
PYE_API size_t pye_ngram_n_columns(const pye_ngram *ngram);

/* Zero the struct, set `struct_bytes` to its size, then the fields you need.
 *
 * Between calls the caller keeps the last max_size - 1 ids of each sequence, those that were accepted, oldest
 * first, with -1 in place of what lies before the sequence's start: its history. It is plain memory: copy it
 * where a sequence forks or shares a prefix, put it back where tokens are rejected. */
typedef struct pye_ngram_options {
    size_t struct_bytes;
    pye_id_type id_type;
    const uint64_t
        *offsets;       /* [n_sequences + 1]: where each sequence of `ids` begins, and the end of the last;
                               * NULL: one sequence */
    size_t n_sequences; /* ignored without offsets */
    const int64_t *histories; /* [n_sequences][max_size - 1]; NULL: all sequences begin here */
    uint32_t n_threads;       /* 1: the calling thread alone; 0: as many as the work is worth */
} pye_ngram_options;

/* Writes the names of the rows that each token looks up in table number `layer` to out[n_ids][n_columns]; `out` is
 * aligned as int64_t, `ids` as they come. `options` may be NULL: int32 ids of one sequence that begins here.
 * Everything is checked before the first write: PYE_ERROR_ID names the first id that is not below n_vocab;
 * PYE_ERROR_ARGUMENT for offsets that are not 0 to n_ids in order, for histories of other ids, if `out` and `ids`
 * overlap, and, with part of the output written, if another thread changes the arguments meanwhile;
 * PYE_ERROR_CANCELLED likewise. */
PYE_API pye_status pye_ngram_rows(const pye_ngram *ngram, size_t layer, const void *ids, size_t n_ids,
                                  int64_t *out, const pye_ngram_options *options, pye_error *error);

#ifdef __cplusplus
}
#endif

#endif
