#include "tests/support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/str.h"

static void chain_text(const struct us_error *error, struct us_str *out) {
    for (; error; error = error->cause) {
        us_str_printf(out, "%s%s", out->length ? " because: " : "", error->text);
        if (error->hint) {
            us_str_printf(out, " try: %s", error->hint);
        }
    }
}

void us_test_assert_ok(struct us_error *error, const char *file, int line) {
    if (!error) {
        return;
    }
    struct us_str text = {0};
    chain_text(error, &text);
    print_error("unexpected error: %s\n", us_str_text(&text));
    us_str_finish(&text);
    us_error_free(error);
    _fail(file, line);
}

void us_test_assert_error(struct us_error *error, const char *part, const char *file, int line) {
    struct us_str text = {0};
    chain_text(error, &text);
    bool right = error && strstr(us_str_text(&text), part);
    if (!right) {
        print_error("wanted an error with '%s', got: %s\n", part,
                    error ? us_str_text(&text) : "none");
    }
    us_str_finish(&text);
    us_error_free(error);
    if (!right) {
        _fail(file, line);
    }
}

void us_test_assert_near(double a, double b, double tolerance, const char *what, const char *file,
                         int line) {
    if (!(fabs(a - b) <= tolerance)) {
        print_error("%s is %.9g, wanted %.9g within %.3g\n", what, a, b, tolerance);
        _fail(file, line);
    }
}

static char folder[64];

static void remove_folder(void) {
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", folder, (char *)NULL);
        _exit(127);
    }
    int status;
    waitpid(child, &status, 0);
}

const char *us_test_folder(void) {
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/understudy-test-XXXXXX");
        if (!mkdtemp(folder)) {
            perror("mkdtemp");
            exit(1);
        }
        atexit(remove_folder);
    }
    return folder;
}
