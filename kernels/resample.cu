#include <cuda_runtime.h>

extern "C" {
#include "kernels/resample.h"
}
#include "kernels/cuda/grid_internal.h"
#include "kernels/resample_internal.h"

struct job {
    struct us_view source[US_RESAMPLE_PLANES], destination[US_RESAMPLE_PLANES];
    int count;
    double m[6];
    enum us_filter filter;
    struct axis u, v;
};

/* One coordinate's taps, whose weights are computed as they are wanted. */
struct spot {
    double centre, first, last, sum;
    int32_t taps, only; /* how many count; the last of them */
};

static __device__ struct spot place(const struct axis *axis, enum us_filter filter, double at) {
    struct spot s = {0, 0, 0, 0, 0, 0};
    at = axis_bounded(axis, at);
    if (filter == US_FILTER_NEAREST) {
        s.taps = 1;
        s.only = repeat_edge(floor(at), axis->size);
        return s;
    }
    s.centre = at - 0.5;
    s.first = floor(s.centre - axis->reach) + 1.0;
    s.last = s.centre + axis->reach;
    for (double i = s.first; i < s.last; i += axis->step) {
        double weight = filter_at(filter, (i - s.centre) / axis->stretch);
        s.sum += weight;
        if (fabs(weight) > RESAMPLE_LEAST) {
            s.taps++;
            s.only = repeat_edge(i, axis->size);
        }
    }
    return s;
}

static __device__ double weight_at(const struct axis *axis, enum us_filter filter,
                                   const struct spot *s, double i) {
    double weight = filter_at(filter, (i - s->centre) / axis->stretch);
    return fabs(weight) > RESAMPLE_LEAST ? weight / s->sum : 0.0;
}

static __device__ void weigh(const struct job *job, const struct spot *x, const struct spot *y,
                             double sums[US_RESAMPLE_PLANES]) {
    for (double j = y->first; j < y->last; j += job->v.step) {
        double down = weight_at(&job->v, job->filter, y, j);
        double part[US_RESAMPLE_PLANES] = {0, 0, 0, 0};
        int32_t row = repeat_edge(j, job->v.size);
        if (down == 0.0) {
            continue;
        }
        for (double i = x->first; i < x->last; i += job->u.step) {
            double across = weight_at(&job->u, job->filter, x, i);
            int32_t column = repeat_edge(i, job->u.size);
            if (across == 0.0) {
                continue;
            }
            for (int p = 0; p < US_RESAMPLE_PLANES; p++) {
                if (p < job->count) {
                    const struct us_view *v = &job->source[p];
                    part[p] += across * (double)v->data[row * v->stride + column];
                }
            }
        }
        for (int p = 0; p < US_RESAMPLE_PLANES; p++) {
            sums[p] += down * part[p];
        }
    }
}

static __global__ void resample(struct job job) {
    const struct us_view out = job.destination[0];
    size_t at = grid_index();
    if (at >= (size_t)out.width * (size_t)out.height) {
        return;
    }
    int32_t px = (int32_t)(at % (size_t)out.width), py = (int32_t)(at / (size_t)out.width);
    double x = px + 0.5, y = py + 0.5;
    struct spot u = place(&job.u, job.filter, job.m[0] * x + job.m[1] * y + job.m[2]);
    struct spot v = place(&job.v, job.filter, job.m[3] * x + job.m[4] * y + job.m[5]);
    double sums[US_RESAMPLE_PLANES] = {0, 0, 0, 0};
    bool copies = u.taps == 1 && v.taps == 1;
    if (!copies) {
        weigh(&job, &u, &v, sums);
    }
    for (int p = 0; p < job.count; p++) {
        const struct us_view *from = &job.source[p], *to = &job.destination[p];
        float copied = copies ? from->data[v.only * from->stride + u.only] : 0.0f;
        to->data[py * to->stride + px] = copies ? copied : (float)sums[p];
    }
}

void us_resample_affine_cuda(const struct us_view *source, const struct us_view *destination,
                             int count, const double m[6], enum us_filter filter, void *stream) {
    struct job job;
    job.count = count;
    job.filter = filter;
    for (int p = 0; p < count; p++) {
        job.source[p] = source[p];
        job.destination[p] = destination[p];
    }
    for (int i = 0; i < 6; i++) {
        job.m[i] = m[i];
    }
    axis_prepare(&job.u, filter, source[0].width, m[0], m[1]);
    axis_prepare(&job.v, filter, source[0].height, m[3], m[4]);
    GRID_LAUNCH(resample, (size_t)destination[0].width * (size_t)destination[0].height, stream,
                job);
}
