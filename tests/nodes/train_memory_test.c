/* What a training says it takes before its faces are there. */
#include <string.h>

#include "nodes/learn/swap_outlook.h"
#include "nodes/learn/train_params.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/fake_task.h"
#include "tests/support/small_training.h"

extern const struct us_node_type us_node_train_swap, us_node_dataset, us_node_face_crop,
    us_node_infer_swap;

enum { PORTS = 4, SIZE = 64 };

static struct us_arena arena;

static int finish(void **state) {
    (void)state;
    us_arena_finish(&arena);
    return 0;
}

/* Crops of two persons at train_swap's ports, two takes of the first. */
struct shot {
    struct us_geometry source[2], destination, init;
    struct us_geometries inputs[PORTS];
};

static struct us_outlook look(struct shot *shot, const struct us_task *task, int size) {
    *shot = (struct shot){.source = {{.size = size, .count = 10}, {.size = size, .count = 20}},
                          .destination = {.size = size, .count = 5, .at_most = true}};
    shot->inputs[0] = (struct us_geometries){shot->source, 2};
    shot->inputs[1] = (struct us_geometries){&shot->destination, 1};
    return (struct us_outlook){
        .params = us_task_params(task), .inputs = shot->inputs, .arena = &arena, .threads = 1};
}

static struct us_memory ask(const struct us_outlook *outlook) {
    struct us_memory memory = {.arena = &arena};
    ASSERT_OK(us_node_train_swap.memory(outlook, &memory));
    return memory;
}

static size_t part(const struct us_memory *memory, const char *name) {
    for (size_t i = 0; i < memory->count; i++) {
        if (strcmp(memory->parts[i].name, name) == 0) {
            assert_int_equal(memory->parts[i].place, US_HOST_MEMORY);
            return memory->parts[i].bytes;
        }
    }
    return 0;
}

static void it_is_counted_part_by_part(void **state) {
    (void)state;
    struct us_task *task = us_small_bare(us_test_folder(), 10);
    struct shot shot;
    const struct us_outlook outlook = look(&shot, task, SIZE);
    const struct us_memory memory = ask(&outlook);
    struct us_nn_trainer_config config;
    struct us_nn_memory trainer;
    us_train_fill(outlook.params, SIZE, "log", 2, &config);
    assert_int_equal(us_nn_trainer_memory_parts(&config, &trainer), US_NN_OK);
    assert_int_equal(part(&memory, "weights"), trainer.weights);
    assert_int_equal(part(&memory, "gradients"), trainer.gradients);
    assert_int_equal(part(&memory, "optimizer and average"), trainer.optimizer);
    assert_int_equal(part(&memory, "activations"), trainer.activations);
    assert_in_range(part(&memory, "faces"), 35 * SIZE * SIZE * 8, 35 * (SIZE * SIZE * 8 + 4096));
    assert_true(part(&memory, "checkpoint") > 0);
    assert_true(part(&memory, "batches") >= 2 * 2 * 8 * SIZE * SIZE * sizeof(float));
    assert_int_equal(part(&memory, "model to start from"), 0);
    assert_string_equal(memory.note, "at most 35 faces, one a frame");
    assert_non_null(memory.hint);
    us_fake_destroy(task);
}

static void ranks_of_one_machine_share_its_memory(void **state) {
    (void)state;
    struct us_task *task = us_small_bare(us_test_folder(), 10);
    struct shot shot;
    const struct us_outlook outlook = look(&shot, task, SIZE);
    const struct us_memory one = ask(&outlook);
    us_fake_number(task, "ranks", 2);
    const struct us_memory two = ask(&outlook);
    assert_int_equal(part(&two, "weights"), 2 * part(&one, "weights"));
    assert_int_equal(part(&two, "faces"), 2 * part(&one, "faces"));
    assert_true(part(&two, "activations") < 2 * part(&one, "activations")); /* half a batch each */
    assert_int_equal(part(&two, "checkpoint"), part(&one, "checkpoint"));
    assert_string_equal(two.note, "2 ranks, at most 35 faces, one a frame");
    us_fake_destroy(task);
}

static void a_model_to_start_from_counts(void **state) {
    (void)state;
    struct us_task *task = us_small_bare(us_test_folder(), 10);
    struct shot shot;
    const struct us_outlook outlook = look(&shot, task, SIZE);
    shot.inputs[2] = (struct us_geometries){&shot.init, 1};
    const struct us_memory memory = ask(&outlook);
    assert_int_equal(4 * part(&memory, "model to start from"), part(&memory, "checkpoint"));
    us_fake_destroy(task);
}

