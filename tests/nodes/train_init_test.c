/* A shot's training that starts from a base, as docs/training.md says ("Starting from a model"):
 * what is kept is kept, what is reset starts again, and it begins with a lower loss than one from
 * nothing. */
#include <string.h>

#include "nodes/learn/model_file.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/fake_crops.h"
#include "tests/support/fake_task.h"
#include "tests/support/small_training.h"

enum { BASE_STEPS = 600, FIRST_STEPS = 25, PEOPLE = 6 };

static const struct way {
    const char *arch, *reset[2];
} ways[] = {{"df", {"inter"}}, {"liae", {"inter_AB", "inter_B"}}};
enum { WAYS = sizeof ways / sizeof *ways };
static struct us_task *bases[WAYS];

static struct us_task *bare(const struct way *way, int steps) {
    char *folder = us_small_folder();
    struct us_task *task = us_small_bare(folder, steps);
    us_free(folder);
    us_fake_text(task, "arch", way->arch);
    return task;
}

/* Many people on both sides, not warped, mirrored. */
static struct us_task *train_base(const struct way *way) {
    struct us_task *task = bare(way, BASE_STEPS);
    for (int i = 0; i < PEOPLE; i++) {
        us_small_faces(task, "source", 2 + i, 6, (struct us_fake_crop){0});
        us_small_faces(task, "destination", 2 + PEOPLE + i, 6, (struct us_fake_crop){0});
    }
    us_fake_number(task, "random_warp", 0);
    us_fake_text(task, "flip", "both");
    ASSERT_OK(us_fake_run(task));
    return task;
}

/* Two people that the base has not seen. */
static struct us_task *make_shot(const struct way *way, int steps, const struct us_task *base) {
    struct us_task *task = bare(way, steps);
    us_small_faces(task, "source", 0, 6, (struct us_fake_crop){0});
    us_small_faces(task, "destination", 1, 6, (struct us_fake_crop){0});
    if (base) {
        us_fake_input(task, "init_from", 0, (struct us_frame){0, 0},
                      us_value_ref(us_fake_output(base, "model")));
        for (int i = 0; i < 2 && way->reset[i]; i++) {
            us_fake_append(task, "reset", way->reset[i]);
        }
    }
    return task;
}

static double first_loss(const struct way *way, const struct us_task *base) {
    struct us_task *task = make_shot(way, FIRST_STEPS, base);
    ASSERT_OK(us_fake_run(task));
    json_t *line = us_small_last_line(task); /* the mean of all steps so far */
    const double loss = us_small_number(line, "loss");
    json_decref(line);
    us_fake_destroy(task);
    return loss;
}

static struct us_swap_model model_of(const struct us_task *task) {
    struct us_value *value = us_fake_output(task, "model");
    struct us_swap_model model = {0};
    ASSERT_OK(us_swap_model_parse(value->bytes, value->size, &model));
    return model;
}

/* The weights before the first step: a step that moves nothing is made of them. */
static struct us_swap_model at_start(const struct way *way, const struct us_task *base) {
    struct us_task *task = make_shot(way, 1, base);
    us_fake_number(task, "lr", 0);
    us_fake_number(task, "average", 0);
    ASSERT_OK(us_fake_run(task));
    const struct us_swap_model model = model_of(task);
    us_fake_destroy(task);
    return model;
}

static bool is_reset(const struct way *way, const char *name) {
    bool reset = false;
    for (int i = 0; i < 2 && way->reset[i]; i++) {
        const size_t length = strlen(way->reset[i]);
        reset |= strncmp(name, way->reset[i], length) == 0 && name[length] == '.';
    }
    return reset;
}

static void it_begins_with_a_lower_loss(void **state) {
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        const double tuned = first_loss(&ways[i], bases[i]), scratch = first_loss(&ways[i], NULL);
        print_message("    %s: mean loss of the first %d steps %.3f, from nothing %.3f\n",
                      ways[i].arch, FIRST_STEPS, tuned, scratch);
        assert_true(tuned < 0.5 * scratch);
    }
}

static void check_parts(const struct way *way, const struct us_task *trained) {
    struct us_swap_model base = model_of(trained), tuned = at_start(way, trained);
    struct us_swap_model fresh = at_start(way, NULL);
    struct us_nn_layout layout;
    int kept = 0, reset = 0;
    assert_int_equal(us_nn_layout_init(&layout, &base.arch), US_NN_OK);
    for (int i = 0; i < layout.slice_count; i++) {
        const struct us_nn_slice *slice = &layout.slices[i];
        const size_t bytes = slice->count * sizeof(float);
        const float *now = tuned.parameters + slice->offset;
        const bool again = is_reset(way, slice->name);
        const struct us_swap_model *like = again ? &fresh : &base, *unlike = again ? &base : &fresh;
        assert_memory_equal(now, like->parameters + slice->offset, bytes);
        assert_memory_not_equal(now, unlike->parameters + slice->offset, bytes);
        kept += !again;
        reset += again;
    }
    assert_true(kept > 10 && reset >= 4);
    us_nn_layout_finish(&layout);
    us_swap_model_finish(&base);
    us_swap_model_finish(&tuned);
    us_swap_model_finish(&fresh);
}

static void what_is_not_reset_is_kept(void **state) {
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        check_parts(&ways[i], bases[i]);
    }
}

static int train_bases(void **state) {
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        bases[i] = train_base(&ways[i]);
    }
    return 0;
}

static int free_bases(void **state) {
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        us_fake_destroy(bases[i]);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_begins_with_a_lower_loss),
                                       cmocka_unit_test(what_is_not_reset_is_kept)};
    return cmocka_run_group_tests(tests, train_bases, free_bases);
}
