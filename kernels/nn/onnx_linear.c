#include "kernels/nn/onnx_linear.h"

#include <omp.h>
#include <string.h>

#include "kernels/nn/dnnl_library.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/multiply_internal.h"

/* An array of the convolution in the library's layout, and as the network has it. */
struct end {
    dnnl_memory_desc_t inner, outer;
    dnnl_memory_t inner_memory, outer_memory;
    dnnl_primitive_t reorder; /* NULL when both layouts are one */
    size_t offset;            /* of the inner copy, in the scratch memory */
};

struct us_onnx_conv {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    struct end in, out;
    dnnl_memory_t weights, bias, scratchpad;
    void *weight_data, *bias_data;
    size_t weight_bytes, scratch, scratch_offset;
    int threads;
};

static enum us_nn_status status_of(dnnl_status_t status) {
    return status == dnnl_success         ? US_NN_OK
           : status == dnnl_out_of_memory ? US_NN_NO_MEMORY
           : status == dnnl_unimplemented ? US_NN_UNSUPPORTED
                                          : US_NN_FAILED;
}

#define TRY(call)                                              \
    do {                                                       \
        const enum us_nn_status try_status_ = status_of(call); \
        if (try_status_) {                                     \
            return try_status_;                                \
        }                                                      \
    } while (0)

static const dnnl_memory_desc_t *query(const struct us_onnx_conv *c, dnnl_query_t what, int index) {
    return dnnl_primitive_desc_query_md(c->desc, what, index);
}

/* The network's weights: [groups,] out, in, rows, columns. */
static dnnl_status_t describe_weights(const struct us_onnx_conv_shape *s, dnnl_memory_desc_t *plain,
                                      dnnl_memory_desc_t *any) {
    const int64_t in = s->in_channels / s->groups, out = s->out_channels / s->groups;
    const int64_t taps = s->kernel[0] * s->kernel[1];
    const dnnl_dims_t dims = {s->groups, out, in, s->kernel[0], s->kernel[1]};
    const dnnl_dims_t steps = {in * out * taps, s->transposed ? taps : in * taps,
                               s->transposed ? out * taps : taps, s->kernel[1], 1};
    const int skip = s->groups == 1 ? 1 : 0;
    dnnl_status_t status =
        dnnl_memory_desc_init_by_strides(plain, 5 - skip, dims + skip, dnnl_f32, steps + skip);
    if (status == dnnl_success) {
        status =
            dnnl_memory_desc_init_by_tag(any, 5 - skip, dims + skip, dnnl_f32, dnnl_format_tag_any);
    }
    return status;
}

static dnnl_status_t describe_end(int64_t n, int64_t channels, const int64_t size[2],
                                  struct end *end, dnnl_memory_desc_t *any) {
    const dnnl_dims_t dims = {n, channels, size[0], size[1]};
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&end->outer, 4, dims, dnnl_f32, dnnl_abcd);
    if (status == dnnl_success) {
        status = dnnl_memory_desc_init_by_tag(any, 4, dims, dnnl_f32, dnnl_format_tag_any);
    }
    return status;
}

struct arrays {
    dnnl_memory_desc_t in, out, weights, bias;
};

/* What goes by a general matrix product (odd groups) may sum in another order with another number
 * of threads. */
static bool shares_sums(const_dnnl_primitive_desc_t desc) {
    const char *name = NULL;
    const dnnl_status_t status =
        dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, (void *)&name);
    return status != dnnl_success || strstr(name, "gemm") != NULL;
}

/* What the library chooses, for one thread if that decides about bits. */
static dnnl_status_t choose(struct us_onnx_conv *c, const dnnl_convolution_desc_t *desc) {
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status != dnnl_success) {
        return status;
    }
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    status = dnnl_primitive_desc_create(&c->desc, desc, attr, c->engine, NULL);
    if (status == dnnl_success && shares_sums(c->desc)) {
        c->threads = 1;
        omp_set_num_threads(1);
        dnnl_primitive_desc_destroy(c->desc);
        c->desc = NULL;
        status = dnnl_primitive_desc_create(&c->desc, desc, attr, c->engine, NULL);
    }
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static enum us_nn_status make_desc(struct us_onnx_conv *c, const struct us_onnx_conv_shape *s,
                                   const struct arrays *arrays, const dnnl_memory_desc_t *bias) {
    const dnnl_dims_t strides = {s->stride[0], s->stride[1]};
    const dnnl_dims_t gaps = {s->dilation[0] - 1, s->dilation[1] - 1};
    const dnnl_dims_t before = {s->before[0], s->before[1]}, after = {s->after[0], s->after[1]};
    const dnnl_alg_kind_t algorithm =
        s->transposed ? dnnl_deconvolution_direct : dnnl_convolution_direct;
    dnnl_convolution_desc_t desc; /* the same type for both */
    if (s->transposed) {
        TRY(dnnl_dilated_deconvolution_forward_desc_init(
            &desc, dnnl_forward_inference, algorithm, &arrays->in, &arrays->weights, bias,
            &arrays->out, strides, gaps, before, after));
    } else {
        TRY(dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_inference, algorithm,
                                                       &arrays->in, &arrays->weights, bias,
                                                       &arrays->out, strides, gaps, before, after));
    }
    TRY(choose(c, &desc));
    TRY(dnnl_primitive_create(&c->primitive, c->desc));
    return US_NN_OK;
}

