/* Writing the operators of an ONNX graph, one after the other. For nodes/learn/onnx/ only. */
#ifndef US_NODES_LEARN_ONNX_WRITE_H
#define US_NODES_LEARN_ONNX_WRITE_H

#include "nodes/learn/onnx/file.h"
#include "nodes/learn/onnx/protobuf.h"

/* Fields of the messages of onnx.proto. */
enum { GRAPH_NODE = 1, GRAPH_TENSOR = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };

/* A GraphProto that grows. Zeroed is empty. */
struct us_onnx_graph_text {
    struct us_str nodes;           /* operators and small tensors so far */
    struct us_str node, attribute; /* those being written */
    int made;                      /* names given so far */
};

struct us_onnx_label {
    char text[48];
};

void us_onnx_graph_text_finish(struct us_onnx_graph_text *text);

/* Attributes of the operator that is put next. */
void us_onnx_put_int(struct us_onnx_graph_text *text, const char *name, int64_t value);
void us_onnx_put_float(struct us_onnx_graph_text *text, const char *name, float value);
void us_onnx_put_word(struct us_onnx_graph_text *text, const char *name, const char *value);
void us_onnx_put_ints(struct us_onnx_graph_text *text, const char *name, int count,
                      const int64_t *values);
/* Closes the operator and gives its result a name. */
struct us_onnx_label us_onnx_put_node(struct us_onnx_graph_text *text, const char *op, int count,
                                      const char *const *inputs);
struct us_onnx_label us_onnx_put_one(struct us_onnx_graph_text *text, const char *op,
                                     struct us_onnx_label x);
struct us_onnx_label us_onnx_put_two(struct us_onnx_graph_text *text, const char *op,
                                     struct us_onnx_label x, struct us_onnx_label y);
/* A small stored tensor: a list of `count` values, or one value by itself (0). */
struct us_onnx_label us_onnx_put_tensor(struct us_onnx_graph_text *text, int type, int64_t count,
                                        const void *values, size_t size);

#endif
