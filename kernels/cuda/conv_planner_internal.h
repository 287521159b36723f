/* What a planner is; conv_planner.c makes it, conv_plan.c uses it. */
#ifndef US_KERNELS_CUDA_CONV_PLANNER_INTERNAL_H
#define US_KERNELS_CUDA_CONV_PLANNER_INTERNAL_H

#include "kernels/cuda/conv_cache_internal.h"
#include "kernels/cuda/conv_run_internal.h"

enum { CONV_THREADS = 16 };

struct us_conv_planner {
    /* One a thread that makes plans, since threads may not share a handle; the first one is the
     * caller's and runs them. The others' handles live as long, for plans may look at theirs. */
    struct conv_target targets[CONV_THREADS];
    struct conv_bag described; /* holds the description that all targets share */
    struct conv_place place;
    int device;
    char *folder; /* NULL: nothing is kept */
    char problem[512];
};

/* Each notes the problem and returns `status`; the second adds what cuDNN says. */
enum us_nn_status conv_fail(struct us_conv_planner *planner, enum us_nn_status status,
                            const char *what, const char *why);
enum us_nn_status conv_fail_cudnn(struct us_conv_planner *planner, enum us_nn_status status,
                                  const char *what);

/* The target of thread `index`, made on that thread's first call; NULL: there cannot be one. */
const struct conv_target *conv_planner_target(struct us_conv_planner *planner, int index);

#endif
