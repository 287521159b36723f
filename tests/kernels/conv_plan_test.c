/* Plans for a GPU that need not be here: cuDNN is given the description of an H200. */
#include "tests/support/check.h"

#include <stdio.h>

#ifdef US_TEST_CUDA

#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/conv_cache_internal.h"
#include "kernels/cuda/conv_candidates_internal.h"
#include "kernels/nn/memory.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"

static char *description(void) {
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file("tests/data/h200.json", 0, &bytes, &size));
    char *text = us_strndup((const char *)bytes, size);
    us_free(bytes);
    return text;
}

static struct us_conv_planner *planner_of(const char *json, const char *folder) {
    struct us_conv_planner *planner;
    const enum us_nn_status status = us_conv_planner_create(0, json, folder, &planner);
    if (status != US_NN_OK) {
        fail_msg("no planner: %s", planner ? us_conv_planner_problem(planner) : "");
    }
    return planner;
}

static struct us_conv_planner *h200(const char *folder) {
    char *json = description();
    struct us_conv_planner *planner = planner_of(json, folder);
    us_free(json);
    return planner;
}

static struct us_conv_plan *plan_of(struct us_conv_planner *planner,
                                    const struct us_conv_desc *desc) {
    struct us_conv_plan *plan;
    const enum us_nn_status status = us_conv_plan_create(planner, desc, &plan);
    if (status != US_NN_OK) {
        fail_msg("op %d type %d, %d x %d x %d -> %d, kernel %d stride %d: %s", desc->op, desc->type,
                 desc->in_height, desc->in_width, desc->in_channels, desc->out_channels,
                 desc->kernel_height, desc->stride, us_conv_planner_problem(planner));
    }
    return plan;
}

static struct us_conv_desc conv(int size, int in, int out, int kernel, int stride) {
    struct us_conv_desc desc = {.type = US_CONV_BF16,
                                .batch = 8,
                                .in_height = size,
                                .in_width = size,
                                .in_channels = (in + 7) / 8 * 8,
                                .out_channels = (out + 7) / 8 * 8,
                                .kernel_height = kernel,
                                .kernel_width = kernel,
                                .stride = stride,
                                .bias = true,
                                .slope = 0.1f};
    us_conv_desc_same(&desc);
    return desc;
}

/* Every convolution and dense layer of df-ud at one resolution (kernels/nn/arch.h), with the four
 * output convolutions as one. */
static int df_ud(int resolution, struct us_conv_desc descs[40]) {
    const int e = 64, d = 64, m = 22, ae = 256, r = resolution / 32;
    int count = 0, size = resolution, channels = 3;
    for (int i = 0; i < 4; i++, size /= 2) {
        descs[count++] = conv(size, channels, e << i, 5, 2);
        channels = e << i;
    }
    descs[count++] = conv(1, size * size * channels, ae, 1, 1);
    descs[count++] = conv(1, ae, r * r * ae, 1, 1);
    descs[count++] = conv(r, ae, 4 * ae, 3, 1);
    size = 2 * r;
    for (int i = 3, from = ae, mask_from = ae; i > 0; i--, size *= 2) {
        const int to = d << i, mask_to = m << i;
        descs[count++] = conv(size, from, 4 * to, 3, 1);
        descs[count++] = conv(2 * size, to, to, 3, 1);
        descs[count] = conv(2 * size, to, to, 3, 1);
        descs[count].residual = true;
        descs[count++].slope = 0.2f;
        descs[count++] = conv(size, mask_from, 4 * mask_to, 3, 1);
        from = to;
        mask_from = mask_to;
    }
    descs[count++] = conv(size, 2 * d, 12, 3, 1);
    descs[count++] = conv(size, 2 * m, 4 * m, 3, 1);
    descs[count++] = conv(2 * size, m, 1, 1, 1);
    assert_int_equal(2 * size, resolution);
    return count;
}

static void every_layer_has_a_plan(struct us_conv_planner *planner, int resolution) {
    struct us_conv_desc descs[40];
    const int count = df_ud(resolution, descs);
    for (int i = 0; i < 3 * count; i++) {
        struct us_conv_desc desc = descs[i / 3];
        desc.op = (enum us_conv_op)(i % 3);
        struct us_conv_plan *plan = plan_of(planner, &desc);
        assert_int_equal(us_conv_plan_describe(plan).candidates, 1);
        assert_true(us_conv_plan_workspace(plan) <= (size_t)1 << 30);
        us_conv_plan_destroy(plan);
    }
}

static void df_ud_has_plans(void **state) {
    (void)state;
    struct us_conv_planner *planner = h200(NULL);
    static const int resolutions[] = {64, 128, 256};
    for (size_t i = 0; i < sizeof resolutions / sizeof *resolutions; i++) {
        every_layer_has_a_plan(planner, resolutions[i]);
    }
    us_conv_planner_destroy(planner);
}

static void f32_has_plans(void **state) {
    (void)state;
    struct us_conv_planner *planner = h200(NULL);
    for (int op = 0; op < 3; op++) {
        struct us_conv_desc desc = conv(33, 24, 40, 5, 2);
        desc.op = (enum us_conv_op)op;
        desc.type = US_CONV_F32;
        us_conv_plan_destroy(plan_of(planner, &desc));
    }
    us_conv_planner_destroy(planner);
}

