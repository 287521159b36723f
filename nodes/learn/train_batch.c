#include "nodes/learn/train_batch.h"

#include "nodes/learn/priority.h"
#include "runtime/base/mem.h"

enum { STREAM_AUGMENT = 16 }; /* the trainer draws from streams below */

const char *us_identity_name(int identity) {
    static const char *const names[US_NN_IDENTITIES] = {
        "source", "destination", "other1", "other2", "other3", "other4", "other5", "other6"};
    return names[identity];
}

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
static struct us_nn_faces lay_out(const struct us_train_batches *b, struct us_train_slot *slot,
                                  int side, float **memory) {
    const size_t area = (size_t)b->size * (size_t)b->size, n = (size_t)b->batch;
    float *inputs = take(memory, 3 * area * n), *targets = take(memory, 3 * area * n);
    float *masks = take(memory, area * n), *priorities = take(memory, area * n);
    slot->priorities[side] = priorities;
    for (size_t i = 0; i < n; i++) {
        struct us_augment_job *job = &slot->jobs[(size_t)side * n + i];
        job->input = inputs + i * 3 * area;
        job->target = targets + i * 3 * area;
        job->mask = masks + i * area;
    }
    return (struct us_nn_faces){
        .inputs = inputs, .targets = targets, .masks = masks, .priorities = priorities};
}

/* Of inputs, targets, masks and priorities. */
static size_t planes(const struct us_train_batches *b) {
    return 8 * (size_t)b->batch * (size_t)b->identities;
}

static size_t slot_bytes(const struct us_train_batches *b) {
    const size_t area = (size_t)b->size * (size_t)b->size;
    const size_t scratch = (size_t)b->threads * us_augment_scratch(b->size);
    return (planes(b) * area + scratch) * sizeof(float);
}

static struct us_error *init_slot(const struct us_train_batches *b, struct us_train_slot *slot) {
    const size_t n = (size_t)b->batch;
    us_free(slot->jobs);
    slot->jobs = us_calloc((size_t)b->identities * n, sizeof *slot->jobs);
    slot->memory = us_try_alloc_pixels(slot_bytes(b));
    if (!slot->memory) {
        return us_fail(US_RETRY, "no memory for batches of %d faces of each identity", b->batch);
    }
    float *memory = slot->memory;
    for (int i = 0; i < b->identities; i++) {
        slot->made.faces[i] = lay_out(b, slot, i, &memory);
    }
    return NULL;
}

static struct us_train_batches batches_of(const struct us_nn_trainer_config *config) {
    return (struct us_train_batches){.identities = us_nn_arch_identities(&config->arch),
                                     .batch = config->batch,
                                     .size = config->arch.resolution,
                                     .threads = config->threads,
                                     .seed = config->seed};
}

size_t us_train_batches_memory(const struct us_nn_trainer_config *config, int slots) {
    const struct us_train_batches batches = batches_of(config);
    return (size_t)slots * slot_bytes(&batches);
}

struct us_error *us_train_batches_init(struct us_train_batches *batches,
                                       struct us_train_side *sides,
                                       const struct us_nn_trainer_config *config) {
    *batches = batches_of(config);
    batches->sides = sides;
    return init_slot(batches, &batches->slots[0]);
}

static void settle(struct us_train_batches *b) {
    if (b->ahead) {
        pthread_join(b->thread, NULL);
        b->ahead = false;
    }
}

void us_train_batches_finish(struct us_train_batches *batches) {
    settle(batches);
    for (int i = 0; i < 2; i++) {
        us_free(batches->slots[i].jobs);
        us_free(batches->slots[i].memory);
    }
    *batches = (struct us_train_batches){0};
}

static uint32_t stream_of(uint32_t repeat, uint32_t side) {
    return STREAM_AUGMENT + 2 * repeat + side % 2 + (side / 2 << 16);
}

void us_train_batches_turn(const struct us_train_batches *b, uint64_t step, uint32_t repeat,
                           struct us_nn_turn *turn) {
    *turn = (struct us_nn_turn){.step = step, .first_slot = (uint32_t)b->first};
    for (uint32_t side = 0; side < (uint32_t)b->identities; side++) {
        turn->streams[side] = stream_of(repeat, side);
        turn->ranges[side] = us_train_ranges(b->sides[side].params, (enum us_nn_side)side, step);
    }
}

