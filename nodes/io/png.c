#include "nodes/io/png.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"

enum { MAX_SIDE = 1 << 20 };
static const size_t max_pixels = (size_t)1 << 28;

/* libpng reports through longjmp: everything that must survive it lives here. */
struct session {
    jmp_buf jump;
    char message[160];
    const uint8_t *bytes;
    size_t size, at;
    struct us_str written;
    png_bytep *rows;
};

static void on_error(png_structp png, png_const_charp message) {
    struct session *session = png_get_error_ptr(png);
    snprintf(session->message, sizeof session->message, "%s", message);
    longjmp(session->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void put(png_structp png, png_bytep bytes, size_t size) {
    struct session *session = png_get_io_ptr(png);
    us_str_append_bytes(&session->written, bytes, size);
}

static void flush(png_structp png) {
    (void)png;
}

static void get(png_structp png, png_bytep bytes, size_t size) {
    struct session *session = png_get_io_ptr(png);
    if (size > session->size - session->at) {
        png_error(png, "the file is cut short");
    }
    memcpy(bytes, session->bytes + session->at, size);
    session->at += size;
}

static size_t row_bytes(const struct us_png *png) {
    return (size_t)png->width * (size_t)png->channels * (size_t)(png->bits / 8);
}

static void make_rows(struct session *session, const struct us_png *png) {
    session->rows = us_calloc((size_t)png->height, sizeof *session->rows);
    for (int32_t y = 0; y < png->height; y++) {
        session->rows[y] = png->pixels + (size_t)y * row_bytes(png);
    }
}

static void encode(struct session *session, png_structp png, png_infop info,
                   const struct us_png *image) {
    static const int colors[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                 PNG_COLOR_TYPE_RGB_ALPHA};
    if (setjmp(session->jump)) {
        return;
    }
    png_set_write_fn(png, session, put, flush);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, image->bits,
                 colors[image->channels - 1], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
    png_set_compression_level(png, 6);
    png_write_info(png, info);
    if (image->bits == 16) {
        png_set_swap(png);
    }
    png_write_image(png, session->rows);
    png_write_end(png, NULL);
}

struct us_error *us_png_encode(const struct us_png *image, uint8_t **bytes, size_t *size) {
    if (image->channels < 1 || image->channels > 4 || (image->bits != 8 && image->bits != 16)) {
        US_BUG("PNG of %d channels, %d bits", image->channels, image->bits);
    }
    if (image->width < 1 || image->height < 1 || image->width > MAX_SIDE ||
        image->height > MAX_SIDE) {
        return us_fail(US_FAILED, "a PNG cannot be %d x %d pixels; each side is 1 to %d",
                       image->width, image->height, MAX_SIDE);
    }
    struct session session = {.message = ""};
    make_rows(&session, image);
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, &session, on_error, on_warning);
    png_infop info = png_create_info_struct(png);
    encode(&session, png, info, image);
    png_destroy_write_struct(&png, &info);
    us_free(session.rows);
    if (session.message[0]) {
        us_str_finish(&session.written);
        return us_fail(US_FAILED, "cannot make a PNG: %s", session.message);
    }
    *size = session.written.length;
    *bytes = (uint8_t *)us_str_take(&session.written);
    return NULL;
}

static void read_pixels(struct session *session, png_structp png, png_infop info,
                        struct us_png *image) {
    png_read_update_info(png, info);
    image->width = (int32_t)png_get_image_width(png, info);
    image->height = (int32_t)png_get_image_height(png, info);
    image->channels = png_get_channels(png, info);
    image->bits = png_get_bit_depth(png, info);
    if ((size_t)image->width * (size_t)image->height > max_pixels) {
        png_error(png, "more than 2^28 pixels");
    }
    image->pixels = us_try_alloc_pixels(row_bytes(image) * (size_t)image->height);
    if (!image->pixels) {
        png_error(png, "no memory for the pixels");
    }
    make_rows(session, image);
    png_read_image(png, session->rows);
    png_read_end(png, NULL);
}

static void decode(struct session *session, png_structp png, png_infop info, struct us_png *image) {
    if (setjmp(session->jump)) {
        return;
    }
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_read_fn(png, session, get);
    png_read_info(png, info);
    png_set_expand(png);
    if (png_get_bit_depth(png, info) == 16) {
        png_set_swap(png);
    }
    png_set_interlace_handling(png);
    read_pixels(session, png, info, image);
}

struct us_error *us_png_decode(const uint8_t *bytes, size_t size, struct us_png *image) {
    *image = (struct us_png){0};
    if (size < 8 || png_sig_cmp(bytes, 0, 8) != 0) {
        return us_fail(US_CORRUPT, "this is no PNG: it does not start with the PNG signature");
    }
    struct session session = {.message = "", .bytes = bytes, .size = size};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &session, on_error, on_warning);
    png_infop info = png_create_info_struct(png);
    decode(&session, png, info, image);
    png_destroy_read_struct(&png, &info, NULL);
    us_free(session.rows);
    if (session.message[0]) {
        us_free(image->pixels);
        *image = (struct us_png){0};
        return us_error_hint(us_fail(US_CORRUPT, "the PNG is damaged: %s", session.message),
                             "write the picture again, or copy it again from where it came");
    }
    return NULL;
}
