/* NCCL without a device: ids are made and travel between processes, joining fails with a message.
 * With one: two ranks that share it add up. */
#include "tests/support/check.h"

#ifdef US_TEST_CUDA

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/cuda/comm_api.h"
#include "kernels/nn/comm_processes.h"
#include "runtime/base/mem.h"

enum { COUNT = 100000, NO_DEVICE = 77 };

static const struct us_cuda_comm_api *const api = &us_cuda_comm_table;

static bool sums(struct us_nn_comm *comm) {
    float *values, *back = us_malloc(COUNT * sizeof *back);
    cudaStream_t stream;
    for (int i = 0; i < COUNT; i++) {
        back[i] = (float)(i % 7 + 10 * comm->rank);
    }
    bool fine = cudaMalloc((void **)&values, COUNT * sizeof *values) == cudaSuccess &&
                cudaStreamCreate(&stream) == cudaSuccess &&
                cudaMemcpyAsync(values, back, COUNT * sizeof *values, cudaMemcpyHostToDevice,
                                stream) == cudaSuccess &&
                comm->calls->all_reduce(comm, values, COUNT, US_NN_COMM_F32, stream) &&
                comm->calls->wait(comm, stream) &&
                cudaMemcpyAsync(back, values, COUNT * sizeof *values, cudaMemcpyDeviceToHost,
                                stream) == cudaSuccess &&
                comm->calls->finish(comm, stream);
    for (int i = 0; i < COUNT; i++) {
        fine = fine && back[i] == (float)(2 * (i % 7) + 10);
    }
    us_free(back);
    return fine;
}

/* A process of its own: NCCL wants one for each rank on a device. */
static int rank_main(int rank, const struct us_nn_comm_processes_config *sockets) {
    struct us_cuda_comm_config config = {
        .rank = rank, .world = 2, .shared = true, .join_seconds = 60};
    struct us_nn_comm *processes, *devices;
    char why[240] = "";
    int count;
    if (cudaGetDeviceCount(&count) != cudaSuccess) {
        return NO_DEVICE;
    }
    if (us_nn_comm_processes_create(sockets, &processes) != US_NN_OK ||
        (rank == 0 && api->make_id(&config.id, why) != US_NN_OK) ||
        !processes->calls->broadcast(processes, &config.id, sizeof config.id, 0, NULL) ||
        !processes->calls->wait(processes, NULL)) {
        return 1;
    }
    config.control = processes;
    if (api->create(&config, &devices, why) != US_NN_OK) {
        fprintf(stderr, "rank %d: %s\n", rank, why);
        return 2;
    }
    const bool fine = sums(devices) && devices->calls->whole(devices);
    if (!fine) {
        fprintf(stderr, "rank %d: %s\n", rank, devices->problem);
    }
    us_nn_comm_destroy(devices);
    us_nn_comm_destroy(processes);
    return fine ? 0 : 3;
}

static void test_two_ranks_on_one_device(void **state) {
    (void)state;
    int data[2], hear[2], status, ended[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, hear), 0);
    for (int rank = 0; rank < 2; rank++) {
        if (fork() == 0) {
            struct us_nn_comm_processes_config sockets = {
                .rank = rank, .world = 2, .silent_seconds = 60, .late_seconds = 60};
            sockets.data[!rank] = data[rank];
            sockets.hear[!rank] = hear[rank];
            close(data[!rank]);
            close(hear[!rank]);
            _exit(rank_main(rank, &sockets));
        }
    }
    for (int i = 0; i < 2; i++) {
        close(data[i]);
        close(hear[i]);
    }
    for (int i = 0; i < 2; i++) {
        assert_true(wait(&status) > 0 && WIFEXITED(status));
        ended[i] = WEXITSTATUS(status);
    }
    if (ended[0] == NO_DEVICE && ended[1] == NO_DEVICE) {
        print_message("skipped: no CUDA device\n");
        skip();
    }
    assert_int_equal(ended[0], 0);
    assert_int_equal(ended[1], 0);
}

static void test_ids_differ(void **state) {
    (void)state;
    struct us_cuda_comm_id a, b, none = {{0}};
    char why[240] = "";
    if (api->make_id(&a, why) != US_NN_OK || api->make_id(&b, why) != US_NN_OK) {
        fail_msg("%s", why);
    }
    assert_memory_not_equal(&a, &none, sizeof a);
    assert_memory_not_equal(&a, &b, sizeof a);
}

static void test_no_device_is_said(void **state) {
    (void)state;
    struct us_cuda_comm_config config = {.world = 2, .device = 99, .join_seconds = 1};
    struct us_nn_comm *comm;
    char why[240] = "";
    assert_int_equal(api->make_id(&config.id, why), US_NN_OK);
    assert_int_equal(api->create(&config, &comm, why), US_NN_FAILED);
    assert_null(comm);
    if (!strstr(why, "cannot use the device: ")) {
        fail_msg("it says '%s'", why);
    }
}

int main(void) {
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) &&
        !dlopen(US_TEST_CUDA_STUB, RTLD_NOW | RTLD_GLOBAL)) {
        print_message("no stand-in for the driver: %s\n", dlerror());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_ranks_on_one_device), /* forks: before CUDA is used */
        cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_no_device_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) {
    print_message("skipped: built without the CUDA Toolkit\n");
    return 0;
}

#endif
