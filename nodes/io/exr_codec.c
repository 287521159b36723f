/* The cache's images: scan-line EXR without compression. Cached pixels are read back many times and
 * are mostly float crops and composites whose grain hardly packs: packing at the fastest deflate
 * level costs twenty times the copy and saves about a third, and the cache's budget is the cheaper
 * thing to spend. */
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
