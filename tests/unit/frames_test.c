#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/frames.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

static void assert_printed(const struct us_frames *frames, const char *wanted) {
    struct us_str text = {0};
    us_frames_print(frames, &text);
    assert_string_equal(us_str_text(&text), wanted);
    us_str_finish(&text);
}

/* Looked for in the text: the same as looked for in the list. */
static void assert_has(const char *text, const struct us_frames *frames) {
    static const int32_t far[] = {INT32_MIN, -INT32_MAX, 2 - INT32_MAX, INT32_MAX - 2, INT32_MAX};
    for (int32_t i = 0; i < 1125; i++) {
        const int32_t number = i < 5 ? far[i] : i - 20;
        bool has;
        ASSERT_OK(us_frames_text_has(text, number, &has));
        assert_int_equal(has,
                         frames->all || us_frames_find(frames, (struct us_frame){0, number}) >= 0);
    }
}

static void parses(void **state) {
    (void)state;
    static const struct {
        const char *text, *printed;
        size_t count;
    } cases[] = {
        {"1001", "1001", 1},
        {"1001-1100", "1001-1100", 100},
        {"1001-1100x2", "1001-1099x2", 50},
        {"1001,1005,1010-1020", "1001,1005,1010-1020", 13},
        {" 3 , 1 ", "1,3", 2},
        {"5,1-9,3", "1-9", 9},
        {"-5--1", "-5--1", 5},
        {"-2-2x2", "-2-2x2", 3},
        {"1-9x4", "1-9x4", 3},
        {"1-2,4", "1-2,4", 3},
        {"1,3,4,5", "1,3-5", 4},
        {"-2147483647-2147483647x2147483647", "-2147483647-2147483647x2147483647", 3},
        {"7-7x99", "7", 1},
        {"all", "all", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct us_frames frames = {0};
        ASSERT_OK(us_frames_parse(cases[i].text, &frames));
        assert_int_equal(frames.count, cases[i].count);
        assert_int_equal(frames.all, strcmp(cases[i].text, "all") == 0);
        assert_printed(&frames, cases[i].printed);
        assert_has(cases[i].text, &frames);
        us_frames_finish(&frames);
    }
}

static void refuses(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "'' is not a frame range"},
        {"x", "'x' is not a frame range"},
        {"1-", "is not a frame range"},
        {"1-2x", "is not a frame range"},
        {"1,,2", "is not a frame range"},
        {"1,", "is not a frame range"},
        {"1 2", "is not a frame range"},
        {"0x10", "is not a frame range"},
        {"2147483648", "is not a frame range"},
        {"99999999999999999999999", "is not a frame range"},
        {"10-1", "'10-1' runs backwards try: write it as 1-10"},
        {"1-2x0", "frame step is 0"},
        {"1-2x-3", "frame step is -3"},
        {"1-999999999", "makes more than 10000000 frames"},
        {"-2147483647-2147483647", "makes more than 10000000 frames"},
        {"1-9000000,1-9000000", "makes more than 10000000 frames"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct us_frames frames = {0};
        bool has;
        ASSERT_ERROR(us_frames_parse(cases[i][0], &frames), cases[i][1]);
        ASSERT_ERROR(us_frames_text_has(cases[i][0], 1, &has), cases[i][1]);
        assert_null(frames.items);
    }
}

static void adds_and_finds(void **state) {
    (void)state;
    struct us_frames frames = {0}, copy;
    static const struct us_frame added[] = {{1, 5}, {0, 9}, {1, 4}, {0, 9}, {0, 10}, {1, 6}};
    for (size_t i = 0; i < 6; i++) {
        us_frames_add(&frames, added[i]);
    }
    assert_int_equal(frames.count, 5);
    assert_printed(&frames, "9-10 1:4-6");
    assert_int_equal(us_frames_find(&frames, (struct us_frame){1, 4}), 2);
    assert_int_equal(us_frames_find(&frames, (struct us_frame){1, 7}), -1);
    assert_int_equal(us_frames_find(&frames, (struct us_frame){0, 4}), -1);
    us_frames_copy(&frames, &copy);
    us_frames_finish(&frames);
    assert_printed(&copy, "9-10 1:4-6");
    us_frames_finish(&copy);
}

