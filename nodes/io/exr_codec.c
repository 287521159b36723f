/* The cache's images: scan-line EXR without compression. They are written once and read often, and
 * most are float crops and composites with grain: zip makes a 256 px float crop 12 % smaller (zips
 * 5 %, rle nothing) and takes five times as long to write and twice as long to read. */
#include "nodes/io/exr_file.h"
#include "runtime/api/value.h"

extern const struct us_codec us_exr_codec;

static struct us_error *encode(const struct us_image *image, uint8_t **bytes, size_t *size) {
    const struct us_exr_write_options options = {.compression = US_EXR_NONE, .mark = true};
    return us_error_wrap(us_exr_encode(image, &options, bytes, size),
                         "cannot keep the image as EXR");
}

static struct us_error *decode(const uint8_t *bytes, size_t size, struct us_image **image) {
    return us_exr_decode(bytes, size, NULL, image);
}

const struct us_codec us_exr_codec = {.encode = encode, .decode = decode};
