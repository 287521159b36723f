#include "nodes/comp/merge_device.h"

#include <math.h>
#include <string.h>

#include "nodes/comp/merge_mask_internal.h"
#include "nodes/comp/region.h"
#include "runtime/base/mem.h"

enum { MOST_PARTS = 9 }; /* R, G, B and the extra channels */

/* What comes down: the region of one channel. */
struct part {
    struct us_channel *channel;
    struct us_samples samples; /* on the device */
    size_t offset;             /* in the block */
};

struct job {
    struct us_merge *merge;
    struct us_gpu *gpu;
    struct us_view mask, cover, rgb[3], work;
    struct us_samples plate[3];
    struct part parts[MOST_PARTS];
    int part_count;
    size_t bytes;
    uint8_t *block;
};

static void read_region(const struct job *job, const struct us_image *image,
                        struct us_samples samples, struct us_view plane) {
    const struct us_window *data = &image->data_window, *region = &job->merge->region;
    job->gpu->api->samples_read(samples, region->x_min - data->x_min, region->y_min - data->y_min,
                                0.0f, plane, job->gpu->stream);
}

static struct us_error *multiply_crop(struct job *job, const struct us_image *crop,
                                      const double map[6], const char *what) {
    const struct us_channel *channel;
    struct us_samples samples;
    struct us_view source;
    struct us_gpu *gpu = job->gpu;
    US_TRY(us_merge_crop_matte(crop, what, &channel));
    US_TRY(us_gpu_channel(gpu, channel, &samples));
    US_TRY(us_gpu_planes(gpu, samples.width, samples.height, 1, &source));
    gpu->api->samples_read(samples, 0, 0, 0.0f, source, gpu->stream);
    gpu->api->resample_affine(&source, &job->work, 1, map, US_FILTER_LINEAR, gpu->stream);
    gpu->api->blend_multiply(job->mask, job->work, false, gpu->stream);
    return NULL;
}

static struct us_error *multiply_artist(struct job *job, const struct us_image *image,
                                        bool inverted) {
    struct us_channel *channel;
    struct us_samples samples;
    US_TRY(us_matte_find(image, &channel));
    US_TRY(us_gpu_channel(job->gpu, channel, &samples));
    read_region(job, image, samples, job->work);
    job->gpu->api->blend_multiply(job->mask, job->work, inverted, job->gpu->stream);
    return NULL;
}

static struct us_error *shape(struct job *job) {
    const struct us_merge_options *options = &job->merge->options;
    double grow = -options->erode_px, sigma = options->feather_px / 4.0;
    struct us_gpu *gpu = job->gpu;
    void *scratch;
    if (fabs(grow) > 0.0) {
        size_t floats = gpu->api->matte_grow_scratch(job->mask.width, job->mask.height, grow);
        US_TRY(us_gpu_take(gpu, floats * sizeof(float), &scratch));
        gpu->api->matte_grow(job->mask, job->mask, grow, scratch, gpu->stream);
    }
    size_t floats = gpu->api->gaussian_blur_scratch(job->mask.width, job->mask.height, sigma);
    US_TRY(us_gpu_take(gpu, floats * sizeof(float), &scratch));
    gpu->api->gaussian_blur(job->mask, job->mask, sigma, scratch, gpu->stream);
    return NULL;
}

static struct us_error *build_mask(struct job *job) {
    struct us_merge *merge = job->merge;
    enum us_merge_mask kind = merge->options.mask;
    struct us_blend_frame frame = us_merge_frame(merge);
    struct us_gpu *gpu = job->gpu;
    gpu->api->blend_cover(&frame, job->cover, gpu->stream);
    gpu->api->blend_fill(job->mask, 1.0f, gpu->stream);
    if (!(merge->matte && merge->options.replace)) {
        if (kind == US_MASK_LANDMARKS || kind == US_MASK_PRODUCT) {
            US_TRY(multiply_crop(job, merge->faces, merge->to_faces, "face crop"));
        }
        if (kind == US_MASK_LEARNED || kind == US_MASK_PRODUCT) {
            US_TRY(multiply_crop(job, merge->swap, merge->to_swap, "swap"));
        }
        US_TRY(shape(job));
    }
    if (merge->matte) {
        US_TRY(multiply_artist(job, merge->matte, false));
    }
    if (merge->holdout) {
        US_TRY(multiply_artist(job, merge->holdout, true));
    }
    gpu->api->blend_settle(job->mask, job->cover, (float)merge->options.opacity, gpu->stream);
    return NULL;
}

