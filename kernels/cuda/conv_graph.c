#include "kernels/cuda/conv_graph_internal.h"

typedef cudnnBackendDescriptor_t node; /* a pointer without a name of its own in cuDNN */

node conv_bag_make(struct conv_bag *bag, cudnnBackendDescriptorType_t type) {
    if (bag->status == CUDNN_STATUS_SUCCESS && bag->count == CONV_BAG) {
        bag->status = CUDNN_STATUS_INTERNAL_ERROR;
    }
    if (bag->status != CUDNN_STATUS_SUCCESS) {
        return NULL;
    }
    node made = NULL;
    bag->status = cudnnBackendCreateDescriptor(type, &made);
    if (bag->status == CUDNN_STATUS_SUCCESS) {
        bag->items[bag->count++] = made;
    }
    return made;
}

void conv_bag_set(struct conv_bag *bag, node descriptor, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, int64_t count, const void *value) {
    if (bag->status == CUDNN_STATUS_SUCCESS) {
        bag->status = cudnnBackendSetAttribute(descriptor, name, type, count, value);
    }
}

void conv_bag_finalise(struct conv_bag *bag, node descriptor) {
    if (bag->status == CUDNN_STATUS_SUCCESS) {
        bag->status = cudnnBackendFinalize(descriptor);
    }
}

void conv_bag_finish(struct conv_bag *bag) {
    while (bag->count) {
        (void)cudnnBackendDestroyDescriptor(bag->items[--bag->count]);
    }
    bag->status = CUDNN_STATUS_SUCCESS;
}

