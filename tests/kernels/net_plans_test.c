/* Every convolution that a device's trainer asks for is one that cuDNN has a way for, on a
 * described H200: nothing is run. */
#include "tests/support/check.h"

#include <stdio.h>

#ifdef US_TEST_CUDA

#include <dlfcn.h>

#include "kernels/cuda/net_judge_internal.h"
#include "kernels/nn/memory.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"

static struct us_conv_planner *planner_of_h200(void) {
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file("tests/data/h200.json", 0, &bytes, &size));
    char *text = us_strndup((const char *)bytes, size);
    struct us_conv_planner *planner;
    assert_int_equal(us_conv_planner_create(0, text, NULL, &planner), US_NN_OK);
    us_free(text);
    us_free(bytes);
    return planner;
}

static void plan(struct us_conv_planner *planner, const struct us_nn_arch *arch,
                 enum nn_cuda_type type, int batch) {
    struct cu_net *net = us_nn_alloc(sizeof *net);
    struct cu_params *params = us_nn_alloc(sizeof *params);
    struct us_nn_layout layout;
    const struct us_nn_loss_weights weights = us_nn_loss_usual();
    assert_int_equal(us_nn_layout_init(&layout, arch), US_NN_OK);
    struct nn_graph *graph = nn_graph_of(arch, true);
    cu_params_init(params, &layout);
    cu_net_init(net, graph, params, type, batch);
    cu_net_forward(net);
    cu_net_losses(net, &weights, 1);
    cu_net_backward(net);
    cu_params_place(params);
    cu_net_settle(net);
    assert_int_equal(net->status, US_NN_OK);
    if (cu_net_make_plans(net, planner)) {
        fail_msg("%s %s: %s", us_nn_arch_name(arch), type == NN_CUDA_BF16 ? "bf16" : "f32",
                 us_conv_planner_problem(planner));
    }
    print_message("%s %d px %s, %d pairs: %d operations, %d plans, %zu MiB and %zu of scratch\n",
                  us_nn_arch_name(arch), arch->resolution, type == NN_CUDA_BF16 ? "bf16" : "f32",
                  batch, net->op_count, net->plan_count, net->plan.size >> 20, net->scratch >> 20);
    assert_true(net->scratch < (size_t)1 << 30);
    cu_net_finish(net);
    nn_graph_destroy(graph);
    us_nn_layout_finish(&layout);
    us_nn_free(params);
    us_nn_free(net);
}

static struct us_nn_arch arch_of(const char *name, int resolution) {
    struct us_nn_arch arch = {
        .resolution = resolution, .ae_dims = 256, .e_dims = 64, .d_dims = 64, .d_mask_dims = 22};
    assert_true(us_nn_arch_parse(name, &arch));
    arch.identities = 3;
    return arch;
}

static void every_net_has_plans(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int resolution;
        enum nn_cuda_type type;
        int batch;
    } nets[] = {{"df-ud", 256, NN_CUDA_BF16, 16},   {"df-ud", 128, NN_CUDA_F32, 3},
                {"liae-udt", 256, NN_CUDA_BF16, 4}, {"df", 128, NN_CUDA_BF16, 1},
                {"df-c", 64, NN_CUDA_BF16, 8},      {"comb", 256, NN_CUDA_BF16, 2}};
    struct us_conv_planner *planner = planner_of_h200();
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        const struct us_nn_arch arch = arch_of(nets[i].name, nets[i].resolution);
        plan(planner, &arch, nets[i].type, nets[i].batch);
    }
    us_conv_planner_destroy(planner);
}

static void plan_judge(struct us_conv_planner *planner, struct nn_judge_graph *graph,
                       const struct cu_judge_config *config) {
    struct cu_judge *judge = us_nn_alloc(sizeof *judge);
    assert_int_equal(cu_judge_describe(judge, graph, config), US_NN_OK);
    if (cu_net_make_plans(&judge->net, planner)) {
        fail_msg("a discriminator: %s", us_conv_planner_problem(planner));
    }
    print_message("discriminator, %s: %zu weights, %d operations, %d plans, %zu MiB\n",
                  config->type == NN_CUDA_BF16 ? "bf16" : "f32", judge->layout.count,
                  judge->net.op_count, judge->net.plan_count, judge->net.plan.size >> 20);
    cu_net_finish(&judge->net);
    cu_judge_free(judge);
}

static void discriminators_have_plans(void **state) {
    (void)state;
    struct us_conv_planner *planner = planner_of_h200();
    for (int bf16 = 0; bf16 < 2; bf16++) {
        struct cu_judge_config config = {
            .type = bf16 ? NN_CUDA_BF16 : NN_CUDA_F32, .batch = 4, .power = 1, .scale = 1};
        struct nn_judge_graph graph;
        assert_int_equal(nn_code_judge_graph(256, 16, 16, &graph), US_NN_OK);
        plan_judge(planner, &graph, &config);
        config.size = 128;
        assert_int_equal(nn_face_judge_graph(128, 16, 16, &graph), US_NN_OK);
        plan_judge(planner, &graph, &config);
        config.size = 96;
        assert_int_equal(nn_face_judge_graph(96, 30, 5, &graph), US_NN_OK);
        plan_judge(planner, &graph, &config);
    }
    us_conv_planner_destroy(planner);
}

int main(void) {
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) &&
        !dlopen(US_TEST_CUDA_STUB, RTLD_NOW | RTLD_GLOBAL)) {
        print_message("no stand-in for the driver: %s\n", dlerror());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_net_has_plans),
        cmocka_unit_test(discriminators_have_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) {
    puts("skipped: no CUDA Toolkit");
    return 0;
}

#endif
