/* A task's work on its device.
 *
 *     static struct us_error *work(struct us_gpu *gpu, void *context) {
 *         return gpu->api ? on_device(gpu, context) : on_processor(context);
 *     }
 *     US_TRY(us_gpu_run(task, work, &context));
 *
 * Kernels are called through `api` with `stream`, on memory taken from it; what goes wrong on the
 * device shows at the next us_gpu_down or at the end. */
#ifndef US_NODES_DEVICE_GPU_H
#define US_NODES_DEVICE_GPU_H

#include "kernels/cuda/frame_api.h"
#include "runtime/api/task.h"

struct us_gpu {
    const struct us_cuda_frame_api *api;
    struct us_cuda_frame *frame;
    void *stream;
    int device;
    bool failed; /* the device did, not the work */
    const struct us_channel **pinned;
    size_t pinned_count, pinned_capacity;
};

/* Does the work on the task's device, if it has one; where it has none (api is NULL) or the device
 * fails, on the processor, then with a warning. `work` may so be called twice, and must start anew.
 * A device without memory is US_DEVICE_FULL, which the run answers. */
struct us_error *us_gpu_run(struct us_task *task,
                            struct us_error *(*work)(struct us_gpu *gpu, void *context),
                            void *context) US_NODISCARD;

/* The parts of that: with device -1 `api` is NULL, and only us_gpu_close may be called. */
struct us_error *us_gpu_open(int device, struct us_gpu *gpu) US_NODISCARD;
/* Waits; gives `error`, or what went wrong on the device. */
struct us_error *us_gpu_close(struct us_gpu *gpu, struct us_error *error) US_NODISCARD;

/* The channel on the device: sent there if it was not. Valid until the end; the image must live as
 * long. */
struct us_error *us_gpu_channel(struct us_gpu *gpu, const struct us_channel *channel,
                                struct us_samples *samples) US_NODISCARD;
/* Memory until the end, not cleared. */
struct us_error *us_gpu_take(struct us_gpu *gpu, size_t bytes, void **block) US_NODISCARD;
struct us_error *us_gpu_planes(struct us_gpu *gpu, int32_t width, int32_t height, int count,
                               struct us_view *planes) US_NODISCARD;
/* Waits for everything and brings pixels back. */
struct us_error *us_gpu_down(struct us_gpu *gpu, const struct us_cuda_piece *pieces,
                             int count) US_NODISCARD;
/* Fills a new image's channels with planes of their size and type float, and leaves the planes on
 * the device as the channels' copies. Planes were each taken by us_gpu_take. */
struct us_error *us_gpu_publish(struct us_gpu *gpu, struct us_channel *const *channels,
                                const struct us_view *planes, int count) US_NODISCARD;

/* For tests: what to use instead of the module's. */
void us_gpu_use(const struct us_cuda_frame_api *api);

#endif
