#include "nodes/comp/merge.h"

#include <math.h>
#include <string.h>

#include "kernels/blend.h"
#include "kernels/grain.h"
#include "nodes/comp/merge_mask_internal.h"
#include "nodes/comp/region.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

static int32_t to_pixel(double value) {
    return value < -1e9 ? -1000000000 : value > 1e9 ? 1000000000 : (int32_t)value;
}

/* Pixels whose centres may lie in the footprint of a crop of `width` x `height`. */
static struct us_window footprint(const double to_plate[6], int32_t width, int32_t height) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int corner = 0; corner < 4; corner++) {
        double at[2];
        us_affine_apply(to_plate, corner & 1 ? width : 0, corner & 2 ? height : 0, &at[0], &at[1]);
        for (int i = 0; i < 2; i++) {
            low[i] = fmin(low[i], at[i]);
            high[i] = fmax(high[i], at[i]);
        }
    }
    return (struct us_window){to_pixel(floor(low[0])), to_pixel(floor(low[1])),
                              to_pixel(ceil(high[0])), to_pixel(ceil(high[1]))};
}

struct us_error *us_merge_place(struct us_merge *merge, bool *touches) {
    const double *m = merge->info->matrix;
    int32_t width = us_window_width(&merge->faces->data_window);
    int32_t height = us_window_height(&merge->faces->data_window);
    double to_plate[6], determinant = m[0] * m[4] - m[1] * m[3];
    *touches = false;
    if (!us_affine_invert(m, to_plate) || !isfinite(m[2] + m[5] + determinant)) {
        return us_fail(US_FAILED, "the crop's matrix has no inverse");
    }
    struct us_window window = footprint(to_plate, width, height);
    if (!us_window_intersect(&window, &merge->plate->data_window, &merge->region)) {
        return NULL;
    }
    *touches = true;
    double shift[6] = {1, 0, merge->region.x_min, 0, 1, merge->region.y_min};
    double grow[6] = {(double)us_window_width(&merge->swap->data_window) / width,   0, 0, 0,
                      (double)us_window_height(&merge->swap->data_window) / height, 0};
    us_affine_compose(m, shift, merge->to_faces);
    us_affine_compose(grow, merge->to_faces, merge->to_swap);
    merge->scale = sqrt(fabs(determinant));
    return NULL;
}

static struct us_error *measure_swap(struct us_merge *merge, const struct us_channel *const *plate,
                                     struct us_view scratch, float *differences, double add[3]) {
    for (int c = 0; c < 3; c++) {
        us_region_read(merge->plate, plate[c], &merge->region, 0.0f, scratch);
        US_TRY(us_encoding_encode("log", &scratch, 1));
        double wanted = us_grain_measure(scratch, merge->mask, differences);
        double have = us_grain_measure(merge->rgb[c], merge->mask, differences);
        add[c] = us_grain_lack(wanted, have, merge->options.grain);
    }
    return NULL;
}

uint64_t us_merge_seed(const struct us_merge *merge, int channel) {
    uint64_t seed = (uint64_t)channel;
    for (int i = 0; i < 8; i++) {
        seed = seed * 0x100000001b3u + merge->seed.bytes[i];
    }
    return seed;
}

/* The swap arrives in the log encoding and leaves as light. */
static struct us_error *match_grain(struct us_merge *merge) {
    struct us_channel *plate[3];
    US_TRY(us_rgb_find(merge->plate, plate));
    if (merge->options.grain > 0.0) {
        struct us_view scratch;
        double add[3];
        int32_t width = merge->mask.width, height = merge->mask.height;
        US_TRY(us_planes_create(width, height, 1, &scratch));
        float *differences = us_malloc(us_grain_scratch(width, height) * sizeof *differences);
        struct us_error *error =
            measure_swap(merge, (const struct us_channel *const *)plate, scratch, differences, add);
        us_free(differences);
        us_free(scratch.data);
        US_TRY(error);
        for (int c = 0; c < 3; c++) {
            us_grain_add(merge->rgb[c], merge->mask, add[c], us_merge_seed(merge, c),
                         merge->region.x_min, merge->region.y_min);
        }
    }
    return us_encoding_decode("log", merge->rgb, 3);
}

