#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nodes/learn/checkpoint.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"
#include "tests/support/small_training.h"

/* Source faces no net can draw: their encoded values are far beyond 1. */
static void add_wrong_faces(struct us_task *task, int count, double gain) {
    for (int i = 0; i < count; i++) {
        us_fake_input(task, "source", 0, (struct us_frame){0, 2000 + i},
                      us_fake_crop_value(&(struct us_fake_crop){.gain = gain}));
    }
    us_fake_number(task, "holdout", 0);
}

static struct us_task *sixty(const char *folder) {
    struct us_task *task = us_small_training(folder, 60);
    ASSERT_OK(us_fake_run(task));
    return task;
}

/* Goes on from sixty() with two wrong faces. Which faces a step draws is a function of the seed
 * alone: with 26 most of the steps 86 to 96 draw a wrong one, and no such run follows in the other
 * variations. With 9 there is one in all of them. */
static struct us_task *unlucky(const char *folder, int seed) {
    struct us_task *task = us_small_training(folder, 140);
    add_wrong_faces(task, 2, 1e30);
    us_fake_number(task, "batch", 1);
    us_fake_number(task, "seed", seed);
    us_fake_number(task, "checkpoint.steps", 10);
    return task;
}

static const char *metrics_of(const struct us_task *task) {
    return (const char *)us_fake_output(task, "metrics")->bytes;
}

static int count_text(const char *text, const char *part) {
    int count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text++;
    }
    return count;
}

static void a_jump_of_the_loss_is_undone(void **state) {
    (void)state;
    char *folder = us_small_folder();
    us_fake_destroy(sixty(folder));
    struct us_task *task = unlucky(folder, 26);
    ASSERT_OK(us_fake_run(task));
    const char *event = strstr(metrics_of(task), "\"event\":\"went_back\"");
    assert_non_null(event);
    assert_int_equal(strncmp(event + 20, "\"from_step\":96,\"to_step\":70,\"why\":\"the loss ", 44),
                     0);
    assert_int_equal(count_text(metrics_of(task), "went_back"), 1);
    assert_int_equal(count_text(us_fake_warnings(task), "the loss jumped from "), 1);
    assert_non_null(strstr(us_fake_warnings(task), "at step 97: training goes on from step 70"));
    us_fake_destroy(task);
    us_free(folder);
}

static void the_guard_can_be_off(void **state) {
    (void)state;
    char *folder = us_small_folder();
    us_fake_destroy(sixty(folder));
    struct us_task *task = unlucky(folder, 26);
    us_fake_number(task, "guard.factor", 0);
    ASSERT_OK(us_fake_run(task));
    assert_string_equal(us_fake_warnings(task), "");
    us_fake_destroy(task);
    us_free(folder);
}

/* Stopped while the loss is suspect, with a checkpoint there, and after it went back. */
static void stopping_changes_nothing_of_it(void **state) {
    (void)state;
    char *folders[2] = {us_small_folder(), us_small_folder()};
    us_fake_destroy(sixty(folders[0]));
    us_fake_destroy(sixty(folders[1]));
    struct us_task *whole = unlucky(folders[0], 26), *task = unlucky(folders[1], 26);
    ASSERT_OK(us_fake_run(whole));
    static const int steps[] = {33, 23}; /* 60 to 93; 93 to 96, 70 to 90 */
    for (int i = 0; i < 2; i++) {
        struct us_task *stopped = unlucky(folders[1], 26);
        us_fake_cancel_after(stopped, 14 + steps[i] + 1);
        ASSERT_ERROR(us_fake_run(stopped), "stopped on request");
        assert_int_equal(count_text(us_fake_warnings(stopped), "jumped"), i);
        us_fake_destroy(stopped);
    }
    us_fake_cancel_after(task, 14 + 51); /* not enough to start again */
    ASSERT_OK(us_fake_run(task));
    assert_string_equal(us_fake_warnings(task), "");
    assert_int_equal(count_text(metrics_of(task), "went_back"), 1);
    us_small_same(task, whole);
    for (int i = 0; i < 2; i++) {
        us_fake_destroy(i ? whole : task);
        us_free(folders[i]);
    }
}

/* What it leaves behind is from before the trouble: with the right faces it goes on as if nothing
 * had been. */
