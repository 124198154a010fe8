/* Two rows of a model's token table, as floats. */
#include <pyembed.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    pye_model *model;
    pye_table *table;
    pye_table_info info;
    pye_error error;
    if (pye_model_open(argv[argc - 1], NULL, &model, &error) != PYE_OK ||
        pye_table_open(model, "token_embd.weight", 17, &table, &error) != PYE_OK)
        return fprintf(stderr, "%s\n", error.message), EXIT_FAILURE;
    pye_table_get_info(table, &info);
    float *rows = malloc(2 * info.n_columns * sizeof *rows);
    if (rows == NULL || pye_table_gather(table, (int32_t[]){178, 233}, 2, rows, NULL, &error) != PYE_OK)
        return fprintf(stderr, "%s\n", rows ? error.message : "out of memory"), EXIT_FAILURE;
    printf("%zu columns, from %g to %g\n", (size_t)info.n_columns, rows[0], rows[2 * info.n_columns - 1]);
    free(rows);
    pye_table_close(table);
    pye_model_close(model);
    return EXIT_SUCCESS;
}
