#include "kernels/nn/op_test.h"

#include <math.h>
#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/op_test_internal.h"
#include "kernels/nn/philox.h"

enum { RESULTS = 4 }; /* y and the gradients of x, x2 and the weights */

static const struct op_case {
    const char *name;
    bool has_x2;
    struct us_nn_op_call call;
} cases[] = {
    {"convolution 5x5, stride 2",
     false,
     {US_NN_OP_CONV, .n = 2, .c = 3, .h = 5, .w = 7, .channels = 4, .kernel = 5, .stride = 2,
      .slope = 0.1f}},
    {"convolution 3x3 with residual",
     true,
     {US_NN_OP_CONV, .n = 1, .c = 9, .h = 4, .w = 3, .channels = 7, .kernel = 3, .stride = 1,
      .slope = 0.2f}},
    {"convolution 1x1",
     false,
     {US_NN_OP_CONV, .n = 3, .c = 5, .h = 3, .w = 2, .channels = 1, .kernel = 1, .stride = 1,
      .slope = 1}},
    {"dense",
     false,
     {US_NN_OP_DENSE, .n = 3, .c = 5, .h = 2, .w = 2, .channels = 7, .slope = 0.1f}},
    {"depth-to-space",
     false,
     {US_NN_OP_DEPTH_TO_SPACE, .n = 2, .c = 20, .h = 3, .w = 2, .slope = 0.1f}},
    {"pixel norm", false, {US_NN_OP_NORM, .n = 2, .c = 5, .h = 3, .w = 3}},
    {"sigmoid",
     false,
     {US_NN_OP_HEAD, .n = 2, .c = 12, .h = 3, .w = 5, .channels = 3, .factor = 2}},
    {"x cos x", false, {US_NN_OP_COSINE, .n = 2, .c = 5, .h = 3, .w = 3}},
    {"pool", false, {US_NN_OP_POOL, .n = 2, .c = 5, .h = 4, .w = 6}},
    {"upsample", false, {US_NN_OP_UPSAMPLE, .n = 2, .c = 5, .h = 3, .w = 2}},
    {"concatenation", true, {US_NN_OP_CONCAT, .n = 2, .c = 8, .h = 3, .w = 3}},
    {"blend", true, {US_NN_OP_BLEND, .n = 2, .c = 5, .h = 3, .w = 3, .fade = 0.3f}},
};

void nn_op_test_fill(float *values, size_t count, uint32_t stream, bool bf16) {
    for (size_t i = 0; i < count; i++) {
        uint32_t words[4], bits;
        us_philox(77, stream, 0, i, words);
        values[i] = 2 * us_philox_unit(words[0]) - 1;
        memcpy(&bits, &values[i], sizeof bits);
        bits = bf16 ? (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u : bits;
        memcpy(&values[i], &bits, sizeof bits);
    }
}

double nn_op_test_error(const float *a, const double *b, size_t count) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = (double)a[i] - b[i];
        difference += d * d;
        norm += b[i] * b[i];
    }
    return isfinite(difference) ? sqrt(difference / fmax(norm, 1e-30)) : (double)INFINITY;
}

/* Values of one case: inputs, results, and the same in doubles. */
struct trial {
    struct us_nn_op_call call;
    struct us_nn_op_sizes sizes;
    size_t inputs, results;
    float *in, *out;     /* x, x2, weights, pull; y, then gradients of x, x2 and weights */
    double *at, *wanted; /* the inputs without pull; as `out` */
    double *y;           /* of a moved input */
};

static bool trial_init(struct trial *t, const struct op_case *c, bool bf16) {
    *t = (struct trial){.call = c->call, .sizes = us_nn_op_sizes(&c->call, c->has_x2)};
    const struct us_nn_op_sizes *s = &t->sizes;
    t->inputs = s->x + s->x2 + s->weights;
    t->results = s->y + t->inputs;
    t->in = us_nn_alloc((t->inputs + s->y) * sizeof *t->in);
    t->out = us_nn_alloc(t->results * sizeof *t->out);
    t->at = us_nn_alloc(t->inputs * sizeof *t->at);
    t->wanted = us_nn_alloc(t->results * sizeof *t->wanted);
    t->y = us_nn_alloc(s->y * sizeof *t->y);
    if (!t->in || !t->out || !t->at || !t->wanted || !t->y) {
        return false;
    }
    nn_op_test_fill(t->in, t->inputs + s->y, (uint32_t)(c - cases), bf16);
    for (size_t i = 0; c->call.op == US_NN_OP_POOL && i < s->x; i++) {
        t->in[i] = (float)(i * 53 % 128) / 64 - 1; /* no two of a 2 x 2 are equal */
    }
    memset(t->out, 0xFF, t->results * sizeof *t->out);
    struct us_nn_op_call *k = &t->call;
    k->bf16 = bf16;
    k->x = t->in;
    k->x2 = s->x2 ? t->in + s->x : NULL;
    k->weights = s->weights ? t->in + s->x + s->x2 : NULL;
    k->pull = t->in + t->inputs;
    k->y = t->out;
    k->x_gradient = t->out + s->y;
    k->x2_gradient = s->x2 ? k->x_gradient + s->x : NULL;
    k->weight_gradient = s->weights ? k->x_gradient + s->x + s->x2 : NULL;
    return true;
}

