#include "nodes/learn/onnx/export.h"

#include <stdio.h>
#include <string.h>

#include "kernels/nn/graph.h"
#include "nodes/learn/onnx/write.h"
#include "runtime/base/mem.h"

enum { OPSET = 13, IR_VERSION = 7 };
/* Fields of the messages of onnx.proto. */
enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { MODEL_METADATA = 14, OPSET_VERSION = 2, PAIR_KEY = 1, PAIR_VALUE = 2 };
enum { GRAPH_NAME = 2, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };

/* A file being written, and which weights it wants. */
struct writer {
    const struct us_swap_model *model;
    const struct nn_graph *graph;
    const struct us_nn_layout *layout;
    struct us_onnx_graph_text text; /* operators and small tensors so far */
    bool *wanted;                   /* nodes of the graph */
    bool *used;                     /* slices of the layout */
    int image, mask;                /* nodes whose results are outputs */
};

/* A layer's weights or biases: the name of the slice, which will be stored. */
static struct us_error *use_slice(struct writer *w, const char *layer, const char *kind,
                                  char name[64]) {
    snprintf(name, 64, "%s.%s", layer, kind);
    for (int i = 0; i < w->layout->slice_count; i++) {
        if (strcmp(w->layout->slices[i].name, name) == 0) {
            w->used[i] = true;
            return NULL;
        }
    }
    return us_fail(US_FAILED, "the model has no array '%s'", name);
}

static struct us_error *put_layer(struct writer *w, const char *op, struct us_onnx_label x,
                                  const char *layer, struct us_onnx_label *result) {
    char weight[64], bias[64];
    US_TRY(use_slice(w, layer, "weight", weight));
    US_TRY(use_slice(w, layer, "bias", bias));
    const char *const inputs[3] = {x.text, weight, bias};
    *result = us_onnx_put_node(&w->text, op, 3, inputs);
    return NULL;
}

/* "Same" padding: an even total symmetric, an odd one with the extra at the end. */
static struct us_error *put_conv(struct writer *w, const struct nn_node *node,
                                 struct us_onnx_label x, struct us_onnx_label *result) {
    const struct nn_node *in = &w->graph->nodes[node->inputs[0]];
    struct us_onnx_label parts[NN_GRAPH_PARTS];
    const char *texts[NN_GRAPH_PARTS];
    for (int i = 0; i < node->layer_count; i++) {
        const int64_t k = node->kernels[i], s = node->stride;
        const int64_t rows = (node->h - 1) * s + k - in->h;
        const int64_t columns = (node->w - 1) * s + k - in->w;
        const int64_t top = rows > 0 ? rows / 2 : 0, left = columns > 0 ? columns / 2 : 0;
        const int64_t pads[4] = {top, left, rows > 0 ? rows - top : 0,
                                 columns > 0 ? columns - left : 0};
        us_onnx_put_ints(&w->text, "kernel_shape", 2, (const int64_t[2]){k, k});
        us_onnx_put_ints(&w->text, "strides", 2, (const int64_t[2]){s, s});
        us_onnx_put_ints(&w->text, "pads", 4, pads);
        US_TRY(put_layer(w, "Conv", x, node->layers[i].text, &parts[i]));
        texts[i] = parts[i].text;
    }
    *result = parts[0];
    if (node->layer_count > 1) {
        us_onnx_put_int(&w->text, "axis", 1);
        *result = us_onnx_put_node(&w->text, "Concat", node->layer_count, texts);
    }
    return NULL;
}

static struct us_error *put_dense(struct writer *w, const struct nn_node *node,
                                  struct us_onnx_label x, struct us_onnx_label *result) {
    const int64_t shape[4] = {-1, node->c, node->h, node->w};
    us_onnx_put_int(&w->text, "axis", 1);
    x = us_onnx_put_one(&w->text, "Flatten", x);
    us_onnx_put_int(&w->text, "transB", 1);
    US_TRY(put_layer(w, "Gemm", x, node->layers[0].text, result));
    *result = us_onnx_put_two(&w->text, "Reshape", *result,
                              us_onnx_put_tensor(&w->text, US_ONNX_INT64, 4, shape, sizeof shape));
    return NULL;
}

