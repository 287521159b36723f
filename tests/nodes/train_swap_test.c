#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "nodes/io/png.h"
#include "nodes/learn/model_file.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/fake_crops.h"
#include "tests/support/fake_task.h"
#include "tests/support/small_training.h"

static struct us_task *whole; /* 60 steps without interruption */
static char *whole_folder;

static int train_whole(void **state) {
    (void)state;
    whole_folder = us_small_folder();
    whole = us_small_training(whole_folder, 60);
    ASSERT_OK(us_fake_run(whole));
    return 0;
}

static int free_whole(void **state) {
    (void)state;
    us_fake_destroy(whole);
    us_free(whole_folder);
    return 0;
}

static void it_learns_and_says_how_well(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = us_small_training(folder, 300);
    ASSERT_OK(us_fake_run(task));
    json_t *before = us_small_last_line(whole), *after = us_small_last_line(task);
    assert_string_equal(json_string_value(json_object_get(after, "event")), "final");
    assert_int_equal((int)us_small_number(after, "step"), 300);
    assert_true(us_small_number(after, "loss") < 0.7 * us_small_number(before, "loss"));
    for (int side = 0; side < 2; side++) {
        const char *name = side ? "destination" : "source";
        const json_t *early = json_object_get(before, name), *late = json_object_get(after, name);
        assert_int_equal((int)us_small_number(late, "faces"), 2); /* every third of six */
        assert_true(json_is_true(json_object_get(late, "held_out")));
        assert_true(us_small_number(late, "ssim") > us_small_number(early, "ssim"));
        assert_true(us_small_number(late, "psnr") > us_small_number(early, "psnr"));
    }
    assert_non_null(strstr(us_fake_status(task), "step 300, loss "));
    assert_non_null(strstr(us_fake_status(task), "held-out SSIM source "));
    json_decref(before);
    json_decref(after);
    us_fake_destroy(task);
    us_free(folder);
}

static void the_model_says_where_it_comes_from(void **state) {
    (void)state;
    struct us_value *value = us_fake_output(whole, "model");
    struct us_swap_model model = {0};
    ASSERT_OK(us_swap_model_parse(value->bytes, value->size, &model));
    assert_string_equal(us_swap_model_text(&model), "df-ud 32 px, dims 8/4/4/4, whole, log");
    assert_int_equal(model.steps, 60);
    assert_false(us_digest_is_zero(&model.source));
    assert_false(us_digest_equal(&model.source, &model.destination));
    us_swap_model_finish(&model);
}

static void the_pictures_are_pictures(void **state) {
    (void)state;
    static const char *const ports[2] = {"curve", "preview"};
    for (int i = 0; i < 2; i++) {
        struct us_value *value = us_fake_output(whole, ports[i]);
        struct us_png png;
        ASSERT_OK(us_png_decode(value->bytes, value->size, &png));
        assert_true(png.width > 500 && png.height > 300);
        assert_memory_not_equal(png.pixels, png.pixels + 3 * png.width * (png.height / 2),
                                3 * (size_t)png.width);
        us_free(png.pixels);
    }
}

static void a_stopped_training_goes_on_with_the_same_bits(void **state) {
    (void)state;
    char *folder = us_small_folder();
    for (int calls = 24; calls <= 40; calls += 8) { /* 12 of them while faces are gathered */
        struct us_task *stopped = us_small_training(folder, 60);
        us_fake_cancel_after(stopped, calls);
        ASSERT_ERROR(us_fake_run(stopped), "stopped on request");
        us_fake_destroy(stopped);
    }
    struct us_task *task = us_small_training(folder, 60);
    us_fake_cancel_after(task, 40); /* not enough to start again */
    ASSERT_OK(us_fake_run(task));
    assert_string_equal(us_fake_warnings(task), "");
    us_small_same(task, whole);
    us_fake_destroy(task);
    us_free(folder);
}

static void steps_are_raised_and_lowered(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *few = us_small_training(folder, 30), *more = us_small_training(folder, 60);
    struct us_task *fewer = us_small_training(folder, 30);
    ASSERT_OK(us_fake_run(few));
    us_fake_cancel_after(more, 50); /* 72 calls would be needed from the start */
    ASSERT_OK(us_fake_run(more));
    us_small_same(more, whole);
    us_fake_cancel_after(fewer, 16);
    ASSERT_OK(us_fake_run(fewer));
    us_small_same(fewer, few);
    us_fake_destroy(few);
    us_fake_destroy(more);
    us_fake_destroy(fewer);
    us_free(folder);
}

static void damage(const char *folder, const char *name) {
    char *path = us_path_join(folder, name);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file(path, 0, &bytes, &size));
    bytes[size / 2] ^= 1;
    ASSERT_OK(us_write_file(path, bytes, size));
    us_free(bytes);
    us_free(path);
}

static void a_damaged_checkpoint_is_passed_over(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *stopped = us_small_training(folder, 60), *task = us_small_training(folder, 60);
    us_fake_number(stopped, "checkpoint.steps", 10);
    us_fake_cancel_after(stopped, 12 + 36); /* at step 35 */
    ASSERT_ERROR(us_fake_run(stopped), "stopped on request");
    damage(folder, "step-0000000035.safetensors");
    us_fake_cancel_after(task, 12 + 32);
    ASSERT_OK(us_fake_run(task));
    assert_non_null(strstr(us_fake_warnings(task),
                           "the checkpoint 'step-0000000035.safetensors' cannot be used (its "
                           "digest differs from its content)"));
    us_small_same(task, whole);
    us_fake_destroy(stopped);
    us_fake_destroy(task);
    us_free(folder);
}

