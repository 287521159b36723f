#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"

extern const struct us_node_type us_node_report;

static struct us_value *bytes_value(enum us_data data, const char *text) {
    return us_value_from_bytes(data, (uint8_t *)us_strdup(text), strlen(text));
}

static char *written(const char *name, const char *metrics) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", us_test_folder(), name);
    struct us_task *task = us_fake_create(&us_node_report);
    us_fake_text(task, "path", path);
    us_fake_text(task, "title", "Shot <ab010>");
    struct us_frame once = {0, 0};
    us_fake_input(task, "metrics", 0, once, bytes_value(US_METRICS, metrics));
    us_fake_input(task, "pictures", 0, once, bytes_value(US_FILE, "\x89PNGabcde"));
    ASSERT_OK(us_fake_run(task));
    us_fake_destroy(task);
    uint8_t *page;
    size_t size;
    ASSERT_OK(us_read_file(path, 0, &page, &size));
    return (char *)page;
}

static void test_page(void **state) {
    (void)state;
    char *page =
        written("a.html", "{\"event\":\"step\",\"loss\":9}\n"
                          "{\"event\":\"final\",\"psnr\":{\"matte\":31.5},\"n\":\"<b>\"}\n");
    assert_non_null(strstr(page, "<h1>Shot &lt;ab010&gt;</h1>"));
    assert_non_null(strstr(page, "<th>psnr.matte</th><td>31.5</td>"));
    assert_non_null(strstr(page, "&lt;b&gt;"));
    assert_null(strstr(page, "step")); /* only the last line is shown */
    assert_non_null(strstr(page, "data:image/png;base64,iVBOR2FiY2Rl"));
    us_free(page);
}

static void test_broken_metrics(void **state) {
    (void)state;
    char *page = written("b.html", "{\"event\":");
    assert_non_null(strstr(page, "the metrics hold no JSON line"));
    us_free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_broken_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
