/* Training by several ranks, here threads of one process, against training by one. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kernels/nn/comm_processes.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/trainer.h"
#include "tests/support/check.h"

enum { SIZE = 32, PAIRS = 8, RANKS = 4 };

struct faces {
    float *inputs, *targets, *masks;
};

/* PAIRS faces of each side as of one step. */
static void draw(uint64_t step, int side, struct faces *faces) {
    const size_t area = SIZE * SIZE;
    for (size_t i = 0; i < PAIRS * area; i++) {
        uint32_t words[4];
        us_philox(9, (uint32_t)side, step, i, words);
        const float wave = sinf((float)(i % SIZE) * (0.2f + 0.05f * (float)(i / area)) +
                                (float)(i / SIZE) * 0.13f * (float)(side + 1));
        faces->masks[i] = us_philox_unit(words[0]);
        for (size_t c = 0; c < 3; c++) {
            const size_t at = i / area * 3 * area + c * area + i % area;
            faces->targets[at] = 0.5f + 0.3f * wave;
            faces->inputs[at] = 0.5f + 0.3f * wave + 0.1f * us_philox_unit(words[1 + c]);
        }
    }
}

struct rank {
    struct us_nn_trainer_config config;
    struct us_nn_comm *comm;
    int index, world, steps, stop_at;
    uint64_t poison; /* step whose input is not finite on the last rank; 0: none */
    double *losses, *norms;
    float *weights;
    size_t count;
    enum us_nn_status status;
    pthread_t thread;
};

static void make_faces(struct faces *faces) {
    const size_t area = SIZE * SIZE * PAIRS;
    faces->inputs = us_nn_alloc(3 * area * sizeof(float));
    faces->targets = us_nn_alloc(3 * area * sizeof(float));
    faces->masks = us_nn_alloc(area * sizeof(float));
}

static enum us_nn_status run_step(struct us_nn_trainer *trainer, struct rank *r,
                                  struct faces faces[2], uint64_t step) {
    const size_t first = (size_t)(PAIRS / r->world * r->index) * SIZE * SIZE;
    struct us_nn_batch batch = {0};
    struct us_nn_losses losses;
    for (int side = 0; side < 2; side++) {
        draw(step, side, &faces[side]);
        batch.faces[side] = (struct us_nn_faces){.inputs = faces[side].inputs + 3 * first,
                                                 .targets = faces[side].targets + 3 * first,
                                                 .masks = faces[side].masks + first};
    }
    if (r->poison && step == r->poison && r->index == r->world - 1) {
        faces[1].inputs[3 * first + 5] = NAN;
    }
    const enum us_nn_status status = us_nn_trainer_step(trainer, &batch, &losses);
    r->losses[step] = losses.total;
    r->norms[step] = losses.gradient_norm;
    return status;
}

static void *rank_main(void *context) {
    struct rank *r = context;
    struct us_nn_trainer *trainer;
    struct faces faces[2];
    r->config.comm = r->comm;
    r->status = us_nn_trainer_create(&r->config, &trainer);
    make_faces(&faces[0]);
    make_faces(&faces[1]);
    for (int step = 0; step < r->steps && !r->status; step++) {
        r->status = run_step(trainer, r, faces, (uint64_t)step);
    }
    r->count = us_nn_trainer_layout(trainer)->count;
    r->weights = us_nn_alloc(r->count * sizeof *r->weights);
    us_nn_trainer_read(trainer, US_NN_PARAMETERS, r->weights);
    us_nn_trainer_destroy(trainer);
    us_nn_comm_destroy(r->comm);
    for (int side = 0; side < 2; side++) {
        us_nn_free(faces[side].inputs);
        us_nn_free(faces[side].targets);
        us_nn_free(faces[side].masks);
    }
    return NULL;
}

static void connect_ranks(struct rank *ranks, int world) {
    struct us_nn_comm_processes_config config[RANKS] = {0};
    for (int a = 0; a < world; a++) {
        config[a].rank = a;
        config[a].world = world;
        config[a].silent_seconds = config[a].late_seconds = 60;
        for (int b = 0; b < a; b++) {
            int data[2], hear[2];
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, hear), 0);
            config[a].data[b] = data[0];
            config[b].data[a] = data[1];
            config[a].hear[b] = hear[0];
            config[b].hear[a] = hear[1];
        }
    }
    for (int r = 0; r < world; r++) {
        assert_int_equal(us_nn_comm_processes_create(&config[r], &ranks[r].comm), US_NN_OK);
    }
}

static struct us_nn_trainer_config usual(void) {
    struct us_nn_trainer_config config = {
        .arch = {.resolution = SIZE, .ae_dims = 8, .e_dims = 8, .d_dims = 8, .d_mask_dims = 8},
        .optimizer = us_nn_optimizer_usual(US_NN_ADAM),
        .loss = us_nn_loss_usual(),
        .batch = PAIRS,
        .threads = 1,
        .seed = 5,
    };
    config.optimizer.rate = 5e-4f;
    config.optimizer.clip_norm = 1;
    config.optimizer.average_decay = 0.99f;
    assert_true(us_nn_arch_parse("df-ud", &config.arch));
    return config;
}

