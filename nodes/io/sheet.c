#include "nodes/io/sheet.h"

#include <math.h>
#include <string.h>

#include "kernels/encoding.h"
#include "kernels/resample.h"
#include "nodes/face/crop_info.h"
#include "nodes/io/exr_file.h"
#include "nodes/io/png.h"
#include "runtime/base/mem.h"

struct us_error *us_sheet_create(int32_t width, int32_t height, struct us_sheet *sheet) {
    *sheet = (struct us_sheet){0};
    if ((int64_t)width * height > (int64_t)1 << 28) {
        return us_error_hint(us_fail(US_FAILED, "the sheet would be %d x %d pixels", width, height),
                             "choose fewer frames or narrower tiles");
    }
    US_TRY(us_planes_create(width, height, 3, sheet->planes));
    size_t pixels = (size_t)width * (size_t)height;
    for (size_t i = 0; i < 3 * pixels; i++) {
        sheet->planes[0].data[i] = 0.012f;
    }
    sheet->labels = (struct us_canvas){us_calloc(pixels, 3), width, height};
    return NULL;
}

void us_sheet_finish(struct us_sheet *sheet) {
    us_free(sheet->planes[0].data);
    us_free(sheet->labels.pixels);
    *sheet = (struct us_sheet){0};
}

static void decode_crop(const struct us_image *image, struct us_view planes[3]) {
    struct us_crop_info info;
    struct us_error *error = us_crop_info_read(image, &info);
    if (!error && strcmp(info.encoding, "log") == 0) {
        for (int c = 0; c < 3; c++) {
            us_log_decode(planes[c].data, planes[c].data,
                          (size_t)planes[c].width * (size_t)planes[c].height);
        }
    }
    if (!error) {
        us_crop_info_finish(&info);
    }
    us_error_free(error);
}

static int32_t within(double x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : (int32_t)x;
}

/* The tile shows the display window; this is the part of it that has pixels. */
static struct us_window covered(const struct us_image *image, int32_t width, int32_t height) {
    const struct us_window *data = &image->data_window, *display = &image->display_window;
    double x = (double)width / us_window_width(display);
    double y = (double)height / us_window_height(display);
    return (struct us_window){
        within(floor((data->x_min - (double)display->x_min) * x + 0.5), 0, width),
        within(floor((data->y_min - (double)display->y_min) * y + 0.5), 0, height),
        within(ceil((data->x_max + 1.0 - display->x_min) * x - 0.5) - 1, -1, width - 1),
        within(ceil((data->y_max + 1.0 - display->y_min) * y - 0.5) - 1, -1, height - 1)};
}

static void black(struct us_view plane, int32_t x, int32_t y, int32_t width, int32_t height) {
    for (int32_t row = 0; row < height; row++) {
        memset(us_view_row(plane, y + row) + x, 0, (size_t)width * sizeof(float));
    }
}

/* Damaged or absent light would smear over the filter's reach. */
static void clean(struct us_view plane) {
    size_t count = (size_t)plane.width * (size_t)plane.height;
    for (size_t i = 0; i < count; i++) {
        plane.data[i] = isfinite(plane.data[i]) ? plane.data[i] : 0.0f;
    }
}