/* Resampling happens in the log encoding: no dark rings beside highlights. */
static struct us_error *bring_swap(struct us_merge *merge) {
    static const char *const names[3] = {"R", "G", "B"};
    struct us_view crop[3];
    US_TRY(us_planes_create(us_window_width(&merge->swap->data_window),
                            us_window_height(&merge->swap->data_window), 3, crop));
    struct us_error *error = NULL;
    for (int c = 0; c < 3 && !error; c++) {
        error = us_image_read_plane(merge->swap, names[c], crop[c]);
    }
    if (!error && strcmp(merge->info->encoding, "log") != 0) {
        error = us_encoding_decode(merge->info->encoding, crop, 3);
        error = error ? error : us_encoding_encode("log", crop, 3);
    }
    if (!error) {
        us_resample_affine(crop, merge->rgb, 3, merge->to_swap, merge->options.filter);
        error = match_grain(merge);
    }
    us_free(crop[0].data);
    return error;
}

static struct us_error *lay_over(const struct us_merge *merge, struct us_image *out) {
    struct us_channel *channels[3];
    struct us_view plane;
    US_TRY(us_rgb_find(out, channels));
    US_TRY(us_planes_create(merge->mask.width, merge->mask.height, 1, &plane));
    for (int c = 0; c < 3; c++) {
        us_region_read(out, channels[c], &merge->region, 0.0f, plane);
        us_blend_mix(plane, merge->rgb[c], merge->mask);
        us_region_write(out, channels[c], &merge->region, plane, &merge->mask);
    }
    us_free(plane.data);
    return NULL;
}

static const char *const aov_names[] = {"matte.A", "swap.R", "swap.G", "swap.B", "st.x", "st.y"};

size_t us_merge_aov_count(enum us_merge_aovs aovs) {
    static const size_t counts[] = {
        [US_AOVS_NONE] = 0, [US_AOVS_MATTE] = 1, [US_AOVS_SWAP] = 4, [US_AOVS_ALL] = 6};
    return counts[aovs];
}

static char *aov_name(const struct us_image *plate, enum us_merge_aovs aovs, size_t index) {
    struct us_str name = {0};
    for (size_t i = 0; i < us_merge_aov_count(aovs) && !name.length; i++) {
        if (us_image_channel(plate, aov_names[i])) {
            us_str_append(&name, "understudy.");
        }
    }
    us_str_append(&name, aov_names[index]);
    return us_str_take(&name);
}

struct us_error *us_merge_channels(const struct us_image *plate, enum us_merge_aovs aovs,
                                   struct us_image *out) {
    struct us_channel *rgb[3];
    US_TRY(us_rgb_find(plate, rgb));
    for (size_t i = 0; i < us_merge_aov_count(aovs); i++) {
        char *name = aov_name(plate, aovs, i);
        enum us_sample sample = i < 4 ? rgb[0]->sample : US_FLOAT;
        struct us_error *error = us_image_add_channel(out, name, sample, NULL);
        us_free(name);
        US_TRY(error);
    }
    return NULL;
}

struct us_channel *us_merge_aov(const struct us_merge *merge, const struct us_image *out,
                                size_t index) {
    char *name = aov_name(merge->plate, merge->options.aovs, index);
    struct us_channel *channel = us_image_channel(out, name);
    us_free(name);
    return channel;
}

static struct us_error *write_aovs(const struct us_merge *merge, struct us_image *out) {
    struct us_view st;
    struct us_blend_frame frame = us_merge_frame(merge);
    US_TRY(us_planes_create(merge->mask.width, merge->mask.height, 1, &st));
    const struct us_view planes[] = {merge->mask, merge->rgb[0], merge->rgb[1], merge->rgb[2], st,
                                     st};
    for (size_t i = 0; i < us_merge_aov_count(merge->options.aovs); i++) {
        struct us_channel *channel = us_merge_aov(merge, out, i);
        if (i >= 4) {
            us_blend_place(&frame, i == 5, st);
        }
        us_region_write(out, channel, &merge->region, planes[i], &merge->cover);
    }
    us_free(st.data);
    return NULL;
}

struct us_error *us_merge_run(struct us_merge *merge, struct us_image *out) {
    struct us_view planes[5];
    US_TRY(us_planes_create(us_window_width(&merge->region), us_window_height(&merge->region), 5,
                            planes));
    merge->mask = planes[0];
    merge->cover = planes[1];
    memcpy(merge->rgb, planes + 2, sizeof merge->rgb);
    US_TRY(us_merge_build_mask(merge));
    US_TRY(bring_swap(merge));
    US_TRY(lay_over(merge, out));
    return write_aovs(merge, out);
}

void us_merge_finish(struct us_merge *merge) {
    us_free(merge->mask.data);
    merge->mask.data = NULL;
}
