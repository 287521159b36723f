#include "nodes/io/jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

/* jpeglib.h needs stdio.h first. */
#include <jerror.h>
#include <jpeglib.h>

#include "runtime/base/mem.h"

static const size_t max_pixels = (size_t)1 << 28;

/* libjpeg reports through longjmp: everything that must survive it lives here. */
struct session {
    struct jpeg_error_mgr errors; /* first: the library hands its address back */
    struct jpeg_decompress_struct jpeg;
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
    bool color_refused;
};

static void on_error(j_common_ptr common) {
    struct session *session = (struct session *)(void *)common->err;
    common->err->format_message(common, session->message);
    longjmp(session->jump, 1);
}

/* The library mends damage with gray pixels and a warning; we do not. */
static void on_message(j_common_ptr common, int level) {
    if (level < 0 && common->err->msg_code != JWRN_EXTRANEOUS_DATA) {
        on_error(common);
    }
}

static void fail(struct session *session, const char *message) {
    snprintf(session->message, sizeof session->message, "%s", message);
    longjmp(session->jump, 1);
}

static void read_pixels(struct session *session, struct us_jpeg *out) {
    struct jpeg_decompress_struct *jpeg = &session->jpeg;
    jpeg_start_decompress(jpeg);
    out->width = (int32_t)jpeg->output_width;
    out->height = (int32_t)jpeg->output_height;
    out->channels = jpeg->output_components;
    size_t stride = (size_t)out->width * (size_t)out->channels;
    out->pixels = us_try_alloc_pixels(stride * (size_t)out->height);
    if (!out->pixels) {
        fail(session, "no memory for the pixels");
    }
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = out->pixels + (size_t)jpeg->output_scanline * stride;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_decompress(jpeg);
}

static void decode(struct session *session, const uint8_t *bytes, size_t size,
                   struct us_jpeg *out) {
    struct jpeg_decompress_struct *jpeg = &session->jpeg;
    if (setjmp(session->jump)) {
        return;
    }
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, bytes, size);
    jpeg_read_header(jpeg, TRUE);
    if ((size_t)jpeg->image_width * jpeg->image_height > max_pixels) {
        fail(session, "more than 2^28 pixels");
    }
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK) {
        session->color_refused = true;
        fail(session, "CMYK");
    }
    jpeg->out_color_space = jpeg->jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    read_pixels(session, out);
}

struct us_error *us_jpeg_decode(const uint8_t *bytes, size_t size, struct us_jpeg *out) {
    *out = (struct us_jpeg){0};
    if (size < 3 || memcmp(bytes, "\xff\xd8\xff", 3) != 0) {
        return us_fail(US_CORRUPT, "this is no JPEG: it does not start with the JPEG signature");
    }
    struct session *session = us_calloc(1, sizeof *session);
    session->jpeg.err = jpeg_std_error(&session->errors);
    session->errors.error_exit = on_error;
    session->errors.emit_message = on_message;
    decode(session, bytes, size, out);
    jpeg_destroy_decompress(&session->jpeg);
    struct us_error *error = NULL;
    if (session->color_refused) {
        error = us_error_hint(us_fail(US_FAILED, "the JPEG is CMYK; gray and RGB can be read"),
                              "convert the picture to RGB");
    } else if (session->message[0]) {
        error = us_error_hint(us_fail(US_CORRUPT, "the JPEG is damaged: %s", session->message),
                              "write the picture again, or copy it again from where it came");
    }
    us_free(session);
    if (error) {
        us_free(out->pixels);
        *out = (struct us_jpeg){0};
    }
    return error;
}
