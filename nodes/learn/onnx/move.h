/* Operators that only rearrange: what they share. For nodes/learn/onnx/ only. */
#ifndef US_NODES_LEARN_ONNX_MOVE_H
#define US_NODES_LEARN_ONNX_MOVE_H

#include "kernels/nn/onnx_ops.h"
#include "nodes/learn/onnx/net_internal.h"

/* A plan for `outputs` picks, one for each output, with room for their maps: `shape` is the
 * output's, which may be of a rank of its own as long as the elements agree. NULL maps for an
 * output without elements. */
struct us_error *us_onnx_plan_picks(struct us_onnx_net *net, struct us_onnx_op *op,
                                    int outputs) US_NODISCARD;
struct us_error *us_onnx_plan_pick(struct us_onnx_net *net, struct us_onnx_op *op, int output,
                                   const struct us_onnx_shape *shape, int64_t **maps) US_NODISCARD;
/* map[i] = (first + i step) stride */
void us_onnx_ramp(int64_t *map, int64_t count, int64_t first, int64_t step, int64_t stride);
struct us_error *us_onnx_run_picks(struct us_onnx_net *net, struct us_onnx_op *op) US_NODISCARD;

/* Resize and Upsample, which are picks when they take the nearest sample. */
struct us_error *us_onnx_prepare_resize(struct us_onnx_net *net,
                                        struct us_onnx_op *op) US_NODISCARD;
struct us_error *us_onnx_run_resize(struct us_onnx_net *net, struct us_onnx_op *op) US_NODISCARD;

#endif
