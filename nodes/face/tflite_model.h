/* Inside of a parsed TensorFlow Lite model; for nodes/face/tflite*.c only. */
#ifndef US_NODES_FACE_TFLITE_MODEL_H
#define US_NODES_FACE_TFLITE_MODEL_H

#include "kernels/nn/tflite_ops.h"
#include "nodes/face/flatbuffer.h"
#include "nodes/face/tflite.h"
#include "runtime/base/arena.h"

/* Values of the schema's BuiltinOperator. */
enum us_tflite_kind {
    US_TFLITE_ADD = 0,
    US_TFLITE_CONCATENATION = 2,
    US_TFLITE_CONV_2D = 3,
    US_TFLITE_DEPTHWISE_CONV_2D = 4,
    US_TFLITE_DEQUANTIZE = 6,
    US_TFLITE_MAX_POOL_2D = 17,
    US_TFLITE_RELU = 19,
    US_TFLITE_RELU6 = 21,
    US_TFLITE_RESHAPE = 22,
    US_TFLITE_RESIZE_BILINEAR = 23,
    US_TFLITE_PAD = 34,
    US_TFLITE_PRELU = 54,
};

/* Values of the schema's TensorType. */
enum us_tflite_type { US_TFLITE_FLOAT32 = 0, US_TFLITE_FLOAT16 = 1, US_TFLITE_INT32 = 2 };

enum { US_TFLITE_RANK = 4, US_TFLITE_INPUTS = 8 };

struct us_tflite_tensor {
    int32_t type, rank, shape[US_TFLITE_RANK];
    size_t elements;
    const uint8_t *data;   /* stored values in the file, or NULL; valid while parsing */
    const float *constant; /* float values of a stored tensor, or NULL */
    bool made;             /* the input, or the output of an operator seen so far */
    int32_t first, last;   /* operators between which its memory is in use */
    size_t offset;         /* in the run's memory, floats */
};

struct us_tflite_op {
    enum us_tflite_kind kind;
    int32_t inputs[US_TFLITE_INPUTS], input_count, output;
    struct us_sliding window;
    const float *weights, *bias;
    int32_t before[3];                      /* PAD */
    bool align_corners, half_pixel_centers; /* RESIZE_BILINEAR */
    size_t outer, inner[US_TFLITE_INPUTS];  /* CONCATENATION: copies, and their lengths */
};

struct us_tflite {
    struct us_arena arena;
    struct us_tflite_tensor *tensors;
    struct us_tflite_op *ops;
    int32_t *outputs;
    uint32_t tensor_count, op_count, output_count;
    int32_t input;
    size_t memory, scratch;        /* floats; scratch is the offset of the convolutions' */
    size_t stored;                 /* floats of constants so far */
    struct us_tflite_copy *copies; /* on devices */
};

/* Checks one operator against its tensors and fills what running it needs; `options` is the
 * schema's table for it, or 0. */
struct us_error *us_tflite_prepare(struct us_tflite *model, struct us_tflite_op *op,
                                   struct us_flat *flat, size_t options) US_NODISCARD;
/* Zeroed memory for constants; fails when the file asks for unreasonably much of it. */
struct us_error *us_tflite_store(struct us_tflite *model, size_t floats,
                                 float **values) US_NODISCARD;
/* Places the tensors in the run's memory. */
void us_tflite_place(struct us_tflite *model);
/* A tensor of rank 4 and batch 1 (others: channels = elements) as an image at `data`. */
struct us_nhwc us_tflite_image(const struct us_tflite_tensor *tensor, float *data);
/* Ends the copies on devices. */
void us_tflite_forget(struct us_tflite *model);

#endif
