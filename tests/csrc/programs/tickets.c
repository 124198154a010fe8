/* Tickets from many threads: submitted here, collected there, cancelled, closed early, beside gathers and prefetches, of a
 * file that is driven out of the page cache again and again, within a budget.
 *
 *     tickets FILE ROWS COLUMNS TICKETS [BUDGET]
 *
 * FILE holds float32 rows; column j of row i is 7 i + j. */
#include "system.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "pyembed.h"

enum { N_SUBMITTERS = 3, N_COLLECTORS = 3, N_OTHERS = 2, SHELF = 64, MAX_IDS = 96, MAX_COLUMNS = 64 };

typedef struct order {
    pye_ticket *ticket;
    uint32_t seed;
    int n;
    int is_bad, is_cancelled;
    float out[MAX_IDS * MAX_COLUMNS];
} order;

static pye_model *model;
static pye_table *table;
static pye_table_info info;
static const char *path;
static atomic_int n_left;
static atomic_int n_collected, n_refused, n_cancelled;
static atomic_bool over;

static pye_mutex lock;
static pye_condition changed;
static order *shelf[SHELF];
static int n_shelved, n_submitters = N_SUBMITTERS;

static void require(int holds, const char *what) {
    if (holds)
        return;
    printf("does not hold: %s\n", what);
    exit(1);
}