static void train(struct rank *ranks, int world, int steps,
                  const struct us_nn_trainer_config *config, uint64_t poison) {
    memset(ranks, 0, RANKS * sizeof *ranks);
    if (world > 1) {
        connect_ranks(ranks, world);
    }
    for (int r = 0; r < world; r++) {
        ranks[r].config = *config;
        ranks[r].config.batch = PAIRS / world;
        ranks[r].index = r;
        ranks[r].world = world;
        ranks[r].steps = steps;
        ranks[r].poison = poison;
        ranks[r].losses = calloc((size_t)steps, sizeof(double));
        ranks[r].norms = calloc((size_t)steps, sizeof(double));
        assert_int_equal(pthread_create(&ranks[r].thread, NULL, rank_main, &ranks[r]), 0);
    }
    for (int r = 0; r < world; r++) {
        pthread_join(ranks[r].thread, NULL);
    }
}

static void finish(struct rank *ranks) {
    for (int r = 0; r < RANKS; r++) {
        free(ranks[r].losses);
        free(ranks[r].norms);
        us_nn_free(ranks[r].weights);
    }
}

static double worst(const struct rank *a, const struct rank *b) {
    double most = 0;
    for (int i = 0; i < a->steps; i++) {
        most = fmax(most, fabs(a->losses[i] / b->losses[i] - 1));
    }
    return most;
}

static void same_bits(const struct rank *a, const struct rank *b) {
    assert_int_equal(a->status, US_NN_OK);
    assert_int_equal(b->status, US_NN_OK);
    assert_memory_equal(a->losses, b->losses, (size_t)a->steps * sizeof(double));
    assert_memory_equal(a->norms, b->norms, (size_t)a->steps * sizeof(double));
    assert_memory_equal(a->weights, b->weights, a->count * sizeof(float));
}

/* With passes of 2 pairs, 1, 2 and 4 ranks are one computation, split differently. */
static void test_ranks_and_passes_are_one_tree(void **state) {
    (void)state;
    struct us_nn_trainer_config config = usual();
    struct rank one[RANKS], two[RANKS], four[RANKS];
    config.pass = 2;
    train(one, 1, 20, &config, 0);
    train(two, 2, 20, &config, 0);
    train(four, 4, 20, &config, 0);
    assert_true(one[0].losses[19] < one[0].losses[0]);
    same_bits(&two[0], &one[0]);
    same_bits(&two[1], &one[0]);
    for (int r = 0; r < 4; r++) {
        same_bits(&four[r], &one[0]);
    }
    finish(one);
    finish(two);
    finish(four);
}

/* Without passes the same up to rounding, which the optimizer makes grow with the steps. */
static void test_ranks_equal_one_large_batch(void **state) {
    (void)state;
    struct us_nn_trainer_config config = usual();
    struct rank one[RANKS], two[RANKS], again[RANKS];
    train(one, 1, 8, &config, 0);
    train(two, 2, 8, &config, 0);
    train(again, 2, 8, &config, 0);
    if (!(worst(&two[0], &one[0]) < 1e-5)) {
        fail_msg("losses differ by %g", worst(&two[0], &one[0]));
    }
    same_bits(&two[0], &again[1]);
    finish(one);
    finish(two);
    finish(again);
}

/* Theirs are summed over the passes in order, then over the ranks: two of each are alike. */
static void test_discriminators_learn_from_all_ranks(void **state) {
    (void)state;
    struct us_nn_trainer_config config = usual();
    struct rank one[RANKS], two[RANKS], four[RANKS];
    config.adversaries = (struct us_nn_adversaries){.true_face = 0.1f, .gan = 0.2f, .gan_dims = 4};
    config.pass = PAIRS / 2;
    train(one, 1, 6, &config, 0);
    train(two, 2, 6, &config, 0);
    config.pass = PAIRS / 4;
    train(four, 4, 6, &config, 0);
    same_bits(&two[0], &one[0]);
    same_bits(&two[1], &one[0]);
    same_bits(&four[3], &four[0]);
    assert_true(worst(&four[0], &one[0]) < 1e-4);
    finish(one);
    finish(two);
    finish(four);
}

static void test_bf16_gradients_follow(void **state) {
    (void)state;
    struct us_nn_trainer_config config = usual();
    struct rank one[RANKS], two[RANKS];
    train(one, 1, 10, &config, 0);
    config.comm_bf16 = true;
    train(two, 2, 10, &config, 0);
    assert_true(worst(&two[0], &one[0]) < 0.02);
    assert_true(worst(&two[0], &one[0]) > 0);
    assert_memory_equal(two[0].weights, two[1].weights, two[0].count * sizeof(float));
    finish(one);
    finish(two);
}

/* What is not finite on one rank is so on all, and nobody updates. */
static void test_not_finite_on_one_rank(void **state) {
    (void)state;
    struct us_nn_trainer_config config = usual();
    struct rank sick[RANKS], well[RANKS];
    train(sick, 2, 5, &config, 3);
    train(well, 2, 3, &config, 0);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(sick[r].status, US_NN_NOT_FINITE);
        assert_memory_equal(sick[r].weights, well[r].weights, well[r].count * sizeof(float));
    }
    finish(sick);
    finish(well);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_and_passes_are_one_tree),
        cmocka_unit_test(test_ranks_equal_one_large_batch),
        cmocka_unit_test(test_discriminators_learn_from_all_ranks),
        cmocka_unit_test(test_bf16_gradients_follow),
        cmocka_unit_test(test_not_finite_on_one_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
