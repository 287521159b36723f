#include "nodes/face/sample.h"

#include <math.h>
#include <string.h>

#include "kernels/expose.h"
#include "kernels/resample.h"
#include "nodes/face/crop_info.h"
#include "runtime/base/mem.h"

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

void us_looker_run(struct us_looker *looker, const struct us_frame_rgb *frame,
                   const struct us_square *square, double stops) {
    double map[6];
    us_square_map(square, looker->size, map);
    map[2] -= frame->window.x_min;
    map[5] -= frame->window.y_min;
    us_resample_affine(frame->planes, looker->planes, 3, map, US_FILTER_LINEAR);
    struct us_exposure exposure = {.width = frame->planes[0].width,
                                   .height = frame->planes[0].height,
                                   .stops = stops,
                                   .low = looker->low,
                                   .high = looker->high};
    memcpy(exposure.map, map, sizeof map);
    us_expose(looker->planes, &exposure, us_tflite_input(looker->network, looker->memory));
    us_tflite_run(looker->network, looker->memory);
}

const float *us_looker_output(const struct us_looker *looker, size_t index) {
    return us_tflite_output(looker->network, looker->memory, index);
}