static void set_node(struct conv_bag *bag, node descriptor, cudnnBackendAttributeName_t name,
                     node value) {
    conv_bag_set(bag, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void set_type(struct conv_bag *bag, node descriptor, cudnnBackendAttributeName_t name,
                     cudnnDataType_t value) {
    conv_bag_set(bag, descriptor, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

/* Sizes and strides of one tensor. */
struct shape {
    int64_t dims[4], strides[4];
    int rank;
    cudnnDataType_t type;
};

static node tensor(struct conv_bag *bag, const struct shape *shape, int64_t uid) {
    const int64_t alignment = 16;
    const bool is_virtual = uid >= CONV_VIRTUAL;
    node made = conv_bag_make(bag, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set_type(bag, made, CUDNN_ATTR_TENSOR_DATA_TYPE, shape->type);
    conv_bag_set(bag, made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, shape->rank,
                 shape->dims);
    conv_bag_set(bag, made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, shape->rank,
                 shape->strides);
    conv_bag_set(bag, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    conv_bag_set(bag, made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    conv_bag_set(bag, made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    conv_bag_finalise(bag, made);
    return made;
}

static struct shape image(int64_t n, int64_t c, int64_t h, int64_t w, cudnnDataType_t type) {
    return (struct shape){
        .dims = {n, c, h, w}, .strides = {h * w * c, 1, w * c, c}, .rank = 4, .type = type};
}

/* rows x columns, whose neighbours stand `down` and `across` apart. */
static struct shape matrix(int64_t rows, int64_t columns, int64_t down, int64_t across,
                           cudnnDataType_t type) {
    return (struct shape){.dims = {1, rows, columns},
                          .strides = {rows * columns, down, across},
                          .rank = 3,
                          .type = type};
}

static cudnnDataType_t type_of(const struct us_conv_desc *desc) {
    return desc->type == US_CONV_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

bool conv_has_epilogue(const struct us_conv_desc *desc) {
    return desc->op != US_CONV_WEIGHT_GRADIENT &&
           ((desc->op == US_CONV_FORWARD && desc->bias) || desc->residual || desc->slope != 1);
}

/* Pixels of one image that one output sees as a vector; 0 when they are not one vector. */
static int64_t pixels(const struct us_conv_desc *d) {
    if (d->pad_top || d->pad_left || d->pad_bottom || d->pad_right) {
        return 0;
    }
    if (d->kernel_height == 1 && d->kernel_width == 1 && d->stride == 1) {
        return 1;
    }
    return d->kernel_height == d->in_height && d->kernel_width == d->in_width
               ? (int64_t)d->in_height * d->in_width
               : 0;
}

bool conv_is_matmul(const struct us_conv_desc *desc) {
    return pixels(desc) > 0;
}

int64_t conv_elements(const struct us_conv_desc *d, enum conv_uid uid) {
    const int64_t in = (int64_t)d->batch * d->in_height * d->in_width * d->in_channels;
    const int64_t out = (int64_t)d->batch * d->out_height * d->out_width * d->out_channels;
    const int64_t w =
        (int64_t)d->out_channels * d->kernel_height * d->kernel_width * d->in_channels;
    const bool forward = d->op == US_CONV_FORWARD, data = d->op == US_CONV_DATA_GRADIENT;
    switch (uid) {
    case CONV_X:
        return data && d->slope == 1 ? 0 : in;
    case CONV_W:
        return forward || data ? w : 0;
    case CONV_DY:
        return forward ? 0 : out;
    case CONV_BIAS:
        return forward && d->bias ? d->out_channels : 0;
    case CONV_RESIDUAL:
        return !d->residual ? 0 : forward ? out : data ? in : 0;
    case CONV_OUT:
        return forward ? out : data ? in : w;
    case CONV_VIRTUAL:
        return 0;
    }
    return 0;
}

struct builder {
    struct conv_bag *bag;
    const struct us_conv_desc *desc;
    bool matmul;
    int64_t next_uid;
    node operations[4];
    int operation_count;
};

/* The shape of x (dx), of y (dy), of the weights, or of the bias, in the builder's terms. */
enum role { INPUT, OUTPUT, WEIGHTS, BIAS };

static struct shape shape_of(const struct builder *b, enum role role, cudnnDataType_t type) {
    const struct us_conv_desc *d = b->desc;
    const int64_t seen = pixels(d);
    const int64_t in = (seen ? seen : 1) * d->in_channels, out = d->out_channels;
    const int64_t rows = (int64_t)d->batch * d->out_height * d->out_width;
    switch (role) {
    case INPUT:
        return b->matmul ? matrix(rows, in, in, 1, type)
                         : image(d->batch, d->in_channels, d->in_height, d->in_width, type);
    case OUTPUT:
        return b->matmul ? matrix(rows, out, out, 1, type)
                         : image(d->batch, out, d->out_height, d->out_width, type);
    case WEIGHTS:
        return b->matmul ? matrix(out, in, in, 1, type)
                         : image(out, d->in_channels, d->kernel_height, d->kernel_width, type);
    case BIAS:
        break;
    }
    return b->matmul ? matrix(1, out, out, 1, type) : image(1, out, 1, 1, type);
}

static struct shape transposed(struct shape shape) {
    return (struct shape){.dims = {1, shape.dims[2], shape.dims[1]},
                          .strides = {shape.strides[0], shape.strides[2], shape.strides[1]},
                          .rank = 3,
                          .type = shape.type};
}

static node named(struct builder *b, enum role role, int64_t uid) {
    const struct shape shape =
        shape_of(b, role, uid == CONV_BIAS ? CUDNN_DATA_FLOAT : type_of(b->desc));
    return tensor(b->bag, &shape, uid);
}

/* The result of an operation: the op's output when it is the last one, else f32 on the way. */
static node result(struct builder *b, bool last) {
    const enum role role = b->desc->op == US_CONV_FORWARD         ? OUTPUT
                           : b->desc->op == US_CONV_DATA_GRADIENT ? INPUT
                                                                  : WEIGHTS;
    if (last) {
        return named(b, role, CONV_OUT);
    }
    const struct shape shape = shape_of(b, role, CUDNN_DATA_FLOAT);
    return tensor(b->bag, &shape, b->next_uid++);
}

static void add_operation(struct builder *b, node operation) {
    conv_bag_finalise(b->bag, operation);
    b->operations[b->operation_count++] = operation;
}

static node geometry(struct builder *b) {
    const struct us_conv_desc *d = b->desc;
    const int64_t dimensions = 2, dilations[2] = {1, 1}, strides[2] = {d->stride, d->stride};
    const int64_t before[2] = {d->pad_top, d->pad_left}, after[2] = {d->pad_bottom, d->pad_right};
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    node made = conv_bag_make(b->bag, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    conv_bag_set(b->bag, made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1,
                 &dimensions);
    set_type(b->bag, made, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    conv_bag_set(b->bag, made, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1,
                 &mode);
    conv_bag_set(b->bag, made, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    conv_bag_set(b->bag, made, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    conv_bag_set(b->bag, made, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
    conv_bag_set(b->bag, made, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    conv_bag_finalise(b->bag, made);
    return made;
}

/* cuDNN's names for the attributes of the three convolutions. */
static const struct {
    cudnnBackendDescriptorType_t operation;
    cudnnBackendAttributeName_t x, w, y, geometry, alpha, beta;
} convolutions[] = {
    [US_CONV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [US_CONV_DATA_GRADIENT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [US_CONV_WEIGHT_GRADIENT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static void add_convolution(struct builder *b, node out) {
    const enum us_conv_op op = b->desc->op;
    const float one = 1, zero = 0; /* doubles would be read as floats where sums are f32: as 0 */
    node x = op == US_CONV_DATA_GRADIENT ? out : named(b, INPUT, CONV_X);
    node w = op == US_CONV_WEIGHT_GRADIENT ? out : named(b, WEIGHTS, CONV_W);
    node y = op == US_CONV_FORWARD ? out : named(b, OUTPUT, CONV_DY);
    node made = conv_bag_make(b->bag, convolutions[op].operation);
    set_node(b->bag, made, convolutions[op].x, x);
    set_node(b->bag, made, convolutions[op].w, w);
    set_node(b->bag, made, convolutions[op].y, y);
    set_node(b->bag, made, convolutions[op].geometry, geometry(b));
    conv_bag_set(b->bag, made, convolutions[op].alpha, CUDNN_TYPE_FLOAT, 1, &one);
    conv_bag_set(b->bag, made, convolutions[op].beta, CUDNN_TYPE_FLOAT, 1, &zero);
    add_operation(b, made);
}

/* y = x w', dx = dy w, dw = dy' x. */
static void add_product(struct builder *b, node out) {
    const cudnnDataType_t type = type_of(b->desc);
    const enum us_conv_op op = b->desc->op;
    struct shape left = shape_of(b, op == US_CONV_FORWARD ? INPUT : OUTPUT, type);
    struct shape right = shape_of(b, op == US_CONV_WEIGHT_GRADIENT ? INPUT : WEIGHTS, type);
    left = op == US_CONV_WEIGHT_GRADIENT ? transposed(left) : left;
    right = op == US_CONV_FORWARD ? transposed(right) : right;
    node a = tensor(b->bag, &left, op == US_CONV_FORWARD ? CONV_X : CONV_DY);
    node c = tensor(b->bag, &right, op == US_CONV_WEIGHT_GRADIENT ? CONV_X : CONV_W);
    node product = conv_bag_make(b->bag, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    set_type(b->bag, product, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
    conv_bag_finalise(b->bag, product);
    node made = conv_bag_make(b->bag, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    set_node(b->bag, made, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    set_node(b->bag, made, CUDNN_ATTR_OPERATION_MATMUL_BDESC, c);
    set_node(b->bag, made, CUDNN_ATTR_OPERATION_MATMUL_CDESC, out);
    set_node(b->bag, made, CUDNN_ATTR_OPERATION_MATMUL_DESC, product);
    add_operation(b, made);
}

static node pointwise(struct builder *b, cudnnPointwiseMode_t mode) {
    node kind = conv_bag_make(b->bag, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    const double slope = (double)b->desc->slope;
    conv_bag_set(b->bag, kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_type(b->bag, kind, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    if (mode != CUDNN_POINTWISE_ADD) {
        conv_bag_set(b->bag, kind, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE, 1,
                     &slope);
    }
    conv_bag_finalise(b->bag, kind);
    node made = conv_bag_make(b->bag, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
    return made;
}

static node add_sum(struct builder *b, node value, node term, bool last) {
    node out = result(b, last), made = pointwise(b, CUDNN_POINTWISE_ADD);
    set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, value);
    set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, term);
    set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    add_operation(b, made);
    return out;
}

static void add_leaky(struct builder *b, node value) {
    const bool forward = b->desc->op == US_CONV_FORWARD;
    node out = result(b, true);
    node made = pointwise(b, forward ? CUDNN_POINTWISE_RELU_FWD : CUDNN_POINTWISE_RELU_BWD);
    if (forward) {
        set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, value);
        set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    } else {
        set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, named(b, INPUT, CONV_X));
        set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, value);
        set_node(b->bag, made, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, out);
    }
    add_operation(b, made);
}

static void add_operations(struct builder *b, bool fused) {
    const struct us_conv_desc *d = b->desc;
    const bool bias = fused && d->op == US_CONV_FORWARD && d->bias;
    const bool residual = fused && d->residual, leaky = fused && d->slope != 1;
    node value = result(b, !bias && !residual && !leaky);
    if (b->matmul) {
        add_product(b, value);
    } else {
        add_convolution(b, value);
    }
    if (bias) {
        value = add_sum(b, value, named(b, BIAS, CONV_BIAS), !residual && !leaky);
    }
    if (residual) {
        node term = named(b, d->op == US_CONV_FORWARD ? OUTPUT : INPUT, CONV_RESIDUAL);
        value = add_sum(b, value, term, !leaky);
    }
    if (leaky) {
        add_leaky(b, value);
    }
}

bool conv_graph_build(struct conv_graph *graph, const struct conv_target *target,
                      const struct us_conv_desc *desc, bool fused, bool matmul) {
    *graph = (struct conv_graph){.fused = fused, .matmul = matmul};
    struct builder b = {
        .bag = &graph->bag, .desc = desc, .matmul = matmul, .next_uid = CONV_VIRTUAL};
    add_operations(&b, fused);
    graph->graph = conv_bag_make(b.bag, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    conv_bag_set(b.bag, graph->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                 b.operation_count, b.operations);
    if (target->handle) {
        conv_bag_set(b.bag, graph->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1,
                     &target->handle);
    }
    conv_bag_finalise(b.bag, graph->graph);
    return b.bag->status == CUDNN_STATUS_SUCCESS;
}

void conv_graph_finish(struct conv_graph *graph) {
    conv_bag_finish(&graph->bag);
}
