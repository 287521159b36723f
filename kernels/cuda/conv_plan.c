#include "kernels/cuda/conv_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/conv_cache_internal.h"
#include "kernels/cuda/conv_run_internal.h"
#include "kernels/nn/memory.h"

struct us_conv_planner {
    struct conv_target target;
    struct conv_bag described; /* holds target.described */
    struct conv_place place;
    char *folder; /* NULL: nothing is kept */
    char problem[512];
};

struct us_conv_plan {
    struct us_conv_planner *planner;
    struct us_conv_desc desc;
    struct conv_candidates *made_from; /* what the plan stands on; NULL when it came from a file */
    cudnnBackendDescriptor_t plan;     /* its own when made_from is NULL */
    size_t workspace;
    struct us_conv_plan_info info;
};

static enum us_nn_status fail(struct us_conv_planner *planner, enum us_nn_status status,
                              const char *what, const char *why) {
    snprintf(planner->problem, sizeof planner->problem, "%s%s%s", what, why[0] ? ": " : "", why);
    return status;
}

static enum us_nn_status fail_cudnn(struct us_conv_planner *planner, enum us_nn_status status,
                                    const char *what) {
    char why[400] = "";
    cudnnGetLastErrorString(why, sizeof why);
    return fail(planner, status, what, why);
}

/* -- planner */

/* The text or number that follows "name": in a device description. */
static const char *described_value(const char *json, const char *name) {
    const char *at = strstr(json, name);
    at = at ? strchr(at, ':') : NULL;
    return at ? at + 1 + strspn(at + 1, " \t\n\"") : NULL;
}

