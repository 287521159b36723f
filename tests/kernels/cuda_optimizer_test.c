#include "kernels/nn/optimizer_cuda.h"
#include "tests/kernels/cuda_check.h"

enum { COUNT = 4099, SPLIT = 1000, STEPS = 3 };

/* What a run of steps makes of the same start. */
struct result {
    float *w, *m, *v, *average, *copy;
    struct nn_cuda_clock clock;
};

static void result_finish(struct result *r) {
    free(r->w), free(r->m), free(r->v), free(r->average), free(r->copy);
}

struct buffers {
    void *w, *m, *v, *average, *copy, *gradients, *clock, *sum, *scratch;
};

static float *zeros(size_t count) {
    return calloc(count, sizeof(float));
}

static struct buffers buffers_of(enum nn_cuda_type type, const float *w, const float *g,
                                 float rate) {
    const struct nn_cuda_clock clock = {.rate = rate};
    float *none = zeros(COUNT);
    const struct buffers b = {
        .w = device_output(NN_CUDA_F32, COUNT),
        .m = device_output(NN_CUDA_F32, COUNT),
        .v = device_output(NN_CUDA_F32, COUNT),
        .average = device_output(NN_CUDA_F32, COUNT),
        .copy = device_output(NN_CUDA_BF16, COUNT),
        .gradients = device_values(type, g, COUNT),
        .clock = device_bytes(&clock, sizeof clock),
        .sum = device_block(sizeof(double)),
        .scratch = device_block(nn_cuda_sum_scratch(COUNT)),
    };
    ASSERT_CUDA(cudaMemcpy(b.w, w, COUNT * sizeof *w, cudaMemcpyHostToDevice));
    ASSERT_CUDA(cudaMemcpy(b.average, w, COUNT * sizeof *w, cudaMemcpyHostToDevice));
    ASSERT_CUDA(cudaMemcpy(b.m, none, COUNT * sizeof *w, cudaMemcpyHostToDevice));
    ASSERT_CUDA(cudaMemcpy(b.v, none, COUNT * sizeof *w, cudaMemcpyHostToDevice));
    free(none);
    return b;
}

/* One step in two runs of parameters, captured. */
static void record(enum nn_cuda_type type, const struct us_nn_optimizer *o, const struct buffers *b,
                   float scale, cudaStream_t stream) {
    const size_t size = nn_cuda_size(type);
    ASSERT_CUDA(nn_cuda_sum_of_squares(type, b->gradients, SPLIT, scale, false, b->sum, b->scratch,
                                       stream));
    ASSERT_CUDA(nn_cuda_sum_of_squares(type, (char *)b->gradients + SPLIT * size, COUNT - SPLIT,
                                       scale, true, b->sum, b->scratch, stream));
    ASSERT_CUDA(nn_cuda_optimizer_begin(o, b->clock, b->sum, scale, stream));
    for (int part = 0; part < 2; part++) {
        const size_t first = part ? SPLIT : 0;
        const struct nn_cuda_parameters p = {
            .parameters = (float *)b->w + first,
            .moment1 = (float *)b->m + first,
            .moment2 = (float *)b->v + first,
            .average = o->average_decay > 0 ? (float *)b->average + first : NULL,
            .gradients = (char *)b->gradients + first * size,
            .gradient_type = type,
            .copy = (uint16_t *)b->copy + first,
            .count = part ? COUNT - SPLIT : SPLIT,
            .first = first,
        };
        ASSERT_CUDA(nn_cuda_optimizer_step(o, &p, b->clock, 9, stream));
    }
}

static struct result on_device(struct mode *m, const struct us_nn_optimizer *o, const float *w,
                               const float *g, float scale, int steps) {
    struct buffers b = buffers_of(m->type, w, g, o->rate);
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    ASSERT_CUDA(cudaStreamCreate(&stream));
    ASSERT_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    record(m->type, o, &b, scale, stream);
    ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
    ASSERT_CUDA(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < steps; i++) {
        ASSERT_CUDA(cudaGraphLaunch(exec, stream));
    }
    struct result r;
    ASSERT_CUDA(cudaMemcpy(&r.clock, b.clock, sizeof r.clock, cudaMemcpyDeviceToHost));
    if (!r.clock.moves) { /* nothing was written to it */
        ASSERT_CUDA(cudaMemset(b.copy, 0, COUNT * sizeof(uint16_t)));
    }
    r.w = taken(m, NN_CUDA_F32, b.w, COUNT);
    r.m = taken(m, NN_CUDA_F32, b.m, COUNT);
    r.v = taken(m, NN_CUDA_F32, b.v, COUNT);
    r.average = taken(m, NN_CUDA_F32, b.average, COUNT);
    r.copy = taken(m, NN_CUDA_BF16, b.copy, COUNT);
    ASSERT_CUDA(cudaGraphExecDestroy(exec));
    ASSERT_CUDA(cudaGraphDestroy(graph));
    ASSERT_CUDA(cudaStreamDestroy(stream));
    RELEASE(b.gradients, b.clock, b.sum, b.scratch);
    return r;
}