static enum us_nn_status keep_side(const struct us_train_side *side, struct us_nn_trainer *trainer,
                                   int identity) {
    const size_t count = side->training_count;
    const uint16_t **faces = us_calloc(count, sizeof *faces);
    struct us_priority_spot *spots = us_calloc(count, US_PRIORITY_SPOTS * sizeof *spots);
    for (size_t i = 0; i < count; i++) {
        faces[i] = us_dataset_face(&side->dataset, side->training[i]);
        us_priority_spots(us_dataset_mesh(&side->dataset, side->training[i]),
                          spots + i * US_PRIORITY_SPOTS);
    }
    const struct us_nn_kept_faces kept = {.faces = faces, .spots = spots, .count = count};
    const enum us_nn_status status = us_nn_trainer_keep_faces(trainer, identity, &kept);
    us_free(faces);
    us_free(spots);
    return status;
}

enum us_nn_status us_train_batches_keep(struct us_train_batches *b, struct us_nn_trainer *trainer) {
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < b->identities && !status; i++) {
        status = keep_side(&b->sides[i], trainer, i);
    }
    b->kept = !status;
    return status == US_NN_UNSUPPORTED ? US_NN_OK : status;
}

static void draw(const struct us_train_batches *b, struct us_train_slot *slot, uint32_t side,
                 uint32_t i) {
    const size_t area = (size_t)b->size * (size_t)b->size, n = (size_t)b->batch;
    const struct us_train_side *from = &b->sides[side];
    const struct us_augment_ranges ranges =
        us_train_ranges(from->params, (enum us_nn_side)side, slot->step);
    const uint32_t stream = stream_of(slot->repeat, side);
    struct us_augment_job *job = &slot->jobs[side * n + i];
    const uint32_t place = (uint32_t)b->first + i;
    const size_t pick = us_augment_pick(from->training_count, b->seed, stream, slot->step, place);
    job->face = us_dataset_face(&from->dataset, from->training[pick]);
    us_augment_draw(&ranges, b->size, b->seed, stream, slot->step, place, &job->draw);
    us_priority_draw(us_dataset_mesh(&from->dataset, from->training[pick]), job->draw.affine,
                     b->size, slot->priorities[side] + i * area);
}

static void make(const struct us_train_batches *b, struct us_train_slot *slot) {
    const size_t area = (size_t)b->size * (size_t)b->size;
    const int faces = b->identities * b->batch;
#pragma omp parallel for num_threads(b->threads) schedule(static)
    for (int i = 0; i < faces; i++) {
        draw(b, slot, (uint32_t)(i / b->batch), (uint32_t)(i % b->batch));
    }
    us_augment_run(slot->jobs, (size_t)faces, b->size, b->threads, slot->memory + planes(b) * area);
}

static void *make_ahead(void *data) {
    struct us_train_batches *b = data;
    make(b, &b->slots[!b->current]);
    return NULL;
}

const struct us_nn_batch *us_train_batches_make(struct us_train_batches *b, uint64_t step,
                                                uint32_t repeat) {
    const struct us_train_slot *other = &b->slots[!b->current];
    const bool made = b->ahead && other->step == step && other->repeat == repeat;
    settle(b);
    b->current ^= made;
    struct us_train_slot *slot = &b->slots[b->current];
    if (!made) {
        slot->step = step;
        slot->repeat = repeat;
        make(b, slot);
    }
    return &slot->made;
}

void us_train_batches_ahead(struct us_train_batches *b, uint64_t step, uint32_t repeat) {
    struct us_train_slot *slot = &b->slots[!b->current];
    settle(b);
    struct us_error *error = slot->memory ? NULL : init_slot(b, slot);
    if (error) { /* then they are made when they are wanted */
        us_error_free(error);
        return;
    }
    slot->step = step;
    slot->repeat = repeat;
    b->ahead = pthread_create(&b->thread, NULL, make_ahead, b) == 0;
}