static void what_is_not_known_is_said(void **state) {
    (void)state;
    struct us_task *task = us_small_bare(us_test_folder(), 10);
    struct shot shot;
    struct us_outlook outlook = look(&shot, task, 0);
    struct us_memory memory = ask(&outlook);
    assert_int_equal(memory.count, 0);
    assert_string_equal(memory.note, "not known before the size of its faces is");
    outlook = look(&shot, task, SIZE);
    shot.source[1].count = 0;
    memory = ask(&outlook);
    assert_string_equal(memory.note, "how many faces there are is not known");
    us_fake_destroy(task);
}

static void what_no_net_can_be_built_for_is_an_error(void **state) {
    (void)state;
    struct us_task *task = us_small_bare(us_test_folder(), 10);
    struct shot shot;
    struct us_memory memory = {.arena = &arena};
    const struct us_outlook outlook = look(&shot, task, 48);
    ASSERT_ERROR(us_node_train_swap.memory(&outlook, &memory),
                 "cannot train on crops of 48 px: the resolution must be a multiple of 32");
    us_fake_destroy(task);
}

static void geometry_flows_from_crop_to_swap(void **state) {
    (void)state;
    struct us_task *crop = us_fake_create(&us_node_face_crop);
    struct us_task *train = us_small_bare(us_test_folder(), 10);
    struct us_task *swap = us_fake_create(&us_node_infer_swap);
    us_fake_number(crop, "size", 128);
    us_fake_text(crop, "on_missing", "plate");
    struct us_geometry crops = {.count = 7}, faces = {0}, made[4] = {{0}}, drawn = {.count = 7};
    const struct us_outlook of_crop = {.params = us_task_params(crop), .arena = &arena};
    us_node_face_crop.describe(&of_crop, &crops);
    assert_int_equal(crops.size, 128);
    assert_true(crops.at_most);
    const struct us_geometries inputs[1] = {{&crops, 1}};
    us_node_dataset.describe(&(struct us_outlook){.inputs = inputs, .arena = &arena}, &faces);
    assert_int_equal(faces.size, 128);
    assert_int_equal(faces.count, 7);
    assert_true(faces.at_most);
    const struct us_geometries both[PORTS] = {{&faces, 1}, {&crops, 1}};
    us_node_train_swap.describe(
        &(struct us_outlook){.params = us_task_params(train), .inputs = both, .arena = &arena},
        made);
    const struct us_swap_outlook *model = made[0].about;
    assert_int_equal(model->arch.resolution, 128);
    assert_int_equal(model->arch.e_dims, 4);
    const struct us_geometries to_swap[2] = {{&made[0], 1}, {&crops, 1}};
    const struct us_outlook of_swap = {
        .params = us_task_params(swap), .inputs = to_swap, .arena = &arena, .threads = 1};
    us_node_infer_swap.describe(&of_swap, &drawn);
    assert_int_equal(drawn.size, 128);
    struct us_memory memory = {.arena = &arena};
    ASSERT_OK(us_node_infer_swap.memory(&of_swap, &memory));
    assert_true(part(&memory, "weights") > 0 && part(&memory, "activations") > 0);
    us_fake_destroy(crop);
    us_fake_destroy(train);
    us_fake_destroy(swap);
}

/* Crops from a node that does not say their size: the training looks again when it has them. */
static void it_is_refused_when_it_starts(void **state) {
    (void)state;
    struct us_task *task = us_small_bare(us_test_folder(), 10);
    us_small_faces(task, "source", 0, 3, (struct us_fake_crop){.size = 640});
    us_small_faces(task, "destination", 1, 3, (struct us_fake_crop){.size = 640});
    us_fake_number(task, "batch", 256);
    us_fake_number(task, "e_dims", 1024);
    us_fake_number(task, "d_dims", 1024);
    struct us_error *error = us_fake_run(task);
    assert_non_null(error);
    assert_int_equal(error->code, US_MISSING);
    assert_non_null(strstr(error->text, "the training takes "));
    assert_non_null(strstr(error->text, "TiB of memory, this machine has "));
    us_error_free(error);
    us_fake_destroy(task);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_counted_part_by_part),
        cmocka_unit_test(ranks_of_one_machine_share_its_memory),
        cmocka_unit_test(a_model_to_start_from_counts),
        cmocka_unit_test(what_is_not_known_is_said),
        cmocka_unit_test(what_no_net_can_be_built_for_is_an_error),
        cmocka_unit_test(geometry_flows_from_crop_to_swap),
        cmocka_unit_test(it_is_refused_when_it_starts),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}
