#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/nn/dssim_cuda_internal.h"
#include "kernels/nn/loss_cuda.h"

#define THREADS 256
#define CHUNK 1024 /* pixels of a block */
#define MOST_PLANES 65535

namespace {
/* Sums that blocks leave for the last kernel. */
struct partial {
    double *pixels; /* [2][blocks]: squares, weighted absolutes */
    double *masks;  /* [blocks] */
    double *ssim[2];
    unsigned pixel_blocks, mask_blocks, ssim_blocks[2];
};

struct factors {
    float square, absolute, priority; /* of a pixel's gradient */
    float base, base_priority;        /* weights in the term */
};

struct totals {
    double dssim, dssim_offset, square, absolute, mask; /* factors of the sums */
    double ssim[2];
};
} // namespace

/* Squared and weighted absolute errors of a part of a plane, and their gradient. Reads image,
 * target, soft mask and priority, writes the gradient. */
static __global__ void pixel_errors(struct nn_cuda_loss_images im, const float *soft,
                                    struct factors f, bool finish, unsigned area,
                                    struct partial out) {
    const size_t base = (size_t)blockIdx.y * area, mask = (size_t)(blockIdx.y / 3) * area;
    double squares = 0, absolutes = 0;
    for (unsigned k = 0; k < CHUNK; k += THREADS) {
        const unsigned i = blockIdx.x * CHUNK + k + threadIdx.x;
        if (i >= area) {
            break;
        }
        const float s = soft ? soft[mask + i] : 1;
        const float d = im.image[base + i] * s - im.target[base + i] * s;
        const float p = im.priority ? im.priority[mask + i] : 0;
        squares += (double)(d * d);
        absolutes += (double)((f.base + f.base_priority * p) * fabsf(d));
        if (im.image_gradient) {
            const float slope = f.absolute + f.priority * p;
            const float g = f.square * d + (d > 0 ? slope : d < 0 ? -slope : 0);
            im.image_gradient[base + i] = finish ? g * s : g;
        }
    }
    squares = us_block_sum<THREADS>(squares);
    absolutes = us_block_sum<THREADS>(absolutes);
    if (threadIdx.x == 0) {
        const unsigned block = blockIdx.y * gridDim.x + blockIdx.x;
        out.pixels[block] = squares;
        out.pixels[out.pixel_blocks + block] = absolutes;
    }
}

static __global__ void mask_errors(struct nn_cuda_loss_images im, float scale, size_t total,
                                   double *sums) {
    double squares = 0;
    for (unsigned k = 0; k < CHUNK; k += THREADS) {
        const size_t i = (size_t)blockIdx.x * CHUNK + k + threadIdx.x;
        if (i >= total) {
            break;
        }
        const float d = im.mask[i] - im.target_mask[i];
        squares += (double)(d * d);
        if (im.mask_gradient) {
            im.mask_gradient[i] = scale * d;
        }
    }
    squares = us_block_sum<THREADS>(squares);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = squares;
    }
}

static __device__ double sum_of(const double *values, unsigned count) {
    double sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += THREADS) {
        sum += values[i];
    }
    return us_block_sum<THREADS>(sum);
}

static __global__ void add_up(struct partial p, struct totals t, struct us_nn_loss_terms *terms) {
    const double squares = sum_of(p.pixels, p.pixel_blocks);
    const double absolutes = sum_of(p.pixels + p.pixel_blocks, p.pixel_blocks);
    const double masks = sum_of(p.masks, p.mask_blocks);
    const double first = sum_of(p.ssim[0], p.ssim_blocks[0]);
    const double second = sum_of(p.ssim[1], p.ssim_blocks[1]);
    if (threadIdx.x == 0) {
        terms->dssim = t.dssim_offset - t.ssim[0] * first - t.ssim[1] * second;
        terms->square = t.square * squares;
        terms->absolute = t.absolute * absolutes;
        terms->mask = t.mask * masks;
        terms->total = terms->dssim + terms->square + terms->absolute + terms->mask;
        terms->adversarial = terms->judge = 0;
    }
}

/* One call's sizes and where its scratch lies. */
namespace {
struct run {
    struct us_nn_loss_weights weights;
    int size, count, windows;
    size_t area;
    struct nn_cuda_dssim dssim[2];
    float *soft, *half, *maps;
    struct partial partial;
};
} // namespace

/* The next part of the scratch, at a multiple of 16; NULL while only its size is asked for. */
static void *take(char *scratch, size_t *used, size_t bytes) {
    void *part = scratch ? scratch + *used : NULL;
    *used += (bytes + 15) / 16 * 16;
    return part;
}

