/* Every tests/graphs/bad/NAME.yaml must fail with just the text of NAME.err. A first line
 * "# -p name=value ..." is the command line's. Adding a case is adding the two files. */
#include "tests/support/check.h"

#include <glob.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/graph/graph.h"
#include "tests/support/graph_text.h"
#include "tests/support/toy_nodes.h"

static struct us_error *load(const char *path) {
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file(path, 0, &bytes, &size));
    struct us_setting setting = {0};
    char *text = (char *)bytes, *equals = NULL;
    if (us_str_starts(text, "# -p ") && (equals = strchr(text, '=')) != NULL) {
        *equals = '\0';
        equals[1 + strcspn(equals + 1, "\n")] = '\0';
        setting = (struct us_setting){.name = text + 5, .value = equals + 1};
    }
    struct us_graph *graph;
    struct us_error *error = us_graph_load(&us_toys, path, &setting, equals ? 1 : 0, &graph);
    us_graph_destroy(graph);
    us_free(bytes);
    return error;
}

static char *wanted_text(const char *path) {
    struct us_str name = {0};
    us_str_append_bytes(&name, path, strlen(path) - strlen(".yaml"));
    us_str_append(&name, ".err");
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file(us_str_text(&name), 0, &bytes, &size));
    us_str_finish(&name);
    return (char *)bytes;
}

static void each_fails_as_written(void **state) {
    (void)state;
    glob_t found;
    assert_int_equal(glob("tests/graphs/bad/*.yaml", 0, NULL, &found), 0);
    size_t wrong = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct us_str got = {0};
        struct us_error *error = load(found.gl_pathv[i]);
        us_test_print_error(error, &got);
        wrong += error == NULL;
        us_error_free(error);
        char *wanted = wanted_text(found.gl_pathv[i]);
        if (strcmp(us_str_text(&got), wanted) != 0) {
            print_error("%s\n--- got:\n%s--- wanted:\n%s", found.gl_pathv[i], us_str_text(&got),
                        wanted);
            wrong++;
        }
        us_free(wanted);
        us_str_finish(&got);
    }
    assert_true(found.gl_pathc > 80);
    globfree(&found);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_fails_as_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
