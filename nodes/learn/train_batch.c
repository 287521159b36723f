#include "nodes/learn/train_batch.h"

#include "nodes/learn/priority.h"
#include "runtime/base/mem.h"

enum { STREAM_AUGMENT = 16 }; /* the trainer draws from streams below */

struct us_error *us_train_side_init(struct us_train_side *side) {
    side->training = us_calloc(side->dataset.count, sizeof *side->training);
    side->training_count = 0;
    for (size_t i = 0; i < side->dataset.count; i++) {
        if (!side->dataset.items[i].held_out) {
            side->training[side->training_count++] = i;
        }
    }
    if (side->training_count == 0) {
        return us_error_hint(us_fail(US_FAILED, "all %zu faces are held out", side->dataset.count),
                             "set holdout to 0 or to 2 and more");
    }
    return NULL;
}

void us_train_side_finish(struct us_train_side *side) {
    us_dataset_finish(&side->dataset);
    us_free(side->training);
    side->training = NULL;
}

static float *take(float **memory, size_t count) {
    float *taken = *memory;
    *memory += count;
    return taken;
}

/* Lays one side's planes into the memory and points its jobs at them. */
static struct us_nn_faces lay_out(struct us_train_batches *b, int side, float **memory) {
    const size_t area = (size_t)b->size * (size_t)b->size, n = (size_t)b->batch;
    float *inputs = take(memory, 3 * area * n), *targets = take(memory, 3 * area * n);
    float *masks = take(memory, area * n), *priorities = take(memory, area * n);
    b->priorities[side] = priorities;
    for (size_t i = 0; i < n; i++) {
        struct us_augment_job *job = &b->jobs[(size_t)side * n + i];
        job->input = inputs + i * 3 * area;
        job->target = targets + i * 3 * area;
        job->mask = masks + i * area;
    }
    return (struct us_nn_faces){
        .inputs = inputs, .targets = targets, .masks = masks, .priorities = priorities};
}

struct us_error *us_train_batches_init(struct us_train_batches *batches,
                                       struct us_train_side *sides,
                                       const struct us_nn_trainer_config *config) {
    *batches = (struct us_train_batches){.sides = sides,
                                         .batch = config->batch,
                                         .size = config->arch.resolution,
                                         .threads = config->threads,
                                         .seed = config->seed};
    const size_t area = (size_t)batches->size * (size_t)batches->size, n = (size_t)config->batch;
    const size_t scratch = (size_t)config->threads * us_augment_scratch(batches->size);
    batches->jobs = us_calloc(2 * n, sizeof *batches->jobs);
    batches->memory = us_try_alloc_pixels((16 * area * n + scratch) * sizeof(float));
    if (!batches->memory) {
        return us_fail(US_RETRY, "no memory for batches of %d pairs", config->batch);
    }
    float *memory = batches->memory;
    batches->made.faces[US_NN_SOURCE] = lay_out(batches, 0, &memory);
    batches->made.faces[US_NN_DESTINATION] = lay_out(batches, 1, &memory);
    return NULL;
}

void us_train_batches_finish(struct us_train_batches *batches) {
    us_free(batches->jobs);
    us_free(batches->memory);
    *batches = (struct us_train_batches){0};
}

const struct us_nn_batch *us_train_batches_make(struct us_train_batches *b, uint64_t step,
                                                uint32_t repeat) {
    const size_t area = (size_t)b->size * (size_t)b->size, n = (size_t)b->batch;
    for (uint32_t side = 0; side < 2; side++) {
        const struct us_train_side *from = &b->sides[side];
        const struct us_augment_ranges ranges =
            us_train_ranges(from->params, (enum us_nn_side)side, step);
        const uint32_t stream = STREAM_AUGMENT + 2 * repeat + side;
        for (uint32_t i = 0; i < n; i++) {
            struct us_augment_job *job = &b->jobs[side * n + i];
            const size_t pick = us_augment_pick(from->training_count, b->seed, stream, step, i);
            job->face = us_dataset_face(&from->dataset, from->training[pick]);
            us_augment_draw(&ranges, b->size, b->seed, stream, step, i, &job->draw);
            us_priority_draw(us_dataset_mesh(&from->dataset, from->training[pick]),
                             job->draw.affine, b->size, b->priorities[side] + i * area);
        }
    }
    us_augment_run(b->jobs, 2 * n, b->size, b->threads, b->memory + 16 * area * n);
    return &b->made;
}
