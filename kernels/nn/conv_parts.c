#include "kernels/nn/conv_parts_internal.h"

#include <omp.h>
#include <string.h>

#include "kernels/nn/memory.h"

enum { SUM_RUN = 4096 };

static int part_count(const struct nn_conv_parts *p) {
    return p->partition.ranges * p->partition.slices;
}

static int blocks_of(const struct nn_conv_parts *p) {
    return p->shape.out / p->shape.block;
}

/* The first block of a slice, and of the one after the last. */
static int first_block(const struct nn_conv_parts *p, int slice) {
    const int each = blocks_of(p) / p->partition.slices, more = blocks_of(p) % p->partition.slices;
    return slice * each + (slice < more ? slice : more);
}

static int slice_blocks(const struct nn_conv_parts *p, int slice) {
    return first_block(p, slice + 1) - first_block(p, slice);
}

/* Slices with one block more come first. */
static int kind_of(const struct nn_conv_parts *p, int slice) {
    return slice_blocks(p, slice) == slice_blocks(p, 0) ? 0 : 1;
}

static int range_images(const struct nn_conv_parts *p) {
    return p->shape.n / p->partition.ranges;
}

static bool is_copied(const struct nn_conv_parts *p) {
    return p->partition.slices > 1 && range_images(p) > 1;
}

