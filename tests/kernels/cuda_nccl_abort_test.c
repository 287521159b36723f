/* A group over NCCL that ends before its time. NCCL's abort waits for captured graphs, which go
 * only when the failure has come back to whoever captured them: nobody may wait for it before that.
 */
#include "tests/support/check.h"

#include <nccl.h>
#include <string.h>

#include "kernels/cuda/comm_api.h"

static struct us_nn_comm *open_group(struct us_nn_comm *control) {
    struct us_cuda_comm_config config = {.world = 2, .join_seconds = 1, .control = control};
    struct us_nn_comm *comm;
    char why[240] = "";
    assert_int_equal(us_cuda_comm_table.make_id(&config.id, why), US_NN_OK);
    if (us_cuda_comm_table.create(&config, &comm, why) != US_NN_OK) {
        fail_msg("%s", why);
    }
    assert_int_equal(us_nccl_stand_in_open(), 1);
    return comm;
}

static void test_abort_waits_for_no_graph(void **state) {
    (void)state;
    const int before = us_nccl_stand_in_aborted();
    struct us_nn_comm *comm = open_group(NULL);
    us_nccl_stand_in_graphs(1);
    comm->calls->abort(comm, "rank 1 is gone"); /* and comes back */
    assert_string_equal(comm->problem, "rank 1 is gone");
    assert_false(comm->calls->whole(comm));
    float value = 0;
    assert_false(comm->calls->all_reduce(comm, &value, 1, US_NN_COMM_F32, NULL));
    assert_int_equal(us_nccl_stand_in_aborted(), before);
    us_nccl_stand_in_graphs(0); /* as destroying the trainer does */
    comm->calls->destroy(comm);
    assert_int_equal(us_nccl_stand_in_aborted(), before + 1);
    assert_int_equal(us_nccl_stand_in_open(), 0);
}

/* The ranks as processes, of whom one is gone. */
static bool broken;

static bool is_whole(struct us_nn_comm *comm) {
    if (broken) {
        strcpy(comm->problem, "rank 1 is gone: its process has ended");
    }
    return !broken;
}

static void test_the_rank_that_is_gone_is_named(void **state) {
    (void)state;
    const struct us_nn_comm_calls calls = {.whole = is_whole};
    struct us_nn_comm control = {.calls = &calls};
    struct us_nn_comm *comm = open_group(&control);
    us_nccl_stand_in_graphs(1);
    assert_true(comm->calls->whole(comm));
    broken = true;
    assert_false(comm->calls->whole(comm));
    assert_string_equal(comm->problem, "rank 1 is gone: its process has ended");
    us_nccl_stand_in_graphs(0);
    comm->calls->destroy(comm);
    assert_int_equal(us_nccl_stand_in_open(), 0);
}

static void test_an_end_in_time_aborts_nothing(void **state) {
    (void)state;
    const int before = us_nccl_stand_in_aborted();
    struct us_nn_comm *comm = open_group(NULL);
    comm->calls->destroy(comm);
    assert_int_equal(us_nccl_stand_in_aborted(), before);
    assert_int_equal(us_nccl_stand_in_open(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_abort_waits_for_no_graph),
                                       cmocka_unit_test(test_the_rank_that_is_gone_is_named),
                                       cmocka_unit_test(test_an_end_in_time_aborts_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
