/* Two processes with a GPU's trainer each, run on the emulation, that train against discriminators,
 * against one with the whole batch. */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/nn/comm_processes.h"
#include "tests/kernels/cuda_trainer_fixture.h"

enum { SIZE = 32, STEPS = 3, WEIGHTS = 1 << 20, JUDGES = 1 << 25, BAD = 1 };

/* What a process leaves behind for the test. */
struct result {
    struct us_nn_losses losses[STEPS];
    size_t weight_count, judge_count;
    float weights[WEIGHTS], judges[JUDGES];
};

static struct us_nn_trainer_config usual(void) {
    struct us_nn_trainer_config config = config_of("df-ud", SIZE);
    config.device = GPU;
    config.optimizer.epsilon = 1e-3f;
    config.adversaries = (struct us_nn_adversaries){.true_face = 0.5f, .gan = 0.5f, .gan_dims = 8};
    return config;
}

/* The faces of a rank. */
static struct us_nn_batch part_of(const struct us_nn_batch *whole, int first) {
    struct us_nn_batch part = *whole;
    const size_t at = (size_t)first * SIZE * SIZE;
    for (int i = 0; i < 2; i++) {
        part.faces[i].inputs += 3 * at;
        part.faces[i].targets += 3 * at;
        part.faces[i].masks += at;
        part.faces[i].priorities += at;
    }
    return part;
}

static void train(struct us_nn_trainer *trainer, const struct us_nn_batch *batch, bool spoils,
                  struct result *result) {
    float *target = (float *)batch->faces[US_NN_SOURCE].targets, kept = target[7];
    struct us_nn_losses losses;
    for (int step = 0; step < STEPS; step++) {
        if (step == BAD) { /* one rank's face is not finite: nobody moves */
            target[7] = spoils ? NAN : kept;
            assert_int_equal(us_nn_trainer_step(trainer, batch, &losses), US_NN_NOT_FINITE);
            target[7] = kept;
        }
        assert_int_equal(us_nn_trainer_step(trainer, batch, &result->losses[step]), US_NN_OK);
    }
}

static void run(struct us_nn_comm *comm, struct result *result) {
    struct us_nn_trainer_config config = usual();
    const int world = comm ? comm->world : 1, rank = comm ? comm->rank : 0;
    struct us_nn_trainer *trainer;
    struct us_nn_batch whole = make_batch(SIZE, 2);
    config.comm = comm;
    config.batch = FACES / world;
    assert_int_equal(us_nn_trainer_create(&config, &trainer), US_NN_OK);
    const struct us_nn_batch batch = part_of(&whole, rank * config.batch);
    train(trainer, &batch, rank == world - 1, result);
    result->weight_count = us_nn_trainer_layout(trainer)->count;
    result->judge_count = us_nn_trainer_judge_count(trainer);
    assert_true(result->weight_count <= WEIGHTS && result->judge_count <= JUDGES);
    assert_int_equal(us_nn_trainer_read(trainer, US_NN_PARAMETERS, result->weights), US_NN_OK);
    assert_int_equal(us_nn_trainer_read_judges(trainer, result->judges), US_NN_OK);
    us_nn_trainer_destroy(trainer);
    free_batch(&whole);
}

static void rank_main(int rank, const int data[2], const int hear[2], struct result *result) {
    struct us_nn_comm_processes_config sockets = {
        .rank = rank, .world = 2, .silent_seconds = 60, .late_seconds = 60};
    struct us_nn_comm *comm;
    sockets.data[!rank] = data[rank];
    sockets.hear[!rank] = hear[rank];
    close(data[!rank]);
    close(hear[!rank]);
    if (us_nn_comm_processes_create(&sockets, &comm) == US_NN_OK) {
        run(comm, result);
        us_nn_comm_destroy(comm);
        _exit(0);
    }
    _exit(1);
}

static void compare(const struct result *one, const struct result *two) {
    for (int step = 0; step < STEPS; step++) {
        const struct us_nn_losses *a = &one->losses[step], *b = &two->losses[step];
        assert_losses(a, b, 2, 1e-5);
        for (int i = 0; i < 2; i++) {
            assert_true(a->faces[i].judge > 0.1 && a->faces[i].adversarial > 0.1);
            ASSERT_NEAR(b->faces[i].adversarial, a->faces[i].adversarial, 1e-5);
            ASSERT_NEAR(b->faces[i].judge, a->faces[i].judge, 1e-5);
        }
    }
    double norm;
    assert_true(distance(one->weights, two->weights, one->weight_count, &norm) < 1e-4 * norm);
    assert_true(distance(one->judges, two->judges, one->judge_count, &norm) < 1e-4 * norm);
}

static void test_two_gpus_equal_one(void **state) {
    (void)state;
    struct result *results =
        mmap(NULL, 3 * sizeof *results, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int data[2], hear[2], status;
    assert_true(results != MAP_FAILED);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, hear), 0);
    for (int rank = 0; rank < 2; rank++) {
        if (fork() == 0) {
            rank_main(rank, data, hear, &results[rank]);
        }
    }
    for (int i = 0; i < 2; i++) {
        close(data[i]);
        close(hear[i]);
    }
    run(NULL, &results[2]);
    for (int i = 0; i < 2; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    compare(&results[2], &results[0]);
    assert_memory_equal(results[0].weights, results[1].weights,
                        results[0].weight_count * sizeof(float));
    assert_memory_equal(results[0].judges, results[1].judges,
                        results[0].judge_count * sizeof(float));
    munmap(results, 3 * sizeof *results);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_gpus_equal_one)};
    nn_set_cuda_engine(&us_cuda_trainer_table);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
