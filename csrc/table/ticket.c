/* Gathers that go on while their caller does something else: submitted in one thread, collected in any other. */
#include <inttypes.h>
#include <string.h>

#include "base/files.h"
#include "base/ids.h"
#include "base/options.h"
#include "base/threads.h"
#include "table/gather.h"
#include "table/presence.h"

#define NO_FD (-1)
#define LOOK_NANOSECONDS 100000000

struct pye_ticket {
    pye_task task;
    pye_table *table; /* kept */
    uint64_t owner;
    pye_gather_options options;
    void *out;
    void *ids;
    size_t n_ids;
    atomic_bool is_cancelled;
    pye_mutex lock;
    pye_condition finished;
    bool is_done; /* and all below, guarded by the lock */
    int fd;       /* to write to when it is done */
    pye_status status;
    pye_error error;
};

static int is_cancelled(void *data) {
    const pye_ticket *ticket = data;
    return atomic_load_explicit(&ticket->is_cancelled, memory_order_relaxed);
}

static void finish(pye_ticket *ticket, pye_status status, const pye_error *error) {
    pye_mutex_lock(&ticket->lock);
    ticket->status = status;
    if (status != PYE_OK)
        ticket->error = *error;
    ticket->is_done = true;
    if (ticket->fd != NO_FD)
        pye_notify(ticket->fd);
    pye_condition_broadcast(&ticket->finished);
    pye_mutex_unlock(&ticket->lock);
}

static void gather(pye_task *task) {
    pye_ticket *ticket = (pye_ticket *)(void *)task;
    const pye_interrupt interrupt = {is_cancelled, ticket};
    pye_error error;
    pye_status status = PYE_OK;
    if (is_cancelled(ticket))
        status = pye_fail(&error, PYE_ERROR_CANCELLED, PYE_NO_OFFSET, "the ticket was cancelled");
    else
        status = pye_gather_run(ticket->table, ticket->ids, ticket->n_ids, ticket->out, &ticket->options,
                                &interrupt, &error);
    finish(ticket, status, &error);
}

static void free_ticket(pye_ticket *ticket) {
    pye_release(ticket->ids);
    pye_release(ticket);
}

static pye_ticket *make_ticket(const pye_table *table, const void *ids, size_t n_ids,
                               const pye_gather_options *options) {
    const pye_allocator *allocator = &table->model->allocator;
    size_t id_bytes = pye_id_bytes(options->id_type);
    pye_ticket *ticket = pye_allocate_zeros(allocator, sizeof *ticket);
    if (ticket == NULL)
        return NULL;
    ticket->ids = n_ids <= SIZE_MAX / id_bytes ? pye_allocate(allocator, n_ids * id_bytes + 1) : NULL;
    if (ticket->ids == NULL || !pye_mutex_init(&ticket->lock)) {
        free_ticket(ticket);
        return NULL;
    }
    if (!pye_condition_init(&ticket->finished)) {
        pye_mutex_destroy(&ticket->lock);
        free_ticket(ticket);
        return NULL;
    }
    if (n_ids > 0)
        memcpy(ticket->ids, ids, n_ids * id_bytes);
    ticket->n_ids = n_ids;
    ticket->table = pye_table_retain(table);
    ticket->owner = pye_process_self();
    ticket->options = *options;
    ticket->fd = NO_FD;
    ticket->task.run = gather;
    atomic_init(&ticket->is_cancelled, false);
    return ticket;
}

pye_status pye_table_submit(const pye_table *table, const void *ids, size_t n_ids, void *out,
                            const pye_gather_options *options, pye_ticket **ticket, pye_error *error) {
    pye_gather_options known;
    pye_status status = pye_copy_options(&known, sizeof known, options, "pye_gather_options", error);
    if (status != PYE_OK)
        return status;
    status = pye_check_id_type(known.id_type, error);
    if (status != PYE_OK)
        return status;
    known.struct_bytes = sizeof known;
    pye_ticket *made = make_ticket(table, ids, n_ids, &known);
    if (made == NULL)
        return pye_fail_memory(error, sizeof *made + n_ids * pye_id_bytes(known.id_type));
    made->out = out;
    pye_model *model = table->model;
    *ticket = made;
    /* Where there are no threads the work is done here and now: late, but done. */
    if (!pye_tasks_post(&model->fetcher.tasks, &model->allocator, &made->task, 1, PYE_PLACE_LAST))
        gather(&made->task);
    return PYE_OK;
}