/* Returns the bytes of scratch. */
static size_t plan(struct run *r, const struct us_nn_loss_weights *weights, int size, int count,
                   void *scratch) {
    *r = {};
    r->weights = *weights;
    r->size = size;
    r->count = count;
    r->area = (size_t)size * (size_t)size;
    r->windows = size >= 256 ? 2 : 1;
    const float range = weights->range > 0 ? weights->range : 1;
    r->dssim[0] = nn_cuda_dssim_of(size, size < 32 ? 3 : (int)(size / 11.6), range);
    r->dssim[1] = nn_cuda_dssim_of(size, (int)(size / 23.2), range);
    const size_t masks = r->area * (size_t)count, each = sizeof(double);
    struct partial *p = &r->partial;
    p->pixel_blocks = us_blocks(r->area, CHUNK) * 3 * (unsigned)count;
    p->mask_blocks = us_blocks(masks, CHUNK);
    char *base = (char *)scratch;
    size_t used = 0;
    p->pixels = (double *)take(base, &used, 2 * each * p->pixel_blocks);
    p->masks = (double *)take(base, &used, each * p->mask_blocks);
    for (int w = 0; w < r->windows; w++) {
        p->ssim_blocks[w] = (unsigned)nn_cuda_dssim_blocks(&r->dssim[w], 3 * count);
        p->ssim[w] = (double *)take(base, &used, each * p->ssim_blocks[w]);
    }
    r->soft = (float *)take(base, &used, masks * sizeof(float));
    r->half = (float *)take(base, &used, masks * sizeof(float));
    const size_t maps[2] = {nn_cuda_dssim_maps(&r->dssim[0], 3 * count),
                            nn_cuda_dssim_maps(&r->dssim[1], 3 * count)};
    const size_t most = r->windows > 1 && maps[1] > maps[0] ? maps[1] : maps[0];
    r->maps = (float *)take(base, &used, most * sizeof(float));
    return used;
}

size_t nn_cuda_loss_scratch(int size, int count) {
    const struct us_nn_loss_weights any = {};
    struct run r;
    return plan(&r, &any, size, count, NULL);
}

static cudaError_t structure(const struct run *r, const struct nn_cuda_loss_images *images,
                             const float *soft, float scale, cudaStream_t stream) {
    const struct nn_cuda_dssim_planes planes = {images->image, images->target, soft, 3 * r->count};
    for (int w = 0; w < r->windows; w++) {
        const struct nn_cuda_dssim *d = &r->dssim[w];
        float *maps = images->image_gradient ? r->maps : NULL;
        US_CUDA_TRY(nn_cuda_dssim_forward(d, &planes, maps, r->partial.ssim[w], stream));
        if (maps) {
            const float weight = scale * r->weights.dssim / (float)r->windows /
                                 (float)(3 * r->count) * -0.5f / (float)(d->inner * d->inner);
            US_CUDA_TRY(nn_cuda_dssim_backward(d, &planes, maps, weight, w == r->windows - 1,
                                               images->image_gradient, stream));
        }
    }
    return cudaSuccess;
}

static struct totals totals_of(const struct run *r) {
    const double area = (double)r->area, planes = 3.0 * r->count;
    struct totals t = {};
    t.square = (double)r->weights.square / (planes * area);
    t.absolute = 1 / (planes * area);
    t.mask = (double)r->weights.mask / (r->count * area);
    if (r->weights.dssim > 0) {
        t.dssim_offset = (double)r->weights.dssim / 2;
        for (int w = 0; w < r->windows; w++) {
            const double inner = r->dssim[w].inner;
            t.ssim[w] = t.dssim_offset / (planes * r->windows * inner * inner);
        }
    }
    return t;
}

cudaError_t nn_cuda_loss(const struct us_nn_loss_weights *weights, int size, int count, float scale,
                         const struct nn_cuda_loss_images *images, struct us_nn_loss_terms *terms,
                         void *scratch, cudaStream_t stream) {
    if (size < 4 || size > 1024 || count < 1 || 3 * count > MOST_PLANES) {
        return cudaErrorInvalidValue;
    }
    struct run r;
    plan(&r, weights, size, count, scratch);
    const bool structured = weights->dssim > 0;
    const float *soft = weights->masked ? r.soft : NULL;
    if (soft) {
        US_CUDA_TRY(nn_cuda_soft_mask(images->target_mask, size, count, r.half, r.soft, stream));
    }
    const float each = scale / ((float)r.area * 3 * (float)count);
    const struct factors f = {2 * weights->square * each, weights->absolute * each,
                              weights->priority * each, weights->absolute, weights->priority};
    const dim3 blocks(us_blocks(r.area, CHUNK), 3 * (unsigned)count);
    US_CUDA_TRY(US_LAUNCH(pixel_errors, blocks, THREADS, stream, *images, soft, f, !structured,
                          (unsigned)r.area, r.partial));
    if (structured) {
        US_CUDA_TRY(structure(&r, images, soft, scale, stream));
    } else {
        r.partial.ssim_blocks[0] = r.partial.ssim_blocks[1] = 0;
    }
    if (images->mask) {
        const float slope = scale * 2 * weights->mask / ((float)r.area * (float)count);
        US_CUDA_TRY(US_LAUNCH(mask_errors, r.partial.mask_blocks, THREADS, stream, *images, slope,
                              r.area * (size_t)count, r.partial.masks));
    } else {
        r.partial.mask_blocks = 0;
    }
    return US_LAUNCH(add_up, 1, THREADS, stream, r.partial, totals_of(&r), terms);
}
