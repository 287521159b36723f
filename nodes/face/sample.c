#include "nodes/face/sample.h"

#include <math.h>
#include <string.h>

#include "kernels/encoding.h"
#include "kernels/resample.h"
#include "nodes/face/crop_info.h"
#include "runtime/base/mem.h"

/* Brighter samples would only take part in a mean with one pixel's highlight. */
static const float brightest = 64.0f;
static const float darkest = 1e-5f;

struct us_error *us_frame_rgb_read(const struct us_image *image, struct us_frame_rgb *frame) {
    frame->window = image->data_window;
    US_TRY(us_image_rgb(image, "", frame->planes));
    for (int p = 0; p < 3; p++) {
        struct us_view plane = frame->planes[p];
        for (int32_t y = 0; y < plane.height; y++) {
            float *row = us_view_row(plane, y);
            for (int32_t x = 0; x < plane.width; x++) {
                row[x] = row[x] > 0.0f ? fminf(row[x], 65504.0f) : 0.0f;
            }
        }
    }
    return NULL;
}

void us_frame_rgb_finish(struct us_frame_rgb *frame) {
    us_free(frame->planes[0].data);
    *frame = (struct us_frame_rgb){0};
}

void us_square_map(const struct us_square *square, int32_t size, double map[6]) {
    double scale = square->side / size, half = square->side / 2;
    double c = cos(square->angle), s = sin(square->angle);
    double made[6] = {scale * c, -scale * s, square->x - half * c + half * s,
                      scale * s, scale * c,  square->y - half * s - half * c};
    memcpy(map, made, sizeof made);
}

struct us_error *us_looker_start(struct us_looker *looker, const struct us_tflite *network,
                                 float low, float high) {
    int32_t shape[3];
    us_tflite_input_shape(network, shape);
    *looker = (struct us_looker){.network = network, .size = shape[0], .low = low, .high = high};
    if (shape[0] != shape[1] || shape[2] != 3) {
        return us_fail(US_FAILED, "the network wants %dx%dx%d, not a square colour image", shape[1],
                       shape[0], shape[2]);
    }
    looker->memory = us_try_alloc_pixels(us_tflite_memory(network) * sizeof(float));
    if (!looker->memory) {
        return us_fail(US_RETRY, "no memory for a network of %zu floats",
                       us_tflite_memory(network));
    }
    struct us_error *error = us_planes_create(shape[1], shape[0], 3, looker->planes);
    if (error) {
        us_looker_finish(looker);
    }
    return error;
}

void us_looker_finish(struct us_looker *looker) {
    us_free(looker->memory);
    us_free(looker->planes[0].data);
    *looker = (struct us_looker){0};
}

static bool inside(const struct us_frame_rgb *frame, const double map[6], int32_t x, int32_t y) {
    double at_x, at_y;
    us_affine_apply(map, x + 0.5, y + 0.5, &at_x, &at_y);
    return at_x >= 0 && at_y >= 0 && at_x < frame->planes[0].width &&
           at_y < frame->planes[0].height;
}

/* Blackens what lies outside the frame; the gain that puts the geometric mean at 0.18. */
static double measure_gain(struct us_looker *looker, const struct us_frame_rgb *frame,
                           const double map[6]) {
    double sum = 0;
    int64_t count = 0;
    for (int32_t y = 0; y < looker->size; y++) {
        float *rows[3] = {us_view_row(looker->planes[0], y), us_view_row(looker->planes[1], y),
                          us_view_row(looker->planes[2], y)};
        for (int32_t x = 0; x < looker->size; x++) {
            if (!inside(frame, map, x, y)) {
                rows[0][x] = rows[1][x] = rows[2][x] = 0.0f;
                continue;
            }
            float light = 0.2126f * rows[0][x] + 0.7152f * rows[1][x] + 0.0722f * rows[2][x];
            if (light > darkest) {
                sum += log2((double)fminf(light, brightest));
                count++;
            }
        }
    }
    return count ? 0.18 / exp2(sum / (double)count) : 1.0;
}

static void encode_row(const struct us_looker *looker, int32_t y, float gain, float *out) {
    float span = looker->high - looker->low;
    for (int p = 0; p < 3; p++) {
        float *row = us_view_row(looker->planes[p], y);
        for (int32_t x = 0; x < looker->size; x++) {
            row[x] = fminf(row[x] * gain, 1.0f);
        }
        us_srgb_encode(row, row, (size_t)looker->size);
        for (int32_t x = 0; x < looker->size; x++) {
            out[3 * x + p] = looker->low + span * row[x];
        }
    }
}

void us_looker_run(struct us_looker *looker, const struct us_frame_rgb *frame,
                   const struct us_square *square, double stops) {
    double map[6];
    us_square_map(square, looker->size, map);
    map[2] -= frame->window.x_min;
    map[5] -= frame->window.y_min;
    us_resample_affine(frame->planes, looker->planes, 3, map, US_FILTER_LINEAR);
    float gain = (float)(measure_gain(looker, frame, map) * exp2(stops));
    float *input = us_tflite_input(looker->network, looker->memory);
    for (int32_t y = 0; y < looker->size; y++) {
        encode_row(looker, y, gain, input + 3 * (ptrdiff_t)y * looker->size);
    }
    us_tflite_run(looker->network, looker->memory);
}

const float *us_looker_output(const struct us_looker *looker, size_t index) {
    return us_tflite_output(looker->network, looker->memory, index);
}
