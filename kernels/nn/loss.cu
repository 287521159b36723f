#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/nn/dssim_cuda_internal.h"
#include "kernels/nn/loss_cuda.h"

#define THREADS 256
#define CHUNK (4 * THREADS) /* pixels of a block */
#define AHEAD 12            /* sums of blocks under way a thread of the last kernel */
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

/* Four places, or as many as are left, the others 0; `whole`: they lie at a multiple of 16 bytes.
 */
static __device__ float4 load_four(const float *from, unsigned left, bool whole) {
    if (whole) {
        return *(const float4 *)from;
    }
    return make_float4(from[0], left > 1 ? from[1] : 0, left > 2 ? from[2] : 0,
                       left > 3 ? from[3] : 0);
}

static __device__ void store_four(float *to, unsigned left, bool whole, const float v[4]) {
    if (whole) {
        *(float4 *)to = make_float4(v[0], v[1], v[2], v[3]);
        return;
    }
    US_UNROLL
    for (unsigned k = 0; k < 4; k++) {
        if (k < left) {
            to[k] = v[k];
        }
    }
}

/* A pixel's gradient, and what it adds to the sums. */
static __device__ float pixel_error(const struct factors &f, float x, float y, float s, float p,
                                    float *square, float *absolute) {
    const float d = x * s - y * s, slope = f.absolute + f.priority * p;
    *square += d * d;
    *absolute += (f.base + f.base_priority * p) * fabsf(d);
    return f.square * d + (d > 0 ? slope : d < 0 ? -slope : 0);
}

/* Squared and weighted absolute errors of a part of a plane, and their gradient: four pixels a
 * thread. Reads image, target, soft mask and priority, writes the gradient. */
static __global__ void __launch_bounds__(THREADS)
    pixel_errors(struct nn_cuda_loss_images im, const float *soft, struct factors f, bool finish,
                 bool whole, unsigned area, struct partial out) {
    const size_t base = (size_t)blockIdx.y * area, mask = (size_t)(blockIdx.y / 3) * area;
    const unsigned i = blockIdx.x * CHUNK + 4 * threadIdx.x;
    double squares = 0, absolutes = 0;
    if (i < area) {
        const unsigned left = area - i;
        const float4 x = load_four(im.image + base + i, left, whole);
        const float4 y = load_four(im.target + base + i, left, whole);
        float4 s = make_float4(1, 1, 1, 1), p = make_float4(0, 0, 0, 0);
        if (soft) {
            s = load_four(soft + mask + i, left, whole);
        }
        if (im.priority) {
            p = load_four(im.priority + mask + i, left, whole);
        }
        float square = 0, absolute = 0;
        float g[4] = {pixel_error(f, x.x, y.x, s.x, p.x, &square, &absolute),
                      pixel_error(f, x.y, y.y, s.y, p.y, &square, &absolute),
                      pixel_error(f, x.z, y.z, s.z, p.z, &square, &absolute),
                      pixel_error(f, x.w, y.w, s.w, p.w, &square, &absolute)};
        squares = (double)square, absolutes = (double)absolute;
        if (im.image_gradient) {
            if (finish) {
                g[0] *= s.x, g[1] *= s.y, g[2] *= s.z, g[3] *= s.w;
            }
            store_four(im.image_gradient + base + i, left, whole, g);
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

static __global__ void __launch_bounds__(THREADS)
    mask_errors(struct nn_cuda_loss_images im, float scale, bool whole, size_t total,
                double *sums) {
    const size_t i = (size_t)blockIdx.x * CHUNK + 4 * threadIdx.x;
    double squares = 0;
    if (i < total) {
        const unsigned left = total - i < 4 ? (unsigned)(total - i) : 4;
        const float4 x = load_four(im.mask + i, left, whole);
        const float4 y = load_four(im.target_mask + i, left, whole);
        const float d[4] = {x.x - y.x, x.y - y.y, x.z - y.z, x.w - y.w};
        squares = (double)(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + d[3] * d[3]);
        if (im.mask_gradient) {
            const float g[4] = {scale * d[0], scale * d[1], scale * d[2], scale * d[3]};
            store_four(im.mask_gradient + i, left, whole, g);
        }
    }
    squares = us_block_sum<THREADS>(squares);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = squares;
    }
}

static __device__ double sum_of(const double *values, unsigned count) {
    double sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += AHEAD * THREADS) {
        double v[AHEAD];
        US_UNROLL
        for (unsigned k = 0; k < AHEAD; k++) {
            v[k] = i + k * THREADS < count ? values[i + k * THREADS] : 0;
        }
        US_UNROLL
        for (unsigned k = 0; k < AHEAD; k++) {
            sum += v[k];
        }
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

/* Every plane at a multiple of 16 bytes? */
static bool lie_whole(const struct nn_cuda_loss_images *im) {
    const float *all[] = {im->image,    im->mask,           im->target,       im->target_mask,
                          im->priority, im->image_gradient, im->mask_gradient};
    size_t bits = 0;
    for (const float *one : all) {
        bits |= (size_t)one;
    }
    return bits % 16 == 0;
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
    const bool whole = r.area % 4 == 0 && lie_whole(images);
    US_CUDA_TRY(US_LAUNCH(pixel_errors, blocks, THREADS, stream, *images, soft, f, !structured,
                          whole, (unsigned)r.area, r.partial));
    if (structured) {
        US_CUDA_TRY(structure(&r, images, soft, scale, stream));
    } else {
        r.partial.ssim_blocks[0] = r.partial.ssim_blocks[1] = 0;
    }
    if (images->mask) {
        const float slope = scale * 2 * weights->mask / ((float)r.area * (float)count);
        US_CUDA_TRY(US_LAUNCH(mask_errors, r.partial.mask_blocks, THREADS, stream, *images, slope,
                              whole, r.area * (size_t)count, r.partial.masks));
    } else {
        r.partial.mask_blocks = 0;
    }
    return US_LAUNCH(add_up, 1, THREADS, stream, r.partial, totals_of(&r), terms);
}
