#include <string.h>

#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"
#include "tests/support/small_training.h"

static struct us_task *with_both(const char *folder, int steps) {
    struct us_task *task = us_small_training(folder, steps);
    us_fake_number(task, "true_face.power", 0.01);
    us_fake_number(task, "gan.power", 0.1);
    us_fake_number(task, "gan.dims", 4);
    us_fake_number(task, "checkpoint.steps", 10);
    return task;
}

static const char *metrics_of(const struct us_task *task) {
    return (const char *)us_fake_output(task, "metrics")->bytes;
}

static void stopped_it_goes_on_with_the_same_bits(void **state) {
    (void)state;
    char *folders[2] = {us_small_folder(), us_small_folder()};
    struct us_task *whole = with_both(folders[0], 40), *stopped = with_both(folders[1], 40);
    struct us_task *task = with_both(folders[1], 40);
    ASSERT_OK(us_fake_run(whole));
    us_fake_cancel_after(stopped, 12 + 25);
    ASSERT_ERROR(us_fake_run(stopped), "stopped on request");
    us_fake_cancel_after(task, 12 + 20); /* not enough to start again */
    ASSERT_OK(us_fake_run(task));
    assert_string_equal(us_fake_warnings(task), "");
    us_small_same(task, whole);
    us_fake_destroy(whole);
    us_fake_destroy(stopped);
    us_fake_destroy(task);
    us_free(folders[0]);
    us_free(folders[1]);
}

static void they_change_the_model_and_are_in_the_metrics(void **state) {
    (void)state;
    char *folders[2] = {us_small_folder(), us_small_folder()};
    struct us_task *with = with_both(folders[0], 30), *without = us_small_training(folders[1], 30);
    ASSERT_OK(us_fake_run(with));
    ASSERT_OK(us_fake_run(without));
    struct us_value *a = us_fake_output(with, "model"), *b = us_fake_output(without, "model");
    assert_true(a->size != b->size || memcmp(a->bytes, b->bytes, a->size) != 0);
    assert_true(a->size < b->size + 256); /* they are not in it */
    assert_non_null(strstr(metrics_of(with), "\"discriminator\":"));
    assert_null(strstr(metrics_of(without), "\"discriminator\":"));
    us_fake_destroy(with);
    us_fake_destroy(without);
    us_free(folders[0]);
    us_free(folders[1]);
}

static void what_cannot_be_is_said(void **state) {
    (void)state;
    struct us_task *task = us_small_training(us_test_folder(), 1);
    us_fake_text(task, "arch", "liae");
    us_fake_number(task, "true_face.power", 0.01);
    ASSERT_ERROR(us_fake_run(task), "true_face.power is for the architecture df only");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_it_goes_on_with_the_same_bits),
        cmocka_unit_test(they_change_the_model_and_are_in_the_metrics),
        cmocka_unit_test(what_cannot_be_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
