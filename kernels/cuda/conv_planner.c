#include "kernels/cuda/conv_planner_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/nn/memory.h"

enum us_nn_status conv_fail(struct us_conv_planner *planner, enum us_nn_status status,
                            const char *what, const char *why) {
    snprintf(planner->problem, sizeof planner->problem, "%s%s%s", what, why[0] ? ": " : "", why);
    return status;
}

enum us_nn_status conv_fail_cudnn(struct us_conv_planner *planner, enum us_nn_status status,
                                  const char *what) {
    char why[400] = "";
    cudnnGetLastErrorString(why, sizeof why);
    return conv_fail(planner, status, what, why);
}

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
        return conv_fail(planner, US_NN_BAD_CONFIG, "the description names no device", "");
    }
    snprintf(planner->place.gpu, sizeof planner->place.gpu, "%.*s", (int)strcspn(name, "\""), name);
    planner->place.multiprocessors = (int)strtol(count, NULL, 10);
    cudnnBackendDescriptor_t made = conv_bag_make(bag, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    conv_bag_set(bag, made, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                 (int64_t)strlen(json), json);
    conv_bag_finalise(bag, made);
    if (bag->status != CUDNN_STATUS_SUCCESS) {
        return conv_fail_cudnn(planner, US_NN_BAD_CONFIG, "cuDNN refuses the device's description");
    }
    for (int i = 0; i < CONV_THREADS; i++) {
        planner->targets[i].described = made;
    }
    return US_NN_OK;
}

const struct conv_target *conv_planner_target(struct us_conv_planner *planner, int index) {
    struct conv_target *target = &planner->targets[index];
    if (target->described) {
        return target;
    }
    if (cudaSetDevice(planner->device) != cudaSuccess) {
        return NULL;
    }
    if (!target->handle && cudnnCreate(&target->handle) != CUDNN_STATUS_SUCCESS) {
        target->handle = NULL;
        return NULL;
    }
    return target;
}

static enum us_nn_status open_device(struct us_conv_planner *planner, int device) {
    struct cudaDeviceProp properties;
    cudaError_t status = cudaGetDeviceProperties(&properties, device);
    if (status != cudaSuccess) {
        return conv_fail(planner, US_NN_UNSUPPORTED, "cannot use the device",
                         cudaGetErrorString(status));
    }
    snprintf(planner->place.gpu, sizeof planner->place.gpu, "%s", properties.name);
    planner->place.multiprocessors = properties.multiProcessorCount;
    planner->place.timed = true;
    planner->device = device;
    if (!conv_planner_target(planner, 0)) {
        return conv_fail_cudnn(planner, US_NN_FAILED, "cannot start cuDNN");
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
            return conv_fail(made, US_NN_NO_MEMORY, "out of memory", "");
        }
        memcpy(made->folder, cache_folder, size);
    }
    return device_json ? describe(made, device_json) : open_device(made, device);
}

void us_conv_planner_destroy(struct us_conv_planner *planner) {
    if (planner) {
        for (int i = 0; i < CONV_THREADS; i++) {
            if (planner->targets[i].handle) {
                (void)cudnnDestroy(planner->targets[i].handle);
            }
        }
        conv_bag_finish(&planner->described);
        us_nn_free(planner->folder);
        us_nn_free(planner);
    }
}

const char *us_conv_planner_problem(const struct us_conv_planner *planner) {
    return planner->problem;
}
