#include <string.h>

#include "kernels/cuda/op_run_internal.h"
#include "kernels/nn/head_cuda.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/norm_cuda.h"
#include "kernels/nn/pointwise_cuda.h"
#include "kernels/nn/shape_ops_cuda.h"

/* Buffers of one operation on the device; y and pull are planar floats for a head. */
struct place {
    const struct us_nn_op_call *call;
    enum nn_cuda_type type;
    struct us_desk_map x, y;
    void *in, *in2, *out, *pull, *back, *back2;
    cudaStream_t stream;
};

typedef void run_function(struct us_desk *desk, const struct place *p);

static struct nn_cuda_map map_of(const struct us_desk_map *map) {
    return (struct nn_cuda_map){map->n, map->h, map->w, us_desk_padded(map->c)};
}

static void run_shuffle(struct us_desk *desk, const struct place *p) {
    const struct nn_cuda_map map = {p->x.n, p->x.h, p->x.w, us_desk_padded(p->y.c)};
    us_desk_check(desk, nn_cuda_shuffle_forward(p->type, p->in, NULL, p->call->slope, p->out, &map,
                                                p->stream));
    us_desk_check(desk, nn_cuda_shuffle_backward(p->type, p->pull, NULL, p->out, p->call->slope,
                                                 p->back, &map, p->stream));
}

static void run_norm(struct us_desk *desk, const struct place *p) {
    const size_t n = (size_t)p->x.n, count = us_desk_elements(&p->x) / n;
    const size_t real = (size_t)(p->x.c * p->x.h * p->x.w);
    float *scales = us_desk_block(desk, n * sizeof *scales);
    void *scratch = us_desk_block(desk, nn_cuda_norm_scratch(p->x.n));
    if (!desk->status) {
        us_desk_check(desk, nn_cuda_norm_forward(p->type, p->in, p->out, scales, p->x.n, count,
                                                 real, scratch, p->stream));
        us_desk_check(desk, nn_cuda_norm_backward(p->type, p->pull, NULL, p->out, scales, p->back,
                                                  p->x.n, count, real, scratch, p->stream));
    }
}

static void run_head(struct us_desk *desk, const struct place *p) {
    const struct nn_cuda_head head = {p->x.n, p->call->channels, us_desk_padded(p->x.c), p->x.h,
                                      p->x.w, p->call->factor};
    us_desk_check(desk, nn_cuda_head_forward(p->type, p->in, NULL, p->out, &head, p->stream));
    us_desk_check(desk, nn_cuda_head_backward(p->type, p->pull, p->out, p->back, &head, p->stream));
}

static void run_cosine(struct us_desk *desk, const struct place *p) {
    const size_t count = us_desk_elements(&p->x);
    us_desk_check(desk, nn_cuda_cosine_forward(p->type, p->in, p->out, count, p->stream));
    us_desk_check(
        desk, nn_cuda_cosine_backward(p->type, p->pull, NULL, p->in, p->back, count, p->stream));
}

static void run_pool(struct us_desk *desk, const struct place *p) {
    const struct nn_cuda_map map = map_of(&p->x);
    us_desk_check(desk, nn_cuda_pool_forward(p->type, p->in, p->out, &map, p->stream));
    us_desk_check(desk,
                  nn_cuda_pool_backward(p->type, p->pull, NULL, p->in, p->back, &map, p->stream));
}

static void run_upsample(struct us_desk *desk, const struct place *p) {
    const struct nn_cuda_map map = map_of(&p->x);
    us_desk_check(desk, nn_cuda_upsample_forward(p->type, p->in, p->out, &map, p->stream));
    us_desk_check(desk,
                  nn_cuda_upsample_backward(p->type, p->pull, NULL, p->back, &map, p->stream));
}

/* Both parts have whole groups of eight channels. */
static void run_concat(struct us_desk *desk, const struct place *p) {
    const size_t rows = (size_t)(p->x.n * p->x.h * p->x.w);
    const int c = p->x.c;
    void *const parts[2] = {p->in, p->in2}, *const backs[2] = {p->back, p->back2};
    for (int i = 0; i < 2; i++) {
        us_desk_check(desk, nn_cuda_copy_channels(p->type, parts[i], c, 0, p->out, 2 * c, i * c, c,
                                                  rows, p->stream));
        us_desk_check(desk, nn_cuda_copy_channels(p->type, p->pull, 2 * c, i * c, backs[i], c, 0, c,
                                                  rows, p->stream));
    }
}

