#include "nodes/device/gpu.h"

#include "kernels/cuda/load.h"
#include "runtime/base/mem.h"
#include "runtime/image/device.h"

static const struct us_cuda_frame_api *instead;

void us_gpu_use(const struct us_cuda_frame_api *api) {
    instead = api;
}

static struct us_error *find_api(const struct us_cuda_frame_api **api) {
    const char *why_not = "the module has no image kernels";
    const struct us_cuda_module *module = instead ? NULL : us_cuda_module_get(&why_not);
    *api = instead ? instead : module ? module->frame : NULL;
    return *api ? NULL : us_fail(US_RETRY, "no CUDA device can be used: %s", why_not);
}

static struct us_error *told(struct us_gpu *gpu, enum us_nn_status status) {
    if (status == US_NN_OK) {
        return NULL;
    }
    gpu->failed = true;
    return us_fail(status == US_NN_NO_MEMORY ? US_DEVICE_FULL : US_RETRY,
                   "work on device cuda:%d failed: %s", gpu->device,
                   status == US_NN_FAILED ? gpu->api->problem() : us_nn_status_text(status));
}

struct us_error *us_gpu_open(int device, struct us_gpu *gpu) {
    *gpu = (struct us_gpu){.device = device};
    if (device < 0) {
        return NULL;
    }
    US_TRY(find_api(&gpu->api));
    struct us_error *error = told(gpu, gpu->api->open(device, &gpu->frame));
    if (error) {
        gpu->api = NULL;
        return error;
    }
    gpu->stream = gpu->api->stream(gpu->frame);
    return NULL;
}

struct us_error *us_gpu_close(struct us_gpu *gpu, struct us_error *error) {
    if (!gpu->api) {
        return error;
    }
    struct us_error *late = told(gpu, gpu->api->close(gpu->frame));
    for (size_t i = 0; i < gpu->pinned_count; i++) {
        us_device_unpin(gpu->pinned[i], gpu->device);
    }
    us_free(gpu->pinned);
    *gpu = (struct us_gpu){.device = -1};
    if (!error) {
        return late;
    }
    us_error_free(late);
    return error;
}

struct us_error *us_gpu_run(struct us_task *task,
                            struct us_error *(*work)(struct us_gpu *gpu, void *context),
                            void *context) {
    struct us_gpu gpu, none = {.device = -1};
    struct us_error *error = us_gpu_open(us_task_device(task), &gpu);
    bool failed = error != NULL;
    if (!failed) {
        error = work(&gpu, context);
        bool before = gpu.failed, worked = !error;
        error = us_gpu_close(&gpu, error);
        failed = error && (before || worked); /* what shows at the end is the device's too */
    }
    if (!failed || us_task_device(task) < 0 || us_error_is(error, US_DEVICE_FULL)) {
        return error;
    }
    us_task_warn(task, "%s; on the processor instead", error->text);
    us_error_free(error);
    return work(&none, context);
}

struct us_error *us_gpu_take(struct us_gpu *gpu, size_t bytes, void **block) {
    *block = gpu->api->take(gpu->frame, bytes);
    gpu->failed = gpu->failed || !*block;
    return *block ? NULL
                  : us_fail(US_DEVICE_FULL, "no memory for %zu bytes on device cuda:%d", bytes,
                            gpu->device);
}

struct us_error *us_gpu_planes(struct us_gpu *gpu, int32_t width, int32_t height, int count,
                               struct us_view *planes) {
    void *block;
    size_t floats = (size_t)width * (size_t)height;
    US_TRY(us_gpu_take(gpu, (size_t)count * floats * sizeof(float), &block));
    for (int i = 0; i < count; i++) {
        planes[i] = (struct us_view){(float *)block + (size_t)i * floats, width, height, width};
    }
    return NULL;
}

struct us_error *us_gpu_down(struct us_gpu *gpu, const struct us_cuda_piece *pieces, int count) {
    return told(gpu, gpu->api->down(gpu->frame, pieces, count));
}

static void remember(struct us_gpu *gpu, const struct us_channel *channel) {
    if (gpu->pinned_count == gpu->pinned_capacity) {
        gpu->pinned_capacity = 2 * gpu->pinned_capacity + 8;
        gpu->pinned = us_realloc(gpu->pinned, gpu->pinned_capacity * sizeof *gpu->pinned);
    }
    gpu->pinned[gpu->pinned_count++] = channel;
}

/* Other lines of work may use the copy as soon as it is put: it waits until the pixels are there.
 */
static struct us_error *send(struct us_gpu *gpu, const struct us_channel *channel, void **data) {
    size_t bytes = us_channel_bytes(channel);
    US_TRY(us_gpu_take(gpu, bytes, data));
    gpu->api->up(gpu->frame, *data, channel->data, bytes);
    US_TRY(told(gpu, gpu->api->wait(gpu->frame)));
    gpu->api->keep(gpu->frame, *data);
    struct us_device_block block = {gpu->device, *data, bytes, gpu->api->release};
    us_device_put(channel, &block);
    return NULL;
}

struct us_error *us_gpu_channel(struct us_gpu *gpu, const struct us_channel *channel,
                                struct us_samples *samples) {
    void *data = us_device_pin(channel, gpu->device);
    if (!data) {
        struct us_error *error = send(gpu, channel, &data);
        if (error) {
            us_device_give_up(channel, gpu->device);
            return error;
        }
    }
    remember(gpu, channel);
    *samples = (struct us_samples){data, channel->width, channel->height,
                                   (enum us_sample_type)channel->sample};
    return NULL;
}

struct us_error *us_gpu_publish(struct us_gpu *gpu, struct us_channel *const *channels,
                                const struct us_view *planes, int count) {
    struct us_cuda_piece pieces[8] = {0};
    if (count > 8) {
        US_BUG("%d planes are published at once", count);
    }
    for (int i = 0; i < count; i++) {
        pieces[i] = (struct us_cuda_piece){planes[i].data, channels[i]->data,
                                           us_channel_bytes(channels[i])};
    }
    US_TRY(us_gpu_down(gpu, pieces, count));
    for (int i = 0; i < count; i++) {
        gpu->api->keep(gpu->frame, planes[i].data);
        struct us_device_block block = {gpu->device, planes[i].data, pieces[i].bytes,
                                        gpu->api->release};
        us_device_put(channels[i], &block);
    }
    return NULL;
}