/* cuDNN takes the fused graphs and, where it finds a driver or the Toolkit's stand-in for one,
 * names ways to run them; making a plan of these wants a real one. */
static void fused_patterns_are_offered(void **state) {
    (void)state;
    struct us_conv_desc forward = conv(64, 256, 256, 3, 1), data = conv(64, 128, 256, 5, 2);
    forward.residual = true;
    data.op = US_CONV_DATA_GRADIENT;
    struct us_conv_desc dense = conv(1, 1024, 256, 1, 1), dense_data = dense;
    dense_data.op = US_CONV_DATA_GRADIENT;
    const struct us_conv_desc descs[] = {conv(64, 128, 256, 5, 2), forward, data, dense,
                                         dense_data};
    char *json = description();
    struct conv_bag bag = {0};
    struct conv_target target = {.described =
                                     conv_bag_make(&bag, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)};
    conv_bag_set(&bag, target.described, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                 (int64_t)strlen(json), json);
    conv_bag_finalise(&bag, target.described);
    assert_int_equal(bag.status, CUDNN_STATUS_SUCCESS);
    for (size_t i = 0; i < sizeof descs / sizeof *descs; i++) {
        assert_int_equal(conv_is_matmul(&descs[i]), i >= 3);
        for (int way = 0; way < (i >= 3 ? 4 : 2); way++) {
            struct conv_graph graph;
            assert_true(conv_graph_build(&graph, &target, &descs[i], way & 1, way & 2));
            assert_true(conv_graph_offers(&graph, &target) > 0);
            conv_graph_finish(&graph);
        }
    }
    conv_bag_finish(&bag);
    us_free(json);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    struct us_conv_planner *planner = h200(NULL);
    struct us_conv_plan *plan;
    struct us_conv_desc odd = conv(16, 64, 64, 3, 1), wrong = odd, big = odd;
    odd.in_channels = 12;
    wrong.out_height++;
    big.pad_top = 3;
    big.out_height = 18;
    assert_int_equal(us_conv_plan_create(planner, &odd, &plan), US_NN_BAD_CONFIG);
    assert_non_null(strstr(us_conv_planner_problem(planner), "multiples of 8"));
    assert_int_equal(us_conv_plan_create(planner, &wrong, &plan), US_NN_BAD_CONFIG);
    assert_int_equal(us_conv_plan_create(planner, &big, &plan), US_NN_BAD_CONFIG);
    assert_non_null(strstr(us_conv_planner_problem(planner), "contradict"));
    assert_null(plan);
    struct us_conv_buffers none = {0};
    struct us_conv_desc fine = conv(16, 64, 64, 3, 1);
    plan = plan_of(planner, &fine);
    assert_int_equal(us_conv_plan_run(plan, NULL, &none), US_NN_UNSUPPORTED);
    us_conv_plan_destroy(plan);
    us_conv_planner_destroy(planner);
    assert_int_equal(us_conv_planner_create(0, "{}", NULL, &planner), US_NN_BAD_CONFIG);
    us_conv_planner_destroy(planner);
}

/* -- the folder */

static bool cached(struct us_conv_planner *planner, const struct us_conv_desc *desc) {
    struct us_conv_plan *plan = plan_of(planner, desc);
    const struct us_conv_plan_info info = us_conv_plan_describe(plan);
    assert_true(info.candidates > 0);
    us_conv_plan_destroy(plan);
    return info.cached;
}

static char *only_file(const char *folder) {
    char *path = NULL;
    DIR *opened = opendir(folder);
    assert_non_null(opened);
    for (struct dirent *entry; (entry = readdir(opened));) {
        if (entry->d_name[0] != '.') {
            assert_null(path);
            path = us_path_join(folder, entry->d_name);
        }
    }
    closedir(opened);
    return path;
}

static void plans_come_back_from_the_folder(void **state) {
    (void)state;
    char *folder = us_path_join(us_test_folder(), "made/plans");
    struct us_conv_planner *planner = h200(folder);
    struct us_conv_desc desc = conv(16, 64, 128, 5, 2), other = desc;
    other.batch++;
    assert_false(cached(planner, &desc));
    us_conv_planner_destroy(planner);
    planner = h200(folder);
    assert_true(cached(planner, &desc));
    assert_false(cached(planner, &other));
    assert_true(cached(planner, &other));
    us_conv_planner_destroy(planner);
    us_free(folder);
}

static void another_gpu_misses(void **state) {
    (void)state;
    char *folder = us_path_join(us_test_folder(), "gpus"), *json = description();
    struct us_conv_planner *planner = h200(folder);
    struct us_conv_desc desc = conv(16, 64, 128, 5, 2);
    assert_false(cached(planner, &desc));
    us_conv_planner_destroy(planner);
    char *name = strstr(json, "H200");
    memcpy(name, "H199", 4);
    planner = planner_of(json, folder);
    assert_false(cached(planner, &desc));
    us_conv_planner_destroy(planner);
    us_free(json);
    us_free(folder);
}