static uint32_t next(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

static void choose(uint32_t seed, int n, uint32_t *ids) {
    for (int i = 0; i < n; i++)
        ids[i] = (uint32_t)((uint64_t)next(&seed) * info.n_rows >> 32);
}

static void compare(const order *filled) {
    uint32_t ids[MAX_IDS];
    choose(filled->seed, filled->n, ids);
    for (int i = 0; i < filled->n; i++)
        for (uint64_t j = 0; j < info.n_columns; j++)
            require(filled->out[(uint64_t)i * info.n_columns + j] == (float)(7 * (uint64_t)ids[i] + j),
                    "a row is what the file holds");
}

static void put(order *made) {
    pye_mutex_lock(&lock);
    while (n_shelved == SHELF)
        pye_condition_wait(&changed, &lock);
    shelf[n_shelved++] = made;
    pye_condition_broadcast(&changed);
    pye_mutex_unlock(&lock);
}

static order *take(void) {
    order *taken = NULL;
    pye_mutex_lock(&lock);
    while (n_shelved == 0 && n_submitters > 0)
        pye_condition_wait(&changed, &lock);
    if (n_shelved > 0)
        taken = shelf[--n_shelved];
    pye_condition_broadcast(&changed);
    pye_mutex_unlock(&lock);
    return taken;
}

static void submit(void *argument) {
    uint32_t seed = (uint32_t)(*(int *)argument * 977 + 1);
    while (atomic_fetch_sub(&n_left, 1) > 0) {
        uint32_t ids[MAX_IDS];
        order *made = calloc(1, sizeof *made);
        require(made != NULL, "there is memory");
        made->seed = next(&seed);
        made->n = 1 + (int)(next(&seed) >> 16) % MAX_IDS;
        made->is_bad = (next(&seed) >> 16) % 50 == 0;
        made->is_cancelled = (next(&seed) >> 16) % 20 == 0;
        choose(made->seed, made->n, ids);
        if (made->is_bad)
            ids[made->n - 1] = (uint32_t)info.n_rows;
        pye_gather_options options = {.struct_bytes = sizeof options, .id_type = PYE_ID_U32, .n_threads = 1};
        require(pye_table_submit(table, ids, (size_t)made->n, made->out, &options, &made->ticket, NULL) == PYE_OK,
                "a ticket is had");
        memset(ids, 0xff, sizeof ids); /* they were copied */
        put(made);
    }
    pye_mutex_lock(&lock);
    n_submitters--;
    pye_condition_broadcast(&changed);
    pye_mutex_unlock(&lock);
}

static void await_notice(order *taken) {
    int descriptor = notice_open();
    uint64_t count = 0;
    require(descriptor >= 0, "notice can be had");
    pye_ticket_notify(taken->ticket, descriptor);
    require(notice_read(descriptor, &count) && count == 1, "the notice comes once");
    require(pye_ticket_done(taken->ticket), "a ticket that gave notice is done");
    pye_ticket_notify(taken->ticket, -1);
    notice_close(descriptor);
}

static void collect(void *argument) {
    uint32_t seed = (uint32_t)(*(int *)argument * 131 + 7);
    for (order *taken = take(); taken != NULL; taken = take()) {
        pye_error error;
        if (taken->is_cancelled)
            pye_ticket_cancel(taken->ticket);
        if ((next(&seed) >> 16) % 8 == 0)
            await_notice(taken);
        pye_status status = pye_ticket_wait(taken->ticket, &error);
        require(pye_ticket_wait(taken->ticket, NULL) == status, "who waits again gets the same answer");
        if (status == PYE_ERROR_CANCELLED && taken->is_cancelled) {
            atomic_fetch_add(&n_cancelled, 1);
        } else if (status == PYE_ERROR_ID && taken->is_bad) {
            require(error.offset == (uint64_t)taken->n - 1, "the bad id is named");
            atomic_fetch_add(&n_refused, 1);
        } else {
            require(status == PYE_OK && !taken->is_bad, "a ticket is done");
            compare(taken);
        }
        atomic_fetch_add(&n_collected, 1);
        pye_ticket_close(taken->ticket);
        free(taken);
    }
}

/* What goes on beside tickets; closes some that are not done. */
static void disturb(void *argument) {
    uint32_t seed = (uint32_t)(*(int *)argument * 71 + 3);
    order *own = calloc(1, sizeof *own);
    require(own != NULL, "there is memory");
    while (!atomic_load(&over)) {
        uint32_t ids[MAX_IDS];
        pye_gather_options options = {.struct_bytes = sizeof options, .id_type = PYE_ID_U32};
        own->seed = next(&seed);
        own->n = MAX_IDS;
        choose(own->seed, own->n, ids);
        require(pye_table_prefetch(table, ids, MAX_IDS, &options, NULL) == PYE_OK, "a hint is taken");
        require(pye_table_gather(table, ids, MAX_IDS, own->out, &options, NULL) == PYE_OK, "a gather succeeds");
        compare(own);
        pye_table *another;
        require(pye_table_open(model, "data", 4, &another, NULL) == PYE_OK, "the table opens once more");
        require(pye_table_submit(another, ids, MAX_IDS, own->out, &options, &own->ticket, NULL) == PYE_OK,
                "a ticket is had");
        pye_table_close(another); /* a ticket keeps it */
        if ((next(&seed) >> 16) % 2 == 0) {
            require(pye_ticket_wait(own->ticket, NULL) == PYE_OK, "a ticket of a closed table is done");
            compare(own);
        }
        pye_ticket_close(own->ticket);
        if ((next(&seed) >> 16) % 16 == 0)
            drop_page_cache(path);
    }
    free(own);
}

static void nothing(void *argument) { (void)argument; }

int main(int argc, char **argv) {
    pye_thread threads[N_SUBMITTERS + N_COLLECTORS + N_OTHERS];
    int numbers[N_SUBMITTERS + N_COLLECTORS + N_OTHERS];
    require(notices_begin() && pye_mutex_init(&lock) && pye_condition_init(&changed), "there are locks");
    require(argc >= 5, "FILE ROWS COLUMNS TICKETS are given");
    path = argv[1];
    pye_open_options options = {.struct_bytes = sizeof options,
                                .format = PYE_FORMAT_RAW,
                                .guard = 1,
                                .raw_rows = (uint64_t)atoll(argv[2]),
                                .raw_columns = (uint64_t)atoll(argv[3]),
                                .memory_budget = argc > 5 ? (uint64_t)atoll(argv[5]) : 0};
    /* With the first thread ThreadSanitizer starts one of its own. */
    require(pye_thread_start(&threads[0], nothing, NULL), "a thread starts");
    pye_thread_join(&threads[0]);
    int n_tickets = atoi(argv[4]), n_handles = n_open_handles();

    atomic_init(&n_left, n_tickets);
    require(pye_model_open(path, &options, &model, NULL) == PYE_OK, "the file opens");
    require(pye_table_open(model, "data", 4, &table, NULL) == PYE_OK, "its table opens");
    pye_table_get_info(table, &info);
    require(info.n_columns <= MAX_COLUMNS, "its rows are not too wide");
    int n_threads = 0;
    for (int i = 0; i < N_OTHERS + N_COLLECTORS + N_SUBMITTERS; i++) {
        void (*work)(void *) = i < N_OTHERS ? disturb : i < N_OTHERS + N_COLLECTORS ? collect : submit;
        numbers[i] = i;
        require(pye_thread_start(&threads[n_threads++], work, &numbers[i]), "a thread starts");
    }
    for (int i = N_OTHERS; i < n_threads; i++)
        pye_thread_join(&threads[i]);
    atomic_store(&over, true);
    for (int i = 0; i < N_OTHERS; i++)
        pye_thread_join(&threads[i]);
    pye_stats stats = {.struct_bytes = sizeof stats};
    require(pye_model_stats(model, &stats, NULL) == PYE_OK, "there are totals");
    require(stats.held_bytes <= stats.budget_bytes, "the budget is kept");
    pye_table_close(table);
    pye_model_close(model);
    pye_condition_destroy(&changed);
    pye_mutex_destroy(&lock);
    for (int i = 0; i < 1000 && n_open_handles() > n_handles; i++)
        pye_thread_pause(10000000); /* a thread that was joined may still be listed for a moment */
    require(n_open_handles() <= n_handles, "no file and no thread stays");
    require(atomic_load(&n_collected) == n_tickets, "every ticket was collected");
    printf("%d tickets, %d refused, %d cancelled, %llu bytes fetched\n", n_tickets, atomic_load(&n_refused),
           atomic_load(&n_cancelled), (unsigned long long)stats.n_bytes_fetched);
    return 0;
}
