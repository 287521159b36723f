#include "kernels/nn/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/plan_internal.h"
#include "tests/support/check.h"

/* The published sizes and costs of the architectures at their usual dims: millions of parameters,
 * 1e9 multiply-adds forward for a face of each identity. */
static void test_sizes_are_the_published_ones(void **state) {
    (void)state;
    const struct {
        const char *name;
        int resolution, ae, e, d, mask;
        double millions, pair;
    } cases[] = {{"df-ud", 96, 128, 64, 64, 16, 38.3, 8.1},
                 {"df", 128, 256, 64, 64, 22, 57.5, 55.5},
                 {"df-ud", 128, 256, 64, 64, 22, 54.5, 15.2},
                 {"liae-ud", 128, 256, 64, 64, 22, 82.4, 18.1},
                 {"df-ud", 192, 256, 64, 64, 22, 66.3, 34.3},
                 {"df-ud", 256, 256, 64, 64, 22, 82.8, 60.9},
                 {"df-udt", 256, 256, 64, 64, 22, 97.2, 69.8},
                 {"liae-udt", 256, 256, 64, 64, 22, 102.8, 72.3},
                 {"liae-udt", 320, 384, 80, 80, 28, 224.6, 178},
                 {"df-udt", 384, 352, 88, 88, 16, 205.5, 284},
                 {"df-ud", 512, 256, 64, 64, 22, 196.1, 244},
                 {"df-udt", 512, 256, 64, 64, 22, 135.0, 279},
                 {"liae-udt", 512, 256, 64, 64, 22, 203.6, 289}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct us_nn_arch arch = {.resolution = cases[i].resolution,
                                  .ae_dims = cases[i].ae,
                                  .e_dims = cases[i].e,
                                  .d_dims = cases[i].d,
                                  .d_mask_dims = cases[i].mask};
        assert_true(us_nn_arch_parse(cases[i].name, &arch));
        assert_string_equal(us_nn_arch_name(&arch), cases[i].name);
        struct us_nn_layout layout;
        assert_int_equal(us_nn_layout_init(&layout, &arch), US_NN_OK);
        ASSERT_NEAR((double)layout.count / 1e6, cases[i].millions, 0.06);
        us_nn_layout_finish(&layout);
        struct nn_graph *training = nn_graph_of(&arch, true);
        assert_non_null(training);
        const double rounding = cases[i].pair > 100 ? 0.6 : 0.06;
        ASSERT_NEAR(nn_graph_macs(training) / 1e9, cases[i].pair, rounding);
        nn_graph_destroy(training);
    }
}

/* Both graphs of an architecture have the same layers in the same order. */
static void test_both_graphs_have_one_layout(void **state) {
    (void)state;
    static const char *const names[] = {"df", "df-udtc", "liae", "liae-udt", "liae-dc"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct us_nn_arch arch = {
            .resolution = 64, .ae_dims = 12, .e_dims = 6, .d_dims = 8, .d_mask_dims = 5};
        assert_true(us_nn_arch_parse(names[i], &arch));
        struct us_nn_layout layout, other = {0};
        assert_int_equal(us_nn_layout_init(&layout, &arch), US_NN_OK);
        struct nn_graph *training = nn_graph_of(&arch, true);
        assert_int_equal(nn_layout_of_graph(&other, training), US_NN_OK);
        assert_int_equal(layout.slice_count, other.slice_count);
        assert_memory_equal(layout.slices, other.slices,
                            (size_t)layout.slice_count * sizeof *layout.slices);
        nn_graph_destroy(training);
        us_nn_layout_finish(&layout);
        us_nn_layout_finish(&other);
    }
}

