#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/fake_task.h"

extern const struct us_node_type us_node_exec;

static struct us_task *shell(const char *script) {
    struct us_task *task = us_fake_create(&us_node_exec);
    us_fake_append(task, "command", "sh");
    us_fake_append(task, "command", "-c");
    us_fake_append(task, "command", script);
    return task;
}

static void add_text(struct us_task *task, size_t entry, int frame, const char *text) {
    us_fake_input(task, "inputs", entry, (struct us_frame){0, frame},
                  us_value_from_bytes(US_FACES, (uint8_t *)us_strdup(text), strlen(text)));
}

static char *output_text(struct us_task *task) {
    const struct us_value *value = us_fake_output(task, "file");
    return us_strndup((const char *)value->bytes, value->size);
}

static void assert_output(struct us_task *task, const char *wanted) {
    ASSERT_OK(us_fake_run(task));
    char *text = output_text(task);
    assert_string_equal(text, wanted);
    us_free(text);
    us_fake_destroy(task);
}

static void inputs_become_files(void **state) {
    (void)state;
    struct us_task *task =
        shell("cd {in} && for f in */*; do printf '%s=%s;' $f \"$(cat $f)\"; done > {out}");
    add_text(task, 0, 1001, "a");
    add_text(task, 0, 1002, "b");
    add_text(task, 1, 0, "c");
    assert_output(task, "0/1001.json=a;0/1002.json=b;1/0000.json=c;");
}

/* More than a pipe holds, faster than it is read. */
static void prints_much(void **state) {
    (void)state;
    assert_output(shell("head -c 3000000 /dev/zero && printf done > {out}"), "done");
}

static void images_become_exr(void **state) {
    (void)state;
    struct us_window window = {0, 0, 3, 1};
    struct us_image *image = us_image_create(window, window);
    ASSERT_OK(us_image_add_channel(image, "R", US_HALF, NULL));
    struct us_task *task = shell("od -An -tx1 -N4 {in0}/1001.exr | tr -d ' \\n' > {out}");
    us_fake_input(task, "inputs", 0, (struct us_frame){0, 1001}, us_value_from_image(image));
    assert_output(task, "762f3101");
}

static void arguments_reach_no_shell(void **state) {
    (void)state;
    char *path = us_path_join(us_test_folder(), "script.sh");
    const char script[] = "#!/bin/sh\nprintf '%s|' \"$@\" > \"$UNDERSTUDY_OUT\"\n";
    ASSERT_OK(us_write_file(path, script, sizeof script - 1));
    struct us_task *task = us_fake_create(&us_node_exec);
    us_fake_append(task, "reads", path);
    us_fake_append(task, "command", "sh");
    us_fake_append(task, "command", "{read0}");
    us_fake_append(task, "command", "$HOME; rm *");
    us_fake_append(task, "command", "{print $1}");
    assert_output(task, "$HOME; rm *|{print $1}|");
    us_free(path);
}

static void environment_is_clean(void **state) {
    (void)state;
    setenv("SECRET_OF_THE_HOST", "1", 1);
    struct us_task *task = shell("env | cut -d= -f1 | sort | tr '\\n' ' ' > {out}; test ! -t 0");
    us_fake_append(task, "env", "MINE=2");
    ASSERT_OK(us_fake_run(task));
    char *text = output_text(task);
    assert_null(strstr(text, "SECRET"));
    assert_non_null(strstr(text, "MINE"));
    us_free(text);
    us_fake_destroy(task);
}

static void failures_say_how(void **state) {
    (void)state;
    struct us_task *task = shell("echo first; echo no licence >&2; exit 3");
    ASSERT_ERROR(us_fake_run(task),
                 "'sh' ended with exit status 3 because: it said: first | no licence");
    us_fake_destroy(task);
    task = shell("kill -9 $$");
    ASSERT_ERROR(us_fake_run(task), "'sh' was ended by signal 9 (Killed) because: it said nothing");
    us_fake_destroy(task);
    task = shell("true");
    us_fake_text(task, "output", "mesh.obj");
    ASSERT_ERROR(us_fake_run(task), "the command made no file 'mesh.obj'");
    us_fake_destroy(task);
    task = shell("ln -s /etc/hostname {out}");
    ASSERT_ERROR(us_fake_run(task), "the command made no file 'out'");
    us_fake_destroy(task);
}

