/* Image work on a device, as the CUDA module offers it: memory, transfers, kernels, small networks.
 *
 *     US_TRY... api->open(device, &frame);
 *     float *plane = api->take(frame, bytes);        (NULL: no memory)
 *     api->up(frame, plane, pixels, bytes);
 *     api->log_encode(plane, plane, count, api->stream(frame));
 *     status = api->down(frame, &piece, 1);          (waits; tells what went wrong until here)
 *     api->close(frame);
 *
 * A frame is one thread's line of work on one device: its own stream, its own memory. Everything is
 * enqueued; `down` and `close` wait. Between `open` and `close` the thread's device is that one.
 * The first error is kept until `down`, `wait` or `close` gives it. */
#ifndef US_KERNELS_CUDA_FRAME_API_H
#define US_KERNELS_CUDA_FRAME_API_H

#include "kernels/blend.h"
#include "kernels/colour.h"
#include "kernels/expose.h"
#include "kernels/nn/status.h"
#include "kernels/nn/tflite_net.h"
#include "kernels/resample.h"
#include "kernels/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

struct us_cuda_frame;
struct us_cuda_net;

/* Of one device since the module was loaded. A transfer is one call of `up` or one piece of `down`.
 */
struct us_cuda_frame_stats {
    uint64_t bytes_up, bytes_down, transfers_up, transfers_down;
};

struct us_cuda_piece {
    const void *from; /* device */
    void *to;         /* host */
    size_t bytes;
};

struct us_cuda_frame_api {
    /* Takes an idle line of work or makes one; US_NN_FAILED leaves its clause in problem(). */
    enum us_nn_status (*open)(int device, struct us_cuda_frame **frame);
    /* Waits, gives back what was taken. */
    enum us_nn_status (*close)(struct us_cuda_frame *frame);
    /* Waits for all that was enqueued. */
    enum us_nn_status (*wait)(struct us_cuda_frame *frame);
    void *(*stream)(struct us_cuda_frame *frame);
    /* What this thread's last failed call failed for; one clause. */
    const char *(*problem)(void);

    /* Memory until `close`, not cleared; NULL when there is none. */
    void *(*take)(struct us_cuda_frame *frame, size_t bytes);
    /* A taken block becomes the caller's, who ends it with `release` when nothing uses it. */
    void (*keep)(struct us_cuda_frame *frame, void *block);
    void (*release)(int device, void *block, size_t bytes);
    void (*clear)(struct us_cuda_frame *frame, void *block, size_t bytes);
    /* `from` may be changed on return. */
    void (*up)(struct us_cuda_frame *frame, void *to, const void *from, size_t bytes);
    enum us_nn_status (*down)(struct us_cuda_frame *frame, const struct us_cuda_piece *pieces,
                              int count);
    void (*stats)(int device, struct us_cuda_frame_stats *stats);

    /* Copies the plan and its weights to the frame's device; for any frame of that device. */
    struct us_cuda_net *(*net_create)(struct us_cuda_frame *frame, const struct us_net_plan *plan);
    void (*net_destroy)(struct us_cuda_net *net);
    /* `count` images, whose blocks of plan->floats lie one after another in `memory`. */
    void (*net_run)(struct us_cuda_frame *frame, const struct us_cuda_net *net, float *memory,
                    int count);

    /* The kernels, each with the contract of the header that declares us_<name>_cuda. */
    void (*resample_affine)(const struct us_view *, const struct us_view *, int, const double[6],
                            enum us_filter, void *stream);
    size_t (*gaussian_blur_scratch)(int32_t, int32_t, double);
    void (*gaussian_blur)(struct us_view, struct us_view, double, float *, void *stream);
    size_t (*matte_grow_scratch)(int32_t, int32_t, double);
    void (*matte_grow)(struct us_view, struct us_view, double, float *, void *stream);
    void (*polygon_fill)(struct us_view, const double (*)[2], int, void *stream);
    void (*log_encode)(const float *, float *, size_t, void *stream);
    void (*log_decode)(const float *, float *, size_t, void *stream);
    void (*samples_read)(struct us_samples, int32_t, int32_t, float, struct us_view, void *stream);
    void (*samples_write)(struct us_samples, int32_t, int32_t, struct us_view,
                          const struct us_view *, void *stream);
    void (*samples_copy)(struct us_samples, int32_t, int32_t, struct us_samples, void *stream);
    void (*blend_cover)(const struct us_blend_frame *, struct us_view, void *stream);
    void (*blend_fill)(struct us_view, float, void *stream);
    void (*blend_multiply)(struct us_view, struct us_view, bool, void *stream);
    void (*blend_weigh)(struct us_view, struct us_view, void *stream);
    void (*blend_settle)(struct us_view, struct us_view, float, void *stream);
    void (*blend_mix)(struct us_view, struct us_view, struct us_view, void *stream);
    void (*blend_place)(const struct us_blend_frame *, bool, struct us_view, void *stream);
    void (*blend_clamp)(struct us_view, float, float, void *stream);
    size_t (*grain_scratch)(int32_t, int32_t);
    void (*grain_measure)(struct us_view, struct us_view, float *, double *, void *stream);
    void (*grain_add)(struct us_view, struct us_view, const double *, const double *, double,
                      uint64_t, int32_t, int32_t, void *stream);
    size_t (*expose_scratch)(int32_t, int32_t);
    void (*expose)(const struct us_view[3], const struct us_exposure *, float *, double *,
                   void *stream);
    size_t (*colour_scratch)(int32_t);
    void (*colour_gather)(const struct us_view[3], struct us_view, struct us_colour_sums *,
                          struct us_colour_sums *, void *stream);
    void (*colour_apply)(const struct us_colour_map *, const struct us_view[3], void *stream);
    void (*ssim_map)(struct us_view, struct us_view, struct us_view, double, float *, void *stream);
};

#ifdef __cplusplus
}
#endif

#endif
