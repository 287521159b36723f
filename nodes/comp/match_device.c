#include "nodes/comp/match_device.h"

#include <string.h>

#include "nodes/comp/region.h"

static const char *const names[] = {"R", "G", "B", "matte.A"};

/* The first `count` planes, as light; each a block of its own. */
static struct us_error *read_light(struct us_gpu *gpu, const struct us_match_side *side, int count,
                                   struct us_view *planes) {
    US_TRY(us_encoding_decode(side->encoding, NULL, 0)); /* one that is known */
    for (int c = 0; c < count; c++) {
        const struct us_channel *channel;
        struct us_samples samples;
        US_TRY(us_error_wrap(us_image_full_channel(side->image, names[c], &channel), "input %s",
                             side->name));
        US_TRY(us_gpu_channel(gpu, channel, &samples));
        US_TRY(us_gpu_planes(gpu, samples.width, samples.height, 1, &planes[c]));
        gpu->api->samples_read(samples, 0, 0, 0.0f, planes[c], gpu->stream);
        if (c < 3 && strcmp(side->encoding, "log") == 0) {
            gpu->api->log_decode(planes[c].data, planes[c].data,
                                 (size_t)samples.width * (size_t)samples.height, gpu->stream);
        }
    }
    return NULL;
}

struct us_error *us_match_gather_on_device(struct us_gpu *gpu, const struct us_match_side sides[2],
                                           struct us_colour_sums sums[2]) {
    struct us_view planes[2][4];
    void *there, *scratch;
    for (int i = 0; i < 2; i++) {
        US_TRY(read_light(gpu, &sides[i], 4, planes[i]));
    }
    struct us_view weight = planes[0][3];
    size_t rows = gpu->api->colour_scratch(weight.height);
    US_TRY(us_gpu_take(gpu, 2 * sizeof *sums, &there));
    US_TRY(us_gpu_take(gpu, rows * sizeof *sums, &scratch));
    gpu->api->blend_weigh(weight, planes[1][3], gpu->stream);
    for (int i = 0; i < 2; i++) {
        gpu->api->colour_gather(planes[i], weight, (struct us_colour_sums *)there + i, scratch,
                                gpu->stream);
    }
    struct us_cuda_piece piece = {there, sums, 2 * sizeof *sums};
    return us_gpu_down(gpu, &piece, 1);
}

struct us_error *us_match_apply_on_device(struct us_gpu *gpu, const struct us_match_side *side,
                                          const struct us_colour_map *map, struct us_image *out) {
    struct us_view planes[3];
    struct us_channel *channels[3];
    US_TRY(read_light(gpu, side, 3, planes));
    gpu->api->colour_apply(map, planes, gpu->stream);
    for (int c = 0; c < 3; c++) {
        channels[c] = us_image_channel(out, names[c]);
        if (strcmp(side->encoding, "log") == 0) {
            gpu->api->log_encode(planes[c].data, planes[c].data,
                                 (size_t)planes[c].width * (size_t)planes[c].height, gpu->stream);
        }
    }
    return us_gpu_publish(gpu, channels, planes, 3);
}
