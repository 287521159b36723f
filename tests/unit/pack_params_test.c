/* Parameters that go to other ranks: every value comes back, foreign bytes are refused. */
#include "nodes/learn/pack_params.h"

#include <stdlib.h>
#include <string.h>

#include "nodes/learn/train_params.h"
#include "tests/support/check.h"

static const char *const words[] = {"one", "two", NULL};

struct some {
    bool yes;
    int64_t count;
    double part, unset;
    const char *text, *none, *word;
    struct us_strings list;
};

#define S struct some
static const struct us_param table[] = {US_BOOL(S, yes, false, ""),
                                        US_INT(S, count, 0, -5, 5, "", ""),
                                        US_DOUBLE(S, part, 0, 0, 1, "", ""),
                                        {.name = "unset",
                                         .type = US_PARAM_DOUBLE,
                                         .offset = offsetof(S, unset),
                                         .number = NAN,
                                         .max = 1,
                                         .doc = ""},
                                        US_STRING(S, text, "", ""),
                                        US_STRING(S, none, NULL, ""),
                                        US_CHOICE(S, word, "one", words, ""),
                                        US_STRINGS(S, list, ""),
                                        US_PARAMS_END};

static struct some sample(void) {
    static const char *items[] = {"a", "", "long enough to be a text"};
    return (struct some){.yes = true,
                         .count = -3,
                         .part = 0.25,
                         .unset = NAN,
                         .text = "a text",
                         .word = "two",
                         .list = {.items = items, .count = 3}};
}

static void test_values_come_back(void **state) {
    (void)state;
    const struct some in = sample();
    struct some out = {0};
    struct us_str bytes = {0};
    struct us_arena arena = {0};
    us_params_pack(table, &in, &bytes);
    ASSERT_OK(us_params_unpack(table, bytes.data, bytes.length, &out, &arena));
    assert_true(out.yes && out.count == -3 && out.part == 0.25 && isnan(out.unset));
    assert_string_equal(out.text, "a text");
    assert_null(out.none);
    assert_string_equal(out.word, "two");
    assert_int_equal(out.list.count, 3);
    assert_string_equal(out.list.items[2], "long enough to be a text");
    us_arena_finish(&arena);
    us_str_finish(&bytes);
}

/* Cut anywhere, or with any byte changed: refused or sound, never read beyond the end. */
static void test_foreign_bytes(void **state) {
    (void)state;
    const struct some in = sample();
    struct us_str bytes = {0};
    us_params_pack(table, &in, &bytes);
    for (size_t i = 0; i < bytes.length; i++) {
        struct us_arena arena = {0};
        struct some out = {0};
        char *cut = malloc(i ? i : 1);
        memcpy(cut, bytes.data, i);
        ASSERT_ERROR(us_params_unpack(table, cut, i, &out, &arena), "no sound value of");
        free(cut);
        char *changed = malloc(bytes.length);
        memcpy(changed, bytes.data, bytes.length);
        changed[i] = (char)(changed[i] ^ 0x90);
        us_error_free(us_params_unpack(table, changed, bytes.length, &out, &arena));
        assert_true(out.count >= -5 && out.count <= 5);
        free(changed);
        us_arena_finish(&arena);
    }
    us_str_append(&bytes, "x");
    struct us_arena arena = {0};
    struct some out = {0};
    ASSERT_ERROR(us_params_unpack(table, bytes.data, bytes.length, &out, &arena), "too many");
    us_arena_finish(&arena);
    us_str_finish(&bytes);
}

/* Whatever train_swap learns to be told, its ranks can be told too. */
static void test_train_swap_can_be_packed(void **state) {
    (void)state;
    for (const struct us_param *p = us_train_params; p->name; p++) {
        assert_int_not_equal(p->type, US_PARAM_FRAMES);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back),
        cmocka_unit_test(test_foreign_bytes),
        cmocka_unit_test(test_train_swap_can_be_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
