/* Collectives between processes: here ranks are threads of one process, joined by socket pairs. */
#include "kernels/nn/comm.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kernels/nn/comm_processes.h"
#include "kernels/nn/philox.h"
#include "tests/support/check.h"

struct member {
    struct us_nn_comm *comm;
    void (*act)(struct member *);
    pthread_t thread;
    size_t count;
    float *values;
    bool fine;
    uint32_t seed;
    double seconds;
};

struct group {
    int world;
    struct member members[8];
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void nap(int milliseconds) {
    nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L}, NULL);
}

static void join_all(struct group *g, int world, double silent, double late) {
    struct us_nn_comm_processes_config config[8];
    memset(g, 0, sizeof *g);
    g->world = world;
    for (int r = 0; r < world; r++) {
        config[r] = (struct us_nn_comm_processes_config){
            .rank = r, .world = world, .silent_seconds = silent, .late_seconds = late};
    }
    for (int a = 0; a < world; a++) {
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
        assert_int_equal(us_nn_comm_processes_create(&config[r], &g->members[r].comm), 0);
    }
}

static void *member_main(void *context) {
    struct member *m = context;
    m->act(m);
    return NULL;
}

static void act_all(struct group *g, void (*act)(struct member *)) {
    for (int r = 0; r < g->world; r++) {
        g->members[r].act = act;
        assert_int_equal(pthread_create(&g->members[r].thread, NULL, member_main, &g->members[r]),
                         0);
    }
    for (int r = 0; r < g->world; r++) {
        pthread_join(g->members[r].thread, NULL);
    }
}

static void leave(struct member *m) {
    us_nn_comm_destroy(m->comm);
    free(m->values);
}

static float drawn(uint32_t rank, size_t at) {
    uint32_t words[4];
    us_philox(rank + 1, 77, 0, at, words);
    return (us_philox_unit(words[0]) - 0.5f) * (1 + (float)(words[1] % 1000));
}

static void fill(struct member *m, size_t count) {
    m->count = count;
    m->values = realloc(m->values, count * sizeof *m->values);
    for (size_t i = 0; i < count; i++) {
        m->values[i] = drawn((uint32_t)m->comm->rank, i);
    }
}

/* The sum as comm.h defines it, written down once more. */
static float expected(int first, int count, size_t at) {
    if (count == 1) {
        return drawn((uint32_t)first, at);
    }
    const int left = count > 4 ? 4 : count > 2 ? 2 : 1;
    return expected(first, left, at) + expected(first + left, count - left, at);
}

static const size_t counts[] = {1, 3, 17, 1000, 1024, 1025, 5000, 100003, 1 << 18};
enum { COUNTS = sizeof counts / sizeof *counts };

/* Comes late by a moment of its own, so that the order of arrival differs. */
static void reduce_queue(struct member *m) {
    float *all[COUNTS];
    m->fine = true;
    for (size_t k = 0; k < COUNTS; k++) {
        m->values = NULL;
        fill(m, counts[k]);
        all[k] = m->values;
        nap((m->comm->rank * 7 + (int)m->seed) % 5);
        m->fine &= m->comm->calls->all_reduce(m->comm, all[k], counts[k], US_NN_COMM_F32, NULL);
    }
    m->fine &= m->comm->calls->wait(m->comm, NULL);
    for (size_t k = 0; k < COUNTS; k++) {
        for (size_t i = 0; i < counts[k]; i++) {
            m->fine &= all[k][i] == expected(0, m->comm->world, i);
        }
        free(all[k]);
    }
    m->values = NULL;
}

static void test_sums_are_the_trees(void **state) {
    (void)state;
    const int worlds[] = {1, 2, 3, 4, 8};
    for (size_t w = 0; w < sizeof worlds / sizeof *worlds; w++) {
        struct group g;
        join_all(&g, worlds[w], 20, 20);
        for (uint32_t again = 0; again < 2; again++) {
            for (int r = 0; r < g.world; r++) {
                g.members[r].seed = again * 3 + (uint32_t)r;
            }
            act_all(&g, reduce_queue);
            for (int r = 0; r < g.world; r++) {
                assert_true(g.members[r].fine);
            }
        }
        act_all(&g, leave);
    }
}

