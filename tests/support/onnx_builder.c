#include "tests/support/onnx_builder.h"

#include <stdio.h>
#include <string.h>

#include "nodes/learn/onnx/protobuf.h"

void us_test_onnx_input(struct us_test_onnx *net, const char *name, int rank, const int64_t *dims) {
    struct us_str shape = {0}, dim = {0}, type = {0}, value = {0};
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0) {
            us_proto_put_text(&dim, 2, "free");
        } else {
            us_proto_put_int(&dim, 1, dims[i]);
        }
        us_proto_put_message(&shape, 1, &dim);
    }
    us_proto_put_int(&type, 1, 1);
    us_proto_put_message(&type, 2, &shape);
    us_proto_put_text(&value, 1, name);
    us_proto_put_message(&dim, 1, &type);
    us_proto_put_message(&value, 2, &dim);
    us_proto_put_message(&net->graph, 11, &value);
    us_str_finish(&shape);
    us_str_finish(&dim);
    us_str_finish(&type);
    us_str_finish(&value);
}

void us_test_onnx_output(struct us_test_onnx *net, const char *name) {
    struct us_str value = {0};
    us_proto_put_text(&value, 1, name);
    us_proto_put_message(&net->graph, 12, &value);
    us_str_finish(&value);
}

static void put_tensor(struct us_test_onnx *net, const char *name, int rank, const int64_t *dims,
                       int type, const void *values, size_t size) {
    struct us_str tensor = {0};
    size_t count = 1;
    for (int i = 0; i < rank; i++) {
        us_proto_put_int(&tensor, 1, dims[i]);
        count *= (size_t)dims[i];
    }
    us_proto_put_int(&tensor, 2, type);
    us_proto_put_text(&tensor, 8, name);
    us_proto_put_bytes(&tensor, 9, values, count * size);
    us_proto_put_message(&net->graph, 5, &tensor);
    us_str_finish(&tensor);
}

void us_test_onnx_floats(struct us_test_onnx *net, const char *name, int rank, const int64_t *dims,
                         const float *values) {
    put_tensor(net, name, rank, dims, 1, values, sizeof *values);
}

void us_test_onnx_ints(struct us_test_onnx *net, const char *name, int64_t count,
                       const int64_t *values) {
    put_tensor(net, name, 1, &count, 7, values, sizeof *values);
}

static void put_names(struct us_str *node, uint32_t field, const char *names) {
    while (*names) {
        const size_t length = strcspn(names, " ");
        us_proto_put_bytes(node, field, names, length);
        names += length + (names[length] == ' ');
    }
}

void us_test_onnx_node(struct us_test_onnx *net, const char *op, const char *inputs,
                       const char *outputs, struct us_str *attributes) {
    struct us_str node = {0};
    put_names(&node, 1, inputs);
    put_names(&node, 2, outputs);
    us_proto_put_text(&node, 3, outputs);
    us_proto_put_text(&node, 4, op);
    if (attributes) {
        us_str_append_bytes(&node, us_str_text(attributes), attributes->length);
        us_str_finish(attributes);
    }
    us_proto_put_message(&net->graph, 1, &node);
    us_str_finish(&node);
}

void us_test_onnx_attribute_ints(struct us_str *attributes, const char *name, int count,
                                 const int64_t *values) {
    struct us_str attribute = {0};
    us_proto_put_text(&attribute, 1, name);
    for (int i = 0; i < count; i++) {
        us_proto_put_int(&attribute, 8, values[i]);
    }
    us_proto_put_message(attributes, 5, &attribute);
    us_str_finish(&attribute);
}

void us_test_onnx_attribute_int(struct us_str *attributes, const char *name, int64_t value) {
    struct us_str attribute = {0};
    us_proto_put_text(&attribute, 1, name);
    us_proto_put_int(&attribute, 3, value);
    us_proto_put_message(attributes, 5, &attribute);
    us_str_finish(&attribute);
}

void us_test_onnx_attribute_text(struct us_str *attributes, const char *name, const char *text) {
    struct us_str attribute = {0};
    us_proto_put_text(&attribute, 1, name);
    us_proto_put_text(&attribute, 4, text);
    us_proto_put_message(attributes, 5, &attribute);
    us_str_finish(&attribute);
}

uint8_t *us_test_onnx_file(struct us_test_onnx *net, int64_t opset, size_t *size) {
    struct us_str file = {0}, set = {0};
    us_proto_put_int(&file, 1, 8);
    us_proto_put_text(&file, 2, "test");
    us_proto_put_message(&file, 7, &net->graph);
    us_proto_put_int(&set, 2, opset);
    us_proto_put_message(&file, 8, &set);
    us_str_finish(&net->graph);
    us_str_finish(&set);
    *size = file.length;
    return (uint8_t *)us_str_take(&file);
}

uint8_t *us_test_onnx_small(size_t *size) {
    struct us_test_onnx net = {0};
    struct us_str attributes = {0};
    const int64_t image[4] = {-1, 2, -1, -1}, kernel[4] = {3, 2, 3, 3}, pads[4] = {1, 1, 1, 1};
    const int64_t two[2] = {2, 2}, bias[1] = {3}, one[1] = {1}, ends[2] = {2, 4}, axis[1] = {0};
    float weights[54], biases[3] = {0.5f, -0.25f, 1};
    for (int i = 0; i < 54; i++) {
        weights[i] = (float)(i % 7 - 3) / 8;
    }
    us_test_onnx_input(&net, "x", 4, image);
    us_test_onnx_floats(&net, "w", 4, kernel, weights);
    us_test_onnx_floats(&net, "b", 1, bias, biases);
    us_test_onnx_ints(&net, "from", 1, &ends[0]);
    us_test_onnx_ints(&net, "to", 1, &ends[1]);
    us_test_onnx_ints(&net, "axis", 1, axis);
    us_test_onnx_ints(&net, "one", 1, one);
    us_test_onnx_attribute_ints(&attributes, "pads", 4, pads);
    us_test_onnx_node(&net, "Conv", "x w b", "conv", &attributes);
    us_test_onnx_node(&net, "Relu", "conv", "relu", NULL);
    us_test_onnx_attribute_ints(&attributes, "kernel_shape", 2, two);
    us_test_onnx_attribute_ints(&attributes, "strides", 2, two);
    us_test_onnx_node(&net, "MaxPool", "relu", "pool", &attributes);
    us_test_onnx_node(&net, "Shape", "relu", "shape", NULL);
    us_test_onnx_node(&net, "Slice", "shape from to axis", "size", NULL);
    us_test_onnx_attribute_int(&attributes, "axis", 0);
    us_test_onnx_node(&net, "Concat", "one bias3 size", "sizes", &attributes);
    us_test_onnx_node(&net, "Resize", "pool   sizes", "up", NULL);
    us_test_onnx_node(&net, "Add", "up relu", "y", NULL);
    const int64_t three = 3;
    us_test_onnx_ints(&net, "bias3", 1, &three);
    us_test_onnx_output(&net, "y");
    return us_test_onnx_file(&net, 13, size);
}