static struct us_onnx_label put_norm(struct writer *w, struct us_onnx_label x) {
    static const float epsilon = 1e-6f;
    static const int64_t axes[3] = {1, 2, 3};
    struct us_onnx_label mean = us_onnx_put_two(&w->text, "Mul", x, x);
    us_onnx_put_ints(&w->text, "axes", 3, axes);
    us_onnx_put_int(&w->text, "keepdims", 1);
    mean = us_onnx_put_one(&w->text, "ReduceMean", mean);
    mean =
        us_onnx_put_two(&w->text, "Add", mean,
                        us_onnx_put_tensor(&w->text, US_ONNX_FLOAT, 0, &epsilon, sizeof epsilon));
    return us_onnx_put_two(&w->text, "Div", x, us_onnx_put_one(&w->text, "Sqrt", mean));
}

/* `scale` times as large: each value so many times, or linear between the centres. */
static struct us_onnx_label put_resize(struct writer *w, struct us_onnx_label x, float scale,
                                       bool linear) {
    const float scales[4] = {1, 1, scale, scale};
    const struct us_onnx_label sizes =
        us_onnx_put_tensor(&w->text, US_ONNX_FLOAT, 4, scales, sizeof scales);
    const char *const inputs[3] = {x.text, "", sizes.text};
    us_onnx_put_word(&w->text, "mode", linear ? "linear" : "nearest");
    us_onnx_put_word(&w->text, "coordinate_transformation_mode",
                     linear ? "half_pixel" : "asymmetric");
    us_onnx_put_word(&w->text, "nearest_mode", "floor");
    return us_onnx_put_node(&w->text, "Resize", 3, inputs);
}

/* a + fade (b - a), with the fade the model has. */
static struct us_onnx_label put_blend(struct writer *w, struct us_onnx_label a,
                                      struct us_onnx_label b) {
    const float fade = w->model->arch.fade;
    const struct us_onnx_label share =
        us_onnx_put_tensor(&w->text, US_ONNX_FLOAT, 0, &fade, sizeof fade);
    const struct us_onnx_label step = us_onnx_put_two(&w->text, "Sub", b, a);
    return us_onnx_put_two(&w->text, "Add", a, us_onnx_put_two(&w->text, "Mul", step, share));
}

static struct us_onnx_label put_pool(struct writer *w, const char *op, struct us_onnx_label x,
                                     int64_t side) {
    us_onnx_put_ints(&w->text, "kernel_shape", 2, (const int64_t[2]){side, side});
    us_onnx_put_ints(&w->text, "strides", 2, (const int64_t[2]){side, side});
    return us_onnx_put_one(&w->text, op, x);
}

static struct us_onnx_label put_activation(struct writer *w, const struct nn_node *node,
                                           struct us_onnx_label x) {
    if (node->activation == NN_COSINE) {
        return us_onnx_put_two(&w->text, "Mul", x, us_onnx_put_one(&w->text, "Cos", x));
    }
    if (node->activation == NN_LEAKY) {
        us_onnx_put_float(&w->text, "alpha", node->slope);
        return us_onnx_put_one(&w->text, "LeakyRelu", x);
    }
    return x;
}

static struct us_error *put_graph_node(struct writer *w, const struct nn_node *node,
                                       const struct us_onnx_label *names,
                                       struct us_onnx_label *result) {
    const struct us_onnx_label x = names[node->inputs[0]];
    switch (node->kind) {
    case NN_CONV:
        US_TRY(put_conv(w, node, x, result));
        break;
    case NN_DENSE:
        US_TRY(put_dense(w, node, x, result));
        break;
    case NN_DEPTH_TO_SPACE:
        us_onnx_put_int(&w->text, "blocksize", 2);
        us_onnx_put_word(&w->text, "mode", "DCR");
        *result = us_onnx_put_one(&w->text, "DepthToSpace", x);
        break;
    case NN_NORM:
        *result = put_norm(w, x);
        break;
    case NN_CONCAT:
        us_onnx_put_int(&w->text, "axis", 1);
        *result = us_onnx_put_two(&w->text, "Concat", x, names[node->inputs[1]]);
        break;
    case NN_POOL:
        *result = put_pool(w, "MaxPool", x, 2);
        break;
    case NN_UPSAMPLE:
        *result = put_resize(w, x, 2, false);
        break;
    case NN_BLEND:
        *result = put_blend(w, x, names[node->inputs[1]]);
        break;
    case NN_SIGMOID:
        *result = us_onnx_put_one(&w->text, "Sigmoid", x);
        break;
    default:
        return us_fail(US_FAILED, "the architecture has a step that ONNX export does not know");
    }
    if (node->residual >= 0) {
        *result = us_onnx_put_two(&w->text, "Add", *result, names[node->residual]);
    }
    *result = put_activation(w, node, *result);
    return NULL;
}

