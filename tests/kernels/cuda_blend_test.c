/* What a composite and a network's look are made of: the device's pixels are the processor's, and
 * what a mask of 0 covers keeps its bits. */
#include "tests/kernels/cuda_image_check.h"

#include "kernels/blend.h"
#include "kernels/expose.h"
#include "kernels/grain.h"
#include "kernels/samples.h"

/* Every half there is, NaNs with payloads too. */
static void half_samples_are_kept(void **state) {
    (void)state;
    static uint16_t halves[256 * 256], back[256 * 256];
    for (size_t i = 0; i < 65536; i++) {
        halves[i] = (uint16_t)i;
    }
    void *there = device_copy(halves, sizeof halves);
    struct us_samples here = {halves, 256, 256, US_SAMPLE_HALF};
    struct us_samples device = {there, 256, 256, US_SAMPLE_HALF};
    struct pair plane = make_pair(256, 256, 0, 1, false, 1);
    us_samples_read(here, 0, 0, 0, plane.host);
    us_samples_read_cuda(device, 0, 0, 0, plane.device, NULL);
    assert_pair(&plane, 0);
    us_samples_write(here, 0, 0, plane.host, NULL);
    us_samples_write_cuda(device, 0, 0, plane.device, NULL, NULL);
    ASSERT_CUDA(cudaMemcpy(back, there, sizeof back, cudaMemcpyDeviceToHost));
    for (uint32_t i = 0; i < 65536; i++) {
        bool nan = (i & 0x7c00) == 0x7c00 && (i & 0x3ff);
        uint32_t wanted = nan ? (i | 0x200) : i == 0x7c00 ? 0x7bff : i == 0xfc00 ? 0xfbff : i;
        assert_int_equal(back[i], wanted);
        assert_int_equal(halves[i], wanted);
    }
    ASSERT_CUDA(cudaFree(there));
    drop_pair(&plane);
}

static void check_samples_at(int32_t width, int32_t height, int32_t x, int32_t y,
                             enum us_sample_type type) {
    enum { SIDE = 11 };
    uint32_t seed = 77, bits[SIDE * SIDE], back[SIDE * SIDE];
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        float value = 70000 * noise_of(&seed) - 1000;
        memcpy(&bits[i], &value, 4);
    }
    struct us_samples here = {bits, SIDE, SIDE, type}, there = here;
    there.data = device_copy(bits, sizeof bits);
    struct pair plane = make_pair(width, height, 0, 1, false, 2);
    struct pair where = make_pair(width, height, -1, 1, true, 3);
    us_samples_read(here, x, y, -3, plane.host);
    us_samples_read_cuda(there, x, y, -3, plane.device, NULL);
    assert_pair(&plane, 0);
    drop_pair(&plane);
    plane = make_pair(width, height, -80000, 80000, true, 4);
    us_samples_write(here, x, y, plane.host, &where.host);
    us_samples_write_cuda(there, x, y, plane.device, &where.device, NULL);
    ASSERT_CUDA(cudaMemcpy(back, there.data, sizeof back, cudaMemcpyDeviceToHost));
    assert_memory_equal(back, bits, sizeof back);
    us_samples_write(here, x, y, plane.host, NULL);
    us_samples_write_cuda(there, x, y, plane.device, NULL, NULL);
    ASSERT_CUDA(cudaMemcpy(back, there.data, sizeof back, cudaMemcpyDeviceToHost));
    assert_memory_equal(back, bits, sizeof back);
    uint32_t cut[2][7 * 5];
    struct us_samples part = {cut[0], 7, 5, type}, part_there = part;
    size_t bytes = 35 * (type == US_SAMPLE_HALF ? sizeof(uint16_t) : sizeof(uint32_t));
    part_there.data = device_copy(cut[1], sizeof cut[1]);
    us_samples_copy(here, x, y, part);
    us_samples_copy_cuda(there, x, y, part_there, NULL);
    ASSERT_CUDA(cudaMemcpy(cut[1], part_there.data, bytes, cudaMemcpyDeviceToHost));
    assert_memory_equal(cut[1], cut[0], bytes);
    ASSERT_CUDA(cudaFree(part_there.data));
    ASSERT_CUDA(cudaFree(there.data));
    drop_pair(&plane);
    drop_pair(&where);
}

