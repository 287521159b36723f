/* Convolutions and dense layers on the device, through cuDNN's graph interface.
 *
 * A planner belongs to one device. It asks cuDNN for every way to compute a convolution, times them
 * on the device, and remembers the fastest in a folder, so that the next process starts at once.
 * A plan is one convolution of fixed shape; running it only enqueues work on the caller's stream,
 * allocates nothing and may be captured into a CUDA graph.
 *
 * Layout: activations [n][height][width][channels], weights [out][kernel_h][kernel_w][in], all
 * dense, of `type`; bias [out] always f32. Sums are f32. Every pointer is 16-byte aligned device
 * memory. Channels are multiples of 8.
 *
 * With leaky(v) = v > 0 ? v : slope v, and x read as 0 outside the image:
 *
 *   FORWARD          y[n,p,q,k] = leaky(sum over r,s,c of x[n, p stride - top + r,
 *                                 q stride - left + s, c] w[k,r,s,c] + bias[k] + residual[n,p,q,k])
 *   DATA_GRADIENT    dx[n,h,w,c] = (sum over k,r,s of dy[n,p,q,k] w[k,r,s,c] where
 *                                 p stride - top + r = h and q stride - left + s = w,
 *                                 + residual[n,h,w,c]) (x[n,h,w,c] > 0 ? 1 : slope)
 *                    x is what FORWARD read: the output of the layer below, whose sign is that of
 *                    its argument. So dx is the gradient before that layer's leaky ReLU.
 *   WEIGHT_GRADIENT  dw[k,r,s,c] = sum over n,p,q of dy[n,p,q,k] x[n, p stride - top + r,
 *                                 q stride - left + s, c]
 *
 * Rounding to `type` happens once, at the end, or also before the bias, the residual and the slope
 * are applied: whichever is faster. Results are the same for the same plan, run after run; another
 * plan may differ in the last bits. The bias gradient is not computed here.
 *
 * A dense layer is a convolution of 1 x 1 images with a 1 x 1 kernel.
 *
 * Only files of the CUDA module include this. tests/support has a plain C stand-in of these
 * functions for machines without a device. */
#ifndef US_KERNELS_CUDA_CONV_PLAN_H
#define US_KERNELS_CUDA_CONV_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/nn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum us_conv_op { US_CONV_FORWARD, US_CONV_DATA_GRADIENT, US_CONV_WEIGHT_GRADIENT };
enum us_conv_type { US_CONV_F32, US_CONV_BF16 };

struct us_conv_desc {
    enum us_conv_op op;
    enum us_conv_type type;
    int batch;
    int in_height, in_width, in_channels;    /* of x and dx */
    int out_height, out_width, out_channels; /* of y and dy */
    int kernel_height, kernel_width, stride;
    int pad_top, pad_left, pad_bottom, pad_right;
    bool bias;     /* FORWARD only */
    bool residual; /* FORWARD and DATA_GRADIENT */
    float slope;   /* FORWARD and DATA_GRADIENT; 1: no leaky ReLU */
    bool tf32;     /* with f32: tensor cores may round the factors to TF32 */
};

/* Fills output size and paddings for "same": out = ceil(in / stride), an odd total has the extra
 * row or column at the end. */
void us_conv_desc_same(struct us_conv_desc *desc);
/* NULL when the numbers can be those of a convolution, else one clause. */
const char *us_conv_desc_problem(const struct us_conv_desc *desc);

struct us_conv_planner;
struct us_conv_plan;

/* A planner for CUDA device `device`, or, when `device_json` is given, for a device that need not
 * be here: plans can then be made but not run, and the first one that cuDNN offers is taken.
 * `cache_folder` (NULL: remember nothing) is made when it is missing; what lies in it and is
 * damaged, or was made for another device or library, is ignored and made again. Several processes
 * may share it. A planner is used by one thread at a time. After a failure *planner holds the
 * problem, or is NULL; destroy it. */
enum us_nn_status us_conv_planner_create(int device, const char *device_json,
                                         const char *cache_folder,
                                         struct us_conv_planner **planner);
void us_conv_planner_destroy(struct us_conv_planner *planner); /* after its plans; NULL is fine */
/* Why the last call that took this planner, or a plan of it, failed; "" when none did. */
const char *us_conv_planner_problem(const struct us_conv_planner *planner);

/* US_NN_BAD_CONFIG: the shapes contradict each other; US_NN_UNSUPPORTED: cuDNN offers no way. */
enum us_nn_status us_conv_plan_create(struct us_conv_planner *planner,
                                      const struct us_conv_desc *desc, struct us_conv_plan **plan);
void us_conv_plan_destroy(struct us_conv_plan *plan); /* NULL is fine */

/* Plans of many convolutions, prepared by all processor cores at once: what cuDNN compiles takes up
 * to seconds each. All or none: after a failure every `plan` is NULL. */
struct us_conv_job {
    struct us_conv_desc desc;
    struct us_conv_plan *plan; /* set */
};
enum us_nn_status us_conv_plans_create(struct us_conv_planner *planner, struct us_conv_job *jobs,
                                       int count);

/* Bytes that us_conv_plan_run may overwrite; plans that run one after another may share them. */
size_t us_conv_plan_workspace(const struct us_conv_plan *plan);

/* What the op's formula does not name is ignored and may be NULL. No buffer may overlap `out`. */
struct us_conv_buffers {
    const void *x, *w, *dy, *residual;
    const float *bias;
    void *out; /* y, dx or dw */
    void *workspace;
};

/* Enqueues on `stream`, a cudaStream_t. */
enum us_nn_status us_conv_plan_run(struct us_conv_plan *plan, void *stream,
                                   const struct us_conv_buffers *buffers);

/* What was chosen, for logs and tests. */
struct us_conv_plan_info {
    bool cached;        /* found in the folder */
    bool fused;         /* bias, residual and slope are inside cuDNN's kernel */
    bool matmul;        /* computed as a matrix product */
    int candidates;     /* that were finalised when it was chosen */
    int wrong;          /* of these: gave wrong numbers */
    int rank;           /* the chosen one's among them, from 0 on, as cuDNN ordered them */
    float microseconds; /* of the chosen one when it was timed; 0: never timed */
};
struct us_conv_plan_info us_conv_plan_describe(const struct us_conv_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