static size_t floats_of(struct us_view plane) {
    return (size_t)plane.width * (size_t)plane.height;
}

static struct us_error *match_grain(struct job *job) {
    struct us_merge *merge = job->merge;
    struct us_gpu *gpu = job->gpu;
    void *scratch, *deviations;
    if (merge->options.grain > 0.0) {
        size_t floats = gpu->api->grain_scratch(job->mask.width, job->mask.height);
        US_TRY(us_gpu_take(gpu, floats * sizeof(float), &scratch));
        US_TRY(us_gpu_take(gpu, 2 * sizeof(double), &deviations));
        double *wanted = deviations, *have = wanted + 1;
        for (int c = 0; c < 3; c++) {
            read_region(job, merge->plate, job->plate[c], job->work);
            gpu->api->log_encode(job->work.data, job->work.data, floats_of(job->work), gpu->stream);
            gpu->api->grain_measure(job->work, job->mask, scratch, wanted, gpu->stream);
            gpu->api->grain_measure(job->rgb[c], job->mask, scratch, have, gpu->stream);
            gpu->api->grain_add(job->rgb[c], job->mask, wanted, have, merge->options.grain,
                                us_merge_seed(merge, c), merge->region.x_min, merge->region.y_min,
                                gpu->stream);
        }
    }
    gpu->api->log_decode(job->rgb[0].data, job->rgb[0].data, 3 * floats_of(job->rgb[0]),
                         gpu->stream);
    return NULL;
}

/* As light, in the region. */
static struct us_error *bring_swap(struct job *job) {
    static const char *const names[3] = {"R", "G", "B"};
    const struct us_image *swap = job->merge->swap;
    struct us_gpu *gpu = job->gpu;
    struct us_view crop[3];
    US_TRY(us_gpu_planes(gpu, us_window_width(&swap->data_window),
                         us_window_height(&swap->data_window), 3, crop));
    for (int c = 0; c < 3; c++) {
        const struct us_channel *channel;
        struct us_samples samples;
        US_TRY(us_image_full_channel(swap, names[c], &channel));
        US_TRY(us_gpu_channel(gpu, channel, &samples));
        gpu->api->samples_read(samples, 0, 0, 0.0f, crop[c], gpu->stream);
    }
    if (strcmp(job->merge->info->encoding, "log") != 0) {
        US_TRY(us_encoding_decode(job->merge->info->encoding, NULL, 0)); /* known: then linear */
        gpu->api->log_encode(crop[0].data, crop[0].data, 3 * floats_of(crop[0]), gpu->stream);
    }
    gpu->api->resample_affine(crop, job->rgb, 3, job->merge->to_swap, job->merge->options.filter,
                              gpu->stream);
    return match_grain(job);
}

static void add_part(struct job *job, struct us_channel *channel) {
    struct part *part = &job->parts[job->part_count++];
    *part = (struct part){.channel = channel, .offset = job->bytes};
    part->samples = (struct us_samples){NULL, job->mask.width, job->mask.height,
                                        (enum us_sample_type)channel->sample};
    size_t bytes = floats_of(job->mask) * us_sample_size(channel->sample);
    job->bytes += (bytes + 15) / 16 * 16;
}

/* The parts side by side in one block, black. */
static struct us_error *place_parts(struct job *job, struct us_image *out) {
    struct us_channel *rgb[3];
    void *block;
    US_TRY(us_rgb_find(out, rgb));
    for (int c = 0; c < 3; c++) {
        add_part(job, rgb[c]);
    }
    for (size_t i = 0; i < us_merge_aov_count(job->merge->options.aovs); i++) {
        add_part(job, us_merge_aov(job->merge, out, i));
    }
    US_TRY(us_gpu_take(job->gpu, job->bytes, &block));
    job->gpu->api->clear(job->gpu->frame, block, job->bytes);
    job->block = block;
    for (int i = 0; i < job->part_count; i++) {
        job->parts[i].samples.data = job->block + job->parts[i].offset;
    }
    return NULL;
}

