/* How ranks find each other: here they are threads that meet over the loopback. */
#include "nodes/learn/rendezvous.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "nodes/learn/handshake.h"
#include "tests/support/check.h"

enum { MOST = 5 };

struct one {
    struct us_ranks ranks;
    int listener;
    pthread_t thread;
    struct us_nn_comm *comm;
    struct us_error *error;
    double seconds;
};

static void *join_main(void *context) {
    struct one *one = context;
    const double start = us_deadline_clock();
    one->error = us_rendezvous_join(&one->ranks, one->listener, &one->comm);
    one->seconds = us_deadline_clock() - start;
    return NULL;
}

static void prepare(struct one *all, int world, double seconds) {
    memset(all, 0, MOST * sizeof *all);
    for (int r = 0; r < world; r++) {
        struct us_ranks *ranks = &all[r].ranks;
        *ranks = (struct us_ranks){.rank = r,
                                   .world = world,
                                   .join_seconds = seconds,
                                   .silent_seconds = 10,
                                   .address = "127.0.0.1"};
        us_job_key("a key of this test", 18, ranks->key);
        all[r].listener = -1;
    }
    ASSERT_OK(us_rendezvous_listen(&all[0].ranks, &all[0].listener));
    for (int r = 1; r < world; r++) {
        all[r].ranks.port = all[0].ranks.port;
    }
}

/* Ranks of which bit r is set come. */
static void meet(struct one *all, int world, unsigned who) {
    for (int r = 0; r < world; r++) {
        if (who >> r & 1) {
            assert_int_equal(pthread_create(&all[r].thread, NULL, join_main, &all[r]), 0);
        }
    }
    for (int r = 0; r < world; r++) {
        if (who >> r & 1) {
            pthread_join(all[r].thread, NULL);
        }
    }
    if (all[0].listener >= 0) {
        close(all[0].listener);
    }
}

static void *sum_main(void *context) {
    struct one *one = context;
    double value = 1 << one->comm->rank;
    const bool fine = one->comm->calls->all_reduce(one->comm, &value, 1, US_NN_COMM_F64, NULL) &&
                      one->comm->calls->wait(one->comm, NULL);
    one->seconds = fine ? value : -1;
    us_nn_comm_destroy(one->comm);
    return NULL;
}

static void test_ranks_meet(void **state) {
    (void)state;
    struct one all[MOST];
    prepare(all, MOST, 10);
    meet(all, MOST, 31);
    for (int r = 0; r < MOST; r++) {
        ASSERT_OK(all[r].error);
        assert_int_equal(pthread_create(&all[r].thread, NULL, sum_main, &all[r]), 0);
    }
    for (int r = 0; r < MOST; r++) {
        pthread_join(all[r].thread, NULL);
        ASSERT_NEAR(all[r].seconds, 31, 0);
    }
}

static void test_missing_rank_is_named(void **state) {
    (void)state;
    struct one all[MOST];
    prepare(all, 4, 0.8);
    meet(all, 4, 1 | 2 | 8);
    for (int r = 0; r < 4; r++) {
        if (r != 2) {
            assert_true(us_error_is(all[r].error, US_RETRY));
            ASSERT_ERROR(all[r].error, "rank 2 has not come");
            assert_true(all[r].seconds < 4);
        }
    }
}

static void test_no_rank_0(void **state) {
    (void)state;
    struct one all[MOST];
    prepare(all, 2, 0.6);
    close(all[0].listener);
    all[0].listener = -1;
    meet(all, 2, 2);
    assert_true(us_error_is(all[1].error, US_RETRY));
    ASSERT_ERROR(all[1].error, "rank 0 is missing: no connection to it at 127.0.0.1");
}

static void test_wrong_key(void **state) {
    (void)state;
    struct one all[MOST];
    prepare(all, 3, 1);
    us_job_key("not that key at all", 19, all[1].ranks.key);
    meet(all, 3, 7);
    assert_true(us_error_is(all[1].error, US_REFUSED));
    ASSERT_ERROR(all[1].error, "rank 0 has another job key than rank 1");
    assert_true(us_error_is(all[0].error, US_RETRY));
    ASSERT_ERROR(all[0].error, "rank 1 has not come in 1 s because: a caller that says it is rank "
                               "1 has another job key");
    ASSERT_ERROR(all[2].error, "rank 1 has not come");
}