static size_t rounded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static enum us_nn_status make_reorder(struct us_onnx_conv *c, const dnnl_memory_desc_t *from,
                                      const dnnl_memory_desc_t *to, dnnl_primitive_t *reorder) {
    dnnl_primitive_desc_t desc;
    TRY(dnnl_reorder_primitive_desc_create(&desc, from, c->engine, to, c->engine, NULL));
    const dnnl_status_t status = dnnl_primitive_create(reorder, desc);
    dnnl_primitive_desc_destroy(desc);
    TRY(status);
    return US_NN_OK;
}

static enum us_nn_status make_end(struct us_onnx_conv *c, struct end *end,
                                  const dnnl_memory_desc_t *inner, bool is_input) {
    end->inner = *inner;
    TRY(dnnl_memory_create(&end->outer_memory, &end->outer, c->engine, DNNL_MEMORY_NONE));
    if (dnnl_memory_desc_equal(&end->inner, &end->outer)) {
        return US_NN_OK;
    }
    end->offset = c->scratch;
    c->scratch += rounded(dnnl_memory_desc_get_size(inner));
    TRY(dnnl_memory_create(&end->inner_memory, inner, c->engine, DNNL_MEMORY_NONE));
    return is_input ? make_reorder(c, &end->outer, &end->inner, &end->reorder)
                    : make_reorder(c, &end->inner, &end->outer, &end->reorder);
}

static enum us_nn_status run_reorder(struct us_onnx_conv *c, dnnl_primitive_t reorder,
                                     dnnl_memory_t from, dnnl_memory_t to) {
    const dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    TRY(dnnl_primitive_execute(reorder, c->stream, 2, args));
    return status_of(dnnl_stream_wait(c->stream));
}

/* The weights as the library wants them. */
static enum us_nn_status pack_weights(struct us_onnx_conv *c, const dnnl_memory_desc_t *plain,
                                      const float *weights) {
    const dnnl_memory_desc_t *wanted = query(c, dnnl_query_weights_md, 0);
    c->weight_bytes = dnnl_memory_desc_get_size(wanted);
    c->weight_data = us_nn_alloc(c->weight_bytes);
    if (!c->weight_data) {
        return US_NN_NO_MEMORY;
    }
    dnnl_memory_t from = NULL;
    dnnl_primitive_t reorder = NULL;
    enum us_nn_status status =
        status_of(dnnl_memory_create(&c->weights, wanted, c->engine, c->weight_data));
    status =
        status ? status : status_of(dnnl_memory_create(&from, plain, c->engine, (void *)weights));
    status = status ? status : make_reorder(c, plain, wanted, &reorder);
    status = status ? status : run_reorder(c, reorder, from, c->weights);
    if (reorder) {
        dnnl_primitive_destroy(reorder);
    }
    if (from) {
        dnnl_memory_destroy(from);
    }
    return status;
}

static enum us_nn_status copy_bias(struct us_onnx_conv *c, int64_t channels, const float *bias) {
    const size_t bytes = (size_t)channels * sizeof *bias;
    c->bias_data = us_nn_alloc(bytes);
    if (!c->bias_data) {
        return US_NN_NO_MEMORY;
    }
    memcpy(c->bias_data, bias, bytes);
    return status_of(
        dnnl_memory_create(&c->bias, query(c, dnnl_query_weights_md, 1), c->engine, c->bias_data));
}

static enum us_nn_status build(struct us_onnx_conv *c, const struct us_onnx_conv_shape *s,
                               const float *weights, const float *bias) {
    struct arrays any = {0};
    dnnl_memory_desc_t plain;
    const dnnl_dims_t channels = {s->out_channels};
    TRY(dnnl_engine_create(&c->engine, dnnl_cpu, 0));
    TRY(dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags));
    TRY(describe_weights(s, &plain, &any.weights));
    TRY(describe_end(s->n, s->in_channels, s->in, &c->in, &any.in));
    TRY(describe_end(s->n, s->out_channels, s->out, &c->out, &any.out));
    TRY(dnnl_memory_desc_init_by_tag(&any.bias, 1, channels, dnnl_f32, dnnl_a));
    enum us_nn_status status = make_desc(c, s, &any, bias ? &any.bias : NULL);
    status = status ? status : make_end(c, &c->in, query(c, dnnl_query_src_md, 0), true);
    status = status ? status : make_end(c, &c->out, query(c, dnnl_query_dst_md, 0), false);
    status = status ? status : pack_weights(c, &plain, weights);
    if (!status && bias) {
        status = copy_bias(c, s->out_channels, bias);
    }
    if (status) {
        return status;
    }
    const dnnl_memory_desc_t *scratchpad = query(c, dnnl_query_scratchpad_md, 0);
    c->scratch_offset = c->scratch;
    c->scratch += rounded(dnnl_memory_desc_get_size(scratchpad));
    TRY(dnnl_memory_create(&c->scratchpad, scratchpad, c->engine, DNNL_MEMORY_NONE));
    return US_NN_OK;
}

