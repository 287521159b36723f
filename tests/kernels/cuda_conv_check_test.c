/* The check of convolutions: what the formulas give is right, in every kind and type; one element
 * that is off, or was never written, is found where it is looked for; TF32 is told from f32. */
#include "tests/support/check.h"

#include <cuda_runtime.h>
#include <string.h>

#include "kernels/cuda/conv_check.h"

enum { BATCH = 2, SIZE = 5, IN = 8, OUT = 16, MOST = BATCH * SIZE * SIZE * 16 + 9 * IN * OUT };

struct setting {
    struct us_conv_desc desc;
    struct us_conv_buffers buffers;
    unsigned *wrong;
    int results;
};

static void *device_noise(int count, enum us_conv_type type, uint32_t state) {
    static uint32_t words[MOST];
    static uint16_t halves[MOST];
    void *block;
    const size_t bytes = (size_t)count * (type == US_CONV_BF16 ? 2 : 4);
    for (int i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        const float value = (float)(int32_t)state * 0x1p-31f;
        memcpy(&words[i], &value, 4);
        halves[i] = (uint16_t)(words[i] >> 16);
    }
    assert_int_equal(cudaMalloc(&block, bytes), cudaSuccess);
    assert_int_equal(cudaMemcpy(block, type == US_CONV_BF16 ? (void *)halves : words, bytes,
                                cudaMemcpyHostToDevice),
                     cudaSuccess);
    return block;
}

static struct us_conv_desc desc_of(int kind) {
    struct us_conv_desc desc = {.op = (enum us_conv_op)(kind % 3),
                                .type = kind / 3 % 2 ? US_CONV_BF16 : US_CONV_F32,
                                .batch = BATCH,
                                .in_height = SIZE,
                                .in_width = SIZE - 1,
                                .in_channels = IN,
                                .out_channels = OUT,
                                .kernel_height = 3,
                                .kernel_width = 3,
                                .stride = 1 + kind / 6 % 2,
                                .bias = kind / 12 % 2,
                                .residual = kind / 24 % 2,
                                .slope = kind / 48 % 2 ? 0.2f : 1};
    us_conv_desc_same(&desc);
    return desc;
}

/* Computes it with the stand-in of cuDNN. */
static void set_up(struct setting *s, const struct us_conv_desc *desc) {
    struct us_conv_planner *planner;
    struct us_conv_plan *plan;
    const int in = BATCH * SIZE * (SIZE - 1) * IN;
    const int out = BATCH * desc->out_height * desc->out_width * OUT, w = OUT * 9 * IN;
    void *workspace;
    s->desc = *desc;
    s->results = desc->op == US_CONV_FORWARD ? out : desc->op == US_CONV_DATA_GRADIENT ? in : w;
    s->buffers = (struct us_conv_buffers){.x = device_noise(in, desc->type, 1),
                                          .w = device_noise(w, desc->type, 2),
                                          .dy = device_noise(out, desc->type, 3),
                                          .residual = device_noise(s->results, desc->type, 4),
                                          .bias = device_noise(OUT, US_CONV_F32, 5),
                                          .out = device_noise(s->results, desc->type, 6)};
    assert_int_equal(us_conv_planner_create(0, NULL, NULL, &planner), US_NN_OK);
    assert_int_equal(us_conv_plan_create(planner, desc, &plan), US_NN_OK);
    assert_int_equal(cudaMalloc(&workspace, us_conv_plan_workspace(plan)), cudaSuccess);
    s->buffers.workspace = workspace;
    assert_int_equal(us_conv_plan_run(plan, NULL, &s->buffers), US_NN_OK);
    assert_int_equal(cudaMalloc((void **)&s->wrong, sizeof *s->wrong), cudaSuccess);
    us_conv_plan_destroy(plan);
    us_conv_planner_destroy(planner);
}

static void tear_down(struct setting *s) {
    const void *blocks[] = {s->buffers.x,         s->buffers.w,    s->buffers.dy,
                            s->buffers.residual,  s->buffers.bias, s->buffers.out,
                            s->buffers.workspace, s->wrong};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        assert_int_equal(cudaFree((void *)(uintptr_t)blocks[i]), cudaSuccess);
    }
}

static unsigned count_wrong(const struct setting *s) {
    unsigned wrong = 12345;
    assert_int_equal(us_conv_check(NULL, &s->desc, &s->buffers, s->wrong), cudaSuccess);
    assert_int_equal(cudaMemcpy(&wrong, s->wrong, sizeof wrong, cudaMemcpyDeviceToHost),
                     cudaSuccess);
    return wrong;
}

static void test_what_is_right_passes(void **state) {
    (void)state;
    for (int kind = 0; kind < 96; kind++) {
        const struct us_conv_desc desc = desc_of(kind);
        struct setting s;
        set_up(&s, &desc);
        const unsigned wrong = count_wrong(&s);
        if (wrong) {
            fail_msg("kind %d: %u elements are called wrong", kind, wrong);
        }
        tear_down(&s);
    }
}

static void test_poison_and_zeros_are_wrong(void **state) {
    (void)state;
    for (int kind = 0; kind < 12; kind++) {
        const struct us_conv_desc desc = desc_of(kind);
        struct setting s;
        set_up(&s, &desc);
        const int samples = s.results < 512 ? s.results : 512;
        for (int fill = 0; fill < 256; fill += 255) {
            const size_t bytes = (size_t)s.results * (desc.type == US_CONV_BF16 ? 2 : 4);
            assert_int_equal(cudaMemset(s.buffers.out, fill, bytes), cudaSuccess);
            assert_true(count_wrong(&s) > (unsigned)samples * 3 / 4);
        }
        tear_down(&s);
    }
}

/* The first and the last element are always looked at. */
static void test_edges_are_looked_at(void **state) {
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        const struct us_conv_desc desc = desc_of(kind);
        for (int last = 0; last < 2; last++) {
            struct setting s;
            set_up(&s, &desc);
            float *at = (float *)s.buffers.out + (last ? s.results - 1 : 0);
            const float off = 100;
            assert_int_equal(cudaMemcpy(at, &off, sizeof off, cudaMemcpyHostToDevice), cudaSuccess);
            assert_int_equal(count_wrong(&s), 1);
            tear_down(&s);
        }
    }
}

/* Factors rounded to ten bits of mantissa, as TF32 rounds them. */
static void test_tf32_is_told_from_f32(void **state) {
    (void)state;
    struct us_conv_desc desc = desc_of(0);
    struct setting s;
    set_up(&s, &desc);
    static uint32_t values[MOST];
    const size_t bytes = (size_t)(OUT * 9 * IN) * 4;
    void *exact = (void *)(uintptr_t)s.buffers.w;
    assert_int_equal(cudaMemcpy(values, exact, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    for (size_t i = 0; i < bytes / 4; i++) {
        values[i] = (values[i] + 0x1000u) & 0xFFFFE000u;
    }
    assert_int_equal(cudaMemcpy(exact, values, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    assert_true(count_wrong(&s) > 100);
    s.desc.tf32 = true;
    assert_int_equal(count_wrong(&s), 0);
    tear_down(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_right_passes),
        cmocka_unit_test(test_poison_and_zeros_are_wrong),
        cmocka_unit_test(test_edges_are_looked_at),
        cmocka_unit_test(test_tf32_is_told_from_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
