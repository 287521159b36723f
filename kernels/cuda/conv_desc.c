#include "kernels/cuda/conv_plan.h"

void us_conv_desc_same(struct us_conv_desc *d) {
    d->out_height = (d->in_height + d->stride - 1) / d->stride;
    d->out_width = (d->in_width + d->stride - 1) / d->stride;
    const int rows = (d->out_height - 1) * d->stride + d->kernel_height - d->in_height;
    const int columns = (d->out_width - 1) * d->stride + d->kernel_width - d->in_width;
    d->pad_top = rows > 0 ? rows / 2 : 0;
    d->pad_bottom = rows > 0 ? rows - d->pad_top : 0;
    d->pad_left = columns > 0 ? columns / 2 : 0;
    d->pad_right = columns > 0 ? columns - d->pad_left : 0;
}

static bool fits(int in, int out, int kernel, int stride, int before, int after) {
    enum { MOST = 1 << 16 };
    return in > 0 && in <= MOST && kernel > 0 && kernel <= in + before + after && stride > 0 &&
           before >= 0 && after >= 0 && before < kernel && after < kernel + stride &&
           out == (in + before + after - kernel) / stride + 1;
}

const char *us_conv_desc_problem(const struct us_conv_desc *d) {
    enum { MOST_CHANNELS = 1 << 20, MOST_BATCH = 1 << 20 };
    if ((unsigned)d->op > US_CONV_WEIGHT_GRADIENT || (unsigned)d->type > US_CONV_BF16) {
        return "no such operation or type";
    }
    if (d->batch < 1 || d->batch > MOST_BATCH || d->in_channels < 8 || d->out_channels < 8 ||
        d->in_channels > MOST_CHANNELS || d->out_channels > MOST_CHANNELS ||
        d->in_channels % 8 != 0 || d->out_channels % 8 != 0) {
        return "channels are not multiples of 8, or the batch is out of range";
    }
    if (!fits(d->in_height, d->out_height, d->kernel_height, d->stride, d->pad_top,
              d->pad_bottom) ||
        !fits(d->in_width, d->out_width, d->kernel_width, d->stride, d->pad_left, d->pad_right)) {
        return "sizes, kernel, stride and padding contradict each other";
    }
    return d->slope == d->slope ? NULL : "the slope is not a number";
}