/* Marks what the outputs are made of. Nodes stand after what they read. */
static void mark_wanted(struct writer *w) {
    for (int i = w->graph->count - 1; i >= 0; i--) {
        const struct nn_node *node = &w->graph->nodes[i];
        w->wanted[i] |= i == w->image || i == w->mask;
        const int reads[3] = {node->inputs[0], node->inputs[1], node->residual};
        for (int k = 0; k < 3 && w->wanted[i]; k++) {
            if (reads[k] >= 0) {
                w->wanted[reads[k]] = true;
            }
        }
    }
}

/* A result under its name, at the resolution of the crops. */
static void put_output(struct writer *w, struct us_onnx_label x, const char *name) {
    const struct nn_node *made = &w->graph->nodes[w->image];
    if (made->h != w->model->arch.resolution) {
        x = put_resize(w, x, (float)w->model->arch.resolution / (float)made->h, true);
    }
    us_proto_put_text(&w->text.node, NODE_INPUT, x.text);
    us_proto_put_text(&w->text.node, NODE_OUTPUT, name);
    us_proto_put_text(&w->text.node, NODE_NAME, name);
    us_proto_put_text(&w->text.node, NODE_OP, "Identity");
    us_proto_put_message(&w->text.nodes, GRAPH_NODE, &w->text.node);
}

static struct us_error *put_nodes(struct writer *w) {
    struct us_onnx_label *names = us_calloc((size_t)w->graph->count, sizeof *names);
    struct us_error *error = NULL;
    mark_wanted(w);
    for (int i = 0; i < w->graph->count && !error; i++) {
        const struct nn_node *node = &w->graph->nodes[i];
        if (node->kind == NN_INPUT) {
            snprintf(names[i].text, sizeof names[i].text, "face");
            if (node->h != w->model->arch.resolution) {
                names[i] =
                    put_pool(w, "AveragePool", names[i], w->model->arch.resolution / node->h);
            }
        } else if (w->wanted[i]) {
            error = put_graph_node(w, node, names, &names[i]);
        }
    }
    if (!error) {
        put_output(w, names[w->image], "image");
    }
    if (!error && w->mask >= 0) {
        put_output(w, names[w->mask], "mask");
    }
    us_free(names);
    return error;
}

/* An input or output of the graph: [N, channels, R, R]. */
static void put_port(struct us_str *graph, uint32_t field, const char *name, int channels,
                     int size) {
    struct us_str inner = {0}, outer = {0}, port = {0};
    const int64_t dims[4] = {0, channels, size, size};
    for (int i = 0; i < 4; i++) {
        if (i == 0) {
            us_proto_put_text(&inner, 2, "N");
        } else {
            us_proto_put_int(&inner, 1, dims[i]);
        }
        us_proto_put_message(&outer, 1, &inner);
    }
    us_proto_put_int(&inner, 1, US_ONNX_FLOAT);
    us_proto_put_message(&inner, 2, &outer);
    us_proto_put_message(&outer, 1, &inner);
    us_proto_put_text(&port, 1, name);
    us_proto_put_message(&port, 2, &outer);
    us_proto_put_message(graph, field, &port);
    us_str_finish(&inner);
    us_str_finish(&outer);
    us_str_finish(&port);
}

/* The tensor of a slice up to its values, whose head is the last thing in it. */
static void put_slice_head(struct us_str *tensor, const struct us_nn_slice *slice) {
    us_str_clear(tensor);
    for (int i = 0; i < slice->rank; i++) {
        us_proto_put_int(tensor, TENSOR_DIMS, slice->shape[i]);
    }
    us_proto_put_int(tensor, TENSOR_TYPE, US_ONNX_FLOAT);
    us_proto_put_text(tensor, TENSOR_NAME, slice->name);
    us_proto_put_head(tensor, TENSOR_RAW, slice->count * sizeof(float));
}

/* The weights, appended to `out`; or with NULL, only how many bytes they will be. */
static size_t put_weights(const struct writer *w, struct us_str *out) {
    struct us_str head = {0}, field = {0};
    size_t total = 0;
    for (int i = 0; i < w->layout->slice_count; i++) {
        const struct us_nn_slice *slice = &w->layout->slices[i];
        const size_t bytes = slice->count * sizeof(float);
        if (!w->used[i]) {
            continue;
        }
        put_slice_head(&head, slice);
        us_str_clear(&field);
        us_proto_put_head(&field, GRAPH_TENSOR, head.length + bytes);
        total += field.length + head.length + bytes;
        if (out) {
            us_str_append_bytes(out, us_str_text(&field), field.length);
            us_str_append_bytes(out, us_str_text(&head), head.length);
            us_str_append_bytes(out, w->model->parameters + slice->offset, bytes);
        }
    }
    us_str_finish(&head);
    us_str_finish(&field);
    return total;
}