static void check_samples(int32_t width, int32_t height) {
    const int32_t places[][2] = {{0, 0}, {-2, 3}, {5, -1}, {20, 0}, {0, -60}, {-500, 2}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (enum us_sample_type type = US_SAMPLE_HALF; type <= US_SAMPLE_UINT; type++) {
            check_samples_at(width, height, places[i][0], places[i][1], type);
        }
    }
}

static void parts_of_channels_move(void **state) {
    (void)state;
    each_size(check_samples);
}

static void check_mask(int32_t width, int32_t height) {
    struct us_blend_frame frame = {
        {0.9, 0.2, -1, -0.2, 0.9, 2}, 0.8 * width, 0.7 * height, 0.92, 3};
    struct pair mask = make_pair(width, height, -0.2f, 1.3f, true, 5);
    struct pair factor = make_pair(width, height, -0.2f, 1.3f, true, 6);
    struct pair cover = make_pair(width, height, 0, 1, false, 7);
    us_blend_clamp(mask.host, -0.1f, 1.2f);
    us_blend_clamp_cuda(mask.device, -0.1f, 1.2f, NULL);
    assert_pair(&mask, 0);
    us_blend_multiply(mask.host, factor.host, false);
    us_blend_multiply_cuda(mask.device, factor.device, false, NULL);
    assert_pair(&mask, 0);
    us_blend_multiply(mask.host, factor.host, true);
    us_blend_multiply_cuda(mask.device, factor.device, true, NULL);
    assert_pair(&mask, 0);
    us_blend_weigh(factor.host, mask.host);
    us_blend_weigh_cuda(factor.device, mask.device, NULL);
    assert_pair(&factor, 0);
    us_blend_cover(&frame, cover.host);
    us_blend_cover_cuda(&frame, cover.device, NULL);
    assert_pair(&cover, 0);
    us_blend_settle(mask.host, cover.host, 0.8f);
    us_blend_settle_cuda(mask.device, cover.device, 0.8f, NULL);
    assert_pair(&mask, 0);
    for (int up = 0; up < 2; up++) {
        us_blend_place(&frame, up, cover.host);
        us_blend_place_cuda(&frame, up, cover.device, NULL);
        assert_pair(&cover, 0);
    }
    us_blend_fill(cover.host, 0.25f);
    us_blend_fill_cuda(cover.device, 0.25f, NULL);
    assert_pair(&cover, 0);
    drop_pair(&mask);
    drop_pair(&factor);
    drop_pair(&cover);
}

static void masks_are_built(void **state) {
    (void)state;
    each_size(check_mask);
}

