/* A picture through a network: values as the network wants them, tiles, sizes, and back. */
#ifndef US_NODES_LEARN_ONNX_PICTURE_H
#define US_NODES_LEARN_ONNX_PICTURE_H

#include "nodes/learn/onnx/session.h"
#include "runtime/api/task.h"

enum us_onnx_fit { US_ONNX_EXACT, US_ONNX_RESIZE, US_ONNX_TILE };
enum us_onnx_curve { US_ONNX_AS_IT_IS, US_ONNX_SRGB, US_ONNX_LOG };

enum { US_ONNX_PLANES = 64 };

/* In: curve(x) clipped, times scale, less mean[c], divided by deviation[c]. Out: times scale plus
 * offset, then back through the curve. */
struct us_onnx_values {
    enum us_onnx_curve curve;
    bool clip;
    float scale, mean[US_ONNX_PLANES], deviation[US_ONNX_PLANES];
};

struct us_onnx_results {
    enum us_onnx_curve curve;
    float scale, offset;
};

struct us_onnx_job {
    struct us_onnx_values in;
    struct us_onnx_results out;
    enum us_onnx_fit fit;
    int32_t size;     /* of tiles, or of the longer side when resizing; 0: the picture's own */
    int32_t multiple; /* sizes are made multiples of this */
    int32_t overlap;  /* of tiles, pixels */
    bool channels_last;
    size_t memory;
    /* The model's outputs to take, in this order; none: the file's, until `planes` are had. */
    const char *const *outputs;
    size_t output_count;
};

/* Runs the model over `in_count` planes of one size (their values are changed) and fills
 * `out_count` planes of that size, which are zero. *license: the file's note of it, "" for none,
 * us_malloc'ed. */
struct us_error *us_onnx_picture(struct us_task *task, struct us_value *model,
                                 const struct us_onnx_job *job, const struct us_view *in,
                                 int in_count, const struct us_view *out, int out_count,
                                 char **license) US_NODISCARD;

#endif
