#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "nodes/io/exr_file.h"
#include "nodes/registry.h"
#include "runtime/api/registry.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"

static const struct us_node_type *type(void) {
    return us_registry_find(&us_nodes, "exr_read");
}

static char *in_folder(const char *name) {
    return us_path_join(us_test_folder(), name);
}

static void write_plate(const char *name, int seed) {
    const struct us_window data = {-2, 3, 17, 12}, display = {0, 0, 31, 15};
    struct us_image *image = us_image_create(data, display);
    static const char *const names[] = {"R", "G", "B", "matte.A"};
    for (int c = 0; c < 4; c++) {
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, names[c], US_HALF, &channel));
        for (int i = 0; i < 200; i++) {
            ((uint16_t *)channel->data)[i] = (uint16_t)(0x3000 + seed * 64 + c * 16 + i % 16);
        }
    }
    us_image_set_attribute(image, "timeCode", "timecode", "\1\2\3\4\0\0\0\0", 8);
    us_image_set_string(image, "owner", "a show");
    const struct us_exr_write_options options = {.compression = US_EXR_PIZ};
    char *path = in_folder(name);
    ASSERT_OK(us_exr_write(path, image, &options));
    us_free(path);
    us_image_unref(image);
}

static void check_frames(const char *name, int first, int last, const char *expected) {
    struct us_task *task = us_fake_create(type());
    char *path = in_folder(name);
    us_fake_text(task, "path", path);
    if (first <= last) {
        us_fake_frames(task, "frames", first, last);
    }
    struct us_frames frames = {0};
    struct us_str text = {0};
    ASSERT_OK(type()->frames(us_task_params(task), &frames));
    us_frames_print(&frames, &text);
    assert_string_equal(us_str_text(&text), expected);
    us_str_finish(&text);
    us_frames_finish(&frames);
    us_fake_destroy(task);
    us_free(path);
}

static void frames_come_from_disk_or_the_range(void **state) {
    (void)state;
    write_plate("a.1001.exr", 0);
    write_plate("a.1003.exr", 1);
    write_plate("take1.0001.exr", 2);
    write_plate("take2.0001.exr", 3);
    write_plate("take2.0002.exr", 4);
    write_plate("still.exr", 5);
    check_frames("a.####.exr", 1, 0, "1001,1003");
    check_frames("a.%04d.exr", 1001, 1003, "1001-1003");
    check_frames("take*.####.exr", 1, 0, "1 1:1-2");
    check_frames("take*.####.exr", 2, 9, "1:2");
    check_frames("still.exr", 1, 0, "0");
    check_frames("still.exr", 7, 9, "7-9");
}

static void what_is_not_there_is_missing(void **state) {
    (void)state;
    struct us_task *task = us_fake_create(type());
    char *path = in_folder("nothing.####.exr");
    struct us_frames frames = {0};
    us_fake_text(task, "path", path);
    ASSERT_ERROR(type()->frames(us_task_params(task), &frames), "no file matches");
    us_fake_frames(task, "frames", 1, 2);
    us_fake_frame(task, (struct us_frame){0, 1});
    ASSERT_ERROR(us_fake_run(task), "nothing.0001.exr");
    us_fake_destroy(task);
    us_free(path);
}

static struct us_task *reading(const char *path, struct us_frame frame) {
    struct us_task *task = us_fake_create(type());
    us_fake_text(task, "path", path);
    us_fake_frame(task, frame);
    return task;
}

static void files_are_read_whole(void **state) {
    (void)state;
    write_plate("whole.0007.exr", 3);
    char *path = in_folder("whole.####.exr");
    struct us_task *task = reading(path, (struct us_frame){0, 7});
    ASSERT_OK(us_fake_run(task));
    const struct us_image *image = us_fake_output(task, "image")->image;
    assert_int_equal(image->channel_count, 4);
    assert_int_equal(image->data_window.x_min, -2);
    assert_int_equal(image->display_window.x_max, 31);
    assert_int_equal(((uint16_t *)us_image_channel(image, "G")->data)[37],
                     0x3000 + 3 * 64 + 16 + 5);
    const struct us_attribute *code = us_image_attribute(image, "timeCode");
    assert_string_equal(code->type, "timecode");
    assert_memory_equal(code->bytes, "\1\2\3\4\0\0\0\0", 8);
    us_fake_destroy(task);
    us_free(path);
}

