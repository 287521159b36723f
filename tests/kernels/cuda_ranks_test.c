/* Two processes with a GPU's trainer each, run on the emulation, against one with the whole batch.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emulation.h"
#include "kernels/cuda/trainer_internal.h"
#include "kernels/nn/comm_processes.h"
#include "kernels/nn/engine_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "tests/support/check.h"

enum { SIZE = 32, PAIRS = 4, STEPS = 3, FLOATS = 1 << 20 };

/* What a process leaves behind for the test. */
struct result {
    double losses[STEPS], norms[STEPS];
    int factors; /* layers whose gradients did not travel */
    size_t count;
    float weights[FLOATS];
};

static struct us_nn_trainer_config usual(void) {
    struct us_nn_trainer_config config = {
        .device = 1,
        .arch = {.resolution = SIZE, .ae_dims = 8, .e_dims = 8, .d_dims = 8, .d_mask_dims = 8},
        .optimizer = us_nn_optimizer_usual(US_NN_ADAM),
        .loss = us_nn_loss_usual(),
        .batch = PAIRS,
        .threads = 1,
        .seed = 5,
    };
    config.optimizer.clip_norm = 1;
    assert_true(us_nn_arch_parse("df-ud", &config.arch));
    return config;
}

static float *picture(size_t planes, uint32_t stream) {
    float *values = us_nn_alloc(planes * SIZE * SIZE * sizeof *values);
    for (size_t i = 0; i < planes * SIZE * SIZE; i++) {
        uint32_t words[4];
        us_philox(3, stream, 0, i, words);
        values[i] = us_philox_unit(words[0]);
    }
    return values;
}

static void run(struct us_nn_comm *comm, const struct us_nn_trainer_config *usual_config,
                struct result *result) {
    struct us_nn_trainer_config config = *usual_config;
    const int world = comm ? comm->world : 1, rank = comm ? comm->rank : 0;
    struct us_nn_trainer *trainer;
    struct us_nn_batch batch = {0};
    struct us_nn_losses losses;
    config.comm = comm;
    config.batch = PAIRS / world;
    assert_int_equal(us_nn_trainer_create(&config, &trainer), US_NN_OK);
    const size_t first = (size_t)(rank * config.batch) * SIZE * SIZE;
    float *pictures[6];
    for (uint32_t side = 0; side < 2; side++) {
        float **own = pictures + 3 * side;
        own[0] = picture(3 * PAIRS, 10 + side);
        own[1] = picture(3 * PAIRS, 20 + side);
        own[2] = picture(PAIRS, 30 + side);
        batch.faces[side].inputs = own[0] + 3 * first;
        batch.faces[side].targets = own[1] + 3 * first;
        batch.faces[side].masks = own[2] + first;
    }
    for (int step = 0; step < STEPS; step++) {
        assert_int_equal(us_nn_trainer_step(trainer, &batch, &losses), US_NN_OK);
        result->losses[step] = losses.total;
        result->norms[step] = losses.gradient_norm;
    }
    result->factors = ((struct cu_trainer *)trainer)->net.factor_count;
    result->count = us_nn_trainer_layout(trainer)->count;
    assert_true(result->count <= FLOATS);
    assert_int_equal(us_nn_trainer_read(trainer, US_NN_PARAMETERS, result->weights), US_NN_OK);
    us_nn_trainer_destroy(trainer);
    for (int i = 0; i < 6; i++) {
        us_nn_free(pictures[i]);
    }
}

static void rank_main(int rank, const int data[2], const int hear[2],
                      const struct us_nn_trainer_config *config, struct result *result) {
    struct us_nn_comm_processes_config sockets = {
        .rank = rank, .world = 2, .silent_seconds = 60, .late_seconds = 60};
    struct us_nn_comm *comm;
    sockets.data[!rank] = data[rank];
    sockets.hear[!rank] = hear[rank];
    close(data[!rank]);
    close(hear[!rank]);
    if (us_nn_comm_processes_create(&sockets, &comm) == US_NN_OK) {
        run(comm, config, result);
        us_nn_comm_destroy(comm);
        _exit(0);
    }
    _exit(1);
}

/* Two ranks, and one: results[0], results[1] and results[2], to be unmapped. */
static struct result *run_both(const struct us_nn_trainer_config *config) {
    struct result *results =
        mmap(NULL, 3 * sizeof *results, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int data[2], hear[2], status;
    assert_true(results != MAP_FAILED);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, hear), 0);
    for (int rank = 0; rank < 2; rank++) {
        if (fork() == 0) {
            rank_main(rank, data, hear, config, &results[rank]);
        }
    }
    for (int i = 0; i < 2; i++) {
        close(data[i]);
        close(hear[i]);
    }
    run(NULL, config, &results[2]);
    for (int i = 0; i < 2; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    const size_t bytes = results[2].count * sizeof(float);
    assert_memory_equal(results[0].weights, results[1].weights, bytes);
    assert_memory_equal(results[0].losses, results[1].losses, sizeof results[0].losses);
    return results;
}

static void assert_near(const struct result *results, double tolerance) {
    const struct result *one = &results[2], *two = &results[0];
    for (int step = 0; step < STEPS; step++) {
        ASSERT_NEAR(two->losses[step], one->losses[step], tolerance * one->losses[step]);
        ASSERT_NEAR(two->norms[step], one->norms[step], 10 * tolerance * one->norms[step]);
    }
}

static void test_two_gpus_equal_one(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = usual();
    struct result *results = run_both(&config);
    assert_int_equal(results[0].factors, 1); /* the dense layer behind the encoder */
    assert_int_equal(results[2].factors, 0);
    assert_near(results, 1e-5);
    munmap(results, 3 * sizeof *results);
}

/* In passes of one size: the same bits. */
static void test_passes_make_it_bit_for_bit(void **state) {
    (void)state;
    for (int pass = 1; pass <= 2; pass++) {
        struct us_nn_trainer_config config = usual();
        config.pass = pass;
        struct result *results = run_both(&config);
        const struct result *one = &results[2], *two = &results[0];
        assert_int_equal(two->factors, 0);
        assert_memory_equal(one->weights, two->weights, one->count * sizeof(float));
        assert_memory_equal(one->norms, two->norms, sizeof one->norms);
        for (int step = 0; step < STEPS; step++) {
            ASSERT_NEAR(two->losses[step], one->losses[step], 1e-14 * one->losses[step]);
        }
        munmap(results, 3 * sizeof *results);
    }
}

/* Gradients that are made and travel as bfloat16. */
static void test_bf16_between_two(void **state) {
    (void)state;
    struct us_nn_trainer_config config = usual();
    config.bf16 = config.comm_bf16 = true;
    struct result *results = run_both(&config);
    assert_near(results, 2e-2);
    munmap(results, 3 * sizeof *results);
}

static void test_bf16_travels_alone(void **state) {
    (void)state;
    struct us_nn_comm nobody = {.world = 2};
    struct us_nn_trainer_config config = usual();
    config.comm = &nobody;
    config.comm_bf16 = true;
    assert_non_null(us_nn_trainer_problem(&config)); /* it computes in f32 */
    config.bf16 = true;
    assert_null(us_nn_trainer_problem(&config));
    config.pass = 1;
    assert_non_null(us_nn_trainer_problem(&config));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_gpus_equal_one),
                                       cmocka_unit_test(test_passes_make_it_bit_for_bit),
                                       cmocka_unit_test(test_bf16_between_two),
                                       cmocka_unit_test(test_bf16_travels_alone)};
    nn_set_cuda_engine(&us_cuda_trainer_table);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
