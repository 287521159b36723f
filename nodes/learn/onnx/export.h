/* A trained model's inference path as an ONNX file.
 *
 * Input `face` [N, 3, R, R], encoded as the metadata says; outputs `image` [N, 3, R, R] and, where
 * the architecture makes one, `mask` [N, 1, R, R], both 0 to 1. Weights keep their names and
 * shapes. Metadata: encoding, coverage, architecture, resolution, steps, identity, license,
 * consent, and digest, the XXH3-128 of the model file. Operator set 13: Conv, Gemm, DepthToSpace,
 * LeakyRelu and what else the architecture's graph (kernels/nn/graph.h) wants. */
#ifndef US_NODES_LEARN_ONNX_EXPORT_H
#define US_NODES_LEARN_ONNX_EXPORT_H

#include "nodes/learn/model_file.h"

/* `identity` is the decoder (or code) to draw with: 0 the source's, 1 the destination's. The
 * bytes are us_malloc'ed; the same model gives the same bytes. */
struct us_error *us_onnx_export(const struct us_swap_model *model, const struct us_digest *digest,
                                int identity, uint8_t **bytes, size_t *size) US_NODISCARD;

#endif
