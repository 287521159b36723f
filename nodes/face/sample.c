#include "nodes/face/sample.h"

#include <math.h>
#include <string.h>

#include "kernels/expose.h"
#include "kernels/resample.h"
#include "nodes/face/crop_info.h"
#include "nodes/face/tflite_device.h"
#include "runtime/base/mem.h"

enum { MOST_SQUARES = 16 }; /* looked at on a device at once */

static const float brightest = 65504.0f;

static struct us_error *read_on_device(const struct us_image *image, struct us_gpu *gpu,
                                       struct us_view planes[3]) {
    struct us_samples samples[3];
    const struct us_channel *channels[3];
    us_image_rgb_channels(image, channels);
    for (int p = 0; p < 3; p++) {
        US_TRY(us_gpu_channel(gpu, channels[p], &samples[p]));
    }
    US_TRY(us_gpu_planes(gpu, samples[0].width, samples[0].height, 3, planes));
    for (int p = 0; p < 3; p++) {
        gpu->api->samples_read(samples[p], 0, 0, 0.0f, planes[p], gpu->stream);
        gpu->api->blend_clamp(planes[p], 0.0f, brightest, gpu->stream);
    }
    return NULL;
}

/* An image whose colour is put together on the processor: no copy is kept. */
static struct us_error *send_planes(struct us_gpu *gpu, struct us_view planes[3]) {
    struct us_view there[3];
    float *block = planes[0].data;
    size_t bytes = (size_t)planes[0].width * (size_t)planes[0].height * sizeof *block;
    struct us_error *error = us_gpu_planes(gpu, planes[0].width, planes[0].height, 3, there);
    for (int p = 0; p < 3 && !error; p++) {
        gpu->api->up(gpu->frame, there[p].data, planes[p].data, bytes);
        planes[p] = there[p];
    }
    us_free(block);
    return error;
}

struct us_error *us_frame_rgb_read(const struct us_image *image, struct us_gpu *gpu,
                                   struct us_frame_rgb *frame) {
    const struct us_channel *channels[3];
    *frame = (struct us_frame_rgb){.window = image->data_window};
    frame->gpu = gpu && gpu->api ? gpu : NULL;
    if (frame->gpu && us_image_rgb_channels(image, channels)) {
        return read_on_device(image, gpu, frame->planes);
    }
    US_TRY(us_image_rgb(image, "", frame->planes));
    for (int p = 0; p < 3; p++) {
        struct us_view plane = frame->planes[p];
        for (int32_t y = 0; y < plane.height; y++) {
            float *row = us_view_row(plane, y);
            for (int32_t x = 0; x < plane.width; x++) {
                row[x] = row[x] > 0.0f ? fminf(row[x], brightest) : 0.0f;
            }
        }
    }
    return frame->gpu ? send_planes(gpu, frame->planes) : NULL;
}

