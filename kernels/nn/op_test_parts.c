#include <math.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/op_test_internal.h"

enum { SIZE = 35, AREA = SIZE * SIZE, FACES = 2, STREAM = 100 };

/* What both pictures have in common, and noise of their own. */
static void draw_waves(float *planes, int count, uint32_t stream) {
    nn_op_test_fill(planes, (size_t)(count * AREA), stream, false);
    for (int i = 0; i < count * AREA; i++) {
        const float wave = sinf(0.4f * (float)(i % SIZE) + 0.23f * (float)(i / SIZE));
        planes[i] = 0.5f + 0.25f * wave + 0.1f * planes[i];
    }
}

/* The gradient at every 181st pixel against differences of the reference. */
static double gradient_error(const struct us_nn_loss_call *call, double *image,
                             const double *soft) {
    double wanted[3 * FACES * AREA / 181 + 1];
    float got[3 * FACES * AREA / 181 + 1];
    size_t count = 0;
    for (int i = 0; i < 3 * FACES * AREA; i += 181) {
        const double kept = image[i], step = 1e-5;
        image[i] = kept + step;
        const double above = nn_loss_reference(call, image, soft);
        image[i] = kept - step;
        wanted[count] = (above - nn_loss_reference(call, image, soft)) / (2 * step);
        got[count++] = call->image_gradient[i];
        image[i] = kept;
    }
    return nn_op_test_error(got, wanted, count);
}

static double mask_error(const struct us_nn_loss_call *call) {
    double wanted[FACES * AREA];
    for (int i = 0; i < FACES * AREA; i++) {
        wanted[i] = 2 * (double)call->weights.mask / (FACES * AREA) *
                    ((double)call->mask[i] - (double)call->target_mask[i]);
    }
    return nn_op_test_error(call->mask_gradient, wanted, FACES * AREA);
}

static double losses_error(const struct us_nn_loss_call *call, double *work) {
    double *image = work, *soft = work + 3 * FACES * AREA;
    for (int i = 0; i < 3 * FACES * AREA; i++) {
        image[i] = (double)call->image[i];
    }
    nn_soft_mask_reference(call, soft);
    const float total = (float)call->terms.total;
    const double wanted = nn_loss_reference(call, image, soft);
    const double error = nn_op_test_error(&total, &wanted, 1);
    return fmax(fmax(error, mask_error(call)), gradient_error(call, image, soft));
}

enum us_nn_status nn_op_test_losses(const struct us_nn_op_engine *engine, double *error) {
    float *planes = us_nn_alloc(14 * FACES * AREA * sizeof *planes);
    double *work = us_nn_alloc(4 * FACES * AREA * sizeof *work);
    enum us_nn_status status = planes && work ? US_NN_OK : US_NN_NO_MEMORY;
    if (!status) {
        float *at = planes;
        struct us_nn_loss_call call = {.weights = us_nn_loss_usual(), .size = SIZE, .count = FACES};
        call.weights.absolute = 1;
        call.weights.priority = 3;
        draw_waves(planes, 9 * FACES, STREAM);
        call.image = at, at += 3 * FACES * AREA;
        call.target = at, at += 3 * FACES * AREA;
        call.mask = at, at += FACES * AREA;
        call.target_mask = at, at += FACES * AREA;
        call.priority = at, at += FACES * AREA;
        memset(at, 0xFF, 4 * FACES * AREA * sizeof *at);
        call.image_gradient = at, at += 3 * FACES * AREA;
        call.mask_gradient = at;
        status = engine->loss(engine->context, &call);
        *error = status ? 0 : losses_error(&call, work);
    }
    us_nn_free(planes);
    us_nn_free(work);
    return status;
}

enum { COUNT = 1001, STEP = 3 };

/* w, m, v and average after a step, in doubles. */
static void optimizer_reference(const struct us_nn_optimizer *o, const float *start, const float *g,
                                double *wanted) {
    double norm = 0;
    for (int i = 0; i < COUNT; i++) {
        norm += (double)g[i] * (double)g[i];
    }
    const double limit = (double)o->clip_norm, b1 = (double)o->beta1, b2 = (double)o->beta2;
    const double clip = limit > 0 && sqrt(norm) > limit ? limit / sqrt(norm) : 1;
    const double keep = (double)o->average_decay;
    for (int i = 0; i < COUNT; i++) {
        const double gradient = (double)g[i] * clip;
        const double m = b1 * (double)start[COUNT + i] + (1 - b1) * gradient;
        const bool adam = o->kind == US_NN_ADAM;
        const double surprise = adam ? gradient : gradient - m;
        const double v = b2 * (double)start[2 * COUNT + i] + (1 - b2) * surprise * surprise;
        const double move =
            adam ? m / (1 - pow(b1, STEP)) / (sqrt(v / (1 - pow(b2, STEP))) + (double)o->epsilon)
                 : m / (sqrt(v) + (double)o->epsilon);
        wanted[i] = (double)start[i] - (double)o->rate * move;
        wanted[COUNT + i] = m;
        wanted[2 * COUNT + i] = v;
        wanted[3 * COUNT + i] = keep * (double)start[3 * COUNT + i] + (1 - keep) * wanted[i];
    }
}

