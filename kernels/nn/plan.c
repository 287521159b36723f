#include "kernels/nn/plan_internal.h"

#include <stdbool.h>

int nn_plan_add(struct nn_plan *plan, size_t size) {
    if (plan->count == NN_PLAN_BUFFERS) {
        return -1;
    }
    plan->buffers[plan->count] =
        (struct nn_plan_buffer){.size = (size + 63) / 64 * 64, .first = NN_PLAN_END, .last = -1};
    return plan->count++;
}

void nn_plan_use(struct nn_plan *plan, int buffer, int moment) {
    struct nn_plan_buffer *b = &plan->buffers[buffer];
    b->first = moment < b->first ? moment : b->first;
    b->last = moment > b->last ? moment : b->last;
}

static bool collide(const struct nn_plan_buffer *a, const struct nn_plan_buffer *b) {
    const bool together = a->first <= b->last && b->first <= a->last;
    return together && a->offset < b->offset + b->size && b->offset < a->offset + a->size;
}

static void place(struct nn_plan *plan, struct nn_plan_buffer *buffer, const bool *placed) {
    buffer->offset = 0;
    bool moved = true;
    while (moved) {
        moved = false;
        for (int i = 0; i < plan->count; i++) {
            if (placed[i] && collide(buffer, &plan->buffers[i])) {
                buffer->offset = plan->buffers[i].offset + plan->buffers[i].size;
                moved = true;
            }
        }
    }
}

static int largest_left(const struct nn_plan *plan, const bool *placed) {
    int best = -1;
    for (int i = 0; i < plan->count; i++) {
        const bool used = plan->buffers[i].last >= plan->buffers[i].first;
        if (used && !placed[i] && (best < 0 || plan->buffers[i].size > plan->buffers[best].size)) {
            best = i;
        }
    }
    return best;
}

void nn_plan_solve(struct nn_plan *plan) {
    bool placed[NN_PLAN_BUFFERS] = {false};
    plan->size = 0;
    for (int i = largest_left(plan, placed); i >= 0; i = largest_left(plan, placed)) {
        struct nn_plan_buffer *buffer = &plan->buffers[i];
        place(plan, buffer, placed);
        placed[i] = true;
        const size_t end = buffer->offset + buffer->size;
        plan->size = end > plan->size ? end : plan->size;
    }
}
