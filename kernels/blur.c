#include "kernels/blur.h"

#include <math.h>
#include <string.h>

#include "kernels/blur_internal.h"

int32_t us_blur_radius(double sigma) {
    return blur_radius(sigma);
}

size_t us_blur_scratch(int32_t width, int32_t height, double sigma) {
    return blur_scratch(width, height, sigma);
}

static void make_kernel(double sigma, int32_t radius, float *kernel) {
    double sum = 0.0;
    for (int32_t k = -radius; k <= radius; k++) {
        sum += exp(-0.5 * k * k / (sigma * sigma));
    }
    for (int32_t k = -radius; k <= radius; k++) {
        kernel[k + radius] = (float)(exp(-0.5 * k * k / (sigma * sigma)) / sum);
    }
}

static void pad_row(const float *row, int32_t width, int32_t radius, float *padded) {
    for (int32_t k = 0; k < radius; k++) {
        padded[k] = row[0];
        padded[radius + width + k] = row[width - 1];
    }
    memcpy(padded + radius, row, (size_t)width * sizeof *row);
}

static void add_scaled(float *restrict out, const float *restrict in, float weight, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        out[i] += weight * in[i];
    }
}

static void blur_rows(struct us_view source, struct us_view across, const float *kernel,
                      int32_t radius, float *padded) {
    for (int32_t y = 0; y < source.height; y++) {
        float *out = us_view_row(across, y);
        pad_row(us_view_row(source, y), source.width, radius, padded);
        memset(out, 0, (size_t)source.width * sizeof *out);
        for (int32_t k = 0; k <= 2 * radius; k++) {
            add_scaled(out, padded + k, kernel[k], source.width);
        }
    }
}

static void blur_columns(struct us_view across, struct us_view destination, const float *kernel,
                         int32_t radius) {
    int32_t last = across.height - 1;
    for (int32_t y = 0; y <= last; y++) {
        float *out = us_view_row(destination, y);
        memset(out, 0, (size_t)across.width * sizeof *out);
        for (int32_t k = -radius; k <= radius; k++) {
            int32_t row = y + k < 0 ? 0 : y + k > last ? last : y + k;
            add_scaled(out, us_view_row(across, row), kernel[k + radius], across.width);
        }
    }
}

void us_gaussian_blur(struct us_view source, struct us_view destination, double sigma,
                      float *scratch) {
    int32_t radius = us_blur_radius(sigma);
    struct us_view across = {scratch, source.width, source.height, source.width};
    float *kernel = scratch + (size_t)source.width * (size_t)source.height;
    if (radius == 0) {
        for (int32_t y = 0; y < source.height; y++) {
            memmove(us_view_row(destination, y), us_view_row(source, y),
                    (size_t)source.width * sizeof *source.data);
        }
        return;
    }
    make_kernel(sigma, radius, kernel);
    blur_rows(source, across, kernel, radius, kernel + 2 * radius + 1);
    blur_columns(across, destination, kernel, radius);
}