static void writes_paths(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        int32_t number;
        const char *path;
    } cases[] = {
        {"a.####.exr", 1001, "a.1001.exr"},
        {"a.####.exr", 7, "a.0007.exr"},
        {"a.####.exr", 123456, "a.123456.exr"},
        {"a.####.exr", -7, "a.-007.exr"},
        {"a.%06d.exr", 7, "a.000007.exr"},
        {"a.%d.exr", 7, "a.7.exr"},
        {"a.$F4.exr", 7, "a.0007.exr"},
        {"a.$F.exr", 7, "a.7.exr"},
        {"a.$FOO.exr", 7, "a.$FOO.exr"},
        {"a.%4d.exr", 7, "a.%4d.exr"},
        {"#1/a.####.exr", 7, "#1/a.0007.exr"},
        {"#1/a.exr", 7, "#1/a.exr"},
        {"take##.####.exr", 7, "take##.0007.exr"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = us_pattern_path(cases[i].pattern, cases[i].number);
        assert_string_equal(path, cases[i].path);
        assert_int_equal(us_pattern_has_frame(cases[i].pattern),
                         strcmp(cases[i].pattern, cases[i].path) != 0);
        us_free(path);
    }
    assert_true(us_pattern_has_takes("take*.####.exr"));
    assert_false(us_pattern_has_takes("take.####.exr"));
}

static const char *touch(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", us_test_folder(), name);
    ASSERT_OK(us_write_file(path, "", 0));
    return path;
}

static void scans(void **state) {
    (void)state;
    static const char *const names[] = {"s/p.1002.exr",     "s/p.1001.exr",  "s/p.10010.exr",
                                        "s/p.-003.exr",     "s/p.01003.exr", "s/p.99.exr",
                                        "s/p.1001.exr.tmp", "s/q.1001.exr",  "s/p.exr"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        touch(names[i]);
    }
    char pattern[512];
    snprintf(pattern, sizeof pattern, "%s/s/p.####.exr", us_test_folder());
    struct us_frames frames = {0};
    ASSERT_OK(us_pattern_scan(pattern, 2, &frames));
    assert_printed(&frames, "2:-3,1001-1002,10010");
    us_frames_finish(&frames);
    snprintf(pattern, sizeof pattern, "%s/s/p.exr", us_test_folder());
    ASSERT_OK(us_pattern_scan(pattern, 0, &frames));
    assert_printed(&frames, "0");
    us_frames_finish(&frames);
    snprintf(pattern, sizeof pattern, "%s/none/p.####.exr", us_test_folder());
    ASSERT_ERROR(us_pattern_scan(pattern, 0, &frames), "cannot read folder");
}

static void assert_takes(const char *pattern, const char *wanted) {
    struct us_str full = {0}, text = {0};
    us_str_printf(&full, "%s/%s", us_test_folder(), pattern);
    char **takes = NULL;
    size_t count = 0;
    ASSERT_OK(us_pattern_takes(us_str_text(&full), &takes, &count));
    for (size_t i = 0; i < count; i++) {
        us_str_printf(&text, "%s%s", i ? " " : "", takes[i] + strlen(us_test_folder()) + 1);
        us_free(takes[i]);
    }
    us_free(takes);
    assert_string_equal(us_str_text(&text), wanted);
    us_str_finish(&full);
    us_str_finish(&text);
}

static void finds_takes(void **state) {
    (void)state;
    static const char *const names[] = {
        "t/take2.1001.exr",   "t/take2.1002.exr",  "t/take10.1001.exr", "t/take1.1001.exr",
        "t/take1.jpg",        "t/.take9.1001.exr", "t/b/x.0001.exr",    "t/a/x.0001.exr",
        "t/[odd]/x.0001.exr", "t/a/x.0002.exr",    "t/n-1001.exr"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        touch(names[i]);
    }
    assert_takes("t/take*.####.exr", "t/take1.####.exr t/take10.####.exr t/take2.####.exr");
    assert_takes("t/take[12].$F4.exr", "t/take1.$F4.exr t/take2.$F4.exr");
    assert_takes("t/?/x.####.exr", "t/a/x.####.exr t/b/x.####.exr");
    assert_takes("t/[odd]/x.####.exr", "t/[odd]/x.####.exr");
    assert_takes("t/nothing*.####.exr", "");
    assert_takes("none*/x.####.exr", "");
    assert_takes("t/plain.####.exr", "t/plain.####.exr");
    assert_takes("t/n*.####.exr", "");
    assert_takes("t/n*####.exr", "t/n-####.exr");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),       cmocka_unit_test(refuses), cmocka_unit_test(adds_and_finds),
        cmocka_unit_test(writes_paths), cmocka_unit_test(scans),   cmocka_unit_test(finds_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