enum us_nn_status nn_op_test_optimizer(const struct us_nn_op_engine *engine,
                                       enum us_nn_optimizer_kind kind, double *error) {
    float values[4 * COUNT], gradients[COUNT];
    double wanted[4 * COUNT];
    struct us_nn_optimizer o = us_nn_optimizer_usual(kind);
    o.rate = 0.01f;
    o.average_decay = 0.9f;
    o.clip_norm = kind == US_NN_ADABELIEF ? 2 : 0;
    nn_op_test_fill(values, 4 * COUNT, STREAM + 1, false);
    nn_op_test_fill(gradients, COUNT, STREAM + 2, false);
    for (int i = 2 * COUNT; i < 3 * COUNT; i++) {
        values[i] = fabsf(values[i]); /* squares */
    }
    optimizer_reference(&o, values, gradients, wanted);
    const struct us_nn_optimizer_call call = {.optimizer = o,
                                              .step = STEP,
                                              .count = COUNT,
                                              .gradients = gradients,
                                              .parameters = values,
                                              .moment1 = values + COUNT,
                                              .moment2 = values + 2 * COUNT,
                                              .average = values + 3 * COUNT};
    const enum us_nn_status status = engine->optimize(engine->context, &call);
    *error = 0;
    for (int i = 0; i < 4; i++) {
        *error = fmax(*error, nn_op_test_error(values + i * COUNT, wanted + i * COUNT, COUNT));
    }
    return status;
}

enum { FACE = 19, PIXELS = FACE * FACE, BATCH = 3 };

static double keys(double t) {
    t = fabs(t);
    return t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

static int within(int i, int size) {
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

/* The sum over 4 x 4 samples of a grid of size x size, `stride` floats apart. */
static double cubic(const float *grid, int size, int row, int stride, double x, double y) {
    double sum = 0;
    for (int k = 0; k < 16; k++) {
        const int j = (int)floor(y) - 1 + k / 4, i = (int)floor(x) - 1 + k % 4;
        const float *at = grid + (within(j, size) * row + within(i, size)) * stride;
        sum += keys(x - i) * keys(y - j) * (double)*at;
    }
    return sum;
}

static double face_at(const float *face, const float affine[6], double px, double py, int c) {
    const double x = (double)affine[0] * px + (double)affine[1] * py + (double)affine[2] - 0.5;
    const double y = (double)affine[3] * px + (double)affine[4] * py + (double)affine[5] - 0.5;
    return cubic(face + c, FACE, FACE, 4, fmin(fmax(x, -1), FACE), fmin(fmax(y, -1), FACE));
}

/* input, target and mask of one pixel: wanted[7]. */
static void augment_reference(const struct us_augment_draw *d, const float *face, int pixel,
                              double wanted[7]) {
    const double px = pixel % FACE + 0.5, py = pixel / FACE + 0.5;
    double x = px, y = py, in[3];
    if (d->cells) {
        const double gx = px * d->cells / FACE, gy = py * d->cells / FACE;
        x += cubic(&d->moves[0][0][0], d->cells + 1, US_AUGMENT_NODES, 2, gx, gy);
        y += cubic(&d->moves[0][0][1], d->cells + 1, US_AUGMENT_NODES, 2, gx, gy);
    }
    for (int c = 0; c < 3; c++) {
        in[c] = (double)d->light[c] + face_at(face, d->affine, x, y, c);
        wanted[3 + c] = (double)d->light[c] + face_at(face, d->affine, px, py, c);
    }
    for (int c = 0; c < 3; c++) {
        const float *m = d->colour[c];
        wanted[c] =
            (double)m[0] * in[0] + (double)m[1] * in[1] + (double)m[2] * in[2] + (double)m[3];
    }
    wanted[6] = fmin(fmax(face_at(face, d->affine, px, py, 3), 0), 1);
}

static double augment_error(const struct us_nn_augment_call *call, const float *faces) {
    double wanted[7 * BATCH * PIXELS];
    for (uint32_t slot = 0; slot < BATCH; slot++) {
        struct us_augment_draw draw;
        const size_t pick = us_augment_pick(FACES, call->seed, call->stream, call->step, slot);
        us_augment_draw(&call->ranges, FACE, call->seed, call->stream, call->step, slot, &draw);
        for (int i = 0; i < PIXELS; i++) {
            double one[7];
            augment_reference(&draw, faces + pick * PIXELS * 4, i, one);
            for (uint32_t c = 0; c < 3; c++) {
                wanted[(slot * 3 + c) * PIXELS + (uint32_t)i] = one[c];
                wanted[((BATCH + slot) * 3 + c) * PIXELS + (uint32_t)i] = one[3 + c];
            }
            wanted[(6 * BATCH + slot) * PIXELS + (uint32_t)i] = one[6];
        }
    }
    return nn_op_test_error(call->inputs, wanted, 7 * BATCH * PIXELS);
}

enum us_nn_status nn_op_test_augment(const struct us_nn_op_engine *engine, double *error) {
    float faces[FACES * PIXELS * 4], made[7 * BATCH * PIXELS];
    uint16_t halves[FACES * PIXELS * 4];
    nn_op_test_fill(faces, FACES * PIXELS * 4, STREAM + 3, false);
    us_float_to_half(faces, halves, FACES * PIXELS * 4);
    us_half_to_float(halves, faces, FACES * PIXELS * 4);
    memset(made, 0xFF, sizeof made);
    const struct us_nn_augment_call call = {.ranges = {.rotation_degrees = 12,
                                                       .scale = 0.1,
                                                       .shift = 0.06,
                                                       .flip = 0.5,
                                                       .warp = 0.24,
                                                       .light = 0.1,
                                                       .hue_degrees = 15,
                                                       .saturation = 0.2,
                                                       .value = 0.05},
                                            .seed = 5,
                                            .step = 77,
                                            .stream = 16,
                                            .batch = BATCH,
                                            .size = FACE,
                                            .count = FACES,
                                            .faces = halves,
                                            .inputs = made,
                                            .targets = made + 3 * BATCH * PIXELS,
                                            .masks = made + 6 * BATCH * PIXELS};
    const enum us_nn_status status = engine->augment(engine->context, &call);
    *error = status ? 0 : augment_error(&call, faces);
    return status;
}
