/* A library that knows a few names, as libllama knows many: for the tests of tools/compare_llama_cpp.py. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    void *pointers[9];
    int32_t numbers[4];
    uint64_t mark;
} parameters;

enum { MARK = 0x5EA1, MOST = 1 << 20 };
typedef void (*log_callback)(int level, const char *text, void *data);

static log_callback say;
static char file[MOST];
static size_t n_bytes;

static void tell(const char *before, const char *name, const char *after) {
    char text[512];
    (void)snprintf(text, sizeof text, "error loading model: %s%s%s\n", before, name, after);
    say(4, text, NULL);
}

/* Where a key's type is stored; NULL without the key. */
static const char *find(const char *key) {
    size_t n = strlen(key);
    for (size_t i = 0; i + n + 4 <= n_bytes; i++)
        if (memcmp(file + i, key, n) == 0 && i >= 8 && (unsigned char)file[i - 8] == n)
            return file + i + n;
    return NULL;
}

static const char *text_of(const char *key) {
    static char text[256];
    const char *found = find(key);
    text[0] = '\0';
    if (found != NULL) {
        uint64_t n;
        memcpy(&n, found + 4, sizeof n);
        if (n < sizeof text) {
            memcpy(text, found + 12, n);
            text[n] = '\0';
        }
    }
    return text;
}

static int is_one_of(const char *name, const char *const *names) {
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return 1;
    return 0;
}

static const char *const architectures[] = {"llama", "new-arch", "clip", NULL};
static const char *const models[] = {"llama", "gpt2", "t5", "new-model", NULL};
static const char *const pres[] = {"gpt-2", "new-pre", "it-aborts", NULL};
const char *const keys[] = {"%s.context_length", "%s.new_key", "tokenizer.ggml.pre"};

static void *load(void) {
    const char *name = text_of("general.architecture");
    if (!is_one_of(name, architectures)) {
        tell("unknown model architecture: '", name, "'");
        return NULL;
    }
    if (strcmp(name, "clip") == 0) {
        tell("", "CLIP cannot be used as main model", "");
        return NULL;
    }
    const char *length = find("llama.context_length");
    if (length != NULL && length[0] != 4) {
        tell("key ", "llama.context_length", " has wrong type, expected u32");
        return NULL;
    }
    name = text_of("tokenizer.ggml.model");
    if (!is_one_of(name, models)) {
        tell("unknown tokenizer: '", name, "'");
        return NULL;
    }
    if (strcmp(name, "gpt2") == 0) {
        name = text_of("tokenizer.ggml.pre");
        if (!is_one_of(name, pres)) {
            tell("unknown pre-tokenizer type: '", name, "'");
            return NULL;
        }
        if (strcmp(name, "it-aborts") == 0)
            abort();
    }
    tell("tensor 'x' has invalid ggml type 100000. should be in [0, ", "4", ")");
    return NULL;
}

void llama_log_set(log_callback callback, void *data) {
    (void)data;
    say = callback;
}

void llama_backend_init(void) {}

parameters llama_model_default_params(void) { return (parameters){.mark = MARK}; }

void *llama_model_load_from_file(const char *path, parameters given) {
    if (given.mark != MARK)
        abort();
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        abort();
    n_bytes = fread(file, 1, sizeof file, stream);
    (void)fclose(stream);
    return load();
}

void llama_model_free(void *model) { (void)model; }

const char *llama_version(void) { return "1.2.3"; }

const char *ggml_type_name(int type) {
    static const char *const names[] = {"f32", "f16", "new_1", "removed"};
    return names[type];
}

int64_t ggml_blck_size(int type) { return type < 2 ? 1 : type == 2 ? 32 : 0; }

size_t ggml_type_size(int type) { return type < 2 ? 4 - 2 * (size_t)type : type == 2 ? 9 : 0; }