static enum us_nn_status describe_kind(struct nn_conv_parts *p, const struct nn_net *net,
                                       const struct nn_conv_recipe *r, int slice) {
    const dnnl_dim_t images = range_images(p),
                     channels = (dnnl_dim_t)slice_blocks(p, slice) * p->shape.block;
    const dnnl_dims_t out = {images, channels, r->out_height, r->out_width}, bias = {channels};
    dnnl_memory_desc_t source = *r->source, weights = *r->weights, gradient, biases;
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    source.dims[0] = source.padded_dims[0] = images;
    weights.dims[0] = weights.padded_dims[0] = channels;
    dnnl_memory_desc_init_by_tag(&gradient, 4, out, r->gradient_type,
                                 p->shape.block == 16 ? dnnl_aBcd16b : dnnl_aBcd8b);
    dnnl_memory_desc_init_by_tag(&biases, 1, bias, dnnl_f32, dnnl_a);
    enum us_nn_status status = nn_attributes(&attr);
    status = status ? status
                    : nn_dnnl(dnnl_convolution_backward_weights_desc_init(
                          &desc, r->method, &source, &weights, &biases, &gradient, r->strides,
                          r->before, r->after));
    status = status ? status
                    : nn_dnnl(dnnl_primitive_desc_create(&p->descs[kind_of(p, slice)], &desc, attr,
                                                         net->params->engine, r->forward));
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static enum us_nn_status describe(struct nn_conv_parts *p, const struct nn_net *net,
                                  const struct nn_conv_recipe *r) {
    const int last = p->partition.slices - 1, threads = omp_get_max_threads();
    omp_set_num_threads(1);
    enum us_nn_status status = describe_kind(p, net, r, 0);
    if (!status && kind_of(p, last) == 1) {
        status = describe_kind(p, net, r, last);
    }
    omp_set_num_threads(threads);
    return status;
}

static void release_descs(struct nn_conv_parts *p) {
    for (int kind = 0; kind < NN_SLICE_KINDS; kind++) {
        if (p->descs[kind]) {
            dnnl_primitive_desc_destroy(p->descs[kind]);
        }
        p->descs[kind] = NULL;
    }
}

/* Whether the weights of an output block lie together. */
static bool is_outermost(const dnnl_memory_desc_t *weights) {
    for (int i = 1; i < weights->ndims; i++) {
        if (weights->format_desc.blocking.strides[i] > weights->format_desc.blocking.strides[0]) {
            return false;
        }
    }
    return true;
}

enum us_nn_status nn_conv_parts_init(struct nn_conv_parts *p, const struct nn_net *net,
                                     const struct nn_conv_shape *shape,
                                     const struct nn_conv_recipe *recipe) {
    p->shape = *shape;
    p->type = recipe->gradient_type;
    p->weight_count = dnnl_memory_desc_get_size(recipe->weights) / sizeof(float);
    p->partition = nn_partition_of(shape);
    enum us_nn_status status =
        is_outermost(recipe->weights) ? describe(p, net, recipe) : US_NN_UNSUPPORTED;
    if (status == US_NN_UNSUPPORTED) {
        release_descs(p);
        p->partition = (struct nn_partition){1, 1};
        status = describe(p, net, recipe);
    }
    return status;
}

static size_t sums_stride(const struct nn_conv_parts *p) {
    return (p->weight_count + (size_t)p->shape.out + 15) / 16 * 16;
}

static size_t output_bytes(const struct nn_conv_parts *p) {
    const struct nn_conv_shape *s = &p->shape;
    return (size_t)s->n * (size_t)s->out * (size_t)s->out_area * nn_type_size(p->type);
}

void nn_conv_parts_plan(struct nn_conv_parts *p, struct nn_net *net, int moment) {
    const size_t sums = (size_t)(p->partition.ranges - 1) * sums_stride(p) * sizeof(float);
    const int threads = omp_get_max_threads();
    p->copied.buffer = p->sums.buffer = -1;
    if (is_copied(p)) {
        p->copied = nn_net_temporary(net, output_bytes(p), moment, moment);
    }
    if (sums > 0) {
        p->sums = nn_net_temporary(net, sums, moment, moment);
    }
    p->slots = part_count(p) < threads ? part_count(p) : threads;
    for (int kind = 0; kind < NN_SLICE_KINDS; kind++) {
        const size_t bytes = p->descs[kind] ? nn_scratch_bytes(p->descs[kind]) : 0;
        p->slot_bytes = bytes > p->slot_bytes ? bytes : p->slot_bytes;
    }
    p->slot_bytes = (p->slot_bytes + 63) / 64 * 64;
    nn_net_scratch(net, (size_t)p->slots * p->slot_bytes);
}

static enum us_nn_status bind_argument(struct nn_conv_part *part, const struct nn_net *net, int i,
                                       int argument, const dnnl_memory_desc_t *desc, void *data) {
    part->args[i].arg = argument;
    return nn_dnnl(dnnl_memory_create(&part->args[i].memory, desc, net->params->engine, data));
}

/* Where a part's share of the output's gradient lies: in the copy each slice has all its images. */
static char *output_of(const struct nn_conv_parts *p, const struct nn_net *net, int range,
                       int slice) {
    const size_t area = (size_t)p->shape.out_area * (size_t)p->shape.block * nn_type_size(p->type);
    const size_t image = (size_t)range * (size_t)range_images(p),
                 first = (size_t)first_block(p, slice);
    char *copied = nn_net_at(net, p->copied);
    if (copied) {
        return copied +
               ((size_t)p->shape.n * first + image * (size_t)slice_blocks(p, slice)) * area;
    }
    return (char *)p->gradient.output_gradient + (image * (size_t)blocks_of(p) + first) * area;
}

static enum us_nn_status bind_part(struct nn_conv_parts *p, const struct nn_net *net, int range,
                                   int slice) {
    struct nn_conv_part *part = &p->parts[range * p->partition.slices + slice];
    const size_t first = (size_t)first_block(p, slice) * (size_t)p->shape.block;
    float *weights = p->gradient.weights, *bias = p->gradient.bias;
    if (range > 0) {
        weights = (float *)nn_net_at(net, p->sums) + (size_t)(range - 1) * sums_stride(p);
        bias = weights + p->weight_count;
    }
    part->kind = kind_of(p, slice);
    const_dnnl_primitive_desc_t desc = p->descs[part->kind];
    const dnnl_memory_desc_t *source = nn_query(desc, dnnl_query_src_md, 0);
    char *from = (char *)p->gradient.source + (size_t)range * dnnl_memory_desc_get_size(source);
    enum us_nn_status status = bind_argument(part, net, 0, DNNL_ARG_SRC, source, from);
    status = status ? status
                    : bind_argument(part, net, 1, DNNL_ARG_DIFF_DST,
                                    nn_query(desc, dnnl_query_diff_dst_md, 0),
                                    output_of(p, net, range, slice));
    status = status ? status
                    : bind_argument(part, net, 2, DNNL_ARG_DIFF_WEIGHTS,
                                    nn_query(desc, dnnl_query_diff_weights_md, 0),
                                    weights + first * (p->weight_count / (size_t)p->shape.out));
    return status ? status
                  : bind_argument(part, net, 3, DNNL_ARG_DIFF_BIAS,
                                  nn_query(desc, dnnl_query_diff_weights_md, 1), bias + first);
}

static enum us_nn_status bind_kind(struct nn_conv_parts *p, const struct nn_net *net, int kind) {
    const struct nn_ref scratch = {.buffer = net->scratch};
    const dnnl_memory_desc_t *desc = nn_query(p->descs[kind], dnnl_query_scratchpad_md, 0);
    enum us_nn_status status = nn_dnnl(dnnl_primitive_create(&p->primitives[kind], p->descs[kind]));
    for (int i = 0; i < p->slots && !status && dnnl_memory_desc_get_size(desc) > 0; i++) {
        char *at = (char *)nn_net_at(net, scratch) + (size_t)i * p->slot_bytes;
        status = nn_dnnl(
            dnnl_memory_create(&p->scratch[kind * p->slots + i], desc, net->params->engine, at));
    }
    return status;
}

enum us_nn_status nn_conv_parts_bind(struct nn_conv_parts *p, struct nn_net *net,
                                     const struct nn_conv_gradient *gradient) {
    const int count = part_count(p), threads = omp_get_max_threads();
    enum us_nn_status status = US_NN_OK;
    p->gradient = *gradient;
    p->parts = us_nn_alloc((size_t)count * sizeof *p->parts);
    p->scratch = us_nn_alloc((size_t)(NN_SLICE_KINDS * p->slots) * sizeof(dnnl_memory_t));
    if (!p->parts || !p->scratch) {
        return US_NN_NO_MEMORY;
    }
    omp_set_num_threads(1);
    for (int kind = 0; kind < NN_SLICE_KINDS && !status; kind++) {
        status = p->descs[kind] ? bind_kind(p, net, kind) : US_NN_OK;
    }
    omp_set_num_threads(threads);
    for (int i = 0; i < count && !status; i++) {
        status = bind_part(p, net, i / p->partition.slices, i % p->partition.slices);
    }
    return status;
}

static void copy_by_slices(struct nn_conv_parts *p, struct nn_net *net) {
    const int slices = p->partition.slices, n = p->shape.n;
    const size_t area = (size_t)p->shape.out_area * (size_t)p->shape.block * nn_type_size(p->type);
    const char *from = p->gradient.output_gradient;
    char *to = nn_net_at(net, p->copied);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < n * slices; i++) {
        const int slice = i / n, image = i % n;
        const size_t first = (size_t)first_block(p, slice), blocks = (size_t)slice_blocks(p, slice);
        memcpy(to + ((size_t)n * first + (size_t)image * blocks) * area,
               from + ((size_t)image * (size_t)blocks_of(p) + first) * area, blocks * area);
    }
}

