#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/half.h"
#include "nodes/io/exr_file.h"
#include "nodes/registry.h"
#include "runtime/api/registry.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"

static const struct us_node_type *type(void) {
    return us_registry_find(&us_nodes, "exr_write");
}

static struct us_image *picture(void) {
    const struct us_window data = {5, -4, 14, 3}, display = {0, 0, 19, 9};
    struct us_image *image = us_image_create(data, display);
    static const char *const names[] = {"R", "id", "matte.A"};
    static const enum us_sample samples[] = {US_FLOAT, US_UINT, US_HALF};
    for (unsigned c = 0; c < 3; c++) {
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, names[c], samples[c], &channel));
        float values[80];
        for (int i = 0; i < 80; i++) {
            values[i] = (float)(i % 7) + (c == 0 ? 0.1f : 0);
        }
        us_channel_write(channel, (struct us_view){values, 10, 8, 10});
    }
    us_image_set_string(image, "comments", "kept");
    return image;
}

static struct us_task *writing(const char *path, struct us_image *image) {
    struct us_task *task = us_fake_create(type());
    us_fake_text(task, "path", path);
    us_fake_input(task, "image", 0, (struct us_frame){0, 1001}, us_value_from_image(image));
    return task;
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    char *path = us_path_join(us_test_folder(), "new/folders/out.####.exr");
    char *file = us_path_join(us_test_folder(), "new/folders/out.1001.exr");
    struct us_image *image = picture(), *back;
    const float center[2] = {0, 0}, width = 1;
    us_image_set_attribute(image, "screenWindowCenter", "v2f", center, 8);
    us_image_set_attribute(image, "screenWindowWidth", "float", &width, 4);
    struct us_digest wanted = us_image_digest(image);
    struct us_task *task = writing(path, image);
    ASSERT_OK(us_fake_run(task));
    ASSERT_OK(us_exr_read(file, NULL, &back));
    struct us_digest got = us_image_digest(back);
    assert_true(us_digest_equal(&wanted, &got));
    us_image_unref(back);
    struct us_digest first = us_fake_output(task, "file")->digest;
    ASSERT_OK(us_fake_run(task));
    assert_true(us_digest_equal(&first, &us_fake_output(task, "file")->digest));
    us_fake_destroy(task);
    us_free(path);
    us_free(file);
}

static void samples_and_channels_can_be_chosen(void **state) {
    (void)state;
    char *path = us_path_join(us_test_folder(), "chosen.exr");
    struct us_image *image = picture(), *back;
    float *red = us_image_channel(image, "R")->data;
    red[0] = 1e6f;
    red[1] = -1e9f;
    red[2] = INFINITY;
    struct us_task *task = writing(path, image);
    us_fake_text(task, "pixels", "half");
    us_fake_text(task, "compression", "piz");
    us_fake_number(task, "tile", 4);
    ASSERT_OK(us_fake_run(task));
    assert_non_null(strstr(us_fake_warnings(task), "2 samples beyond the range of half"));
    ASSERT_OK(us_exr_read(path, NULL, &back));
    const struct us_channel *channel = us_image_channel(back, "R");
    assert_int_equal(channel->sample, US_HALF);
    assert_int_equal(us_image_channel(back, "id")->sample, US_UINT);
    float values[3];
    us_half_to_float(channel->data, values, 3);
    assert_true(values[0] == 65504.0f && values[1] == -65504.0f && isinf(values[2]));
    us_image_unref(back);
    us_fake_text(task, "pixels", "float");
    us_fake_append(task, "channels", "matte");
    ASSERT_OK(us_fake_run(task));
    ASSERT_OK(us_exr_read(path, NULL, &back));
    assert_int_equal(back->channel_count, 1);
    assert_int_equal(back->channels[0].sample, US_FLOAT);
    assert_true(((float *)back->channels[0].data)[9] == 2.0f);
    us_image_unref(back);
    us_fake_append(task, "channels", "depth");
    ASSERT_ERROR(us_fake_run(task), "no channel or layer 'depth'; it has R, id, matte.A");
    us_fake_destroy(task);
    us_free(path);
}

static void destinations_have_frame_and_take(void **state) {
    (void)state;
    struct us_task *task = us_fake_create(type());
    us_fake_text(task, "path", "/out/take$T/comp.%05d.exr");
    char *path = type()->destination(us_task_params(task), (struct us_frame){3, 42});
    assert_string_equal(path, "/out/take3/comp.00042.exr");
    us_free(path);
    us_fake_destroy(task);
}

static void a_failed_write_leaves_nothing(void **state) {
    (void)state;
    char *blocked = us_path_join(us_test_folder(), "file");
    char *path = us_path_join(us_test_folder(), "file/out.exr");
    ASSERT_OK(us_write_file(blocked, "x", 1));
    struct us_task *task = writing(path, picture());
    ASSERT_ERROR(us_fake_run(task), "file");
    us_fake_destroy(task);
    struct us_image *empty =
        us_image_create((struct us_window){0, 0, -1, -1}, (struct us_window){0});
    char *other = us_path_join(us_test_folder(), "empty.exr");
    task = writing(other, empty);
    ASSERT_ERROR(us_fake_run(task), "empty.exr' because: EXR holds no empty");
    assert_int_not_equal(access(other, F_OK), 0);
    us_fake_destroy(task);
    us_free(other);
    us_free(path);
    us_free(blocked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(samples_and_channels_can_be_chosen),
        cmocka_unit_test(destinations_have_frame_and_take),
        cmocka_unit_test(a_failed_write_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
