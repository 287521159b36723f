/* One sample. */
#ifndef US_KERNELS_EXPOSE_INTERNAL_H
#define US_KERNELS_EXPOSE_INTERNAL_H

#include <math.h>
#include <stdbool.h>

#include "kernels/encoding_internal.h"
#include "kernels/expose.h"

#define EXPOSE_BRIGHTEST 64.0f /* brighter would only take one pixel's highlight into the mean */
#define EXPOSE_DARKEST 1e-5f

US_BOTH bool expose_inside(const struct us_exposure *e, int32_t x, int32_t y) {
    double px = x + 0.5, py = y + 0.5;
    double at_x = e->map[0] * px + e->map[1] * py + e->map[2];
    double at_y = e->map[3] * px + e->map[4] * py + e->map[5];
    return at_x >= 0 && at_y >= 0 && at_x < e->width && at_y < e->height;
}

/* log2 of the luminance; false when it is too dark to count. */
US_BOTH bool expose_light(float r, float g, float b, double *light) {
    float y = 0.2126f * r + 0.7152f * g + 0.0722f * b;
    *light = y > EXPOSE_DARKEST ? log2((double)fminf(y, EXPOSE_BRIGHTEST)) : 0.0;
    return y > EXPOSE_DARKEST;
}

US_BOTH float expose_gain(double sum, double count, double stops) {
    double gain = count > 0 ? 0.18 / exp2(sum / count) : 1.0;
    return (float)(gain * exp2(stops));
}

US_BOTH float expose_seen(const struct us_exposure *e, float light, float gain) {
    return e->low + (e->high - e->low) * srgb_encoded(fminf(light * gain, 1.0f));
}

#endif
