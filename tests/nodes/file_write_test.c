#include "tests/support/check.h"

#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/fake_task.h"

extern const struct us_node_type us_node_file_write;

static struct us_value *value(enum us_data data, const char *text) {
    return us_value_from_bytes(data, (uint8_t *)us_strdup(text), strlen(text));
}

static void writes_the_bytes(void **state) {
    (void)state;
    char *path = us_path_join(us_test_folder(), "new/model.safetensors");
    struct us_task *task = us_fake_create(&us_node_file_write);
    us_fake_text(task, "path", path);
    us_fake_input(task, "file", 0, (struct us_frame){0, 0}, value(US_MODEL, "some weights"));
    ASSERT_OK(us_fake_run(task));
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file(path, 0, &bytes, &size));
    assert_int_equal(size, 12);
    assert_memory_equal(bytes, "some weights", 12);
    us_free(bytes);
    us_fake_input(task, "file", 0, (struct us_frame){0, 1}, value(US_FILE, "more"));
    ASSERT_ERROR(us_fake_run(task), "2 files cannot go to the one path");
    us_fake_destroy(task);
    us_free(path);
}

static void unwritable_paths_are_named(void **state) {
    (void)state;
    struct us_task *task = us_fake_create(&us_node_file_write);
    us_fake_text(task, "path", "/proc/self/status/model");
    us_fake_input(task, "file", 0, (struct us_frame){0, 0}, value(US_MODEL, "x"));
    ASSERT_ERROR(us_fake_run(task), "/proc/self/status");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_the_bytes),
                                       cmocka_unit_test(unwritable_paths_are_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