/* A part of R, G and B starts as the plate's bits; only where the mask is above 0 it is written. */
static void lay_over(struct job *job) {
    const struct us_window *data = &job->merge->plate->data_window;
    const struct us_window *region = &job->merge->region;
    struct us_gpu *gpu = job->gpu;
    for (int c = 0; c < 3; c++) {
        gpu->api->samples_copy(job->plate[c], region->x_min - data->x_min,
                               region->y_min - data->y_min, job->parts[c].samples, gpu->stream);
        read_region(job, job->merge->plate, job->plate[c], job->work);
        gpu->api->blend_mix(job->work, job->rgb[c], job->mask, gpu->stream);
        gpu->api->samples_write(job->parts[c].samples, 0, 0, job->work, &job->mask, gpu->stream);
    }
}

static void fill_aovs(struct job *job) {
    struct us_blend_frame frame = us_merge_frame(job->merge);
    const struct us_view planes[] = {job->mask,   job->rgb[0], job->rgb[1],
                                     job->rgb[2], job->work,   job->work};
    for (int i = 3; i < job->part_count; i++) {
        if (i - 3 >= 4) {
            job->gpu->api->blend_place(&frame, i - 3 == 5, job->work, job->gpu->stream);
        }
        job->gpu->api->samples_write(job->parts[i].samples, 0, 0, planes[i - 3], &job->cover,
                                     job->gpu->stream);
    }
}

static void unpack(const struct job *job, const struct us_image *out, const uint8_t *bytes) {
    const struct us_window *data = &out->data_window, *region = &job->merge->region;
    for (int i = 0; i < job->part_count; i++) {
        struct us_channel *channel = job->parts[i].channel;
        size_t size = us_sample_size(channel->sample), row = (size_t)job->mask.width * size;
        for (int32_t y = 0; y < job->mask.height; y++) {
            size_t line = (size_t)(region->y_min - data->y_min + y) * (size_t)channel->width;
            size_t at = (line + (size_t)(region->x_min - data->x_min)) * size;
            memcpy((uint8_t *)channel->data + at, bytes + job->parts[i].offset + (size_t)y * row,
                   row);
        }
    }
}

static struct us_error *bring_down(struct job *job, struct us_image *out) {
    uint8_t *bytes = us_try_alloc_pixels(job->bytes);
    if (!bytes) {
        return us_fail(US_RETRY, "no memory for a region of %d x %d pixels", job->mask.width,
                       job->mask.height);
    }
    struct us_cuda_piece piece = {job->block, bytes, job->bytes};
    struct us_error *error = us_gpu_down(job->gpu, &piece, 1);
    if (!error) {
        unpack(job, out, bytes);
    }
    us_free(bytes);
    return error;
}

struct us_error *us_merge_run_on_device(struct us_merge *merge, struct us_gpu *gpu,
                                        struct us_image *out) {
    struct job job = {.merge = merge, .gpu = gpu};
    struct us_channel *plate[3];
    struct us_view planes[6];
    US_TRY(us_rgb_find(merge->plate, plate));
    for (int c = 0; c < 3; c++) {
        US_TRY(us_gpu_channel(gpu, plate[c], &job.plate[c]));
    }
    US_TRY(us_gpu_planes(gpu, us_window_width(&merge->region), us_window_height(&merge->region), 6,
                         planes));
    job.mask = planes[0];
    job.cover = planes[1];
    memcpy(job.rgb, planes + 2, sizeof job.rgb);
    job.work = planes[5];
    US_TRY(build_mask(&job));
    US_TRY(bring_swap(&job));
    US_TRY(place_parts(&job, out));
    lay_over(&job);
    fill_aovs(&job);
    return bring_down(&job, out);
}
