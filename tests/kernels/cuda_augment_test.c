#include "kernels/augment.h"
#include "kernels/augment_cuda.h"
#include "kernels/half.h"
#include "kernels/nn/memory.h"
#include "tests/kernels/cuda_check.h"

enum { SIZE = 37, AREA = SIZE * SIZE, FACES = 5, BATCH = 7, FIRST = 3, SEED = 21 };

static const struct us_augment_turn usual = {.step = 1234567,
                                             .stream = 17,
                                             .ranges = {.rotation_degrees = 12,
                                                        .scale = 0.1,
                                                        .shift = 0.06,
                                                        .flip = 0.5,
                                                        .warp = 0.24,
                                                        .light = 0.1,
                                                        .hue_degrees = 15,
                                                        .saturation = 0.2,
                                                        .value = 0.05}};

struct made {
    float *inputs, *packed, *targets, *masks, *priorities;
};

static void made_finish(struct made *m) {
    free(m->inputs), free(m->packed), free(m->targets), free(m->masks), free(m->priorities);
}

/* Smooth with some noise, every face another one; float and as stored. */
static uint16_t *faces_of(float **values) {
    const size_t count = (size_t)FACES * AREA * 4;
    float *v = some(NN_CUDA_F32, 1, count);
    for (size_t i = 0; i < count; i++) {
        const float x = (float)(i / 4 % SIZE), y = (float)(i / 4 / SIZE % SIZE);
        v[i] = 0.5f +
               0.3f * sinf(0.2f * x + (float)(i % 4) + (float)(i / 4 / AREA)) * cosf(0.15f * y) +
               0.05f * v[i];
    }
    uint16_t *halves = malloc(count * sizeof *halves);
    us_float_to_half(v, halves, count);
    us_half_to_float(halves, v, count);
    *values = v;
    return halves;
}

static void spots_of(struct us_priority_spot spots[FACES * US_PRIORITY_SPOTS]) {
    for (int i = 0; i < FACES * US_PRIORITY_SPOTS; i++) {
        spots[i] = (struct us_priority_spot){
            (float)(5 + 6 * (i % 5)), (float)(9 + 8 * (i % 3)), 0.2f, 0.05f, -0.1f, 0.3f};
    }
    spots[4] = (struct us_priority_spot){.x = INFINITY, .y = INFINITY};
}

static struct made on_device(struct mode *m, const uint16_t *halves,
                             const struct us_augment_turn *turn, bool picked) {
    struct us_priority_spot spots[FACES * US_PRIORITY_SPOTS];
    spots_of(spots);
    void *faces = device_bytes(halves, (size_t)FACES * AREA * 4 * sizeof *halves);
    void *at = device_bytes(turn, sizeof *turn), *eyes = device_bytes(spots, sizeof spots);
    void *scratch = device_block(us_cuda_augment_scratch(BATCH));
    const struct us_cuda_faces from = {faces, eyes, FACES, picked};
    const int batch = picked ? FACES : BATCH;
    const size_t n = (size_t)batch * AREA;
    const struct us_cuda_augmented out = {.inputs = device_output(NN_CUDA_F32, 3 * n),
                                          .packed = device_output(m->type, 8 * n),
                                          .targets = device_output(NN_CUDA_F32, 3 * n),
                                          .masks = device_output(NN_CUDA_F32, n),
                                          .priorities = device_output(NN_CUDA_F32, n),
                                          .type = m->type};
    ASSERT_CUDA(us_cuda_augment(&from, at, SEED, FIRST, batch, SIZE, &out, scratch, NULL));
    const struct made made = {.inputs = taken(m, NN_CUDA_F32, out.inputs, 3 * n),
                              .packed = taken(m, m->type, out.packed, 8 * n),
                              .targets = taken(m, NN_CUDA_F32, out.targets, 3 * n),
                              .masks = taken(m, NN_CUDA_F32, out.masks, n),
                              .priorities = taken(m, NN_CUDA_F32, out.priorities, n)};
    RELEASE(faces, at, eyes, scratch);
    return made;
}