static void test_slices_fill_the_buffer(void **state) {
    (void)state;
    const struct us_nn_arch arch = {.family = US_NN_DF,
                                    .likeness = true,
                                    .doubled = true,
                                    .resolution = 64,
                                    .ae_dims = 64,
                                    .e_dims = 32,
                                    .d_dims = 32,
                                    .d_mask_dims = 12};
    struct us_nn_layout layout;
    assert_int_equal(us_nn_layout_init(&layout, &arch), US_NN_OK);
    size_t next = 0;
    for (int i = 0; i < layout.slice_count; i++) {
        assert_int_equal(layout.slices[i].offset, next);
        assert_ptr_equal(us_nn_layout_find(&layout, layout.slices[i].name), &layout.slices[i]);
        next += layout.slices[i].count;
    }
    assert_int_equal(layout.count, next);
    const struct us_nn_slice *dense = us_nn_layout_find(&layout, "inter.dense1.weight");
    assert_non_null(dense);
    assert_int_equal(dense->rank, 2);
    assert_int_equal(dense->shape[1], 8 * 32 * 4 * 4);
    assert_null(us_nn_layout_find(&layout, "inter.dense3.weight"));
    us_nn_layout_finish(&layout);
}

static void test_first_weights(void **state) {
    (void)state;
    const struct us_nn_arch arch = {.family = US_NN_DF,
                                    .likeness = true,
                                    .doubled = true,
                                    .resolution = 64,
                                    .ae_dims = 16,
                                    .e_dims = 16,
                                    .d_dims = 16,
                                    .d_mask_dims = 8};
    struct us_nn_layout layout;
    assert_int_equal(us_nn_layout_init(&layout, &arch), US_NN_OK);
    float *a = us_nn_alloc(layout.count * sizeof *a), *b = us_nn_alloc(layout.count * sizeof *b);
    us_nn_layout_initialise(&layout, 1, a);
    us_nn_layout_initialise(&layout, 1, b);
    assert_memory_equal(a, b, layout.count * sizeof *a);
    us_nn_layout_initialise(&layout, 2, b);
    assert_memory_not_equal(a, b, layout.count * sizeof *a);
    const struct us_nn_slice *s = us_nn_layout_find(&layout, "encoder.down1.weight");
    const double limit = sqrt(6.0 / (25 * (16 + 32)));
    double sum = 0, largest = 0;
    for (size_t i = s->offset; i < s->offset + s->count; i++) {
        sum += (double)a[i];
        largest = fmax(largest, fabs((double)a[i]));
    }
    assert_true(largest <= limit && largest > 0.99 * limit);
    ASSERT_NEAR(sum / (double)s->count, 0.0, 0.02 * limit);
    s = us_nn_layout_find(&layout, "encoder.down1.bias");
    for (size_t i = s->offset; i < s->offset + s->count; i++) {
        assert_true(a[i] == 0);
    }
    us_nn_free(a);
    us_nn_free(b);
    us_nn_layout_finish(&layout);
}

/* Files of older models are laid out so; and trainings start from the same numbers. */
static void test_layout_of_df_is_what_it_was(void **state) {
    (void)state;
    static const char *const names[] = {"encoder.down0",
                                        "encoder.down1",
                                        "encoder.down2",
                                        "encoder.down3",
                                        "inter.dense1",
                                        "inter.dense2",
                                        "inter.upscale",
                                        "decoder_src.upscale0",
                                        "decoder_src.res0.conv1",
                                        "decoder_src.res0.conv2",
                                        "decoder_src.upscale1",
                                        "decoder_src.res1.conv1",
                                        "decoder_src.res1.conv2",
                                        "decoder_src.upscale2",
                                        "decoder_src.res2.conv1",
                                        "decoder_src.res2.conv2",
                                        "decoder_src.out_conv0",
                                        "decoder_src.out_conv1",
                                        "decoder_src.out_conv2",
                                        "decoder_src.out_conv3",
                                        "decoder_src.mask_upscale0",
                                        "decoder_src.mask_upscale1",
                                        "decoder_src.mask_upscale2",
                                        "decoder_src.mask_upscale3",
                                        "decoder_src.mask_out",
                                        "decoder_dst.upscale0"};
    struct us_nn_arch arch = {
        .resolution = 96, .ae_dims = 12, .e_dims = 6, .d_dims = 8, .d_mask_dims = 5};
    assert_true(us_nn_arch_parse("df-ud", &arch));
    struct us_nn_layout layout;
    assert_int_equal(us_nn_layout_init(&layout, &arch), US_NN_OK);
    assert_int_equal(layout.slice_count, 2 * (7 + 2 * 18));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.weight", names[i]);
        assert_string_equal(layout.slices[2 * i].name, name);
    }
    float *values = us_nn_alloc(layout.count * sizeof *values);
    us_nn_layout_initialise(&layout, 9, values);
    uint64_t digest = 14695981039346656037u; /* FNV-1a of the values' bits */
    for (size_t i = 0; i < layout.count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        digest = (digest ^ bits) * 1099511628211u;
    }
    assert_true(digest == 14410590632779574476u);
    us_nn_free(values);
    us_nn_layout_finish(&layout);
}

