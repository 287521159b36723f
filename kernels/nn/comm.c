#include "kernels/nn/comm.h"

#include <string.h>

#define BLOCK 512 /* values summed at a time */

void us_nn_comm_destroy(struct us_nn_comm *comm) {
    if (comm) {
        comm->calls->destroy(comm);
    }
}

bool us_nn_comm_barrier(struct us_nn_comm *comm) {
    char token[US_NN_COMM_RANKS] = {0};
    return comm->calls->all_gather(comm, &token[comm->rank], token, 1, NULL) &&
           comm->calls->wait(comm, NULL);
}

static int left_of(int count) {
    int left = 1;
    while (2 * left < count) {
        left *= 2;
    }
    return left;
}

static void tree_block(const float *const *parts, int count, size_t at, size_t values, float *out) {
    if (count == 1) {
        memcpy(out, parts[0] + at, values * sizeof *out);
        return;
    }
    float right[BLOCK];
    const int left = left_of(count);
    tree_block(parts, left, at, values, out);
    tree_block(parts + left, count - left, at, values, right);
    for (size_t i = 0; i < values; i++) {
        out[i] += right[i];
    }
}

void us_nn_comm_tree(const float *const *parts, int count, float *out, size_t values) {
    float sum[BLOCK];
    for (size_t at = 0; at < values; at += BLOCK) {
        const size_t some = values - at < BLOCK ? values - at : BLOCK;
        tree_block(parts, count, at, some, sum);
        memcpy(out + at, sum, some * sizeof *sum);
    }
}

static double tree_value(const double *const *parts, int count, size_t at) {
    if (count == 1) {
        return parts[0][at];
    }
    const int left = left_of(count);
    return tree_value(parts, left, at) + tree_value(parts + left, count - left, at);
}

void us_nn_comm_tree_f64(const double *const *parts, int count, double *out, size_t values) {
    for (size_t i = 0; i < values; i++) {
        out[i] = tree_value(parts, count, i);
    }
}
