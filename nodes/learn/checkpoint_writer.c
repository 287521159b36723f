#include "nodes/learn/checkpoint_writer.h"

static void *write_one(void *data) {
    struct us_checkpoint_writer *w = data;
    const struct us_checkpoint_order *order = &w->order;
    w->error = us_checkpoint_write(order->folder, &w->state, order->final);
    if (!w->error) {
        us_checkpoint_thin(order->folder, order->good, order->keep);
    }
    us_checkpoint_finish(&w->state);
    atomic_store(&w->done, true);
    return NULL;
}

struct us_error *us_checkpoint_writer_start(struct us_checkpoint_writer *w,
                                            const struct us_checkpoint_order *order,
                                            struct us_checkpoint *state) {
    struct us_error *error = us_checkpoint_writer_wait(w);
    if (error) {
        us_checkpoint_finish(state);
        return error;
    }
    w->order = *order;
    w->state = *state;
    *state = (struct us_checkpoint){0};
    atomic_store(&w->done, false);
    w->started = pthread_create(&w->thread, NULL, write_one, w) == 0;
    if (!w->started) { /* no thread to be had: then here */
        write_one(w);
        error = w->error;
        w->error = NULL;
    }
    return error;
}

struct us_error *us_checkpoint_writer_wait(struct us_checkpoint_writer *w) {
    if (!w->started) {
        return NULL;
    }
    pthread_join(w->thread, NULL);
    w->started = false;
    struct us_error *error = w->error;
    w->error = NULL;
    return error;
}

struct us_error *us_checkpoint_writer_poll(struct us_checkpoint_writer *w) {
    return w->started && atomic_load(&w->done) ? us_checkpoint_writer_wait(w) : NULL;
}
