/* train_swap by two ranks: this program is started again as rank 1, as the real one would be. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/learn/growth.h"
#include "nodes/learn/team.h"
#include "nodes/learn/training_state.h"
#include "nodes/learn/training_team.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/fake_crops.h"
#include "tests/support/fake_task.h"
#include "tests/support/small_training.h"

enum { GROWN = 40 }; /* the step before which it is at 8 px, then at 16 */

/* Faces with a gain of 1e30 no net can draw. */
static struct us_task *comb(const char *folder, int ranks, int steps, double gain) {
    struct us_task *task = us_small_bare(folder, steps);
    const struct us_fake_crop crop = {.gain = gain};
    us_small_faces(task, "source", 0, 6, crop);
    us_small_faces(task, "destination", 1, 6, (struct us_fake_crop){0});
    us_small_faces(task, "others", 2, 6, (struct us_fake_crop){0});
    us_fake_text(task, "arch", "comb");
    us_fake_number(task, "grow.start", 8);
    us_fake_number(task, "grow.steps", GROWN);
    us_fake_number(task, "e_dims", 8);
    us_fake_number(task, "d_dims", 8);
    us_fake_number(task, "batch", 4);
    us_fake_number(task, "pass", 1);
    us_fake_number(task, "ranks", ranks);
    us_fake_number(task, "checkpoint.steps", 25);
    us_fake_threads(task, ranks);
    return task;
}

/* The steps from and to which a training went back, as its warnings say them. */
static int returns(const struct us_task *task, int from[4], int to[4]) {
    static const char words[] = ": training goes on from step ", at[] = "at step ";
    int count = 0;
    for (const char *text = us_fake_warnings(task); (text = strstr(text, words)) && count < 4;
         text += sizeof words - 1) {
        const char *before = text;
        while (strncmp(before, at, sizeof at - 1) != 0) {
            before--;
        }
        from[count] = atoi(before + sizeof at - 1) - 1;
        to[count++] = atoi(text + sizeof words - 1);
    }
    return count;
}

static struct us_task *go_wrong(const char *folder, int ranks, int from[4], int to[4]) {
    struct us_task *before = comb(folder, ranks, 64, 1), *wrong = comb(folder, ranks, 75, 1e30);
    ASSERT_OK(us_fake_run(before));
    ASSERT_OK(us_fake_run(wrong));
    assert_int_equal(returns(wrong, from, to), 3);
    us_fake_destroy(before);
    return wrong;
}

/* The source's faces become wrong ones: it goes back within a size, then to a smaller one, then to
 * the start, from where the wrong ones are the usual ones. */
static void ranks_go_back_to_a_smaller_size(void **state) {
    (void)state;
    char *folders[2] = {us_small_folder(), us_small_folder()};
    int from[2][4], to[2][4];
    struct us_task *one = go_wrong(folders[0], 1, from[0], to[0]);
    struct us_task *two = go_wrong(folders[1], 2, from[1], to[1]);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(from[0][k], from[1][k]);
        assert_int_equal(to[0][k], to[1][k]);
    }
    assert_true(from[1][0] > GROWN && to[1][0] > GROWN);
    assert_true(from[1][1] > GROWN && to[1][1] < GROWN);
    us_small_same(one, two);
    us_fake_destroy(one);
    us_fake_destroy(two);
    us_free(folders[0]);
    us_free(folders[1]);
}

static void a_rank_at_another_size_is_named(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *task = comb(folder, 2, 64, 1);
    struct us_training training;
    ASSERT_OK(us_training_open(&training, task, (struct us_training_ports){0, 1, 3}));
    ASSERT_OK(us_training_resume(&training, NULL));
    training.config.arch.size = 16;
    struct us_error *error = us_training_team_step(&training, 0);
    error = error ? error : us_training_team_check(&training); /* by then it has said so */
    us_training_close(&training, error);
    ASSERT_ERROR(error, "step 1 of rank 0 is at 16 px, but the net of rank 1 is at 8 px");
    us_fake_destroy(task);
    us_free(folder);
}

static void a_rank_that_dies_before_it_grows_is_named(void **state) {
    (void)state;
    char *folder = us_small_folder();
    struct us_task *before = comb(folder, 1, GROWN, 1), *task = comb(folder, 2, 64, 1);
    struct us_training training;
    ASSERT_OK(us_fake_run(before));
    ASSERT_OK(us_training_open(&training, task, (struct us_training_ports){0, 1, 3}));
    ASSERT_OK(us_training_resume(&training, NULL));
    assert_int_equal(kill(training.together.team->locals.pids[1], SIGKILL), 0);
    struct us_error *error = us_training_grow(&training);
    us_training_close(&training, error);
    assert_non_null(error);
    assert_string_equal(error->text, "the training of 2 ranks ends at step 40");
    assert_string_equal(error->hint, "run it again: it goes on from the last checkpoint");
    ASSERT_ERROR(error, "rank 1 is gone");
    us_fake_destroy(before);
    us_fake_destroy(task);
    us_free(folder);
}

static int serve(void) {
    bool serves = false;
    struct us_error *error = us_team_join(&serves);
    error = error || !serves ? error : us_team_serve(0);
    const bool fine = !error;
    us_error_free(error);
    return fine ? 0 : 1;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranks_go_back_to_a_smaller_size),
                                       cmocka_unit_test(a_rank_at_another_size_is_named),
                                       cmocka_unit_test(a_rank_that_dies_before_it_grows_is_named)};
    return argc > 1 && strcmp(argv[1], "rank") == 0 ? serve()
                                                    : cmocka_run_group_tests(tests, NULL, NULL);
}
