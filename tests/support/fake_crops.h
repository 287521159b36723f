/* Small face crops made of arithmetic, for tests of what comes after face_crop. */
#ifndef US_TESTS_SUPPORT_FAKE_CROPS_H
#define US_TESTS_SUPPORT_FAKE_CROPS_H

#include "runtime/api/value.h"

struct us_fake_crop {
    int size;             /* 0: 32 */
    int person;           /* changes colour and features */
    double pose;          /* -1 to 1: moves the features */
    double gain;          /* of the light; 0: 1 */
    const char *encoding; /* NULL: "log" */
    const char *coverage; /* NULL: "whole" */
    bool missing;         /* no face found */
};

/* An image as face_crop makes it: R, G, B encoded, matte.A an ellipse, attributes of crop_info.h.
 */
struct us_image *us_fake_crop_image(const struct us_fake_crop *crop);
struct us_value *us_fake_crop_value(const struct us_fake_crop *crop);

#endif
