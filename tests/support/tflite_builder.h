/* Tiny TensorFlow Lite files for tests, byte by byte. */
#ifndef US_TESTS_SUPPORT_TFLITE_BUILDER_H
#define US_TESTS_SUPPORT_TFLITE_BUILDER_H

#include <stddef.h>
#include <stdint.h>

struct us_test_tensor {
    int rank, shape[4], type; /* type: 0 float32, 1 float16, 2 int32 */
    const void *data;         /* stored values, or NULL */
    size_t size;              /* their bytes */
};

/* An option is a field of the operator's options table; a byte when `width` is 1. */
struct us_test_option {
    int field, width, value;
};

struct us_test_op {
    int code, inputs[4], input_count, output;
    struct us_test_option options[8];
    int option_count;
};

struct us_test_net {
    const struct us_test_tensor *tensors;
    int tensor_count;
    const struct us_test_op *ops;
    int op_count, input, output;
};

/* Writes at most `room` bytes and returns how many; aborts when there is no room. */
size_t us_test_tflite(const struct us_test_net *net, uint8_t *bytes, size_t room);

#endif