static void only_the_last_two_and_final_checkpoints_stay(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = us_small_training(folder, 33);
    us_fake_number(task, "checkpoint.steps", 5);
    ASSERT_OK(us_fake_run(task));
    assert_int_equal(us_small_files(folder), 3 + 3); /* and the pictures so far */
    us_fake_destroy(task);
    us_free(folder);
}

/* The wanted loss lies between those at 100 and 300 steps; a second run must stop at the same step
 * although the checkpoint there is is beyond. */
static void it_stops_at_the_wanted_loss(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = us_small_training(folder, 250);
    us_fake_number(task, "checkpoint.steps", 40);
    ASSERT_OK(us_fake_run(task));
    json_t *line = us_small_last_line(task);
    const double until = us_small_number(line, "loss") * 1.1;
    struct us_task *again = us_small_training(folder, 250),
                   *alone = us_small_training(us_test_folder(), 250);
    us_fake_number(again, "until.loss", until);
    us_fake_number(alone, "until.loss", until);
    ASSERT_OK(us_fake_run(again));
    ASSERT_OK(us_fake_run(alone));
    json_t *stopped = us_small_last_line(again);
    assert_in_range((int)us_small_number(stopped, "step"), 100, 249);
    assert_true(us_small_number(stopped, "loss") < until);
    us_small_same(again, alone);
    json_decref(line);
    json_decref(stopped);
    us_fake_destroy(task);
    us_fake_destroy(again);
    us_fake_destroy(alone);
    us_free(folder);
}

static void it_starts_from_a_model(void **state) {
    (void)state;
    char *folders[2] = {us_small_folder(), us_small_folder()};
    struct us_task *kept = us_small_training(folders[0], 1),
                   *reset = us_small_training(folders[1], 1);
    struct us_task *tasks[2] = {kept, reset};
    us_fake_append(reset, "reset", "inter");
    double losses[2];
    for (int i = 0; i < 2; i++) {
        us_fake_input(tasks[i], "init_from", 0, (struct us_frame){0, 0},
                      us_value_ref(us_fake_output(whole, "model")));
        ASSERT_OK(us_fake_run(tasks[i]));
        json_t *line = us_small_last_line(tasks[i]);
        losses[i] = us_small_number(line, "loss");
        json_decref(line);
        us_fake_destroy(tasks[i]);
        us_free(folders[i]);
    }
    assert_true(losses[0] < losses[1]);
}

static void an_unfit_model_is_refused(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = us_small_training(folder, 1);
    us_fake_number(task, "e_dims", 8);
    us_fake_input(task, "init_from", 0, (struct us_frame){0, 0},
                  us_value_ref(us_fake_output(whole, "model")));
    ASSERT_ERROR(us_fake_run(task), "the model at 'init_from' has e_dims 4, this training 8");
    us_fake_text(task, "options", "u");
    ASSERT_ERROR(us_fake_run(task), "the model at 'init_from' is df-ud, this training is df-u");
    us_fake_destroy(task);
    us_free(folder);
}

static void a_training_that_explodes_ends(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = us_small_training(folder, 50);
    us_fake_number(task, "lr", 1e30);
    us_fake_number(task, "clip", 0);
    ASSERT_ERROR(us_fake_run(task), "the training does not stay finite");
    assert_non_null(strstr(us_fake_warnings(task), "training goes on from step 0"));
    us_fake_destroy(task);
    us_free(folder);
}

static void fails(struct us_fake_crop source, struct us_fake_crop destination,
                  const char *message) {
    struct us_task *task = us_small_bare(us_test_folder(), 1);
    us_small_faces(task, "source", 0, 6, source);
    us_small_faces(task, "destination", 1, 6, destination);
    ASSERT_ERROR(us_fake_run(task), message);
    us_fake_destroy(task);
}

static void bad_input_is_named(void **state) {
    (void)state;
    fails((struct us_fake_crop){.missing = true}, (struct us_fake_crop){0},
          "cannot train on source because: no face in any of the 6 crops");
    fails((struct us_fake_crop){0}, (struct us_fake_crop){.missing = true},
          "cannot train on destination because: no face in any of the 6 crops");
    fails((struct us_fake_crop){.size = 64}, (struct us_fake_crop){0},
          "source is 64 px, whole, log, but destination 32 px, whole, log");
    fails((struct us_fake_crop){.size = 48}, (struct us_fake_crop){.size = 48},
          "cannot train on crops of 48 px: the resolution must be a multiple of 32 with option d");
    struct us_task *task = us_small_training(us_test_folder(), 1);
    us_fake_text(task, "options", "ux");
    ASSERT_ERROR(us_fake_run(task), "options is 'ux', allowed are u, d, t and c, each once");
    us_fake_text(task, "options", "ud");
    us_fake_append(task, "reset", "decoder");
    ASSERT_ERROR(us_fake_run(task), "reset names 'decoder', allowed with df are encoder, inter");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_and_says_how_well),
        cmocka_unit_test(the_model_says_where_it_comes_from),
        cmocka_unit_test(the_pictures_are_pictures),
        cmocka_unit_test(a_stopped_training_goes_on_with_the_same_bits),
        cmocka_unit_test(steps_are_raised_and_lowered),
        cmocka_unit_test(a_damaged_checkpoint_is_passed_over),
        cmocka_unit_test(only_the_last_two_and_final_checkpoints_stay),
        cmocka_unit_test(it_stops_at_the_wanted_loss),
        cmocka_unit_test(it_starts_from_a_model),
        cmocka_unit_test(an_unfit_model_is_refused),
        cmocka_unit_test(a_training_that_explodes_ends),
        cmocka_unit_test(bad_input_is_named),
    };
    return cmocka_run_group_tests(tests, train_whole, free_whole);
}