static void put_note(struct us_str *out, const char *key, const char *value) {
    struct us_str pair = {0};
    us_proto_put_text(&pair, PAIR_KEY, key);
    us_proto_put_text(&pair, PAIR_VALUE, value);
    us_proto_put_message(out, MODEL_METADATA, &pair);
    us_str_finish(&pair);
}

static void put_notes(const struct us_swap_model *model, const struct us_digest *digest,
                      int identity, struct us_str *out) {
    static const char *const people[2] = {"source", "destination"};
    char hex[US_DIGEST_HEX], number[24];
    put_note(out, "architecture", us_nn_arch_name(&model->arch));
    snprintf(number, sizeof number, "%d", model->arch.resolution);
    put_note(out, "resolution", number);
    put_note(out, "encoding", model->encoding);
    put_note(out, "coverage", model->coverage);
    snprintf(number, sizeof number, "%d", identity);
    put_note(out, "identity", identity < 2 ? people[identity] : number);
    snprintf(number, sizeof number, "%llu", (unsigned long long)model->steps);
    put_note(out, "steps", number);
    put_note(out, "license", model->license ? model->license : "");
    put_note(out, "consent", model->consent ? model->consent : "");
    put_note(out, "digest", us_digest_hex(digest, hex));
}

/* The whole file: what is before the graph, the graph's head, nodes and weights, and the rest. */
static void put_file(struct writer *w, const struct us_digest *digest, int identity,
                     struct us_str *out) {
    const int size = w->model->arch.resolution;
    struct us_str opset = {0};
    us_proto_put_text(&w->text.nodes, GRAPH_NAME, us_nn_arch_name(&w->model->arch));
    put_port(&w->text.nodes, GRAPH_INPUT, "face", 3, size);
    put_port(&w->text.nodes, GRAPH_OUTPUT, "image", 3, size);
    if (w->mask >= 0) {
        put_port(&w->text.nodes, GRAPH_OUTPUT, "mask", 1, size);
    }
    us_proto_put_int(out, MODEL_IR, IR_VERSION);
    us_proto_put_text(out, MODEL_PRODUCER, "understudy");
    us_proto_put_text(out, MODEL_VERSION, UNDERSTUDY_VERSION);
    us_proto_put_int(&opset, OPSET_VERSION, OPSET);
    us_proto_put_message(out, MODEL_OPSET, &opset);
    us_str_finish(&opset);
    put_notes(w->model, digest, identity, out);
    us_proto_put_head(out, MODEL_GRAPH, w->text.nodes.length + put_weights(w, NULL));
    us_str_append_bytes(out, us_str_text(&w->text.nodes), w->text.nodes.length);
    put_weights(w, out);
}

static struct us_error *write_model(struct writer *w, const struct us_digest *digest, int identity,
                                    uint8_t **bytes, size_t *size) {
    struct us_str out = {0};
    w->wanted = us_calloc((size_t)w->graph->count, sizeof *w->wanted);
    w->used = us_calloc((size_t)w->layout->slice_count, sizeof *w->used);
    w->image = w->graph->outputs[identity].image;
    w->mask = w->graph->outputs[identity].mask;
    struct us_error *error = put_nodes(w);
    if (!error) {
        put_file(w, digest, identity, &out);
        *size = out.length;
        *bytes = (uint8_t *)us_str_take(&out);
    }
    us_onnx_graph_text_finish(&w->text);
    us_free(w->wanted);
    us_free(w->used);
    return error;
}

struct us_error *us_onnx_export(const struct us_swap_model *model, const struct us_digest *digest,
                                int identity, uint8_t **bytes, size_t *size) {
    struct us_nn_layout layout = {0};
    struct nn_graph *graph = nn_graph_of(&model->arch, false);
    struct us_error *error = graph ? NULL : us_fail(US_RETRY, "no memory for the network");
    if (graph && (identity < 0 || identity >= graph->identities)) {
        error = us_fail(US_USAGE, "the model has %d identities, not number %d", graph->identities,
                        identity);
    }
    if (!error) {
        error = us_nn_error(us_nn_layout_init(&layout, &model->arch), "lay out the model");
    }
    if (!error) {
        struct writer writer = {.model = model, .graph = graph, .layout = &layout};
        error = write_model(&writer, digest, identity, bytes, size);
    }
    us_nn_layout_finish(&layout);
    nn_graph_destroy(graph);
    return error;
}