static void trouble_that_stays_is_an_error(void **state) {
    (void)state;
    char *folders[2] = {us_small_folder(), us_small_folder()};
    struct us_task *whole = us_small_training(folders[0], 100);
    struct us_task *task = unlucky(folders[1], 9), *after = us_small_training(folders[1], 100);
    ASSERT_OK(us_fake_run(whole));
    us_fake_destroy(sixty(folders[1]));
    struct us_error *error = us_fake_run(task);
    assert_non_null(error);
    assert_non_null(strstr(error->hint, "look for a wrong face among the crops"));
    ASSERT_ERROR(error, "the training does not settle: the loss jumped from ");
    assert_int_equal(count_text(us_fake_warnings(task), "jumped"), 3);
    ASSERT_OK(us_fake_run(after));
    assert_string_equal(us_fake_warnings(after), "");
    us_small_same(after, whole);
    us_fake_destroy(whole);
    us_fake_destroy(task);
    us_fake_destroy(after);
    us_free(folders[0]);
    us_free(folders[1]);
}

static void crops_that_are_not_finite_do_no_harm(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = us_small_training(folder, 60);
    for (int i = 0; i < 3; i++) {
        struct us_image *image = us_fake_crop_image(&(struct us_fake_crop){0});
        float *red = us_image_channel(image, "R")->data;
        red[100] = NAN;
        red[101] = HUGE_VALF;
        us_fake_input(task, "source", 0, (struct us_frame){0, 2000 + i},
                      us_value_from_image(image));
    }
    ASSERT_OK(us_fake_run(task));
    assert_string_equal(us_fake_warnings(task), "");
    assert_null(strstr(metrics_of(task), "not_finite"));
    us_fake_destroy(task);
    us_free(folder);
}

/* The weights run away, whatever the variations. */
static void an_exploding_rate_is_an_error(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *usual = us_small_training(folder, 250), *task = us_small_training(folder, 400);
    us_fake_number(usual, "checkpoint.steps", 50);
    us_fake_number(usual, "checkpoint.keep", 9);
    ASSERT_OK(us_fake_run(usual));
    us_fake_destroy(usual);
    us_fake_number(task, "lr", 1);
    us_fake_number(task, "clip", 0);
    us_fake_number(task, "checkpoint.steps", 25);
    us_fake_number(task, "checkpoint.keep", 9);
    ASSERT_ERROR(us_fake_run(task), "the training does not ");
    assert_int_equal(count_text(us_fake_warnings(task), "training goes on from step "), 3);
    us_fake_destroy(task);
    us_free(folder);
}

static void touch(const char *folder, const char *name, int seconds_old) {
    char *path = us_path_join(folder, name);
    ASSERT_OK(us_write_file(path, "x", 1));
    const struct timespec then = {.tv_sec = time(NULL) - seconds_old};
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){then, then}, 0), 0);
    us_free(path);
}

static void older_checkpoints_become_sparse(void **state) {
    (void)state;
    char *folder = us_small_folder(), name[64];
    uint64_t *steps;
    size_t count;
    for (int step = 10; step <= 20000; step += 10) {
        snprintf(name, sizeof name, "step-%010d.safetensors", step);
        touch(folder, name, 0);
        us_checkpoint_thin(folder, (uint64_t)step, 3);
        us_checkpoint_list(folder, &steps, &count);
        assert_true(count <= 9);
        uint64_t age = 31;
        for (size_t i = count > 3 ? count - 3 : 0; i-- > 0;) {
            assert_true((uint64_t)step - steps[i] <= 8 * age + 16);
            age = (uint64_t)step - steps[i] + 1;
        }
        assert_true((uint64_t)step <= 8 * age + 16);
        us_free(steps);
    }
    touch(folder, "step-0000020010.safetensors", 0); /* in doubt: none before it goes for it */
    us_checkpoint_thin(folder, 20000, 3);
    us_checkpoint_list(folder, &steps, &count);
    assert_int_equal(steps[count - 1], 20010);
    assert_int_equal(steps[count - 4], 19980);
    us_free(steps);
    us_free(folder);
}

static void what_killed_writers_left_goes(void **state) {
    (void)state;
    char *folder = us_small_folder();
    touch(folder, "step-0000000010.safetensors.77-0.tmp", 4000);
    touch(folder, "final-0000000010.safetensors.77-1.tmp", 4000);
    touch(folder, "step-0000000020.safetensors.77-2.tmp", 10); /* may be being written */
    touch(folder, "step-0000000030.safetensors", 4000);
    touch(folder, "notes", 4000);
    us_checkpoint_tidy(folder);
    assert_int_equal(us_small_files(folder), 3);
    us_free(folder);
}

/* Runs this program again as another process. */
static pid_t start(const char *mode, const char *folder) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "train_guard_test", mode, folder, (char *)NULL);
        _exit(126);
    }
    return child;
}

