#include <math.h>
#include <pthread.h>
#include <string.h>

#include "nodes/face/crop_info.h"
#include "nodes/learn/model_file.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/fake_crops.h"
#include "tests/support/fake_task.h"

extern const struct us_node_type us_node_infer_swap;

enum { SIZE = 32, AREA = SIZE * SIZE };

static struct us_value *model_value;

static struct us_value *make_model(uint64_t seed) {
    struct us_nn_layout layout;
    struct us_swap_model model = {.arch = {.family = US_NN_DF,
                                           .likeness = true,
                                           .doubled = true,
                                           .resolution = SIZE,
                                           .ae_dims = 8,
                                           .e_dims = 4,
                                           .d_dims = 4,
                                           .d_mask_dims = 4},
                                  .encoding = "log",
                                  .coverage = "whole"};
    assert_int_equal(us_nn_layout_init(&layout, &model.arch), US_NN_OK);
    model.parameters = us_calloc(layout.count, sizeof(float));
    us_nn_layout_initialise(&layout, seed, model.parameters);
    us_nn_layout_finish(&layout);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_swap_model_print(&model, &bytes, &size));
    us_free(model.parameters);
    return us_value_from_bytes(US_MODEL, bytes, size);
}

static int set_up(void **state) {
    (void)state;
    model_value = make_model(3);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    us_value_unref(model_value);
    return 0;
}

static struct us_task *task_of(struct us_value *model, struct us_fake_crop crop, const char *as,
                               const char *mask) {
    struct us_task *task = us_fake_create(&us_node_infer_swap);
    us_fake_threads(task, 1);
    us_fake_text(task, "as", as);
    us_fake_text(task, "mask", mask);
    us_fake_input(task, "model", 0, (struct us_frame){0, 0}, us_value_ref(model));
    us_fake_input(task, "faces", 0, (struct us_frame){0, 1001}, us_fake_crop_value(&crop));
    return task;
}

static const float *plane(const struct us_task *task, const char *name) {
    return us_image_channel(us_fake_output(task, "image")->image, name)->data;
}

static void the_result_is_a_crop_in_the_same_place(void **state) {
    (void)state;
    struct us_task *task = task_of(model_value, (struct us_fake_crop){0}, "swap", "learned");
    struct us_crop_info info;
    ASSERT_OK(us_fake_run(task));
    struct us_image *image = us_fake_output(task, "image")->image;
    ASSERT_OK(us_crop_info_read(image, &info));
    assert_true(info.found);
    assert_int_equal(info.landmark_count, 3);
    ASSERT_NEAR(info.matrix[2], -20, 0);
    us_crop_info_finish(&info);
    assert_int_equal(image->channel_count, 4);
    for (int i = 0; i < AREA; i++) {
        assert_true(plane(task, "R")[i] > 0 && plane(task, "R")[i] < 1);
        assert_true(plane(task, "matte.A")[i] > 0 && plane(task, "matte.A")[i] < 1);
    }
    us_fake_destroy(task);
}

static void masks_combine(void **state) {
    (void)state;
    struct us_task *learned = task_of(model_value, (struct us_fake_crop){0}, "swap", "learned");
    struct us_task *own = task_of(model_value, (struct us_fake_crop){0}, "swap", "landmarks");
    struct us_task *product = task_of(model_value, (struct us_fake_crop){0}, "swap", "product");
    ASSERT_OK(us_fake_run(learned));
    ASSERT_OK(us_fake_run(own));
    ASSERT_OK(us_fake_run(product));
    assert_true(plane(own, "matte.A")[0] == 0 && plane(own, "matte.A")[AREA / 2 + 16] == 1);
    for (int i = 0; i < AREA; i++) {
        const float expected = plane(learned, "matte.A")[i] * plane(own, "matte.A")[i];
        assert_true(plane(product, "matte.A")[i] == expected);
    }
    us_fake_destroy(learned);
    us_fake_destroy(own);
    us_fake_destroy(product);
}

static void decoders_differ_and_swap_is_the_sources(void **state) {
    (void)state;
    struct us_task *tasks[3];
    static const char *const ways[3] = {"swap", "source", "destination"};
    for (int i = 0; i < 3; i++) {
        tasks[i] = task_of(model_value, (struct us_fake_crop){0}, ways[i], "learned");
        ASSERT_OK(us_fake_run(tasks[i]));
    }
    assert_memory_equal(plane(tasks[0], "R"), plane(tasks[1], "R"), AREA * sizeof(float));
    assert_memory_not_equal(plane(tasks[0], "R"), plane(tasks[2], "R"), AREA * sizeof(float));
    for (int i = 0; i < 3; i++) {
        us_fake_destroy(tasks[i]);
    }
}

