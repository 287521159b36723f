#include <string.h>

#include "nodes/learn/train_batch.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"

enum { SIZE = 32, FACES = 5, BATCH = 3, MESH = 468 };

static const struct train_params params = {.flip = "none",
                                           .rotation = 10,
                                           .scale = 0.05,
                                           .shift = 0.05,
                                           .random_warp = 0.1,
                                           .light = 0.03,
                                           .settle_after = 1000,
                                           .settle_jitter = 1};
static struct us_train_side sides[2];
static struct us_train_batches plain, ahead;

static void fill(struct us_dataset *d, uint32_t number) {
    d->size = SIZE;
    d->count = FACES;
    d->landmark_count = MESH;
    d->items = us_calloc(FACES, sizeof *d->items);
    d->faces = us_calloc(4 * FACES * SIZE * SIZE, sizeof *d->faces);
    d->landmarks = us_calloc(2 * MESH * FACES, sizeof *d->landmarks);
    for (uint32_t i = 0; i < 4 * FACES * SIZE * SIZE; i++) {
        number = number * 1664525u + 1013904223u;
        d->faces[i] = (uint16_t)(0x3000 + (number >> 22)); /* 0.1 to 0.25 */
    }
    for (uint32_t i = 0; i < 2 * MESH * FACES; i++) {
        number = number * 1664525u + 1013904223u;
        d->landmarks[i] = (float)(number >> 27);
    }
}

static int set_up(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = {
        .batch = BATCH, .threads = 2, .seed = 5, .arch = {.resolution = SIZE}};
    for (uint32_t i = 0; i < 2; i++) {
        fill(&sides[i].dataset, i);
        sides[i].params = &params;
        ASSERT_OK(us_train_side_init(&sides[i]));
    }
    ASSERT_OK(us_train_batches_init(&plain, sides, &config));
    ASSERT_OK(us_train_batches_init(&ahead, sides, &config));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    us_train_batches_finish(&plain);
    us_train_batches_finish(&ahead);
    us_train_side_finish(&sides[0]);
    us_train_side_finish(&sides[1]);
    return 0;
}

/* The bytes of a batch, in memory of its own. */
static void *copy_of(const struct us_nn_batch *batch, size_t *size) {
    const size_t area = SIZE * SIZE * BATCH;
    float *copy = us_calloc(16 * area, sizeof *copy), *to = copy;
    for (int i = 0; i < 2; i++) {
        const struct us_nn_faces *f = &batch->faces[i];
        const float *const from[] = {f->inputs, f->targets, f->masks, f->priorities};
        for (int k = 0; k < 4; to += area * (k < 2 ? 3 : 1), k++) {
            memcpy(to, from[k], area * (k < 2 ? 3 : 1) * sizeof *to);
        }
    }
    *size = 16 * area * sizeof *copy;
    return copy;
}

static void same(const struct us_nn_batch *batch, uint64_t step, uint32_t repeat) {
    size_t size;
    void *wanted = copy_of(us_train_batches_make(&plain, step, repeat), &size);
    void *got = copy_of(batch, &size);
    assert_memory_equal(got, wanted, size);
    us_free(wanted);
    us_free(got);
}

static void a_batch_made_ahead_is_the_same(void **state) {
    (void)state;
    for (uint64_t step = 0; step < 5; step++) {
        const struct us_nn_batch *batch = us_train_batches_make(&ahead, step, 0);
        us_train_batches_ahead(&ahead, step + 1, 0);
        same(batch, step, 0); /* and stays while the next is made */
        assert_true(ahead.ahead);
    }
}

static void another_batch_than_the_one_made_ahead_can_be_had(void **state) {
    (void)state;
    us_train_batches_ahead(&ahead, 7, 0);
    same(us_train_batches_make(&ahead, 6, 3), 6, 3);
    us_train_batches_ahead(&ahead, 8, 1);
    same(us_train_batches_make(&ahead, 8, 1), 8, 1);
    same(us_train_batches_make(&ahead, 8, 1), 8, 1);
}

static void steps_repeats_and_sides_differ(void **state) {
    (void)state;
    size_t size;
    void *batches[3];
    for (uint32_t i = 0; i < 3; i++) {
        batches[i] = copy_of(us_train_batches_make(&plain, i / 2, i % 2), &size);
    }
    assert_memory_not_equal(batches[0], batches[1], size);
    assert_memory_not_equal(batches[0], batches[2], size);
    assert_memory_not_equal(batches[0], (char *)batches[0] + size / 2, size / 2);
    for (int i = 0; i < 3; i++) {
        us_free(batches[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_made_ahead_is_the_same),
        cmocka_unit_test(another_batch_than_the_one_made_ahead_can_be_had),
        cmocka_unit_test(steps_repeats_and_sides_differ),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
