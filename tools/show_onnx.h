/* What `model info` says of an ONNX file. */
#ifndef US_TOOLS_SHOW_ONNX_H
#define US_TOOLS_SHOW_ONNX_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* Prints inputs, outputs, metadata, and every operator with how often it occurs and whether
 * infer_onnx has it. */
struct us_error *us_show_onnx(const char *path, const uint8_t *bytes, size_t size,
                              bool json) US_NODISCARD;

#endif
