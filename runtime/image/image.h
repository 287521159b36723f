/* Pixels: any number of named channels, each stored in its own type, with windows and attributes.
 *
 * An image is reference counted and frozen once shared: whoever holds the only reference may write.
 * Coordinates are those of OpenEXR: pixel (x, y) covers [x, x+1) x [y, y+1), so its centre is at
 * (x+0.5, y+0.5) in every double-precision coordinate of the project; the data window is inclusive.
 * Values are scene-linear and may be below 0 and above 1. */
#ifndef US_RUNTIME_IMAGE_IMAGE_H
#define US_RUNTIME_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/view.h"
#include "runtime/base/error.h"
#include "runtime/base/hash.h"

enum us_sample { US_HALF, US_FLOAT, US_UINT };

/* Inclusive corners, as OpenEXR's box2i. */
struct us_window {
    int32_t x_min, y_min, x_max, y_max;
};

struct us_channel {
    char *name;
    enum us_sample sample;
    bool perceptual;                /* OpenEXR's pLinear flag, carried through */
    int32_t x_sampling, y_sampling; /* 1 but for chroma of luminance-chroma images */
    int32_t width, height;          /* samples in a row, rows */
    void *data;                     /* rows without padding, top to bottom; owned by the image */
    struct us_device_set *devices;  /* copies on devices, or NULL: runtime/image/device.h */
};

/* An attribute is carried through by name, type and bytes (OpenEXR's own file encoding). */
struct us_attribute {
    char *name, *type;
    uint8_t *bytes;
    size_t size;
};

struct us_image {
    struct us_window data_window, display_window;
    float pixel_aspect;
    struct us_channel *channels; /* sorted by name */
    size_t channel_count;
    struct us_attribute *attributes; /* sorted by name; not the ones that describe storage */
    size_t attribute_count;
    int references; /* use us_image_ref / us_image_unref */
};

int32_t us_window_width(const struct us_window *window);
int32_t us_window_height(const struct us_window *window);
bool us_window_equal(const struct us_window *a, const struct us_window *b);

/* A new image without channels and attributes, one reference, pixel aspect 1. */
struct us_image *us_image_create(struct us_window data_window, struct us_window display_window);
struct us_image *us_image_ref(struct us_image *image);
void us_image_unref(struct us_image *image); /* takes NULL */

/* A copy with attributes and windows; with all channels when `with_channels`. */
struct us_error *us_image_copy(const struct us_image *image, bool with_channels,
                               struct us_image **copy) US_NODISCARD;

/* Adds a zeroed channel in its sorted place (pointers to channels move); a channel of that name is
 * replaced. Fails when there is no memory. */
struct us_error *us_image_add_channel(struct us_image *image, const char *name,
                                      enum us_sample sample,
                                      struct us_channel **channel) US_NODISCARD;
struct us_error *us_image_add_sampled_channel(struct us_image *image, const char *name,
                                              enum us_sample sample, int32_t x_sampling,
                                              int32_t y_sampling,
                                              struct us_channel **channel) US_NODISCARD;
void us_image_remove_channel(struct us_image *image, const char *name);
struct us_channel *us_image_channel(const struct us_image *image, const char *name); /* or NULL */

size_t us_sample_size(enum us_sample sample);
size_t us_channel_bytes(const struct us_channel *channel);

/* The channel of that name at full resolution; fails, naming the channels there are. */
struct us_error *us_image_full_channel(const struct us_image *image, const char *name,
                                       const struct us_channel **channel) US_NODISCARD;
/* The pixels of a full-resolution channel as float, width x height of the data window.
 * `us_image_read_plane` fills caller's memory; `write_plane` converts to the channel's own type. */
struct us_error *us_image_read_plane(const struct us_image *image, const char *name,
                                     struct us_view plane) US_NODISCARD;
void us_channel_read(const struct us_channel *channel, struct us_view plane);
void us_channel_write(struct us_channel *channel, struct us_view plane);

/* R, G and B as float planes, one us_free'd block: from R,G,B; from Y alone; from Y,RY,BY (chroma
 * upsampled). `layer` prefixes the names ("" for none). Fails, naming the channels there are. */
struct us_error *us_image_rgb(const struct us_image *image, const char *layer,
                              struct us_view planes[3]) US_NODISCARD;

/* R, G and B themselves, when there are all three at full resolution. */
bool us_image_rgb_channels(const struct us_image *image, const struct us_channel *channels[3]);

/* Float planes of the data window's size in one block: free with us_free(planes[0].data). */
struct us_error *us_planes_create(int32_t width, int32_t height, size_t count,
                                  struct us_view *planes) US_NODISCARD;

/* Attributes. `set` replaces. Getters return false when missing or of another type. */
const struct us_attribute *us_image_attribute(const struct us_image *image, const char *name);
void us_image_set_attribute(struct us_image *image, const char *name, const char *type,
                            const void *bytes, size_t size);
void us_image_remove_attribute(struct us_image *image, const char *name);
void us_image_set_string(struct us_image *image, const char *name, const char *text);
/* The text is us_malloc'ed; NULL when missing. */
char *us_image_get_string(const struct us_image *image, const char *name);
void us_image_set_int(struct us_image *image, const char *name, int32_t value);
bool us_image_get_int(const struct us_image *image, const char *name, int32_t *value);
void us_image_set_floats(struct us_image *image, const char *name, const float *values,
                         size_t count);
/* The values are us_malloc'ed ("floatvector"); NULL when missing. */
float *us_image_get_floats(const struct us_image *image, const char *name, size_t *count);
void us_image_set_matrix(struct us_image *image, const char *name, const double m[9]); /* "m33d" */
bool us_image_get_matrix(const struct us_image *image, const char *name, double m[9]);

/* XXH3-128 of windows, aspect, channels (name, type, sampling, samples) and attributes. */
struct us_digest us_image_digest(const struct us_image *image);

/* Bytes held. */
size_t us_image_bytes(const struct us_image *image);

#endif
