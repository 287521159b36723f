#include "kernels/augment.h"

#include <math.h>
#include <string.h>

#include "kernels/half.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"

enum { SIZE = 32, AREA = SIZE * SIZE };

struct made {
    float input[3 * AREA], target[3 * AREA], mask[AREA];
};

/* Red is the pixel's x, green its y (in sizes), blue their product, the matte a disc. */
static uint16_t *ramp_face(void) {
    float *pixels = us_calloc(AREA, 4 * sizeof *pixels);
    for (int i = 0; i < AREA; i++) {
        const float x = ((float)(i % SIZE) + 0.5f) / SIZE, y = ((float)(i / SIZE) + 0.5f) / SIZE;
        const float values[4] = {x, y, x * y, hypotf(x - 0.5f, y - 0.5f) < 0.3f ? 1.0f : 0.0f};
        memcpy(pixels + 4 * i, values, sizeof values);
    }
    uint16_t *face = us_calloc(AREA, 4 * sizeof *face);
    us_float_to_half(pixels, face, 4 * AREA);
    us_free(pixels);
    return face;
}

static struct made *make(const struct us_augment_ranges *ranges, uint64_t seed, uint64_t step,
                         int threads, int count) {
    uint16_t *face = ramp_face();
    struct made *made = us_calloc((size_t)count, sizeof *made);
    struct us_augment_job *jobs = us_calloc((size_t)count, sizeof *jobs);
    float *scratch = us_calloc((size_t)threads * us_augment_scratch(SIZE), sizeof *scratch);
    for (int i = 0; i < count; i++) {
        jobs[i] = (struct us_augment_job){
            .face = face, .input = made[i].input, .target = made[i].target, .mask = made[i].mask};
        us_augment_draw(ranges, SIZE, seed, 0, step, (uint32_t)i, &jobs[i].draw);
    }
    us_augment_run(jobs, (size_t)count, SIZE, threads, scratch);
    us_free(scratch);
    us_free(jobs);
    us_free(face);
    return made;
}

static const struct us_augment_ranges usual = {.rotation_degrees = 10,
                                               .scale = 0.05,
                                               .shift = 0.05,
                                               .flip = 0.5,
                                               .warp = 0.24,
                                               .light = 0.1,
                                               .hue_degrees = 10,
                                               .saturation = 0.1,
                                               .value = 0.05};

static void nothing_asked_changes_nothing(void **state) {
    (void)state;
    const struct us_augment_ranges none = {0};
    struct made *made = make(&none, 1, 2, 1, 1);
    assert_memory_equal(made->input, made->target, sizeof made->input);
    for (int i = 0; i < AREA; i++) {
        ASSERT_NEAR(made->target[i], (i % SIZE + 0.5) / SIZE, 1e-3);
        ASSERT_NEAR(made->target[AREA + i], (i / SIZE + 0.5) / SIZE, 1e-3);
    }
    us_free(made);
}

static void a_flip_mirrors_all_three(void **state) {
    (void)state;
    const struct us_augment_ranges ranges = {.flip = 1};
    struct made *made = make(&ranges, 1, 2, 1, 1);
    for (int i = 0; i < AREA; i++) {
        ASSERT_NEAR(made->input[i], (SIZE - i % SIZE - 0.5) / SIZE, 1e-3);
        ASSERT_NEAR(made->target[i], (SIZE - i % SIZE - 0.5) / SIZE, 1e-3);
        ASSERT_NEAR(made->mask[i], made->mask[i - i % SIZE + SIZE - 1 - i % SIZE], 1e-3);
    }
    us_free(made);
}

static void the_warp_moves_the_input_only_and_within_its_range(void **state) {
    (void)state;
    const struct us_augment_ranges ranges = {.warp = 0.24};
    enum { COUNT = 24 };
    struct made *made = make(&ranges, 7, 3, 2, COUNT);
    double most = 0, sum = 0;
    for (int k = 0; k < COUNT; k++) {
        for (int i = 0; i < AREA; i++) {
            ASSERT_NEAR(made[k].target[i], (i % SIZE + 0.5) / SIZE, 1e-3);
            const double move = (double)(made[k].input[i] - made[k].target[i]);
            most = fmax(most, fabs(move));
            sum += move;
        }
    }
    assert_true(most > 0.03);
    assert_true(most < 0.24 / 2 * 1.3); /* half the side is the largest cell; cubics overshoot */
    ASSERT_NEAR(sum / COUNT / AREA, 0, 0.01);
    us_free(made);
}

static void light_is_shared_and_colour_is_not(void **state) {
    (void)state;
    const struct us_augment_ranges light = {.light = 0.2}, value = {.value = 0.2};
    struct made *lit = make(&light, 5, 1, 1, 1), *dyed = make(&value, 5, 1, 1, 1);
    assert_memory_equal(lit->input, lit->target, sizeof lit->input);
    assert_true(fabsf(lit->target[0] - 0.5f / SIZE) > 0.005f);
    ASSERT_NEAR(dyed->target[0], 0.5 / SIZE, 1e-3);
    assert_true(fabsf(dyed->input[0] - dyed->target[0]) > 0.005f);
    us_free(lit);
    us_free(dyed);
}

static void a_step_can_be_replayed_with_any_thread_count(void **state) {
    (void)state;
    struct made *a = make(&usual, 9, 1000, 1, 6), *b = make(&usual, 9, 1000, 3, 6);
    struct made *c = make(&usual, 9, 1001, 1, 6);
    assert_memory_equal(a, b, 6 * sizeof *a);
    assert_memory_not_equal(a, c, 6 * sizeof *a);
    assert_memory_not_equal(&a[0], &a[1], sizeof *a);
    us_free(a);
    us_free(b);
    us_free(c);
}

static void every_value_is_finite_at_the_widest_ranges(void **state) {
    (void)state;
    const struct us_augment_ranges wide = {180, 1, 1, 0.5, 1, 1, 180, 1, 1};
    struct made *made = make(&wide, 11, 12, 2, 16);
    for (int k = 0; k < 16; k++) {
        for (int i = 0; i < 3 * AREA; i++) {
            assert_true(isfinite(made[k].input[i]) && isfinite(made[k].target[i]));
        }
        for (int i = 0; i < AREA; i++) {
            assert_true(made[k].mask[i] >= 0 && made[k].mask[i] <= 1);
        }
    }
    us_free(made);
}

static void every_face_is_picked(void **state) {
    (void)state;
    int seen[7] = {0};
    for (uint32_t step = 0; step < 100; step++) {
        seen[us_augment_pick(7, 3, 0, step, step % 4)]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(seen[i], 3, 40);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_changes_nothing),
        cmocka_unit_test(a_flip_mirrors_all_three),
        cmocka_unit_test(the_warp_moves_the_input_only_and_within_its_range),
        cmocka_unit_test(light_is_shared_and_colour_is_not),
        cmocka_unit_test(a_step_can_be_replayed_with_any_thread_count),
        cmocka_unit_test(every_value_is_finite_at_the_widest_ranges),
        cmocka_unit_test(every_face_is_picked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