static void only_the_end_is_quoted(void **state) {
    (void)state;
    struct us_task *task = shell("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; "
                                 "exit 1");
    struct us_error *error = us_fake_run(task);
    assert_non_null(error);
    assert_non_null(error->cause);
    assert_true(strlen(error->cause->text) < 2000);
    assert_non_null(strstr(error->cause->text, "line 2999"));
    us_error_free(error);
    us_fake_destroy(task);
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Ended, though perhaps not yet reaped by whoever inherits it. */
static bool is_gone(pid_t pid) {
    char path[64];
    uint8_t *bytes;
    size_t size;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    struct us_error *error = us_read_file(path, 0, &bytes, &size);
    if (error) {
        us_error_free(error);
        return true;
    }
    bool zombie = strstr((char *)bytes, ") Z ") != NULL;
    us_free(bytes);
    return zombie;
}

/* A grandchild writes its process number and sleeps; it must be gone afterwards. */
static void assert_nothing_left(const char *path) {
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file(path, 0, &bytes, &size));
    pid_t pid = (pid_t)strtol((char *)bytes, NULL, 10);
    us_free(bytes);
    assert_true(pid > 1);
    for (int i = 0; i < 200 && !is_gone(pid); i++) {
        usleep(10000);
    }
    assert_true(is_gone(pid));
}

static void time_and_cancel_end_the_group(void **state) {
    (void)state;
    for (int pass = 0; pass < 3; pass++) {
        char *path = us_path_join(us_test_folder(), "pid");
        struct us_str script = {0};
        us_str_printf(&script, "sleep 60 & echo $! > %s; %s", path,
                      pass == 2 ? "echo x > {out}" : "wait");
        struct us_task *task = shell(us_str_text(&script));
        double start = seconds_now();
        if (pass == 0) {
            us_fake_number(task, "timeout_s", 0.4);
            ASSERT_ERROR(us_fake_run(task), "'sh' took longer than 0.4 seconds");
        } else if (pass == 1) {
            us_fake_cancel_after(task, 4);
            ASSERT_ERROR(us_fake_run(task), "stopped on request");
        } else {
            ASSERT_OK(us_fake_run(task));
        }
        assert_true(seconds_now() - start < 10.0);
        assert_nothing_left(path);
        us_fake_destroy(task);
        us_str_finish(&script);
        us_free(path);
    }
}

static void bad_parameters_are_named(void **state) {
    (void)state;
    struct us_task *task = us_fake_create(&us_node_exec);
    ASSERT_ERROR(us_fake_run(task), "command is empty");
    us_fake_append(task, "command", "no-such-program-here");
    ASSERT_ERROR(us_fake_run(task), "program 'no-such-program-here' is not on the PATH");
    us_fake_append(task, "command", "{read0}");
    ASSERT_ERROR(us_fake_run(task), "'{read0}' names no file, reads has 0");
    us_fake_destroy(task);
    task = us_fake_create(&us_node_exec);
    us_fake_append(task, "command", "bin/tool");
    ASSERT_ERROR(us_fake_run(task), "program 'bin/tool' is a relative path");
    us_fake_text(task, "output", "../out");
    ASSERT_ERROR(us_fake_run(task), "output '../out' is no plain file name");
    us_fake_text(task, "output", "out");
    us_fake_append(task, "env", "NAME");
    ASSERT_ERROR(us_fake_run(task), "env 'NAME' is not of the form NAME=value");
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_become_files),     cmocka_unit_test(prints_much),
        cmocka_unit_test(images_become_exr),       cmocka_unit_test(arguments_reach_no_shell),
        cmocka_unit_test(environment_is_clean),    cmocka_unit_test(failures_say_how),
        cmocka_unit_test(only_the_end_is_quoted),  cmocka_unit_test(time_and_cancel_end_the_group),
        cmocka_unit_test(bad_parameters_are_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