static uint16_t narrowed(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widened(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void reduce_types(struct member *m) {
    enum { N = 9000 };
    const struct us_nn_comm_calls *calls = m->comm->calls;
    const int rank = m->comm->rank;
    double doubles[3] = {1.0 / 3, rank, 1e300};
    uint16_t *halves = malloc(N * sizeof *halves);
    fill(m, N);
    for (size_t i = 0; i < N; i++) {
        halves[i] = narrowed(m->values[i]);
    }
    m->fine = calls->all_reduce(m->comm, doubles, 3, US_NN_COMM_F64, NULL) &&
              calls->all_reduce(m->comm, halves, N, US_NN_COMM_BF16, NULL) &&
              calls->all_reduce(m->comm, m->values, N, US_NN_COMM_F32_AS_BF16, NULL) &&
              calls->wait(m->comm, NULL);
    m->fine = m->fine && doubles[0] == (1.0 / 3 + 1.0 / 3) + 1.0 / 3 && doubles[1] == 3.0 &&
              doubles[2] == 3e300;
    for (size_t i = 0; i < N; i++) {
        float parts[3];
        for (uint32_t r = 0; r < 3; r++) {
            parts[r] = widened(narrowed(drawn(r, i)));
        }
        const uint16_t sum = narrowed(parts[0] + parts[1] + parts[2]);
        m->fine = m->fine && halves[i] == sum && m->values[i] == widened(sum);
    }
    free(halves);
}

static void test_other_types(void **state) {
    (void)state;
    struct group g;
    join_all(&g, 3, 20, 20);
    act_all(&g, reduce_types);
    for (int r = 0; r < g.world; r++) {
        assert_true(g.members[r].fine);
    }
    act_all(&g, leave);
}

static void hand_round(struct member *m) {
    const struct us_nn_comm_calls *calls = m->comm->calls;
    char part[1000], whole[4][1000], order[77];
    memset(part, 'a' + m->comm->rank, sizeof part);
    memset(order, m->comm->rank == 2 ? 'x' : '-', sizeof order);
    m->fine = calls->all_gather(m->comm, part, whole, sizeof part, NULL) &&
              calls->broadcast(m->comm, order, sizeof order, 2, NULL) &&
              calls->wait(m->comm, NULL) && us_nn_comm_barrier(m->comm);
    for (int r = 0; r < 4; r++) {
        m->fine = m->fine && whole[r][0] == 'a' + r && whole[r][999] == 'a' + r;
    }
    m->fine = m->fine && order[0] == 'x' && order[76] == 'x' && m->comm->bytes > 3000;
}

static void test_gather_and_broadcast(void **state) {
    (void)state;
    struct group g;
    join_all(&g, 4, 20, 20);
    act_all(&g, hand_round);
    for (int r = 0; r < g.world; r++) {
        assert_true(g.members[r].fine);
    }
    act_all(&g, leave);
}

/* A NaN on one rank is one on all. */
static void reduce_nan(struct member *m) {
    fill(m, 20000);
    m->values[11111] = m->comm->rank == 1 ? (float)NAN : 1;
    m->fine = m->comm->calls->all_reduce(m->comm, m->values, 20000, US_NN_COMM_F32_AS_BF16, NULL) &&
              m->comm->calls->wait(m->comm, NULL) && isnan(m->values[11111]) &&
              !isnan(m->values[11110]);
}

static void test_not_finite_reaches_all(void **state) {
    (void)state;
    struct group g;
    join_all(&g, 2, 20, 20);
    act_all(&g, reduce_nan);
    assert_true(g.members[0].fine && g.members[1].fine);
    act_all(&g, leave);
}

static void reduce_and_time(struct member *m) {
    const double start = now();
    fill(m, 50000);
    m->fine = m->comm->calls->all_reduce(m->comm, m->values, m->count, US_NN_COMM_F32, NULL) &&
              m->comm->calls->wait(m->comm, NULL);
    m->seconds = now() - start;
}

static void all_but_last_fail(struct group *g, const char *reason) {
    for (int r = 0; r + 1 < g->world; r++) {
        assert_false(g->members[r].fine);
        assert_true(g->members[r].seconds < 4);
        if (!strstr(g->members[r].comm->problem, reason)) {
            fail_msg("rank %d says '%s'", r, g->members[r].comm->problem);
        }
    }
}

/* The last rank of three never comes to the all-reduce but lives. */
static void last_is_late(struct member *m) {
    if (m->comm->rank == 2) {
        nap(1500);
        return;
    }
    reduce_and_time(m);
}

static void test_late_rank_is_named(void **state) {
    (void)state;
    struct group g;
    join_all(&g, 3, 20, 0.5);
    act_all(&g, last_is_late);
    all_but_last_fail(&g, "rank 2 lives but is");
    act_all(&g, leave);
}

static void test_abort_reaches_all(void **state) {
    (void)state;
    struct group g;
    join_all(&g, 3, 20, 20);
    g.members[2].comm->calls->abort(g.members[2].comm, "its disk is full");
    g.world = 2;
    act_all(&g, reduce_and_time);
    g.world = 3;
    all_but_last_fail(&g, "rank 2 ends the training: its disk is full");
    act_all(&g, leave);
}

/* A rank whose sockets are there and whose process is not: here nobody serves them. */
static void test_silent_and_dead_ranks_are_named(void **state) {
    (void)state;
    for (int dead = 0; dead < 2; dead++) {
        struct us_nn_comm_processes_config config = {
            .rank = 0, .world = 2, .silent_seconds = 0.6, .late_seconds = 20};
        int data[2], hear[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, hear), 0);
        config.data[1] = data[0];
        config.hear[1] = hear[0];
        struct group g = {.world = 2};
        assert_int_equal(us_nn_comm_processes_create(&config, &g.members[0].comm), 0);
        if (dead) {
            close(data[1]);
            close(hear[1]);
        }
        reduce_and_time(&g.members[0]);
        all_but_last_fail(&g, dead ? "rank 1 is gone" : "rank 1 was not heard of for");
        leave(&g.members[0]);
        if (!dead) {
            close(data[1]);
            close(hear[1]);
        }
    }
}

static void different_sizes(struct member *m) {
    fill(m, m->comm->rank == 1 ? 6000 : 5000);
    m->fine = m->comm->calls->all_reduce(m->comm, m->values, m->count, US_NN_COMM_F32, NULL) &&
              m->comm->calls->wait(m->comm, NULL);
}

static void test_ranks_out_of_step(void **state) {
    (void)state;
    struct group g;
    join_all(&g, 2, 20, 20);
    act_all(&g, different_sizes);
    assert_false(g.members[0].fine || g.members[1].fine);
    assert_non_null(strstr(g.members[0].comm->problem, "at another operation"));
    act_all(&g, leave);
}

/* Foreign bytes end the group and nothing else. */
static void test_foreign_bytes(void **state) {
    (void)state;
    struct us_nn_comm_processes_config config = {
        .rank = 0, .world = 2, .silent_seconds = 20, .late_seconds = 20};
    int data[2], hear[2];
    char noise[600];
    memset(noise, 0xa5, sizeof noise);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, hear), 0);
    config.data[1] = data[0];
    config.hear[1] = hear[0];
    struct group g = {.world = 2};
    assert_int_equal(us_nn_comm_processes_create(&config, &g.members[0].comm), 0);
    assert_int_equal(write(data[1], noise, sizeof noise), sizeof noise);
    reduce_and_time(&g.members[0]);
    all_but_last_fail(&g, "rank 1 is at another operation");
    leave(&g.members[0]);
    close(data[1]);
    close(hear[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_are_the_trees),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_gather_and_broadcast),
        cmocka_unit_test(test_not_finite_reaches_all),
        cmocka_unit_test(test_late_rank_is_named),
        cmocka_unit_test(test_abort_reaches_all),
        cmocka_unit_test(test_silent_and_dead_ranks_are_named),
        cmocka_unit_test(test_ranks_out_of_step),
        cmocka_unit_test(test_foreign_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