static void test_other_world_and_double_rank(void **state) {
    (void)state;
    struct one all[MOST];
    prepare(all, 3, 0.8);
    all[2].ranks.world = 4;
    meet(all, 3, 7);
    ASSERT_ERROR(all[2].error, "rank 2 was started as one of 4 ranks, rank 0 as one of 3");
    ASSERT_ERROR(all[0].error, "rank 2 has not come");
    ASSERT_ERROR(all[1].error, "rank 2 has not come");
    prepare(all, 3, 0.8);
    all[2].ranks.rank = 1;
    meet(all, 3, 7);
    ASSERT_ERROR(all[0].error, "rank 2 has not come in 1 s because: a second process says it is "
                               "rank 1");
    assert_non_null(all[1].error);
    assert_non_null(all[2].error);
    us_error_free(all[1].error);
    us_error_free(all[2].error);
}

static void test_taken_port(void **state) {
    (void)state;
    struct one all[MOST];
    prepare(all, 2, 1);
    struct us_ranks second = all[0].ranks;
    int listener;
    struct us_error *error = us_rendezvous_listen(&second, &listener);
    assert_true(us_error_is(error, US_RETRY));
    ASSERT_ERROR(error, "rank 0 cannot listen on port");
    close(all[0].listener);
}

/* Whoever listens there is silent, or speaks something else. */
static void *foreign_main(void *context) {
    const int listener = *(int *)context;
    for (int i = 0; i < 3; i++) {
        char said[512];
        const int c = accept(listener, NULL, NULL);
        if (c < 0) {
            break;
        }
        memset(said, 'x', sizeof said);
        const ssize_t n = write(c, said, sizeof said);
        (void)n;
        close(c);
    }
    return NULL;
}

static void test_foreign_listener(void **state) {
    (void)state;
    struct one all[MOST];
    pthread_t thread;
    prepare(all, 2, 0.5);
    int listener = all[0].listener;
    assert_int_equal(pthread_create(&thread, NULL, foreign_main, &listener), 0);
    all[0].listener = -1;
    meet(all, 2, 2);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    ASSERT_ERROR(all[1].error, "rank 0 is missing");
}

static void clear_environment(void) {
    static const char *const names[] = {"UNDERSTUDY_RANK",
                                        "UNDERSTUDY_WORLD_SIZE",
                                        "UNDERSTUDY_LOCAL_RANK",
                                        "UNDERSTUDY_ADDRESS",
                                        "UNDERSTUDY_PORT",
                                        "UNDERSTUDY_JOB_KEY",
                                        "UNDERSTUDY_JOB_KEY_FILE",
                                        "UNDERSTUDY_LAUNCHER",
                                        "UNDERSTUDY_JOIN_SECONDS",
                                        "UNDERSTUDY_SILENT_SECONDS",
                                        "RANK",
                                        "WORLD_SIZE",
                                        "LOCAL_RANK",
                                        "MASTER_ADDR",
                                        "MASTER_PORT",
                                        "TORCHELASTIC_USE_AGENT_STORE",
                                        "OMPI_COMM_WORLD_RANK",
                                        "OMPI_COMM_WORLD_SIZE",
                                        "OMPI_COMM_WORLD_LOCAL_RANK",
                                        "OMPI_COMM_WORLD_LOCAL_SIZE",
                                        "SLURM_PROCID",
                                        "SLURM_STEP_NUM_TASKS",
                                        "SLURM_LOCALID",
                                        "SLURM_STEP_NODELIST",
                                        "SLURM_JOB_NODELIST",
                                        "SLURM_JOB_ID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsetenv(names[i]);
    }
}

/* Name, value, name, value ... NULL */
static void environment(const char *const *pairs) {
    clear_environment();
    for (; *pairs; pairs += 2) {
        setenv(pairs[0], pairs[1], 1);
    }
}

#define ENVIRONMENT(...) environment((const char *const[]){__VA_ARGS__, NULL})
#define KEY "UNDERSTUDY_JOB_KEY", "0123456789abcdef"