static dnnl_status_t run_part(const struct nn_conv_parts *p, const struct nn_net *net, int i,
                              int slot) {
    const struct nn_conv_part *part = &p->parts[i];
    const dnnl_memory_t scratch = p->scratch[part->kind * p->slots + slot];
    dnnl_exec_arg_t args[NN_PART_ARGS + 1];
    memcpy(args, part->args, sizeof part->args);
    args[NN_PART_ARGS] = (dnnl_exec_arg_t){.arg = DNNL_ARG_SCRATCHPAD, .memory = scratch};
    return dnnl_primitive_execute(p->primitives[part->kind], net->params->stream,
                                  NN_PART_ARGS + (scratch ? 1 : 0), args);
}

/* Adds the sums of the other ranges, in their order, to what the first one's parts made. */
static void add_ranges(struct nn_conv_parts *p, const struct nn_net *net) {
    const float *sums = nn_net_at(net, p->sums);
    const size_t stride = sums_stride(p), weights = p->weight_count;
    const size_t runs = (weights + SUM_RUN - 1) / SUM_RUN;
#pragma omp parallel for schedule(static)
    for (size_t run = 0; run <= runs; run++) { /* the last is the bias's */
        const size_t from = run < runs ? run * SUM_RUN : weights;
        const size_t left = run < runs ? weights - from : (size_t)p->shape.out;
        const size_t count = run == runs || left < SUM_RUN ? left : SUM_RUN;
        float *restrict total = run < runs ? p->gradient.weights + from : p->gradient.bias;
        for (int range = 1; range < p->partition.ranges; range++) {
            const float *restrict more = sums + (size_t)(range - 1) * stride + from;
            for (size_t i = 0; i < count; i++) {
                total[i] += more[i];
            }
        }
    }
}

static int take(int *next) {
    int taken;
#pragma omp atomic capture
    taken = (*next)++;
    return taken;
}

enum us_nn_status nn_conv_parts_run(struct nn_conv_parts *p, struct nn_net *net) {
    const int count = part_count(p);
    dnnl_status_t failed = dnnl_success;
    int next = 0;
    if (is_copied(p)) {
        copy_by_slices(p, net);
    }
#pragma omp parallel
    {
        const int slot = omp_get_thread_num();
        omp_set_num_threads(1); /* the library's inside of a part */
        for (int i = slot < p->slots ? take(&next) : count; i < count; i = take(&next)) {
            const dnnl_status_t status = run_part(p, net, i, slot);
            if (status != dnnl_success) {
#pragma omp critical
                failed = status;
            }
        }
    }
    if (p->partition.ranges > 1 && failed == dnnl_success) {
        add_ranges(p, net);
    }
    return nn_dnnl(failed);
}

void nn_conv_parts_release(struct nn_conv_parts *p) {
    for (int i = 0; p->parts && i < part_count(p) * NN_PART_ARGS; i++) {
        const dnnl_exec_arg_t *arg = &p->parts[i / NN_PART_ARGS].args[i % NN_PART_ARGS];
        if (arg->memory) {
            dnnl_memory_destroy(arg->memory);
        }
    }
    for (int i = 0; p->scratch && i < NN_SLICE_KINDS * p->slots; i++) {
        if (p->scratch[i]) {
            dnnl_memory_destroy(p->scratch[i]);
        }
    }
    for (int kind = 0; kind < NN_SLICE_KINDS; kind++) {
        if (p->primitives[kind]) {
            dnnl_primitive_destroy(p->primitives[kind]);
        }
    }
    us_nn_free(p->parts);
    us_nn_free(p->scratch);
    release_descs(p);
    *p = (struct nn_conv_parts){0};
}