enum us_nn_status us_onnx_conv_create(const struct us_onnx_conv_shape *shape, const float *weights,
                                      const float *bias, int threads, struct us_onnx_conv **conv) {
    *conv = us_nn_alloc(sizeof **conv);
    if (!*conv) {
        return US_NN_NO_MEMORY;
    }
    (*conv)->threads = threads;
    omp_set_num_threads(threads);
    const enum us_nn_status status = build(*conv, shape, weights, bias);
    if (status) {
        us_onnx_conv_destroy(*conv);
        *conv = NULL;
    }
    return status;
}

void us_onnx_conv_destroy(struct us_onnx_conv *c) {
    if (!c) {
        return;
    }
    dnnl_memory_t memories[] = {c->in.inner_memory,  c->in.outer_memory, c->out.inner_memory,
                                c->out.outer_memory, c->weights,         c->bias,
                                c->scratchpad};
    dnnl_primitive_t primitives[] = {c->primitive, c->in.reorder, c->out.reorder};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++) {
        if (memories[i]) {
            dnnl_memory_destroy(memories[i]);
        }
    }
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++) {
        if (primitives[i]) {
            dnnl_primitive_destroy(primitives[i]);
        }
    }
    if (c->desc) {
        dnnl_primitive_desc_destroy(c->desc);
    }
    if (c->stream) {
        dnnl_stream_destroy(c->stream);
    }
    if (c->engine) {
        dnnl_engine_destroy(c->engine);
    }
    us_nn_free(c->weight_data);
    us_nn_free(c->bias_data);
    us_nn_free(c);
}

size_t us_onnx_conv_scratch(const struct us_onnx_conv *conv) {
    return conv->scratch;
}

size_t us_onnx_conv_bytes(const struct us_onnx_conv *conv) {
    return conv->weight_bytes + sizeof *conv;
}

/* Where the convolution reads or writes: the network's own array, or a copy in scratch memory. */
static enum us_nn_status place(struct end *end, const void *data, char *scratch,
                               dnnl_memory_t *used) {
    TRY(dnnl_memory_set_data_handle(end->outer_memory, (void *)data));
    *used = end->outer_memory;
    if (end->reorder) {
        TRY(dnnl_memory_set_data_handle(end->inner_memory, scratch + end->offset));
        *used = end->inner_memory;
    }
    return US_NN_OK;
}

enum us_nn_status us_onnx_conv_run(struct us_onnx_conv *c, const float *in, float *out,
                                   void *scratch) {
    dnnl_memory_t from, to;
    omp_set_num_threads(c->threads);
    enum us_nn_status status = place(&c->in, in, scratch, &from);
    status = status ? status : place(&c->out, out, scratch, &to);
    if (!status && c->in.reorder) {
        status = run_reorder(c, c->in.reorder, c->in.outer_memory, from);
    }
    if (status) {
        return status;
    }
    TRY(dnnl_memory_set_data_handle(c->scratchpad, (char *)scratch + c->scratch_offset));
    const dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, from},
                                     {DNNL_ARG_WEIGHTS, c->weights},
                                     {DNNL_ARG_DST, to},
                                     {DNNL_ARG_SCRATCHPAD, c->scratchpad},
                                     {DNNL_ARG_BIAS, c->bias}};
    TRY(dnnl_primitive_execute(c->primitive, c->stream, c->bias ? 5 : 4, args));
    TRY(dnnl_stream_wait(c->stream));
    return c->out.reorder ? run_reorder(c, c->out.reorder, to, c->out.outer_memory) : US_NN_OK;
}

enum us_nn_status us_onnx_multiply(const struct us_onnx_product *p, const float *a, const float *b,
                                   float *c, int threads) {
    omp_set_num_threads(threads);
    struct nn_product product = {.m = p->m,
                                 .n = p->n,
                                 .k = p->k,
                                 .flip_a = p->flip_a,
                                 .flip_b = p->flip_b,
                                 .alpha = p->alpha,
                                 .beta = p->beta,
                                 .a = a,
                                 .b = b};
    product.c = c;
    return nn_multiply(&product);
}
