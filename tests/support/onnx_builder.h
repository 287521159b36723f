/* ONNX files put together by hand, also such as no exporter would write. */
#ifndef US_TESTS_SUPPORT_ONNX_BUILDER_H
#define US_TESTS_SUPPORT_ONNX_BUILDER_H

#include <stdint.h>

#include "runtime/base/str.h"

/* A GraphProto that grows. Zeroed is empty. */
struct us_test_onnx {
    struct us_str graph;
};

/* A dim of -1 has a name instead of a number. */
void us_test_onnx_input(struct us_test_onnx *net, const char *name, int rank, const int64_t *dims);
void us_test_onnx_output(struct us_test_onnx *net, const char *name);
void us_test_onnx_floats(struct us_test_onnx *net, const char *name, int rank, const int64_t *dims,
                         const float *values);
void us_test_onnx_ints(struct us_test_onnx *net, const char *name, int64_t count,
                       const int64_t *values);
/* inputs and outputs are names with spaces between; `attributes` (or NULL) is emptied. */
void us_test_onnx_node(struct us_test_onnx *net, const char *op, const char *inputs,
                       const char *outputs, struct us_str *attributes);
void us_test_onnx_attribute_ints(struct us_str *attributes, const char *name, int count,
                                 const int64_t *values);
void us_test_onnx_attribute_int(struct us_str *attributes, const char *name, int64_t value);
void us_test_onnx_attribute_text(struct us_str *attributes, const char *name, const char *text);
/* The ModelProto, us_malloc'ed; the net is emptied. */
uint8_t *us_test_onnx_file(struct us_test_onnx *net, int64_t opset, size_t *size);

/* A network with a convolution, a pool, shape arithmetic and an addition, of one image of two
 * channels; rows and columns are free. */
uint8_t *us_test_onnx_small(size_t *size);

#endif