void us_frame_rgb_finish(struct us_frame_rgb *frame) {
    if (!frame->gpu) {
        us_free(frame->planes[0].data);
    }
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
    for (size_t i = 0; i < us_tflite_output_count(network); i++) {
        looker->stride += us_tflite_output_size(network, i);
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
    us_free(looker->outputs);
    *looker = (struct us_looker){0};
}

static struct us_exposure exposure_of(const struct us_looker *looker,
                                      const struct us_frame_rgb *frame,
                                      const struct us_square *square, double stops) {
    struct us_exposure exposure = {.width = frame->planes[0].width,
                                   .height = frame->planes[0].height,
                                   .stops = stops,
                                   .low = looker->low,
                                   .high = looker->high};
    us_square_map(square, looker->size, exposure.map);
    exposure.map[2] -= frame->window.x_min;
    exposure.map[5] -= frame->window.y_min;
    return exposure;
}

static void look_here(struct us_looker *looker, const struct us_frame_rgb *frame,
                      const struct us_square *square, double stops, float *outputs) {
    struct us_exposure exposure = exposure_of(looker, frame, square, stops);
    us_resample_affine(frame->planes, looker->planes, 3, exposure.map, US_FILTER_LINEAR);
    us_expose(looker->planes, &exposure, us_tflite_input(looker->network, looker->memory));
    us_tflite_run(looker->network, looker->memory);
    for (size_t i = 0; i < us_tflite_output_count(looker->network); i++) {
        size_t floats = us_tflite_output_size(looker->network, i);
        memcpy(outputs, us_tflite_output(looker->network, looker->memory, i),
               floats * sizeof *outputs);
        outputs += floats;
    }
}

/* What each of `count` squares needs on the device. */
struct batch {
    float *memory;   /* count x us_tflite_memory */
    float *outputs;  /* count x looker->stride */
    double *scratch; /* for the exposures, in turn */
    struct us_view planes[3];
};

static struct us_error *take_batch(const struct us_looker *looker, struct us_gpu *gpu, size_t count,
                                   struct batch *batch) {
    void *memory, *outputs, *scratch;
    size_t floats = us_tflite_memory(looker->network), doubles;
    doubles = gpu->api->expose_scratch(looker->size, looker->size);
    US_TRY(us_gpu_take(gpu, count * floats * sizeof(float), &memory));
    US_TRY(us_gpu_take(gpu, count * looker->stride * sizeof(float), &outputs));
    US_TRY(us_gpu_take(gpu, doubles * sizeof(double), &scratch));
    US_TRY(us_gpu_planes(gpu, looker->size, looker->size, 3, batch->planes));
    batch->memory = memory;
    batch->outputs = outputs;
    batch->scratch = scratch;
    return NULL;
}

/* Outputs lie apart in the squares' memory; together they come down at once. */
static void gather_outputs(const struct us_looker *looker, struct us_gpu *gpu, int count,
                           const struct batch *batch) {
    size_t floats = us_tflite_memory(looker->network), at = 0;
    for (size_t i = 0; i < us_tflite_output_count(looker->network); i++) {
        int32_t size = (int32_t)us_tflite_output_size(looker->network, i);
        const float *from = us_tflite_output(looker->network, batch->memory, i);
        struct us_samples rows = {(void *)from, (int32_t)floats, count, US_SAMPLE_FLOAT};
        struct us_view out = {batch->outputs + at, size, count, (ptrdiff_t)looker->stride};
        gpu->api->samples_read(rows, 0, 0, 0.0f, out, gpu->stream);
        at += (size_t)size;
    }
}

static struct us_error *look_on_device(struct us_looker *looker, const struct us_frame_rgb *frame,
                                       const struct us_square *squares, int count, double stops,
                                       float *outputs) {
    struct us_gpu *s = frame->gpu;
    const struct us_cuda_net *net;
    struct batch batch;
    size_t floats = us_tflite_memory(looker->network);
    US_TRY(us_tflite_on_device(looker->network, s, &net));
    US_TRY(take_batch(looker, s, (size_t)count, &batch));
    for (int i = 0; i < count; i++) {
        struct us_exposure exposure = exposure_of(looker, frame, &squares[i], stops);
        float *memory = batch.memory + (size_t)i * floats;
        s->api->resample_affine(frame->planes, batch.planes, 3, exposure.map, US_FILTER_LINEAR,
                                s->stream);
        s->api->expose(batch.planes, &exposure, us_tflite_input(looker->network, memory),
                       batch.scratch, s->stream);
    }
    s->api->net_run(s->frame, net, batch.memory, count);
    gather_outputs(looker, s, count, &batch);
    struct us_cuda_piece piece = {batch.outputs, outputs,
                                  (size_t)count * looker->stride * sizeof *outputs};
    return us_gpu_down(s, &piece, 1);
}

struct us_error *us_looker_run(struct us_looker *looker, const struct us_frame_rgb *frame,
                               const struct us_square *squares, int count, double stops) {
    size_t bytes = (size_t)count * looker->stride * sizeof *looker->outputs;
    looker->outputs = us_realloc(looker->outputs, bytes + 1);
    for (int i = 0; i < count; i += MOST_SQUARES) {
        int some = count - i < MOST_SQUARES ? count - i : MOST_SQUARES;
        float *outputs = looker->outputs + (size_t)i * looker->stride;
        if (frame->gpu) {
            US_TRY(look_on_device(looker, frame, squares + i, some, stops, outputs));
        }
        for (int k = 0; k < some && !frame->gpu; k++) {
            look_here(looker, frame, &squares[i + k], stops, outputs + (size_t)k * looker->stride);
        }
    }
    return NULL;
}

const float *us_looker_output(const struct us_looker *looker, int square, size_t index) {
    const float *outputs = looker->outputs + (size_t)square * looker->stride;
    for (size_t i = 0; i < index; i++) {
        outputs += us_tflite_output_size(looker->network, i);
    }
    return outputs;
}