static void check_mix(int32_t width, int32_t height) {
    struct pair plate = make_pair(width, height, -1, 5, true, 8);
    struct pair picture = make_pair(width, height, -1, 5, true, 9);
    struct pair mask = make_pair(width, height, -1, 1.2f, false, 10);
    float *before = malloc(plate.bytes), *after = malloc(plate.bytes);
    memcpy(before, plate.host.data, plate.bytes);
    us_blend_settle(mask.host, mask.host, 1);
    push(&mask);
    us_blend_mix(plate.host, picture.host, mask.host);
    us_blend_mix_cuda(plate.device, picture.device, mask.device, NULL);
    assert_pair(&plate, 0);
    ASSERT_CUDA(cudaMemcpy(after, plate.device.data, plate.bytes, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < plate.bytes / sizeof(float); i++) {
        bool pixel = (int32_t)(i % (size_t)plate.host.stride) < width;
        if (!pixel || mask.host.data[i] == 0.0f) {
            assert_memory_equal(&after[i], &before[i], sizeof(float));
        } else if (isfinite(before[i]) && isfinite(picture.host.data[i])) {
            double m = (double)mask.host.data[i];
            double wanted = (1 - m) * (double)before[i] + m * (double)picture.host.data[i];
            ASSERT_NEAR((double)after[i], wanted, 1e-6 * (fabs(wanted) + 80000));
        }
    }
    free(before);
    free(after);
    drop_pair(&plate);
    drop_pair(&picture);
    drop_pair(&mask);
}

static void a_mask_of_nothing_keeps_bits(void **state) {
    (void)state;
    each_size(check_mix);
}

static void check_grain_of(int32_t width, int32_t height, float weight_low) {
    struct pair a = make_pair(width, height, -1, 5, true, 11);
    struct pair b = make_pair(width, height, 0, 1, false, 12);
    struct pair weight = make_pair(width, height, weight_low, 1, false, 13);
    float *scratch = malloc(us_grain_scratch(width, height) * sizeof *scratch);
    void *there, *deviations;
    double wanted[2], got[2];
    ASSERT_CUDA(cudaMalloc(&there, us_grain_scratch_cuda(width, height) * sizeof(float)));
    ASSERT_CUDA(cudaMalloc(&deviations, sizeof got));
    wanted[0] = us_grain_measure(a.host, weight.host, scratch);
    wanted[1] = us_grain_measure(b.host, weight.host, scratch);
    us_grain_measure_cuda(a.device, weight.device, there, deviations, NULL);
    us_grain_measure_cuda(b.device, weight.device, there, (double *)deviations + 1, NULL);
    ASSERT_CUDA(cudaMemcpy(got, deviations, sizeof got, cudaMemcpyDeviceToHost));
    assert_true(got[0] == wanted[0] && got[1] == wanted[1]);
    assert_true(weight_low < 0 || width * height < 1000 || wanted[0] > wanted[1]);
    us_grain_add(b.host, weight.host, us_grain_lack(wanted[0], wanted[1], 0.7), 99, -5, 1001);
    us_grain_add_cuda(b.device, weight.device, deviations, (double *)deviations + 1, 0.7, 99, -5,
                      1001, NULL);
    assert_pair(&b, 0);
    free(scratch);
    ASSERT_CUDA(cudaFree(there));
    ASSERT_CUDA(cudaFree(deviations));
    drop_pair(&a);
    drop_pair(&b);
    drop_pair(&weight);
}

static void check_grain(int32_t width, int32_t height) {
    check_grain_of(width, height, 0);
    check_grain_of(width, height, -9);
}

static void grain_is_measured_and_added(void **state) {
    (void)state;
    each_size(check_grain);
    check_grain_of(700, 401, -0.3f); /* more blocks than are kept */
}

static void check_exposure(int32_t width, int32_t height) {
    struct pair p[3];
    struct us_view here[3], there[3];
    for (int i = 0; i < 3; i++) {
        p[i] = make_pair(width, height, 0, i == 1 ? 90 : 2, false, 14 + (uint32_t)i);
        here[i] = p[i].host;
        there[i] = p[i].device;
    }
    size_t count = 3 * (size_t)width * (size_t)height;
    float *seen = malloc(count * sizeof *seen), *got = malloc(count * sizeof *got);
    void *out, *scratch;
    ASSERT_CUDA(cudaMalloc(&out, count * sizeof *got));
    ASSERT_CUDA(cudaMalloc(&scratch, us_expose_scratch_cuda(width, height) * sizeof(double)));
    struct us_exposure e = {{1.5, 0.1, -3, -0.1, 1.5, 1}, width, height, -1.5, -1, 1};
    us_expose_cuda(there, &e, out, scratch, NULL);
    us_expose(here, &e, seen);
    ASSERT_CUDA(cudaMemcpy(got, out, count * sizeof *got, cudaMemcpyDeviceToHost));
    assert_memory_equal(got, seen, count * sizeof *got);
    free(seen);
    free(got);
    ASSERT_CUDA(cudaFree(out));
    ASSERT_CUDA(cudaFree(scratch));
    for (int i = 0; i < 3; i++) {
        drop_pair(&p[i]);
    }
}

static void looks_are_exposed(void **state) {
    (void)state;
    each_size(check_exposure);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(half_samples_are_kept),
                                       cmocka_unit_test(parts_of_channels_move),
                                       cmocka_unit_test(masks_are_built),
                                       cmocka_unit_test(a_mask_of_nothing_keeps_bits),
                                       cmocka_unit_test(grain_is_measured_and_added),
                                       cmocka_unit_test(looks_are_exposed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
