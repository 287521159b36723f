#include "nodes/learn/onnx/write.h"

#include <stdio.h>

enum { ATTR_NAME = 1, ATTR_F = 2, ATTR_I = 3, ATTR_S = 4, ATTR_INTS = 8, ATTR_TYPE = 20 };
enum { TYPE_F = 1, TYPE_I = 2, TYPE_S = 3, TYPE_INTS = 7 }; /* values of ATTR_TYPE */

void us_onnx_graph_text_finish(struct us_onnx_graph_text *w) {
    us_str_finish(&w->nodes);
    us_str_finish(&w->node);
    us_str_finish(&w->attribute);
}

static void end_attribute(struct us_onnx_graph_text *w, int type) {
    us_proto_put_int(&w->attribute, ATTR_TYPE, type);
    us_proto_put_message(&w->node, NODE_ATTRIBUTE, &w->attribute);
}

void us_onnx_put_int(struct us_onnx_graph_text *w, const char *name, int64_t value) {
    us_proto_put_text(&w->attribute, ATTR_NAME, name);
    us_proto_put_int(&w->attribute, ATTR_I, value);
    end_attribute(w, TYPE_I);
}

void us_onnx_put_float(struct us_onnx_graph_text *w, const char *name, float value) {
    us_proto_put_text(&w->attribute, ATTR_NAME, name);
    us_proto_put_float(&w->attribute, ATTR_F, value);
    end_attribute(w, TYPE_F);
}

void us_onnx_put_word(struct us_onnx_graph_text *w, const char *name, const char *value) {
    us_proto_put_text(&w->attribute, ATTR_NAME, name);
    us_proto_put_text(&w->attribute, ATTR_S, value);
    end_attribute(w, TYPE_S);
}

void us_onnx_put_ints(struct us_onnx_graph_text *w, const char *name, int count,
                      const int64_t *values) {
    us_proto_put_text(&w->attribute, ATTR_NAME, name);
    for (int i = 0; i < count; i++) {
        us_proto_put_int(&w->attribute, ATTR_INTS, values[i]);
    }
    end_attribute(w, TYPE_INTS);
}

struct us_onnx_label us_onnx_put_node(struct us_onnx_graph_text *w, const char *op, int count,
                                      const char *const *inputs) {
    struct us_onnx_label name;
    struct us_str *node = &w->node;
    snprintf(name.text, sizeof name.text, "t%d", w->made++);
    for (int i = 0; i < count; i++) {
        us_proto_put_text(node, NODE_INPUT, inputs[i]);
    }
    us_proto_put_text(node, NODE_OUTPUT, name.text);
    us_proto_put_text(node, NODE_NAME, name.text);
    us_proto_put_text(node, NODE_OP, op);
    us_proto_put_message(&w->nodes, GRAPH_NODE, node);
    return name;
}

struct us_onnx_label us_onnx_put_one(struct us_onnx_graph_text *w, const char *op,
                                     struct us_onnx_label x) {
    const char *const inputs[1] = {x.text};
    return us_onnx_put_node(w, op, 1, inputs);
}

struct us_onnx_label us_onnx_put_two(struct us_onnx_graph_text *w, const char *op,
                                     struct us_onnx_label x, struct us_onnx_label y) {
    const char *const inputs[2] = {x.text, y.text};
    return us_onnx_put_node(w, op, 2, inputs);
}

struct us_onnx_label us_onnx_put_tensor(struct us_onnx_graph_text *w, int type, int64_t count,
                                        const void *values, size_t size) {
    struct us_onnx_label name;
    struct us_str tensor = {0};
    snprintf(name.text, sizeof name.text, "c%d", w->made++);
    if (count) {
        us_proto_put_int(&tensor, TENSOR_DIMS, count);
    }
    us_proto_put_int(&tensor, TENSOR_TYPE, type);
    us_proto_put_text(&tensor, TENSOR_NAME, name.text);
    us_proto_put_bytes(&tensor, TENSOR_RAW, values, size);
    us_proto_put_message(&w->nodes, GRAPH_TENSOR, &tensor);
    us_str_finish(&tensor);
    return name;
}