static void channels_can_be_chosen(void **state) {
    (void)state;
    write_plate("some.exr", 0);
    char *path = in_folder("some.exr");
    struct us_task *task = reading(path, (struct us_frame){0, 0});
    us_fake_append(task, "channels", "matte");
    us_fake_append(task, "channels", "G");
    ASSERT_OK(us_fake_run(task));
    const struct us_image *image = us_fake_output(task, "image")->image;
    assert_int_equal(image->channel_count, 2);
    assert_non_null(us_image_channel(image, "matte.A"));
    us_fake_append(task, "channels", "Z");
    ASSERT_ERROR(us_fake_run(task), "no channel or layer 'Z'; it has B, G, R, matte.A");
    us_fake_destroy(task);
    task = reading(path, (struct us_frame){0, 0});
    us_fake_text(task, "part", "left");
    ASSERT_ERROR(us_fake_run(task), "no part 'left'; it has 0");
    us_fake_destroy(task);
    us_free(path);
}

static void takes_have_names_and_files(void **state) {
    (void)state;
    write_plate("reel1.0001.exr", 0);
    write_plate("reel2.0001.exr", 1);
    char *path = in_folder("reel*.####.exr");
    struct us_task *task = reading(path, (struct us_frame){1, 1});
    char *name = type()->take_name(us_task_params(task), 1);
    assert_string_equal(name, "reel2");
    us_free(name);
    ASSERT_OK(us_fake_run(task));
    assert_int_equal(*(uint16_t *)us_image_channel(us_fake_output(task, "image")->image, "B")->data,
                     0x3000 + 64 + 32);
    us_fake_frame(task, (struct us_frame){2, 1});
    ASSERT_ERROR(us_fake_run(task), "take 2");
    us_fake_destroy(task);
    us_free(path);
}

static void check_take(const char *path, int take, const char *expected) {
    struct us_task *task = reading(path, (struct us_frame){take, 1});
    char *name = type()->take_name(us_task_params(task), take);
    assert_string_equal(name, expected);
    us_free(name);
    us_fake_destroy(task);
}

/* The parts of a path that have wildcards tell takes apart. */
static void folders_name_takes(void **state) {
    (void)state;
    write_plate("day1/cam_a/plate.0001.exr", 0);
    write_plate("day1/cam_b/plate.0001.exr", 1);
    write_plate("day2/cam_a/plate.0001.exr", 2);
    static const char *const cases[][2] = {
        {"day1//cam_*/plate.####.exr", "cam_b"},
        {"day*/cam_a/plate.####.exr", "day2"},
        {"day*/cam_*/plate.####.exr", "day1/cam_b"},
        {"day1/cam_?/p*.####.exr", "cam_b/plate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = in_folder(cases[i][0]);
        check_take(path, 1, cases[i][1]);
        us_free(path);
    }
}

/* A folder that has not changed for a while is listed once; a new take must show all the same. */
static void new_takes_are_seen(void **state) {
    (void)state;
    char *folder = in_folder("settled"), *path = in_folder("settled/t*.####.exr");
    write_plate("settled/tb.0001.exr", 0);
    write_plate("settled/tc.0001.exr", 1);
    for (int round = 0; round < 2; round++) {
        const struct timeval past[2] = {{1000000000, 0}, {1000000000 + round, 0}};
        assert_int_equal(utimes(folder, past), 0);
        check_take(path, 0, round ? "ta" : "tb");
        check_take(path, 1, round ? "tb" : "tc");
        if (round == 0) {
            write_plate("settled/ta.0001.exr", 2);
            check_take(path, 0, "ta");
        }
    }
    us_free(folder);
    us_free(path);
}

static void damage_names_the_file(void **state) {
    (void)state;
    char *path = in_folder("bad.exr");
    ASSERT_OK(us_write_file(path, "\x76\x2f\x31\x01\2\0\0\0channels", 16));
    struct us_task *task = reading(path, (struct us_frame){0, 0});
    ASSERT_ERROR(us_fake_run(task), "again because: the file is cut short in its header");
    us_fake_destroy(task);
    us_free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_from_disk_or_the_range),
        cmocka_unit_test(what_is_not_there_is_missing),
        cmocka_unit_test(files_are_read_whole),
        cmocka_unit_test(channels_can_be_chosen),
        cmocka_unit_test(takes_have_names_and_files),
        cmocka_unit_test(folders_name_takes),
        cmocka_unit_test(new_takes_are_seen),
        cmocka_unit_test(damage_names_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
