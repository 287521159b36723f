/* What a training says it takes on devices, before its faces are there. The devices are only
 * described. */
#include <string.h>

#include "kernels/nn/engine_internal.h"
#include "nodes/learn/training_team.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"
#include "tests/support/small_training.h"

extern const struct us_node_type us_node_train_swap, us_node_infer_swap;

enum { PORTS = 4, SIZE = 64, FACES = 50 };

static struct us_arena arena;
static const int ordinals[] = {3, 1};
static struct us_device_memory has[2];

static int finish(void **state) {
    (void)state;
    us_arena_finish(&arena);
    return 0;
}

static struct us_memory ask(const struct us_task *task, size_t devices) {
    static struct us_geometry crops;
    crops = (struct us_geometry){.size = SIZE, .count = FACES};
    const struct us_geometries inputs[PORTS] = {{&crops, 1}, {&crops, 1}};
    const struct us_outlook outlook = {.params = us_task_params(task),
                                       .inputs = inputs,
                                       .arena = &arena,
                                       .threads = 2,
                                       .devices = ordinals,
                                       .device_memory = has,
                                       .device_count = devices};
    struct us_memory memory = {.arena = &arena};
    ASSERT_OK(us_node_train_swap.memory(&outlook, &memory));
    return memory;
}

static size_t part(const struct us_memory *memory, int place, const char *name) {
    size_t bytes = 0;
    for (size_t i = 0; i < memory->count; i++) {
        const struct us_memory_part *at = &memory->parts[i];
        bytes += at->place == place && strcmp(at->name, name) == 0 ? at->bytes : 0;
    }
    return bytes;
}

static void set_free(size_t bytes) {
    has[0] = has[1] = (struct us_device_memory){.total = (size_t)80 << 30, .free = bytes};
}

static void each_rank_has_a_device(void **state) {
    (void)state;
    struct us_task *task = us_small_bare(us_test_folder(), 10);
    us_fake_number(task, "batch", 4);
    set_free((size_t)40 << 30);
    const struct us_memory one = ask(task, 1), two = ask(task, 2);
    assert_true(us_memory_sum(&one, 3) > 0);
    assert_int_equal(us_memory_sum(&one, 1), 0);
    assert_int_equal(us_memory_sum(&two, 1), us_memory_sum(&two, 3));
    assert_int_equal(part(&two, 1, "weights"), part(&one, 3, "weights"));
    assert_true(part(&two, 1, "activations") < part(&one, 3, "activations"));
    assert_int_equal(part(&two, 1, "faces"), part(&one, 3, "faces"));
    assert_in_range(part(&one, 3, "faces"), 2 * FACES * SIZE * SIZE * 8,
                    2 * FACES * (SIZE * SIZE * 8 + 256));
    assert_int_equal(part(&two, US_HOST_MEMORY, "faces"), 2 * part(&one, US_HOST_MEMORY, "faces"));
    assert_int_equal(part(&two, US_HOST_MEMORY, "weights"), 0);
    us_fake_number(task, "ranks", 4); /* two of them a device */
    const struct us_memory four = ask(task, 2);
    assert_int_equal(part(&four, 1, "weights"), 2 * part(&one, 3, "weights"));
    us_fake_destroy(task);
}

static void faces_that_do_not_fit_come_step_by_step(void **state) {
    (void)state;
    struct us_task *task = us_small_bare(us_test_folder(), 10);
    set_free((size_t)40 << 30);
    const struct us_memory whole = ask(task, 1);
    set_free(us_memory_sum(&whole, 3));
    const struct us_memory streamed = ask(task, 1);
    assert_int_equal(part(&streamed, 3, "faces"), 0);
    assert_true(part(&streamed, 3, "faces of a step") > 0);
    assert_true(us_memory_sum(&streamed, 3) < us_memory_sum(&whole, 3));
    assert_int_equal(part(&streamed, 3, "activations"), part(&whole, 3, "activations"));
    us_fake_destroy(task);
}

static void ranks_are_as_many_as_devices_when_the_batch_splits(void **state) {
    (void)state;
    struct train_params p = {.arch = "df", .batch = 6};
    assert_int_equal(us_ranks_wanted(&p, 4), 3);
    assert_int_equal(us_ranks_wanted(&p, 0), 0);
    p.ranks = 2;
    assert_int_equal(us_ranks_wanted(&p, 4), 2);
    p = (struct train_params){.arch = "comb", .batch = 4}; /* as the others */
    assert_int_equal(us_ranks_wanted(&p, 4), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rank_has_a_device),
        cmocka_unit_test(faces_that_do_not_fit_come_step_by_step),
        cmocka_unit_test(ranks_are_as_many_as_devices_when_the_batch_splits),
    };
    nn_set_cuda_engine(&us_cuda_trainer_table);
    return cmocka_run_group_tests(tests, NULL, finish);
}
