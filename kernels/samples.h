/* Samples as image files and channels store them: rows without padding, one type a channel. */
#ifndef US_KERNELS_SAMPLES_H
#define US_KERNELS_SAMPLES_H

#include <stdbool.h>

#include "kernels/view.h"

/* In the order of enum us_sample. */
enum us_sample_type { US_SAMPLE_HALF, US_SAMPLE_FLOAT, US_SAMPLE_UINT };

struct us_samples {
    void *data;
    int32_t width, height; /* samples in a row, rows */
    enum us_sample_type type;
};

/* Takes the samples from (x, y) on as floats: the plane's size; what lies outside the samples
 * becomes `outside`. */
void us_samples_read(struct us_samples samples, int32_t x, int32_t y, float outside,
                     struct us_view plane);
/* Puts a plane at (x, y) in the samples' type: half saturates at +-65504, uint is rounded and held
 * in its range (NaN: 0). What falls outside the samples is dropped. With `where`, of the plane's
 * size, only samples at which it is above 0 are touched; the others keep their bits. */
void us_samples_write(struct us_samples samples, int32_t x, int32_t y, struct us_view plane,
                      const struct us_view *where);
/* Fills `to` with the samples from (x, y) on, bit by bit; of one type; what lies outside `from`
 * becomes 0. */
void us_samples_copy(struct us_samples from, int32_t x, int32_t y, struct us_samples to);

/* The same on a device, enqueued on `stream` (a cudaStream_t). */
void us_samples_read_cuda(struct us_samples samples, int32_t x, int32_t y, float outside,
                          struct us_view plane, void *stream);
void us_samples_write_cuda(struct us_samples samples, int32_t x, int32_t y, struct us_view plane,
                           const struct us_view *where, void *stream);
void us_samples_copy_cuda(struct us_samples from, int32_t x, int32_t y, struct us_samples to,
                          void *stream);

#endif