static void the_first_choice_stands(void **state) {
    (void)state;
    char *folder = us_path_join(us_test_folder(), "kept");
    const struct conv_choice first = {.fused = true, .microseconds = 2, .json = us_strdup("{1}")};
    const struct conv_choice second = {.matmul = true, .json = us_strdup("{2}")};
    struct conv_choice standing;
    conv_cache_keep(folder, "key", &first, &standing);
    assert_null(standing.json);
    conv_cache_keep(folder, "key", &second, &standing);
    assert_string_equal(standing.json, "{1}");
    assert_true(standing.fused && !standing.matmul);
    us_nn_free(standing.json);
    char *path = only_file(folder); /* no temporary file is left either */
    ASSERT_OK(us_write_file(path, "damaged", 7));
    conv_cache_keep(folder, "key", &second, &standing);
    assert_null(standing.json);
    assert_true(conv_cache_read(folder, "key", &standing));
    assert_string_equal(standing.json, "{2}");
    us_nn_free(standing.json);
    conv_cache_forget(folder, "key");
    assert_false(conv_cache_read(folder, "key", &standing));
    us_free(first.json);
    us_free(second.json);
    us_free(path);
    us_free(folder);
}

/* What cuDNN refuses is made again and kept in its place. */
static void a_plan_that_is_refused_is_made_again(void **state) {
    (void)state;
    char *folder = us_path_join(us_test_folder(), "refused");
    struct us_conv_desc desc = conv(16, 64, 128, 5, 2);
    const struct conv_place place = {"NVIDIA H200", 132, cudnnGetVersion(), false};
    const struct conv_choice bad = {.json = us_strdup("{}")};
    struct conv_choice standing;
    char key[CONV_KEY];
    conv_cache_key(key, &desc, &place);
    conv_cache_keep(folder, key, &bad, &standing);
    struct us_conv_planner *planner = h200(folder);
    assert_false(cached(planner, &desc));
    assert_true(cached(planner, &desc));
    us_conv_planner_destroy(planner);
    us_free(bad.json);
    us_free(folder);
}

/* All cores at once make what one makes. */
static void many_plans_at_once(void **state) {
    (void)state;
    char *folder = us_path_join(us_test_folder(), "many");
    struct us_conv_desc descs[40];
    struct us_conv_job jobs[120];
    const int count = 3 * df_ud(128, descs);
    for (int again = 0; again < 2; again++) {
        struct us_conv_planner *planner = h200(folder);
        for (int i = 0; i < count; i++) {
            jobs[i].desc = descs[i / 3];
            jobs[i].desc.op = (enum us_conv_op)(i % 3);
        }
        assert_int_equal(us_conv_plans_create(planner, jobs, count), US_NN_OK);
        for (int i = 0; i < count; i++) {
            if (again || i == 0) { /* at first a like one may have been kept already */
                assert_int_equal(us_conv_plan_describe(jobs[i].plan).cached, again);
            }
            us_conv_plan_destroy(jobs[i].plan);
        }
        jobs[count - 1].desc.in_channels = 3; /* one that cannot be: none is made */
        assert_int_equal(us_conv_plans_create(planner, jobs, count), US_NN_BAD_CONFIG);
        assert_null(jobs[0].plan);
        us_conv_planner_destroy(planner);
    }
    us_free(folder);
}

/* Each byte on its own, and each length, must not be taken for what was written. */
static void damage_is_noticed(void **state) {
    (void)state;
    char *folder = us_path_join(us_test_folder(), "damaged");
    struct us_conv_planner *planner = h200(folder);
    struct us_conv_desc desc = conv(16, 64, 128, 5, 2);
    assert_false(cached(planner, &desc));
    char *path = only_file(folder);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file(path, 0, &bytes, &size));
    for (size_t at = 0; at < size; at += at < 64 ? 7 : size / 9) {
        bytes[at] ^= 4;
        ASSERT_OK(us_write_file(path, bytes, size));
        assert_false(cached(planner, &desc));
        bytes[at] ^= 4;
        ASSERT_OK(us_write_file(path, bytes, at));
        assert_false(cached(planner, &desc));
        assert_true(cached(planner, &desc)); /* it was made again */
    }
    us_free(bytes);
    us_free(path);
    us_free(folder);
    us_conv_planner_destroy(planner);
}

int main(void) {
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) &&
        !dlopen(US_TEST_CUDA_STUB, RTLD_NOW | RTLD_GLOBAL)) {
        print_message("no stand-in for the driver: %s\n", dlerror());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(df_ud_has_plans),
        cmocka_unit_test(f32_has_plans),
        cmocka_unit_test(fused_patterns_are_offered),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(plans_come_back_from_the_folder),
        cmocka_unit_test(another_gpu_misses),
        cmocka_unit_test(the_first_choice_stands),
        cmocka_unit_test(a_plan_that_is_refused_is_made_again),
        cmocka_unit_test(many_plans_at_once),
        cmocka_unit_test(damage_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) {
    puts("skipped: no CUDA Toolkit");
    return 0;
}

#endif
