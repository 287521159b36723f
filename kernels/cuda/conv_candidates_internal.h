/* Every way that cuDNN offers to compute one convolution. */
#ifndef US_KERNELS_CUDA_CONV_CANDIDATES_INTERNAL_H
#define US_KERNELS_CUDA_CONV_CANDIDATES_INTERNAL_H

#include "kernels/cuda/conv_graph_internal.h"

/* One finalised plan. `json` is how cuDNN writes it down (us_nn_free). */
struct conv_candidate {
    cudnnBackendDescriptor_t config, plan;
    bool fused, matmul;
    bool compiled; /* by cuDNN, at run time */
    char *json;
    size_t workspace;
    float microseconds; /* 0: not timed */
    bool wrong;         /* it ran, and gave something else */
};

enum { CONV_GRAPHS = 4, CONV_CANDIDATES = 256, CONV_READY = 32, CONV_COMPILED = 12 };
struct conv_candidates {
    struct conv_graph graphs[CONV_GRAPHS];
    int graph_count;
    struct conv_candidate items[CONV_CANDIDATES];
    int count;
};

/* Asks the three heuristics about each graph and finalises what they name first, each configuration
 * once: of each graph at most CONV_READY that are compiled already, and CONV_COMPILED that are not.
 * On an H200, of 5,900 ways of 69 convolutions, these had the fastest of 61 and one within 6 % of
 * it for the others, together 0.2 % slower. Left out: what is not deterministic, what sums in less
 * than f32, what rounds f32 factors unless the description allows it, and what wants more than 1
 * GiB to work in. With `first_only` the first plan that is finalised is the only one. */
void conv_candidates_find(struct conv_candidates *found, const struct conv_target *target,
                          const struct us_conv_desc *desc, bool first_only);
/* How many configurations the quick heuristic names for a graph. */
int conv_graph_offers(const struct conv_graph *graph, const struct conv_target *target);
/* Lets go of all but one, which becomes the first. */
void conv_candidates_keep(struct conv_candidates *found, int index);
void conv_candidates_finish(struct conv_candidates *found);

/* A plan from what conv_candidate.json held; NULL when cuDNN refuses it. */
cudnnBackendDescriptor_t conv_plan_from_json(const struct conv_target *target, const char *json);
/* Bytes of workspace; SIZE_MAX when cuDNN does not say. */
size_t conv_plan_workspace(cudnnBackendDescriptor_t plan);

#endif