pye_status pye_table_prefetch(const pye_table *table, const void *ids, size_t n_ids,
                              const pye_gather_options *options, pye_error *error) {
    pye_gather_options known;
    pye_status status = pye_copy_options(&known, sizeof known, options, "pye_gather_options", error);
    if (status == PYE_OK)
        status = pye_check_id_type(known.id_type, error);
    const pye_ids wanted = {ids, known.id_type, n_ids, 0, table->info.n_rows};
    for (size_t i = 0; i < n_ids && status == PYE_OK; i++) {
        uint64_t id = pye_id_at(ids, known.id_type, i);
        if (id >= table->info.n_rows)
            status = pye_fail_id(id, known.id_type, i, table->info.n_rows, error);
    }
    return status == PYE_OK && table->asks ? pye_presence_prefetch(table, &wanted, error) : status;
}

/* ------------------------------------------------------------------------------------------- waiting */

static bool is_foreign(const pye_ticket *ticket) { return ticket->owner != pye_process_self(); }

static pye_status result(const pye_ticket *ticket, pye_error *error) {
    if (ticket->status != PYE_OK && error != NULL)
        *error = ticket->error;
    return ticket->status;
}

/* With a look around now and then if somebody may ask for an end. */
static void await_change(pye_ticket *ticket, bool is_watched) {
    if (is_watched)
        pye_condition_wait_for(&ticket->finished, &ticket->lock, LOOK_NANOSECONDS);
    else
        pye_condition_wait(&ticket->finished, &ticket->lock);
}

pye_status pye_ticket_wait(pye_ticket *ticket, pye_error *error) {
    if (is_foreign(ticket))
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "the ticket belongs to the process that forked this one: submit again");
    pye_watch watch = pye_watch_begin(&ticket->table->model->interrupt);
    pye_status status = PYE_OK;
    pye_mutex_lock(&ticket->lock);
    while (!ticket->is_done && status == PYE_OK) {
        await_change(ticket, watch.interrupt->ask != NULL);
        if (ticket->is_done)
            break;
        pye_mutex_unlock(&ticket->lock);
        bool stops = pye_watch_stops(&watch);
        if (pye_watch_has_forked(&watch))
            return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                            "the ticket belongs to the process that forked this one: submit again");
        if (stops)
            status = pye_fail_interrupted(error);
        pye_mutex_lock(&ticket->lock);
    }
    if (status == PYE_OK)
        status = result(ticket, error);
    pye_mutex_unlock(&ticket->lock);
    return status;
}

int pye_ticket_done(pye_ticket *ticket) {
    if (is_foreign(ticket))
        return 0;
    pye_mutex_lock(&ticket->lock);
    bool is_done = ticket->is_done;
    pye_mutex_unlock(&ticket->lock);
    return is_done;
}

void pye_ticket_notify(pye_ticket *ticket, int fd) {
    if (is_foreign(ticket))
        return;
    pye_mutex_lock(&ticket->lock);
    ticket->fd = fd;
    if (ticket->is_done && fd != NO_FD)
        pye_notify(fd);
    pye_mutex_unlock(&ticket->lock);
}

void pye_ticket_cancel(pye_ticket *ticket) { atomic_store(&ticket->is_cancelled, true); }

void pye_ticket_close(pye_ticket *ticket) {
    if (ticket == NULL)
        return;
    pye_table *table = ticket->table;
    if (!is_foreign(ticket)) {
        pye_ticket_cancel(ticket);
        pye_tasks_withdraw(&table->model->fetcher.tasks, &ticket->task);
        pye_condition_destroy(&ticket->finished);
        pye_mutex_destroy(&ticket->lock);
    }
    free_ticket(ticket);
    pye_table_close(table);
}