static void a_kill_while_it_writes_harms_nothing(void **state) {
    (void)state;
    char *folders[2] = {us_small_folder(), us_small_folder()};
    struct us_task *whole = us_small_training(folders[0], 60);
    struct us_task *task = us_small_training(folders[1], 60);
    ASSERT_OK(us_fake_run(whole));
    for (int i = 1; i <= 6; i++) {
        const pid_t child = start("write", folders[1]);
        nanosleep(&(struct timespec){.tv_nsec = 60000000L + 13700000L * i}, NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    ASSERT_OK(us_fake_run(task));
    assert_string_equal(us_fake_warnings(task), "");
    us_small_same(task, whole);
    us_fake_destroy(whole);
    us_fake_destroy(task);
    us_free(folders[0]);
    us_free(folders[1]);
}

/* The child of the test above: a checkpoint every step. */
static int write_all_the_time(const char *folder) {
    struct us_task *task = us_small_training(folder, 60);
    us_fake_number(task, "checkpoint.steps", 1);
    us_error_free(us_fake_run(task));
    us_fake_destroy(task);
    return 0;
}

enum { SKIPPED = 77 };

static void a_full_disk_does_not_stop_it(void **state) {
    (void)state;
    int status;
    const pid_t child = start("full", us_test_folder());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED) {
        print_message("skipped: a small file system cannot be mounted here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void fill(const char *path) {
    static const char zeros[4096];
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    setvbuf(file, NULL, _IONBF, 0);
    while (fwrite(zeros, 1, sizeof zeros, file) == sizeof zeros) {
    }
    fclose(file);
}

static char *disk; /* of 8 MiB */

static void training_on_a_full_disk(void **state) {
    (void)state;
    char *filler = us_path_join(disk, "filler"), *folder = us_path_join(disk, "training");
    struct us_task *first = us_small_training(folder, 30), *full = us_small_training(folder, 60);
    struct us_task *last = us_small_training(folder, 60);
    ASSERT_OK(us_fake_run(first));
    fill(filler);
    us_fake_number(full, "checkpoint.steps", 10);
    ASSERT_OK(us_fake_run(full));
    assert_int_equal(count_text(us_fake_warnings(full), "No space left on device"), 4 + 3);
    assert_non_null(strstr(us_fake_warnings(full), "cannot save the training at step 40: "));
    assert_non_null(strstr(us_fake_warnings(full), "the checkpoint before it stands"));
    assert_int_equal(us_small_files(folder), 1);
    assert_int_equal(unlink(filler), 0);
    us_fake_cancel_after(last, 12 + 32); /* 60 from the start */
    ASSERT_OK(us_fake_run(last));
    assert_string_equal(us_fake_warnings(last), "");
    assert_int_equal(us_small_files(folder), 2);
    us_small_same(last, full);
    us_fake_destroy(first);
    us_fake_destroy(full);
    us_fake_destroy(last);
    us_free(folder);
    us_free(filler);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (file) {
        fputs(text, file);
        fclose(file);
    }
}

/* In a namespace of its own: this one's when allowed, else one where this user may mount. */
static bool mount_small(const char *folder) {
    char map[64];
    snprintf(map, sizeof map, "0 %d 1", (int)getuid());
    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            return false;
        }
        write_text("/proc/self/uid_map", map);
    }
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", folder, "tmpfs", 0, "size=8m") == 0;
}

static int on_a_small_disk(const char *folder) {
    disk = us_path_join(folder, "small");
    if (mkdir(disk, 0777) != 0 || !mount_small(disk)) {
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(training_on_a_full_disk)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    us_free(disk);
    return failed;
}

int main(int argc, char **argv) {
    if (argc == 3) {
        return strcmp(argv[1], "write") == 0 ? write_all_the_time(argv[2])
                                             : on_a_small_disk(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_jump_of_the_loss_is_undone),
        cmocka_unit_test(the_guard_can_be_off),
        cmocka_unit_test(stopping_changes_nothing_of_it),
        cmocka_unit_test(trouble_that_stays_is_an_error),
        cmocka_unit_test(crops_that_are_not_finite_do_no_harm),
        cmocka_unit_test(an_exploding_rate_is_an_error),
        cmocka_unit_test(older_checkpoints_become_sparse),
        cmocka_unit_test(what_killed_writers_left_goes),
        cmocka_unit_test(a_kill_while_it_writes_harms_nothing),
        cmocka_unit_test(a_full_disk_does_not_stop_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
