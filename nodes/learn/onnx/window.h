/* Sliding windows: what convolutions and pools share. For nodes/learn/onnx/ only. */
#ifndef US_NODES_LEARN_ONNX_WINDOW_H
#define US_NODES_LEARN_ONNX_WINDOW_H

#include "nodes/learn/onnx/net_internal.h"

/* Pairs are rows, columns; a row of samples (rank 3) is an image of one row. */
struct us_onnx_sliding {
    int axes;
    bool same, same_lower; /* auto_pad */
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], before[2], after[2];
};

/* From the attributes; `kernel` is for those that leave it to their weights. */
struct us_error *us_onnx_read_window(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                     const int64_t kernel[2],
                                     struct us_onnx_sliding *window) US_NODISCARD;
/* Finds out, and the pads when they follow from the input. */
struct us_error *us_onnx_slide(struct us_onnx_sliding *window, bool ceil_mode) US_NODISCARD;

#endif