struct us_error *us_sheet_place(struct us_sheet *sheet, const struct us_image *image, int32_t x,
                                int32_t y, int32_t width, int32_t height, double exposure) {
    struct us_view source[3], tile[3];
    US_TRY(us_image_rgb(image, "", source));
    decode_crop(image, source);
    const struct us_window *data = &image->data_window, *display = &image->display_window;
    double scale_x = (double)us_window_width(display) / width;
    double scale_y = (double)us_window_height(display) / height;
    struct us_window part = covered(image, width, height);
    float gain = (float)exp2(exposure);
    for (int c = 0; c < 3; c++) {
        clean(source[c]);
        black(sheet->planes[c], x, y, width, height);
        tile[c] = sheet->planes[c];
        tile[c].data = us_view_row(tile[c], y + part.y_min) + x + part.x_min;
        tile[c].width = part.x_max - part.x_min + 1;
        tile[c].height = part.y_max - part.y_min + 1;
    }
    if (tile[0].width > 0 && tile[0].height > 0) {
        const double map[6] = {
            scale_x, 0,       part.x_min * scale_x + display->x_min - data->x_min,
            0,       scale_y, part.y_min * scale_y + display->y_min - data->y_min};
        us_resample_affine(source, tile, 3, map, US_FILTER_CUBIC);
        for (int c = 0; c < 3; c++) {
            for (int32_t row = 0; row < tile[c].height; row++) {
                float *line = us_view_row(tile[c], row);
                for (int32_t i = 0; i < tile[c].width; i++) {
                    line[i] *= gain;
                }
            }
        }
    }
    us_free(source[0].data);
    return NULL;
}

static struct us_error *encode_png(const struct us_sheet *sheet, uint8_t **bytes, size_t *size) {
    size_t pixels = (size_t)sheet->labels.width * (size_t)sheet->labels.height;
    uint8_t *rgb = us_malloc(pixels * 3);
    float *encoded = us_malloc(pixels * sizeof *encoded);
    for (size_t c = 0; c < 3; c++) {
        us_srgb_encode(sheet->planes[c].data, encoded, pixels);
        for (size_t i = 0; i < pixels; i++) {
            float value = encoded[i] > 0.0f ? encoded[i] : 0.0f;
            rgb[3 * i + c] = (uint8_t)((value < 1.0f ? value : 1.0f) * 255.0f + 0.5f);
        }
    }
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *label = sheet->labels.pixels + 3 * i;
        if (label[0] | label[1] | label[2]) {
            memcpy(rgb + 3 * i, label, 3);
        }
    }
    const struct us_png png = {sheet->labels.width, sheet->labels.height, 3, 8, rgb};
    struct us_error *error = us_png_encode(&png, bytes, size);
    us_free(rgb);
    us_free(encoded);
    return error;
}

static void with_labels(const struct us_sheet *sheet, size_t c, float *out, size_t pixels) {
    memcpy(out, sheet->planes[c].data, pixels * sizeof *out);
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *label = sheet->labels.pixels + 3 * i;
        if (label[0] | label[1] | label[2]) {
            float value = (float)label[c] / 255.0f;
            us_srgb_decode(&value, out + i, 1);
        }
    }
}

static struct us_error *encode_exr(const struct us_sheet *sheet, uint8_t **bytes, size_t *size) {
    static const char *const names[] = {"R", "G", "B"};
    const struct us_window window = {0, 0, sheet->labels.width - 1, sheet->labels.height - 1};
    struct us_image *image = us_image_create(window, window);
    size_t pixels = (size_t)sheet->labels.width * (size_t)sheet->labels.height;
    float *plane = us_malloc(pixels * sizeof *plane);
    struct us_error *error = NULL;
    for (size_t c = 0; c < 3 && !error; c++) {
        struct us_channel *channel = NULL;
        with_labels(sheet, c, plane, pixels);
        error = us_image_add_channel(image, names[c], US_HALF, &channel);
        if (!error) {
            us_channel_write(channel, (struct us_view){plane, sheet->labels.width,
                                                       sheet->labels.height, sheet->labels.width});
        }
    }
    us_free(plane);
    const struct us_exr_write_options options = {.compression = US_EXR_ZIP};
    if (!error) {
        error = us_exr_encode(image, &options, bytes, size);
    }
    us_image_unref(image);
    return error;
}

struct us_error *us_sheet_encode(const struct us_sheet *sheet, bool exr, uint8_t **bytes,
                                 size_t *size) {
    return exr ? encode_exr(sheet, bytes, size) : encode_png(sheet, bytes, size);
}
