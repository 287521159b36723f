/* ONNX files: the parts of a ModelProto that running a network needs.
 *
 * Reads one graph of nodes with attributes, stored tensors, inputs and outputs. Nothing is checked
 * here beyond the form: lengths, counts, types, that stored values are as many as the shape says.
 * Weights in other files (external data), sparse tensors and strings are refused. Subgraphs and
 * local functions are not read; the operators that use them are unknown to net.h.
 * Source: onnx.proto of the ONNX project (IR version 3 and later). Files are foreign bytes. */
#ifndef US_NODES_LEARN_ONNX_FILE_H
#define US_NODES_LEARN_ONNX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/error.h"

enum { US_ONNX_RANK = 8 };

/* Values of TensorProto.DataType that can be read. */
enum us_onnx_type {
    US_ONNX_FLOAT = 1,
    US_ONNX_UINT8 = 2,
    US_ONNX_INT8 = 3,
    US_ONNX_INT32 = 6,
    US_ONNX_INT64 = 7,
    US_ONNX_BOOL = 9,
    US_ONNX_FLOAT16 = 10,
    US_ONNX_DOUBLE = 11,
};

struct us_onnx_shape {
    int rank;
    int64_t dims[US_ONNX_RANK]; /* -1: not fixed (inputs only) */
};

/* Stored values, as float or, whatever whole number the file holds, as int64_t. Floats that lie
 * aligned in the file are borrowed from it. */
struct us_onnx_tensor {
    const char *name;
    struct us_onnx_shape shape;
    bool integer;
    size_t count;
    const void *data;
};

struct us_onnx_attribute {
    const char *name;
    float number;
    int64_t integer;
    const char *text; /* never NULL */
    const int64_t *integers;
    const float *numbers;
    size_t integer_count, number_count;
    const struct us_onnx_tensor *tensor; /* or NULL */
};

struct us_onnx_node {
    const char *name, *op, *domain; /* "" when missing; the domain of ONNX itself is "" */
    const char **inputs, **outputs; /* "" for one left out */
    size_t input_count, output_count;
    const struct us_onnx_attribute *attributes;
    size_t attribute_count;
};

struct us_onnx_port {
    const char *name;
    int type; /* of enum us_onnx_type, or another number of the format; 0: not said */
    bool shaped;
    struct us_onnx_shape shape;
};

struct us_onnx_note {
    const char *key, *value;
};

struct us_onnx_file {
    struct us_arena arena;
    const char *producer;
    int64_t opset; /* of ONNX's own operators */
    struct us_onnx_node *nodes;
    struct us_onnx_tensor *tensors; /* stored ones; graph inputs of the same name are defaults */
    struct us_onnx_port *inputs, *outputs;
    struct us_onnx_note *notes; /* metadata_props */
    size_t node_count, tensor_count, input_count, output_count, note_count;
};

/* Whether bytes look like an ONNX file rather than safetensors. */
bool us_onnx_sniff(const uint8_t *bytes, size_t size);

/* Fills a zeroed file; `bytes` must outlive it. Finish also after an error. */
struct us_error *us_onnx_file_parse(const uint8_t *bytes, size_t size,
                                    struct us_onnx_file *file) US_NODISCARD;
void us_onnx_file_finish(struct us_onnx_file *file);

/* The attribute of that name, or NULL. */
const struct us_onnx_attribute *us_onnx_attribute(const struct us_onnx_node *node,
                                                  const char *name);
/* The note's value, or NULL. */
const char *us_onnx_note(const struct us_onnx_file *file, const char *key);

/* The product of the dims; false when it is above 2^40 or a dim is negative. */
bool us_onnx_elements(const struct us_onnx_shape *shape, size_t *count);

#endif
