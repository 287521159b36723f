#include "tests/support/check.h"

#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "runtime/graph/yaml_tree.h"

static struct us_error *parse(struct us_arena *arena, const char *text, struct us_yaml **root) {
    return us_yaml_parse(arena, "t.yaml", (const uint8_t *)text, strlen(text), root);
}

static void assert_pos(const struct us_yaml *value, int line, int column, int length) {
    assert_string_equal(value->pos.file, "t.yaml");
    assert_int_equal(value->pos.line, line);
    assert_int_equal(value->pos.column, column);
    assert_int_equal(value->pos.length, length);
}

static void keeps_positions(void **state) {
    (void)state;
    static const char *const texts[] = {
        "a: 1\nlong: {x: \"t\u00e9x\", y: [p, qq]}\nz:\n  - u\n",
        "\xEF\xBB\xBF"
        "a: 1\nlong: {x: \"t\u00e9x\", y: [p, qq]}\nz:\n  - u\n",
        "a: 1\r\nlong: {x: \"t\u00e9x\", y: [p, qq]}\r\nz:\r\n  - u\r\n"};
    for (size_t i = 0; i < 3; i++) {
        struct us_arena arena = {0};
        struct us_yaml *root;
        ASSERT_OK(parse(&arena, texts[i], &root));
        assert_int_equal(root->count, 3);
        assert_pos(root->keys[0], 1, 1, 1);
        assert_pos(root->items[0], 1, 4, 1);
        assert_pos(root->keys[1], 2, 1, 4);
        const struct us_yaml *inner = us_yaml_find(root, "long");
        assert_pos(us_yaml_find(inner, "x"), 2, 11, 5);
        assert_string_equal(us_yaml_find(inner, "x")->text, "t\u00e9x");
        assert_false(us_yaml_find(inner, "x")->plain);
        assert_true(us_yaml_find(inner, "y")->items[1]->plain);
        assert_pos(us_yaml_find(inner, "y")->items[1], 2, 25, 2);
        assert_pos(us_yaml_find(root, "z")->items[0], 4, 5, 1);
        assert_null(us_yaml_find(root, "y"));
        us_arena_finish(&arena);
    }
}

static void shares_aliases(void **state) {
    (void)state;
    struct us_arena arena = {0};
    struct us_yaml *root;
    ASSERT_OK(parse(&arena, "a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x\n", &root));
    assert_ptr_equal(us_yaml_find(root, "a"), us_yaml_find(root, "b"));
    assert_string_equal(us_yaml_find(root, "d")->text, "3");
    us_arena_finish(&arena);
}

static void knows_null(void **state) {
    (void)state;
    struct us_arena arena = {0};
    struct us_yaml *root;
    ASSERT_OK(parse(&arena, "[~, null, '', \"null\", {a: }]", &root));
    static const bool wanted[] = {true, true, false, false};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(us_yaml_is_null(root->items[i]), wanted[i]);
    }
    assert_true(us_yaml_is_null(us_yaml_find(root->items[4], "a")));
    us_arena_finish(&arena);
}

/* `count` times `part`, between `before` and `after`. */
static char *repeat(const char *before, const char *part, size_t count, const char *after) {
    struct us_str text = {0};
    us_str_append(&text, before);
    for (size_t i = 0; i < count; i++) {
        us_str_append(&text, part);
    }
    us_str_append(&text, after);
    return us_str_take(&text);
}

static void bounds_hostile_text(void **state) {
    (void)state;
    static const struct {
        const char *before, *part;
        size_t count;
        const char *after, *wanted;
    } cases[] = {
        {"", "[", 200000, "", "nested more than 64 levels deep"},
        {"", "[\n", 200000, "", "nested more than 64 levels deep"},
        {"", "{a: ", 50000, "", "nested more than 64 levels deep"},
        {"", "- ", 100000, "", "nested more than 64 levels deep"},
        {"", "? ", 100000, "", "nested more than 64 levels deep"},
        {"a: ", "x", (1 << 20) + 1, "", "a text of 1048577 bytes is more than the 1048576 allowed"},
        {"[", "a,", 1000001, "]", "more than 1000000 values"},
        {"[", "&a a,", 201, "]", "more than 200 anchors"},
        {"&", "x", 101, " a", "anchor is longer than 100 characters"},
        {"", "%TAG !a! b\n", 100000, "--- a", "more than 100 times %TAG"},
        {"a: 1\u2028...\u2028", "%TAG !a! b\u2028", 100000, "--- a", "more than 100 times %TAG"},
        {"", "[", 65, "", "nested more than 64 levels deep"},
        {"a: &a ", "[", 40, "\n", "bad YAML"},
        {"!", "x", 5000, " a", "tag '!xxx"},
        {"*", "x", 5000, "", "has no anchor"},
        {"\"", "\\", 100001, "\"", "bad YAML"},
        {"%", "A", 100000, "\n", "bad YAML"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct us_arena arena = {0};
        struct us_yaml *root;
        char *text = repeat(cases[i].before, cases[i].part, cases[i].count, cases[i].after);
        ASSERT_ERROR(parse(&arena, text, &root), cases[i].wanted);
        assert_null(root);
        us_free(text);
        us_arena_finish(&arena);
    }
}

static void deep_alias_is_refused(void **state) {
    (void)state;
    struct us_arena arena = {0};
    struct us_yaml *root;
    char *nest = repeat("a: &a ", "[", 40, "");
    char *text = repeat(nest, "]", 40, "\nb: [[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]\n");
    ASSERT_ERROR(parse(&arena, text, &root), "nested more than 64 levels deep");
    us_free(nest);
    us_free(text);
    us_arena_finish(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_positions),
        cmocka_unit_test(shares_aliases),
        cmocka_unit_test(knows_null),
        cmocka_unit_test(bounds_hostile_text),
        cmocka_unit_test(deep_alias_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