static double keys(double t) {
    t = fabs(t);
    return t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

/* Channel c at a place in face pixels, by the cubic's definition. */
static double look(const float *face, double x, double y, int c) {
    x = fmin(fmax(x - 0.5, -1), SIZE);
    y = fmin(fmax(y - 0.5, -1), SIZE);
    double sum = 0;
    for (int j = (int)floor(y) - 1; j <= (int)floor(y) + 2; j++) {
        for (int i = (int)floor(x) - 1; i <= (int)floor(x) + 2; i++) {
            const int row = j < 0 ? 0 : j >= SIZE ? SIZE - 1 : j;
            const int column = i < 0 ? 0 : i >= SIZE ? SIZE - 1 : i;
            sum += keys(x - i) * keys(y - j) * (double)face[(row * SIZE + column) * 4 + c];
        }
    }
    return sum;
}

/* The warp's move at a pixel, one axis. */
static double moved(const struct us_augment_draw *d, double px, double py, int axis) {
    const double x = px * d->cells / SIZE, y = py * d->cells / SIZE;
    double sum = 0;
    for (int j = (int)floor(y) - 1; j <= (int)floor(y) + 2; j++) {
        for (int i = (int)floor(x) - 1; i <= (int)floor(x) + 2; i++) {
            const int row = j < 0 ? 0 : j > d->cells ? d->cells : j;
            const int column = i < 0 ? 0 : i > d->cells ? d->cells : i;
            sum += keys(x - i) * keys(y - j) * (double)d->moves[row][column][axis];
        }
    }
    return sum;
}

static void compare_slot(struct mode *m, const struct made *made, int slot, const float *face,
                         const struct us_priority_spot *spots, const struct us_augment_draw *d) {
    for (int i = 0; i < AREA; i++) {
        const double px = i % SIZE + 0.5, py = i / SIZE + 0.5;
        const double wx = px + moved(d, px, py, 0), wy = py + moved(d, px, py, 1);
        double a[6], in[4], target[4];
        for (int k = 0; k < 6; k++) {
            a[k] = (double)d->affine[k];
        }
        const double fx = a[0] * px + a[1] * py + a[2], fy = a[3] * px + a[4] * py + a[5];
        for (int c = 0; c < 4; c++) {
            const double light = c < 3 ? (double)d->light[c] : 0;
            target[c] = light + look(face, fx, fy, c);
            in[c] =
                light + look(face, a[0] * wx + a[1] * wy + a[2], a[3] * wx + a[4] * wy + a[5], c);
        }
        for (int c = 0; c < 3; c++) {
            const float *k = d->colour[c];
            const double colour =
                (double)k[0] * in[0] + (double)k[1] * in[1] + (double)k[2] * in[2] + (double)k[3];
            const size_t at = (size_t)((slot * 3 + c) * AREA + i);
            ASSERT_NEAR((double)made->targets[at], target[c], 2e-5);
            ASSERT_NEAR((double)made->inputs[at], colour, 2e-5);
            assert_true(made->packed[(slot * AREA + i) * 8 + c] ==
                        rounded(m->type, made->inputs[at]));
        }
        for (int c = 3; c < 8; c++) {
            assert_true(made->packed[(slot * AREA + i) * 8 + c] == 0);
        }
        ASSERT_NEAR((double)made->masks[slot * AREA + i], fmin(fmax(target[3], 0), 1), 2e-5);
        ASSERT_NEAR((double)made->priorities[slot * AREA + i],
                    (double)us_priority_at(spots, (float)fx, (float)fy), 1e-4);
    }
}

static void check_draws(struct mode *m) {
    float *values;
    uint16_t *halves = faces_of(&values);
    struct us_priority_spot spots[FACES * US_PRIORITY_SPOTS];
    spots_of(spots);
    for (int picked = 0; picked < 2; picked++) {
        struct made made = on_device(m, halves, &usual, picked);
        for (int slot = 0; slot < (picked ? FACES : BATCH); slot++) {
            struct us_augment_draw draw;
            const uint32_t number = (uint32_t)(FIRST + slot);
            const size_t face =
                picked ? (size_t)slot
                       : us_augment_pick(FACES, SEED, usual.stream, usual.step, number);
            us_augment_draw(&usual.ranges, SIZE, SEED, usual.stream, usual.step, number, &draw);
            compare_slot(m, &made, slot, values + face * AREA * 4, spots + face * US_PRIORITY_SPOTS,
                         &draw);
        }
        made_finish(&made);
    }
    free(halves), free(values);
}

static void test_draws_are_the_cpus(void **state) {
    (void)state;
    in_every_mode(check_draws);
}

/* Bit for bit what the CPU makes, where both round alike. */
static void check_cpu(struct mode *m) {
    float *values;
    uint16_t *halves = faces_of(&values);
    struct us_augment_turn turn = usual;
    turn.ranges.warp = 0;
    turn.ranges.hue_degrees = turn.ranges.saturation = turn.ranges.value = 0;
    struct made made = on_device(m, halves, &turn, false);
    float *out = malloc(7 * (size_t)BATCH * AREA * sizeof *out);
    float *scratch = us_nn_alloc(us_augment_scratch(SIZE) * sizeof *scratch);
    struct us_augment_job jobs[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        const size_t pick = us_augment_pick(FACES, SEED, turn.stream, turn.step, FIRST + i);
        jobs[i] = (struct us_augment_job){.face = halves + pick * AREA * 4,
                                          .input = out + i * 3 * AREA,
                                          .target = out + (BATCH + i) * 3 * AREA,
                                          .mask = out + (6 * BATCH + i) * AREA};
        us_augment_draw(&turn.ranges, SIZE, SEED, turn.stream, turn.step, FIRST + i, &jobs[i].draw);
    }
    us_augment_run(jobs, BATCH, SIZE, 1, scratch);
    const size_t n = (size_t)BATCH * AREA * sizeof *out;
    assert_memory_equal(made.inputs, out, 3 * n);
    assert_memory_equal(made.targets, out + (size_t)3 * BATCH * AREA, 3 * n);
    assert_memory_equal(made.masks, out + (size_t)6 * BATCH * AREA, n);
    us_nn_free(scratch);
    made_finish(&made);
    free(halves), free(values), free(out);
}

static void test_the_same_as_on_the_cpu(void **state) {
    (void)state;
    in_every_mode(check_cpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws_are_the_cpus),
        cmocka_unit_test(test_the_same_as_on_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