static void run_blend(struct us_desk *desk, const struct place *p) {
    const size_t count = us_desk_elements(&p->x);
    const float *fade = us_desk_bytes(desk, &p->call->fade, sizeof *fade);
    if (!desk->status) {
        us_desk_check(
            desk, nn_cuda_blend_forward(p->type, p->in, p->in2, fade, p->out, count, p->stream));
        us_desk_check(desk, nn_cuda_blend_backward(p->type, p->pull, fade, p->back, p->back2, count,
                                                   p->stream));
    }
}

static run_function *const runs[] = {
    [US_NN_OP_DEPTH_TO_SPACE] = run_shuffle,
    [US_NN_OP_NORM] = run_norm,
    [US_NN_OP_HEAD] = run_head,
    [US_NN_OP_COSINE] = run_cosine,
    [US_NN_OP_POOL] = run_pool,
    [US_NN_OP_UPSAMPLE] = run_upsample,
    [US_NN_OP_CONCAT] = run_concat,
    [US_NN_OP_BLEND] = run_blend,
};

/* Canonical channels of x to or from the four groups of depth-to-space, each padded by itself. */
static size_t grouped_place(const struct place *p, size_t index) {
    const size_t area = (size_t)(p->x.h * p->x.w), group = (size_t)p->call->c / 4;
    const size_t c = index / area % (size_t)p->call->c, n = index / area / (size_t)p->call->c;
    const size_t padded = (size_t)p->x.c / 4;
    return (n * (size_t)p->x.c + c / group * padded + c % group) * area + index % area;
}

static void upload(struct us_desk *desk, struct place *p, float *grouped, size_t count) {
    const struct us_nn_op_call *call = p->call;
    const float *x = call->x;
    if (grouped) {
        for (size_t i = 0; i < count; i++) {
            grouped[grouped_place(p, i)] = x[i];
        }
        x = grouped;
    }
    const size_t outputs = (size_t)(p->y.n * p->y.c * p->y.h * p->y.w);
    const bool planes = call->op == US_NN_OP_HEAD;
    p->stream = desk->stream;
    p->in = us_desk_upload(desk, p->type, x, &p->x);
    p->in2 = call->x2 ? us_desk_upload(desk, p->type, call->x2, &p->x) : NULL;
    p->pull = planes ? us_desk_bytes(desk, call->pull, outputs * sizeof(float))
                     : us_desk_upload(desk, p->type, call->pull, &p->y);
    p->out =
        planes ? us_desk_block(desk, outputs * sizeof(float)) : us_desk_room(desk, p->type, &p->y);
    p->back = us_desk_room(desk, p->type, &p->x);
    p->back2 = call->x2 ? us_desk_room(desk, p->type, &p->x) : NULL;
}

static void download(struct us_desk *desk, const struct place *p, float *grouped, size_t count) {
    const struct us_nn_op_call *call = p->call;
    if (call->op == US_NN_OP_HEAD) {
        us_desk_read(desk, p->out, call->y,
                     (size_t)(p->y.n * p->y.c * p->y.h * p->y.w) * sizeof(float));
    } else {
        us_desk_download(desk, p->type, p->out, call->y, &p->y);
    }
    us_desk_download(desk, p->type, p->back, grouped ? grouped : call->x_gradient, &p->x);
    for (size_t i = 0; grouped && i < count && !desk->status; i++) {
        call->x_gradient[i] = grouped[grouped_place(p, i)];
    }
    if (call->x2) {
        us_desk_download(desk, p->type, p->back2, call->x2_gradient, &p->x);
    }
}

enum us_nn_status us_op_run_shape(const struct us_nn_op_call *call) {
    const struct us_nn_op_sizes s = us_nn_op_sizes(call, call->x2 != NULL);
    struct place p = {.call = call,
                      .type = call->bf16 ? NN_CUDA_BF16 : NN_CUDA_F32,
                      .x = {call->n, call->c, call->h, call->w},
                      .y = {call->n, s.y_c, s.y_h, s.y_w}};
    float *grouped = NULL;
    if (call->op == US_NN_OP_CONCAT && call->c % 8 != 0) {
        return US_NN_UNSUPPORTED;
    }
    if (call->op == US_NN_OP_DEPTH_TO_SPACE) {
        p.x.c = 4 * us_desk_padded(call->c / 4);
        grouped = us_nn_alloc(us_desk_elements(&p.x) * sizeof *grouped);
        if (!grouped) {
            return US_NN_NO_MEMORY;
        }
    }
    struct us_desk desk;
    us_desk_open(&desk);
    upload(&desk, &p, grouped, s.x);
    if (!desk.status) {
        runs[call->op](&desk, &p);
    }
    download(&desk, &p, grouped, s.x);
    us_nn_free(grouped);
    return us_desk_close(&desk);
}
