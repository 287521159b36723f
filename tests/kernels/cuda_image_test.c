/* Image kernels: the device's pixels are the processor's, which other tests compare with
 * references in doubles. */
#include "tests/kernels/cuda_image_check.h"

#include "kernels/blur.h"
#include "kernels/colour.h"
#include "kernels/encoding.h"
#include "kernels/morph.h"
#include "kernels/polygon.h"
#include "kernels/resample.h"
#include "kernels/ssim.h"

static float *device_floats(size_t count) {
    void *block;
    ASSERT_CUDA(cudaMalloc(&block, count * sizeof(float) + 1));
    return block;
}

static void check_resample(int32_t width, int32_t height) {
    const double c = cos(0.4), s = sin(0.4);
    const double maps[][6] = {{1, 0, 3, 0, 1, -2},
                              {1, 0, 0.3, 0, 1, -0.7},
                              {0.37, 0, 2, 0, 0.5, 1},
                              {2.3, 0, 0.11, 0, 1.7, 0.2},
                              {1.9 * c, -1.9 * s, 7.7, 1.9 * s, 1.9 * c, -4},
                              {-1.1, 0.2, 30, 0.1, -0.9, 28},
                              {90, 0, 0, 0, 70, 0},
                              {NAN, 0, 0, INFINITY, 1, -1e300}};
    struct pair from[2] = {make_pair(width, height, -0.5f, 3, true, 1),
                           make_pair(width, height, -0.5f, 3, false, 2)};
    struct pair to[2] = {make_pair(19, 13, 0, 1, false, 3), make_pair(19, 13, 0, 1, false, 4)};
    struct us_view sources[2] = {from[0].host, from[1].host}, outs[2] = {to[0].host, to[1].host};
    struct us_view device_in[2] = {from[0].device, from[1].device};
    struct us_view device_out[2] = {to[0].device, to[1].device};
    for (size_t m = 0; m < sizeof maps / sizeof *maps; m++) {
        for (enum us_filter f = US_FILTER_NEAREST; f <= US_FILTER_LANCZOS3; f++) {
            us_resample_affine(sources, outs, 2, maps[m], f);
            us_resample_affine_cuda(device_in, device_out, 2, maps[m], f, NULL);
            assert_pair(&to[0], 0);
            assert_pair(&to[1], 0);
        }
    }
    for (int i = 0; i < 2; i++) {
        drop_pair(&from[i]);
        drop_pair(&to[i]);
    }
}

static void resamples(void **state) {
    (void)state;
    each_size(check_resample);
}

static void check_blur(int32_t width, int32_t height) {
    const double sigmas[] = {0, 0.04, 0.3, 1.5, 6, 40};
    for (size_t i = 0; i < sizeof sigmas / sizeof *sigmas; i++) {
        struct pair a = make_pair(width, height, -1, 4, false, 5);
        struct pair b = make_pair(width, height, 0, 1, false, 6);
        size_t count = us_blur_scratch(width, height, sigmas[i]);
        float *scratch = malloc(count * sizeof *scratch), *there = device_floats(count);
        us_gaussian_blur(a.host, b.host, sigmas[i], scratch);
        us_gaussian_blur_cuda(a.device, b.device, sigmas[i], there, NULL);
        assert_pair(&b, 0);
        us_gaussian_blur(a.host, a.host, sigmas[i], scratch);
        us_gaussian_blur_cuda(a.device, a.device, sigmas[i], there, NULL);
        assert_pair(&a, 0);
        free(scratch);
        ASSERT_CUDA(cudaFree(there));
        drop_pair(&a);
        drop_pair(&b);
    }
}

static void blurs(void **state) {
    (void)state;
    each_size(check_blur);
}

static void check_grow(int32_t width, int32_t height) {
    const double radii[] = {0, 0.3, -0.7, 1, -2.5, 4.25, -9};
    for (size_t i = 0; i < sizeof radii / sizeof *radii; i++) {
        struct pair a = make_pair(width, height, 0, 1, false, 7);
        struct pair b = make_pair(width, height, 0, 1, false, 8);
        float *scratch = malloc(us_matte_grow_scratch(width, height, radii[i]) * sizeof *scratch);
        float *there = device_floats(us_matte_grow_scratch_cuda(width, height, radii[i]));
        us_matte_grow(a.host, b.host, radii[i], scratch);
        us_matte_grow_cuda(a.device, b.device, radii[i], there, NULL);
        assert_pair(&b, 0);
        us_matte_grow(a.host, a.host, radii[i], scratch);
        us_matte_grow_cuda(a.device, a.device, radii[i], there, NULL);
        assert_pair(&a, 0);
        free(scratch);
        ASSERT_CUDA(cudaFree(there));
        drop_pair(&a);
        drop_pair(&b);
    }
}