static void test_problems_are_named(void **state) {
    (void)state;
    struct us_nn_arch arch = {.family = US_NN_DF,
                              .likeness = true,
                              .doubled = true,
                              .resolution = 64,
                              .ae_dims = 64,
                              .e_dims = 32,
                              .d_dims = 32,
                              .d_mask_dims = 12};
    assert_null(us_nn_arch_problem(&arch));
    arch.resolution = 1024;
    assert_string_equal(us_nn_arch_problem(&arch),
                        "the resolution is out of range, allowed 32 to 640");
    arch.resolution = 72;
    arch.doubled = false;
    assert_string_equal(us_nn_arch_problem(&arch), "the resolution must be a multiple of 16");
    arch.resolution = 80;
    assert_null(us_nn_arch_problem(&arch));
    arch.d_mask_dims = 2;
    assert_string_equal(us_nn_arch_problem(&arch), "the dims are out of range, allowed 4 to 1024");
    struct us_nn_layout layout;
    assert_int_equal(us_nn_layout_init(&layout, &arch), US_NN_BAD_CONFIG);
    assert_false(us_nn_arch_parse("df-x", &arch));
    assert_false(us_nn_arch_parse("liae-x", &arch));
}

static void test_buffers_alive_together_share_nothing(void **state) {
    (void)state;
    static struct nn_plan plan;
    size_t sum = 0;
    for (int i = 0; i < 200; i++) {
        uint32_t words[4];
        us_philox(1, 2, 3, (uint64_t)i, words);
        const int buffer = nn_plan_add(&plan, words[0] % 5000 + 1);
        nn_plan_use(&plan, buffer, (int)(words[1] % 300));
        nn_plan_use(&plan, buffer, (int)(words[1] % 300 + words[2] % 40));
        sum += plan.buffers[buffer].size;
    }
    nn_plan_solve(&plan);
    for (int i = 0; i < plan.count; i++) {
        const struct nn_plan_buffer *a = &plan.buffers[i];
        assert_true(a->offset % 64 == 0 && a->offset + a->size <= plan.size);
        for (int k = 0; k < i; k++) {
            const struct nn_plan_buffer *b = &plan.buffers[k];
            const bool together = a->first <= b->last && b->first <= a->last;
            assert_true(!together || a->offset + a->size <= b->offset ||
                        b->offset + b->size <= a->offset);
        }
    }
    assert_true(plan.size < sum / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_the_published_ones),
        cmocka_unit_test(test_both_graphs_have_one_layout),
        cmocka_unit_test(test_slices_fill_the_buffer),
        cmocka_unit_test(test_first_weights),
        cmocka_unit_test(test_layout_of_df_is_what_it_was),
        cmocka_unit_test(test_problems_are_named),
        cmocka_unit_test(test_buffers_alive_together_share_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