static void test_environments(void **state) {
    (void)state;
    struct us_ranks r;
    clear_environment();
    ASSERT_OK(us_ranks_find(&r));
    assert_int_equal(r.world, 1);
    assert_null(r.launcher);
    ENVIRONMENT("RANK", "3", "WORLD_SIZE", "8", "LOCAL_RANK", "1", "MASTER_ADDR", "n1",
                "MASTER_PORT", "29500", "TORCHELASTIC_USE_AGENT_STORE", "True", KEY);
    ASSERT_OK(us_ranks_find(&r));
    assert_int_equal(r.rank * 100 + r.world * 10 + r.local_rank, 381);
    assert_string_equal(r.address, "n1");
    assert_int_equal(r.port, 29501);
    ENVIRONMENT("OMPI_COMM_WORLD_RANK", "1", "OMPI_COMM_WORLD_SIZE", "2",
                "OMPI_COMM_WORLD_LOCAL_RANK", "1", "OMPI_COMM_WORLD_LOCAL_SIZE", "2", KEY);
    ASSERT_OK(us_ranks_find(&r));
    assert_string_equal(r.address, "127.0.0.1");
    assert_string_equal(r.launcher, "openmpi");
    ENVIRONMENT("SLURM_PROCID", "5", "SLURM_STEP_NUM_TASKS", "6", "SLURM_LOCALID", "2",
                "SLURM_STEP_NODELIST", "gpu[07-09,12],other", "SLURM_JOB_ID", "41003", KEY);
    ASSERT_OK(us_ranks_find(&r));
    assert_string_equal(r.address, "gpu07");
    assert_int_equal(r.port, 29403);
    assert_int_equal(r.local_rank, 2);
    setenv("UNDERSTUDY_LAUNCHER", "none", 1);
    ASSERT_OK(us_ranks_find(&r));
    assert_int_equal(r.world, 1);
    clear_environment();
}

static void test_bad_environments(void **state) {
    (void)state;
    struct us_ranks r;
    ENVIRONMENT("RANK", "8", "WORLD_SIZE", "8", "MASTER_ADDR", "n1", KEY);
    ASSERT_ERROR(us_ranks_find(&r), "RANK is '8', allowed are 0 to 7");
    ENVIRONMENT("RANK", "0", "WORLD_SIZE", "2x", KEY);
    ASSERT_ERROR(us_ranks_find(&r), "WORLD_SIZE is '2x'");
    ENVIRONMENT("RANK", "0", "WORLD_SIZE", "2", KEY);
    ASSERT_ERROR(us_ranks_find(&r), "where rank 0 is is not said");
    ENVIRONMENT("RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "n1");
    ASSERT_ERROR(us_ranks_find(&r), "there is no job key");
    ENVIRONMENT("RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "n1", "UNDERSTUDY_JOB_KEY", "short");
    ASSERT_ERROR(us_ranks_find(&r), "has 5 characters, needed are 16 and more");
    ENVIRONMENT("UNDERSTUDY_JOIN_SECONDS", "soon");
    ASSERT_ERROR(us_ranks_find(&r), "UNDERSTUDY_JOIN_SECONDS is 'soon'");
    clear_environment();
}

static void test_key_file(void **state) {
    (void)state;
    struct us_ranks from_file, from_text;
    char path[300];
    snprintf(path, sizeof path, "%s/key", us_test_folder());
    FILE *file = fopen(path, "w");
    fputs("0123456789abcdef\n", file);
    fclose(file);
    chmod(path, 0600);
    ENVIRONMENT("RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "n1", KEY);
    ASSERT_OK(us_ranks_find(&from_text));
    ENVIRONMENT("RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "n1", "UNDERSTUDY_JOB_KEY_FILE",
                path);
    ASSERT_OK(us_ranks_find(&from_file));
    assert_memory_equal(from_file.key, from_text.key, US_JOB_KEY);
    chmod(path, 0644);
    ASSERT_ERROR(us_ranks_find(&from_file), "can be read by others");
    clear_environment();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_meet),
        cmocka_unit_test(test_missing_rank_is_named),
        cmocka_unit_test(test_no_rank_0),
        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_other_world_and_double_rank),
        cmocka_unit_test(test_taken_port),
        cmocka_unit_test(test_foreign_listener),
        cmocka_unit_test(test_environments),
        cmocka_unit_test(test_bad_environments),
        cmocka_unit_test(test_key_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