static void trial_finish(struct trial *t) {
    us_nn_free(t->in);
    us_nn_free(t->out);
    us_nn_free(t->at);
    us_nn_free(t->wanted);
    us_nn_free(t->y);
}

static double pulled(const struct trial *t, const struct nn_reference_inputs *in) {
    double sum = 0;
    nn_op_reference(&t->call, in, t->y);
    for (size_t i = 0; i < t->sizes.y; i++) {
        sum += (double)t->call.pull[i] * t->y[i];
    }
    return sum;
}

static void compute_wanted(struct trial *t) {
    const struct us_nn_op_sizes *s = &t->sizes;
    const struct nn_reference_inputs in = {t->at, s->x2 ? t->at + s->x : NULL,
                                           t->at + s->x + s->x2};
    for (size_t i = 0; i < t->inputs; i++) {
        t->at[i] = (double)t->in[i];
    }
    nn_op_reference(&t->call, &in, t->wanted);
    for (size_t i = 0; i < t->inputs; i++) {
        const double kept = t->at[i], step = 1e-5;
        t->at[i] = kept + step;
        const double above = pulled(t, &in);
        t->at[i] = kept - step;
        t->wanted[s->y + i] = (above - pulled(t, &in)) / (2 * step);
        t->at[i] = kept;
    }
}

static double worst_error(const struct trial *t) {
    const struct us_nn_op_sizes *s = &t->sizes;
    const size_t counts[RESULTS] = {s->y, s->x, s->x2, s->weights};
    double worst = 0;
    size_t at = 0;
    for (int i = 0; i < RESULTS; i++) {
        if (counts[i]) {
            worst = fmax(worst, nn_op_test_error(t->out + at, t->wanted + at, counts[i]));
        }
        at += counts[i];
    }
    return worst;
}

static enum us_nn_status run_case(const struct us_nn_op_engine *engine, const struct op_case *c,
                                  bool bf16, double *error) {
    struct trial t;
    enum us_nn_status status = trial_init(&t, c, bf16) ? US_NN_OK : US_NN_NO_MEMORY;
    status = status ? status : engine->op(engine->context, &t.call);
    if (!status) {
        compute_wanted(&t);
        *error = worst_error(&t);
    }
    trial_finish(&t);
    return status;
}

struct tally {
    us_nn_op_test_report *report;
    void *context;
    int bad;
};

static void judge(struct tally *tally, const char *name, bool bf16, double tolerance,
                  enum us_nn_status status, double error) {
    const struct us_nn_op_test_result result = {
        .name = name,
        .type = bf16 ? "bf16" : "f32",
        .error = error,
        .tolerance = tolerance,
        .status = status,
        .passed = status == US_NN_UNSUPPORTED || (status == US_NN_OK && error <= tolerance)};
    tally->bad += !result.passed;
    tally->report(tally->context, &result);
}

int us_nn_op_test(const struct us_nn_op_engine *engine, us_nn_op_test_report *report,
                  void *context) {
    struct tally tally = {report, context, 0};
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const bool bf16 = i % 2 == 1;
        double error = 0;
        const enum us_nn_status status = run_case(engine, &cases[i / 2], bf16, &error);
        judge(&tally, cases[i / 2].name, bf16, bf16 ? 1.5e-2 : 1e-5, status, error);
    }
    double error = 0;
    enum us_nn_status status = nn_op_test_losses(engine, &error);
    judge(&tally, "losses", false, 1e-3, status, error);
    status = nn_op_test_optimizer(engine, US_NN_ADAM, &error);
    judge(&tally, "adam, average", false, 1e-5, status, error);
    status = nn_op_test_optimizer(engine, US_NN_ADABELIEF, &error);
    judge(&tally, "adabelief, clipping", false, 1e-5, status, error);
    status = nn_op_test_augment(engine, &error);
    judge(&tally, "augmentation", false, 1e-5, status, error);
    return tally.bad;
}
