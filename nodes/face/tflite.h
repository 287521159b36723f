/* TensorFlow Lite models of one float image input: parsing and running.
 *
 * Reads the .tflite FlatBuffer (schema version 3) with float32 or float16 weights. Operators: ADD,
 * CONCATENATION, CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE, MAX_POOL_2D, PAD, PRELU, RELU, RELU6,
 * RESHAPE and RESIZE_BILINEAR, batch 1. Everything is checked while parsing, so running cannot
 * fail. A model is constant once parsed and may be used from several threads, each with its own
 * memory. Files are treated as hostile. */
#ifndef US_NODES_FACE_TFLITE_H
#define US_NODES_FACE_TFLITE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

struct us_tflite;

/* Copies what it needs from `bytes`. */
struct us_error *us_tflite_parse(const uint8_t *bytes, size_t size,
                                 struct us_tflite **model) US_NODISCARD;
void us_tflite_destroy(struct us_tflite *model);

/* Height, width and channels of the input. */
void us_tflite_input_shape(const struct us_tflite *model, int32_t shape[3]);
/* Outputs, in the file's order, and the values in one. */
size_t us_tflite_output_count(const struct us_tflite *model);
size_t us_tflite_output_size(const struct us_tflite *model, size_t index);

/* Floats of memory one run wants (64-byte aligned, us_try_alloc_pixels). */
size_t us_tflite_memory(const struct us_tflite *model);
/* Where in that memory the input is to be put, and where an output is after the run. */
float *us_tflite_input(const struct us_tflite *model, float *memory);
const float *us_tflite_output(const struct us_tflite *model, const float *memory, size_t index);
void us_tflite_run(const struct us_tflite *model, float *memory);

#endif