static void a_frame_without_face_passes(void **state) {
    (void)state;
    struct us_task *task =
        task_of(model_value, (struct us_fake_crop){.missing = true}, "swap", "learned");
    ASSERT_OK(us_fake_run(task));
    struct us_digest in = us_task_input_digest(task, 1, 0);
    assert_true(us_digest_equal(&in, &us_fake_output(task, "image")->digest));
    us_fake_destroy(task);
}

static void fails(struct us_fake_crop crop, const char *message) {
    struct us_task *task = task_of(model_value, crop, "swap", "learned");
    ASSERT_ERROR(us_fake_run(task), message);
    us_fake_destroy(task);
}

static void a_mismatch_is_one_clear_error(void **state) {
    (void)state;
    fails((struct us_fake_crop){.size = 64},
          "the model works on crops of 32 px, this one is 64 x 64");
    fails((struct us_fake_crop){.encoding = "linear"},
          "the model works on log crops, this one is linear");
    fails((struct us_fake_crop){.coverage = "head"},
          "the model works on crops of coverage whole, this one is head");
    struct us_value *bad = us_value_from_bytes(US_MODEL, (uint8_t *)us_strdup("nothing"), 7);
    struct us_task *task = task_of(bad, (struct us_fake_crop){0}, "swap", "learned");
    ASSERT_ERROR(us_fake_run(task),
                 "cannot use the model because: the safetensors file is damaged");
    us_fake_destroy(task);
    us_value_unref(bad);
}

/* Several threads and two models at once give what one thread gives. */
static void *run_many(void *argument) {
    struct us_value **models = argument;
    uint64_t sum = 0;
    for (int i = 0; i < 12; i++) {
        struct us_task *task =
            task_of(models[i % 2], (struct us_fake_crop){.pose = i / 12.0}, "swap", "learned");
        us_error_free(us_fake_run(task));
        struct us_value *value = us_fake_output(task, "image");
        for (int k = 0; value && k < 8; k++) {
            sum = sum * 31 + value->digest.bytes[k];
        }
        us_fake_destroy(task);
    }
    return (void *)(uintptr_t)sum;
}

static void threads_share_the_table(void **state) {
    (void)state;
    struct us_value *models[2] = {model_value, make_model(4)};
    pthread_t threads[3];
    void *alone = run_many(models);
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, run_many, models);
    }
    for (int i = 0; i < 3; i++) {
        void *sum;
        pthread_join(threads[i], &sum);
        assert_ptr_equal(sum, alone);
    }
    us_value_unref(models[1]);
}

/* Ten frames in batches of 1, 3 and 8 are the same ten pictures. */
static void the_batch_changes_no_bit(void **state) {
    (void)state;
    enum { FRAMES = 10 };
    static const size_t batches[] = {1, 3, 8};
    struct us_digest first[FRAMES];
    for (size_t way = 0; way < 3; way++) {
        struct us_task *tasks[FRAMES];
        for (int i = 0; i < FRAMES; i++) {
            tasks[i] =
                task_of(model_value, (struct us_fake_crop){.pose = i / 10.0, .missing = i == 4},
                        "swap", "product");
        }
        for (size_t i = 0; i < FRAMES; i += batches[way]) {
            const size_t left = FRAMES - i;
            ASSERT_OK(us_fake_run_batch(tasks + i, left < batches[way] ? left : batches[way]));
        }
        for (int i = 0; i < FRAMES; i++) {
            const struct us_digest digest = us_fake_output(tasks[i], "image")->digest;
            first[i] = way == 0 ? digest : first[i];
            assert_true(us_digest_equal(&digest, &first[i]));
            us_fake_destroy(tasks[i]);
        }
        assert_false(us_digest_equal(&first[0], &first[1]));
    }
}

/* The frame that does not fit is the only one without a result. */
static void one_of_a_batch_can_fail(void **state) {
    (void)state;
    struct us_task *tasks[3];
    for (int i = 0; i < 3; i++) {
        tasks[i] =
            task_of(model_value, (struct us_fake_crop){.size = i == 1 ? 64 : 0}, "swap", "learned");
    }
    ASSERT_ERROR(us_fake_run_batch(tasks, 3),
                 "the model works on crops of 32 px, this one is 64 x 64");
    assert_non_null(us_fake_output(tasks[0], "image"));
    assert_null(us_fake_output(tasks[1], "image"));
    assert_non_null(us_fake_output(tasks[2], "image"));
    for (int i = 0; i < 3; i++) {
        us_fake_destroy(tasks[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_result_is_a_crop_in_the_same_place),
        cmocka_unit_test(masks_combine),
        cmocka_unit_test(decoders_differ_and_swap_is_the_sources),
        cmocka_unit_test(a_frame_without_face_passes),
        cmocka_unit_test(a_mismatch_is_one_clear_error),
        cmocka_unit_test(threads_share_the_table),
        cmocka_unit_test(the_batch_changes_no_bit),
        cmocka_unit_test(one_of_a_batch_can_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