/* In doubles, from the definitions in optimizer.h; no dropout. */
static void reference(const struct us_nn_optimizer *o, const float *start, const float *g,
                      double scale, int steps, double *w, double *average) {
    double norm = 0;
    for (int i = 0; i < COUNT; i++) {
        norm += pow((double)g[i] * scale, 2);
    }
    const double limit = (double)o->clip_norm, b1 = (double)o->beta1, b2 = (double)o->beta2;
    const double clip = limit > 0 && sqrt(norm) > limit ? limit / sqrt(norm) : 1;
    for (int i = 0; i < COUNT; i++) {
        double m = 0, v = 0;
        w[i] = average[i] = (double)start[i];
        for (int t = 1; t <= steps; t++) {
            const double gradient = (double)g[i] * scale * clip;
            m = b1 * m + (1 - b1) * gradient;
            if (o->kind == US_NN_ADAM) {
                v = b2 * v + (1 - b2) * gradient * gradient;
                w[i] -= (double)o->rate * m / (1 - pow(b1, t)) /
                        (sqrt(v / (1 - pow(b2, t))) + (double)o->epsilon);
            } else {
                v = b2 * v + (1 - b2) * (gradient - m) * (gradient - m);
                w[i] -= (double)o->rate * m / (sqrt(v) + (double)o->epsilon);
            }
            average[i] =
                (double)o->average_decay * average[i] + (1 - (double)o->average_decay) * w[i];
        }
    }
}

static void check_definition_of(struct mode *m, enum us_nn_optimizer_kind kind) {
    struct us_nn_optimizer o = us_nn_optimizer_usual(kind);
    o.rate = 0.01f;
    o.clip_norm = 2;
    o.average_decay = 0.9f;
    float *w = some(NN_CUDA_F32, 1, COUNT), *g = some(m->type, 2, COUNT);
    double *wanted = malloc(COUNT * sizeof *wanted), *average = malloc(COUNT * sizeof *average);
    reference(&o, w, g, 0.5, STEPS, wanted, average);
    struct result r = on_device(m, &o, w, g, 0.5f, STEPS);
    near_all(r.w, wanted, COUNT, 1e-5);
    near_all(r.average, average, COUNT, 1e-5);
    for (int i = 0; i < COUNT; i++) {
        assert_true(r.copy[i] == bf16_value(r.w[i]));
    }
    assert_true(r.clock.step == STEPS && r.clock.refused == 0);
    result_finish(&r);
    free(w), free(g), free(wanted), free(average);
}

static void check_definition(struct mode *m) {
    check_definition_of(m, US_NN_ADAM);
    check_definition_of(m, US_NN_ADABELIEF);
}

static void test_definition(void **state) {
    (void)state;
    in_every_mode(check_definition);
}

/* The CPU's weights after the same steps; those that did not move are the same ones. */
static void check_dropout(struct mode *m) {
    struct us_nn_optimizer o = us_nn_optimizer_usual(US_NN_ADABELIEF);
    o.rate = 0.01f;
    o.rate_dropout = 0.3f;
    float *w = some(NN_CUDA_F32, 3, COUNT), *g = some(m->type, 4, COUNT);
    struct result r = on_device(m, &o, w, g, 1, 1);
    float *on_cpu = malloc(COUNT * sizeof *on_cpu), *m1 = zeros(COUNT), *m2 = zeros(COUNT);
    memcpy(on_cpu, w, COUNT * sizeof *w);
    const struct us_nn_optimizer_state state = {on_cpu, m1, m2, NULL, g, COUNT};
    us_nn_optimizer_step(&o, &state, 1, us_nn_sum_of_squares(g, COUNT), 9);
    int moved = 0;
    for (int i = 0; i < COUNT; i++) {
        moved += r.w[i] != w[i];
        assert_true((r.w[i] != w[i]) == (on_cpu[i] != w[i]));
        ASSERT_NEAR((double)r.w[i], (double)on_cpu[i], 1e-6);
    }
    assert_true(moved > COUNT / 4 && moved < COUNT / 3);
    result_finish(&r);
    free(w), free(g), free(on_cpu), free(m1), free(m2);
}

static void test_dropout_draws_as_the_cpu(void **state) {
    (void)state;
    in_every_mode(check_dropout);
}

/* Nothing moves and the step is not counted, wherever the bad value is. */
static void check_bad_gradients(struct mode *m) {
    const struct us_nn_optimizer o = us_nn_optimizer_usual(US_NN_ADAM);
    const int places[] = {0, SPLIT - 1, COUNT - 1};
    for (int i = 0; i < 3; i++) {
        float *w = some(NN_CUDA_F32, 5, COUNT), *g = zeros(COUNT);
        g[places[i]] = i == 1 ? -INFINITY : INFINITY;
        struct result r = on_device(m, &o, w, g, 1, 2);
        assert_memory_equal(r.w, w, (size_t)COUNT * sizeof *w);
        assert_true(r.clock.step == 0 && r.clock.refused == 2);
        assert_true(!isfinite(r.clock.square_sum));
        result_finish(&r);
        free(w), free(g);
    }
}

static void test_bad_gradients_move_nothing(void **state) {
    (void)state;
    in_every_mode(check_bad_gradients);
}

static void check_sums(struct mode *m) {
    const size_t counts[] = {1, 7, 4099, 70001};
    for (int i = 0; i < 4; i++) {
        float *g = some(m->type, 6, counts[i]);
        void *values = device_values(m->type, g, counts[i]), *sum = device_block(sizeof(double));
        void *scratch = device_block(nn_cuda_sum_scratch(counts[i]));
        double got, wanted = 0;
        ASSERT_CUDA(
            nn_cuda_sum_of_squares(m->type, values, counts[i], 1, false, sum, scratch, NULL));
        ASSERT_CUDA(cudaMemcpy(&got, sum, sizeof got, cudaMemcpyDeviceToHost));
        add_to_digest(m, &got, sizeof got);
        for (size_t k = 0; k < counts[i]; k++) {
            wanted += (double)g[k] * (double)g[k];
        }
        ASSERT_CLOSE(got, wanted, 1e-6);
        RELEASE(values, sum, scratch);
        free(g);
    }
}

static void test_sums(void **state) {
    (void)state;
    in_every_mode(check_sums);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_dropout_draws_as_the_cpu),
        cmocka_unit_test(test_bad_gradients_move_nothing),
        cmocka_unit_test(test_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
