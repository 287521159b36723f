#include "kernels/ssim.h"

#include "kernels/blur.h"
#include "kernels/ssim_internal.h"

size_t us_ssim_scratch(int32_t width, int32_t height) {
    return 4 * (size_t)width * (size_t)height + us_blur_scratch(width, height, SSIM_SIGMA);
}

static struct us_view plane_of(float *scratch, struct us_view like, size_t index) {
    size_t count = (size_t)like.width * (size_t)like.height;
    return (struct us_view){scratch + index * count, like.width, like.height, like.width};
}

/* The local mean of the product of two planes. */
static void mean_product(struct us_view a, struct us_view b, struct us_view out, float *blur) {
    for (int32_t y = 0; y < a.height; y++) {
        const float *from_a = us_view_row(a, y), *from_b = us_view_row(b, y);
        float *to = us_view_row(out, y);
        for (int32_t x = 0; x < a.width; x++) {
            to[x] = from_a[x] * from_b[x];
        }
    }
    us_gaussian_blur(out, out, SSIM_SIGMA, blur);
}

void us_ssim_map(struct us_view a, struct us_view b, struct us_view map, double peak,
                 float *scratch) {
    struct us_view mean_a = plane_of(scratch, a, 0), mean_b = plane_of(scratch, a, 1);
    struct us_view squares = plane_of(scratch, a, 2), cross = plane_of(scratch, a, 3);
    float *blur = plane_of(scratch, a, 4).data;
    us_gaussian_blur(a, mean_a, SSIM_SIGMA, blur);
    us_gaussian_blur(b, mean_b, SSIM_SIGMA, blur);
    mean_product(a, b, cross, blur);
    mean_product(a, a, squares, blur);
    mean_product(b, b, map, blur);
    for (int32_t y = 0; y < a.height; y++) {
        const float *ma = us_view_row(mean_a, y), *mb = us_view_row(mean_b, y);
        const float *aa = us_view_row(squares, y), *ab = us_view_row(cross, y);
        float *out = us_view_row(map, y);
        for (int32_t x = 0; x < a.width; x++) {
            out[x] = ssim_at(ma[x], mb[x], aa[x], out[x], ab[x], peak);
        }
    }
}
