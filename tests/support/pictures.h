/* Small images for tests of compositing nodes. */
#ifndef US_TESTS_SUPPORT_PICTURES_H
#define US_TESTS_SUPPORT_PICTURES_H

#include "nodes/face/crop_info.h"
#include "runtime/api/value.h"

/* Value of a sample at plate coordinates (the pixel's integer position). */
typedef float (*us_test_sample)(int x, int y, int channel);

struct us_image *us_test_image(struct us_window data, struct us_window display);
/* Adds a channel filled with sample(x, y, index). */
void us_test_channel(struct us_image *image, const char *name, enum us_sample type,
                     us_test_sample sample, int index);
/* A crop of size x size: R, G, B (float) and matte.A filled with samples 0, 1, 2, 3. */
struct us_image *us_test_crop(int size, const struct us_crop_info *info, us_test_sample sample);
/* A sample as float, at window coordinates. */
float us_test_at(const struct us_image *image, const char *channel, int x, int y);

#endif