static enum us_nn_status describe(struct us_conv_planner *planner, const char *json) {
    struct conv_bag *bag = &planner->described;
    const char *name = described_value(json, "\"deviceName\"");
    const char *count = described_value(json, "\"multiProcessorCount\"");
    if (!name || !count) {
        return fail(planner, US_NN_BAD_CONFIG, "the description names no device", "");
    }
    snprintf(planner->place.gpu, sizeof planner->place.gpu, "%.*s", (int)strcspn(name, "\""), name);
    planner->place.multiprocessors = (int)strtol(count, NULL, 10);
    cudnnBackendDescriptor_t made = conv_bag_make(bag, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    conv_bag_set(bag, made, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                 (int64_t)strlen(json), json);
    conv_bag_finalise(bag, made);
    if (bag->status != CUDNN_STATUS_SUCCESS) {
        return fail_cudnn(planner, US_NN_BAD_CONFIG, "cuDNN refuses the device's description");
    }
    planner->target.described = made;
    return US_NN_OK;
}

static enum us_nn_status open_device(struct us_conv_planner *planner, int device) {
    struct cudaDeviceProp properties;
    cudaError_t status = cudaGetDeviceProperties(&properties, device);
    status = status == cudaSuccess ? cudaSetDevice(device) : status;
    if (status != cudaSuccess) {
        return fail(planner, US_NN_UNSUPPORTED, "cannot use the device",
                    cudaGetErrorString(status));
    }
    snprintf(planner->place.gpu, sizeof planner->place.gpu, "%s", properties.name);
    planner->place.multiprocessors = properties.multiProcessorCount;
    planner->place.timed = true;
    if (cudnnCreate(&planner->target.handle) != CUDNN_STATUS_SUCCESS) {
        planner->target.handle = NULL;
        return fail_cudnn(planner, US_NN_FAILED, "cannot start cuDNN");
    }
    return US_NN_OK;
}

enum us_nn_status us_conv_planner_create(int device, const char *device_json,
                                         const char *cache_folder,
                                         struct us_conv_planner **planner) {
    struct us_conv_planner *made = us_nn_alloc(sizeof *made);
    *planner = made;
    if (!made) {
        return US_NN_NO_MEMORY;
    }
    made->place.cudnn = cudnnGetVersion();
    if (cache_folder) {
        const size_t size = strlen(cache_folder) + 1;
        made->folder = us_nn_alloc(size);
        if (!made->folder) {
            return fail(made, US_NN_NO_MEMORY, "out of memory", "");
        }
        memcpy(made->folder, cache_folder, size);
    }
    return device_json ? describe(made, device_json) : open_device(made, device);
}

void us_conv_planner_destroy(struct us_conv_planner *planner) {
    if (planner) {
        if (planner->target.handle) {
            (void)cudnnDestroy(planner->target.handle);
        }
        conv_bag_finish(&planner->described);
        us_nn_free(planner->folder);
        us_nn_free(planner);
    }
}

const char *us_conv_planner_problem(const struct us_conv_planner *planner) {
    return planner->problem;
}

/* -- plans */

/* The plan that a file holds; false when it does not stand any more. */
static bool recall(struct us_conv_plan *plan, const char *key) {
    struct us_conv_planner *planner = plan->planner;
    struct conv_choice choice;
    if (!planner->folder || !conv_cache_read(planner->folder, key, &choice)) {
        return false;
    }
    plan->plan = conv_plan_from_json(&planner->target, choice.json);
    us_nn_free(choice.json);
    plan->workspace = plan->plan ? conv_plan_workspace(plan->plan) : SIZE_MAX;
    if (plan->workspace == SIZE_MAX) {
        if (plan->plan) {
            (void)cudnnBackendDestroyDescriptor(plan->plan);
            plan->plan = NULL;
        }
        return false;
    }
    plan->info = (struct us_conv_plan_info){.cached = true,
                                            .fused = choice.fused,
                                            .matmul = choice.matmul,
                                            .microseconds = choice.microseconds};
    return true;
}

/* The fastest that was timed; without a device the first one; -1: none runs. */
static int best_of(const struct conv_candidates *found, bool timed) {
    int best = -1;
    for (int i = 0; i < found->count; i++) {
        const float took = found->items[i].microseconds;
        if ((!timed && best < 0) ||
            (took > 0 && (best < 0 || took < found->items[best].microseconds))) {
            best = i;
        }
    }
    return best;
}

static void take(struct us_conv_plan *plan, const char *key, int index) {
    struct conv_candidates *found = plan->made_from;
    const int candidates = found->count;
    conv_candidates_keep(found, index);
    const struct conv_candidate *best = &found->items[0];
    plan->plan = best->plan;
    plan->workspace = best->workspace;
    plan->info = (struct us_conv_plan_info){.fused = best->fused,
                                            .matmul = best->matmul,
                                            .candidates = candidates,
                                            .microseconds = best->microseconds};
    const struct conv_choice choice = {.fused = best->fused,
                                       .matmul = best->matmul,
                                       .microseconds = best->microseconds,
                                       .json = best->json};
    if (plan->planner->folder) {
        (void)conv_cache_write(plan->planner->folder, key, &choice);
    }
}

static enum us_nn_status choose(struct us_conv_plan *plan, const char *key) {
    struct us_conv_planner *planner = plan->planner;
    struct conv_candidates *found = plan->made_from;
    conv_candidates_find(found, &planner->target, &plan->desc, !planner->place.timed);
    if (found->count == 0) {
        return fail_cudnn(planner, US_NN_UNSUPPORTED, "cuDNN offers no way to compute it");
    }
    if (planner->place.timed) {
        enum us_nn_status status = conv_time(planner->target.handle, &plan->desc, found);
        if (status != US_NN_OK) {
            return fail(planner, status, "cannot time the ways to compute it",
                        us_nn_status_text(status));
        }
    }
    const int best = best_of(found, planner->place.timed);
    if (best < 0) {
        return fail(planner, US_NN_UNSUPPORTED, "no way to compute it runs on the device", "");
    }
    take(plan, key, best);
    return US_NN_OK;
}

enum us_nn_status us_conv_plan_create(struct us_conv_planner *planner,
                                      const struct us_conv_desc *desc, struct us_conv_plan **plan) {
    char key[CONV_KEY];
    *plan = NULL;
    planner->problem[0] = '\0';
    const char *problem = us_conv_desc_problem(desc);
    if (problem) {
        return fail(planner, US_NN_BAD_CONFIG, problem, "");
    }
    struct us_conv_plan *made = us_nn_alloc(sizeof *made);
    if (!made) {
        return fail(planner, US_NN_NO_MEMORY, "out of memory", "");
    }
    *made = (struct us_conv_plan){.planner = planner, .desc = *desc};
    conv_cache_key(key, desc, &planner->place);
    enum us_nn_status status = US_NN_OK;
    if (!recall(made, key)) {
        made->made_from = us_nn_alloc(sizeof *made->made_from);
        status = made->made_from ? choose(made, key)
                                 : fail(planner, US_NN_NO_MEMORY, "out of memory", "");
    }
    if (status != US_NN_OK) {
        us_conv_plan_destroy(made);
        return status;
    }
    *plan = made;
    return US_NN_OK;
}

void us_conv_plan_destroy(struct us_conv_plan *plan) {
    if (!plan) {
        return;
    }
    if (plan->made_from) {
        conv_candidates_finish(plan->made_from);
        us_nn_free(plan->made_from);
    } else if (plan->plan) {
        (void)cudnnBackendDestroyDescriptor(plan->plan);
    }
    us_nn_free(plan);
}

size_t us_conv_plan_workspace(const struct us_conv_plan *plan) {
    return plan->workspace;
}

enum us_nn_status us_conv_plan_run(struct us_conv_plan *plan, void *stream,
                                   const struct us_conv_buffers *buffers) {
    struct us_conv_planner *planner = plan->planner;
    if (!planner->target.handle) {
        return fail(planner, US_NN_UNSUPPORTED, "the device is only described", "");
    }
    enum us_nn_status status = conv_run(planner->target.handle, stream, plan->plan,
                                        plan->info.fused, &plan->desc, buffers);
    return status == US_NN_OK ? status : fail_cudnn(planner, status, "cuDNN does not run the plan");
}

struct us_conv_plan_info us_conv_plan_describe(const struct us_conv_plan *plan) {
    return plan->info;
}