static void grows_and_shrinks(void **state) {
    (void)state;
    each_size(check_grow);
}

static void check_polygon(int32_t width, int32_t height) {
    double points[40][2];
    for (int i = 0; i < 40; i++) {
        double angle = i * 0.157, radius = 0.6 + 0.2 * sin(5 * angle);
        points[i][0] = width * (0.5 + radius * cos(angle));
        points[i][1] = height * (0.4 + radius * sin(angle));
    }
    struct pair p = make_pair(width, height, 0, 1, true, 9);
    double(*there)[2] = device_copy(points, sizeof points);
    us_polygon_fill(p.host, (const double(*)[2])points, 40);
    us_polygon_fill_cuda(p.device, (const double(*)[2])there, 40, NULL);
    assert_pair(&p, 0);
    ASSERT_CUDA(cudaFree(there));
    drop_pair(&p);
}

static void fills_polygons(void **state) {
    (void)state;
    each_size(check_polygon);
}

static void check_encoding(int32_t width, int32_t height) {
    void (*const here[])(const float *, float *, size_t) = {us_log_encode, us_log_decode,
                                                            us_srgb_encode, us_srgb_decode};
    void (*const there[])(const float *, float *, size_t, void *) = {
        us_log_encode_cuda, us_log_decode_cuda, us_srgb_encode_cuda, us_srgb_decode_cuda};
    for (int i = 0; i < 4; i++) {
        struct pair p = make_pair(width, height, -2, 9, true, 10);
        size_t count = p.bytes / sizeof(float);
        here[i](p.host.data, p.host.data, count);
        there[i](p.device.data, p.device.data, count, NULL);
        assert_pair(&p, 0);
        drop_pair(&p);
    }
}

static void encodes(void **state) {
    (void)state;
    each_size(check_encoding);
}

static void check_colour(int32_t width, int32_t height) {
    struct pair p[4];
    struct us_view here[3], there[3];
    struct us_colour_sums wanted = {0}, got;
    for (int i = 0; i < 4; i++) {
        p[i] = make_pair(width, height, -0.5f, i == 3 ? 1.0f : 4.0f, true, 11 + (uint32_t)i);
    }
    for (int i = 0; i < 3; i++) {
        here[i] = p[i].host;
        there[i] = p[i].device;
    }
    void *sums, *rows;
    ASSERT_CUDA(cudaMalloc(&sums, sizeof got));
    ASSERT_CUDA(cudaMalloc(&rows, us_colour_scratch_cuda(height) * sizeof got));
    us_colour_gather(here, p[3].host, &wanted);
    us_colour_gather_cuda(there, p[3].device, sums, rows, NULL);
    ASSERT_CUDA(cudaMemcpy(&got, sums, sizeof got, cudaMemcpyDeviceToHost));
    assert_memory_equal(&got, &wanted, sizeof got);
    struct us_colour_map map = {{{1.1, 0.1, 0}, {-0.2, 0.9, 0.05}, {0, 0.3, 1.4}}, {0.1, 0, -0.2}};
    us_colour_apply(&map, here);
    us_colour_apply_cuda(&map, there, NULL);
    for (int i = 0; i < 4; i++) {
        assert_pair(&p[i], 0);
        drop_pair(&p[i]);
    }
    ASSERT_CUDA(cudaFree(sums));
    ASSERT_CUDA(cudaFree(rows));
}

static void gathers_and_moves_colour(void **state) {
    (void)state;
    each_size(check_colour);
}

static void check_ssim(int32_t width, int32_t height) {
    struct pair a = make_pair(width, height, -0.2f, 2, false, 20);
    struct pair b = make_pair(width, height, 0, 1, false, 21);
    struct pair map = make_pair(width, height, 0, 1, false, 22);
    size_t count = us_ssim_scratch(width, height);
    float *scratch = malloc(count * sizeof *scratch), *there = device_floats(count);
    us_ssim_map(a.host, b.host, map.host, 2.0, scratch);
    us_ssim_map_cuda(a.device, b.device, map.device, 2.0, there, NULL);
    assert_pair(&map, 0);
    free(scratch);
    ASSERT_CUDA(cudaFree(there));
    drop_pair(&a);
    drop_pair(&b);
    drop_pair(&map);
}

static void maps_similarity(void **state) {
    (void)state;
    each_size(check_ssim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resamples),         cmocka_unit_test(blurs),
        cmocka_unit_test(grows_and_shrinks), cmocka_unit_test(fills_polygons),
        cmocka_unit_test(encodes),           cmocka_unit_test(gathers_and_moves_colour),
        cmocka_unit_test(maps_similarity)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
