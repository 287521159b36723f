/* What a device's trainer says it takes, against what it takes of the emulated device. */
#include <cuda_runtime_api.h>

#include "kernels/nn/model.h"
#include "tests/kernels/cuda_trainer_fixture.h"

enum { SIZE = 32, KEPT = 400 };

/* Upper bounds for what operations work in, which is known once convolutions are chosen. */
static const size_t workspace = (size_t)256 << 20, workspace_of_model = (size_t)64 << 20;
static const size_t reserve = (size_t)256 << 20; /* of the device, not given to faces */

static size_t free_bytes(void) {
    size_t available, total;
    assert_int_equal(cudaMemGetInfo(&available, &total), cudaSuccess);
    return available;
}

static struct us_nn_memory parts_of(const struct us_nn_trainer_config *config) {
    struct us_nn_memory memory;
    size_t bytes;
    assert_int_equal(us_nn_trainer_memory_parts(config, &memory), US_NN_OK);
    assert_int_equal(us_nn_trainer_memory(config, &bytes), US_NN_OK);
    assert_int_equal(bytes, us_nn_memory_sum(&memory));
    return memory;
}

static size_t streams_scratch(const struct us_nn_trainer *trainer) {
    const struct cu_trainer *t = (const struct cu_trainer *)trainer;
    size_t sum = 0;
    for (int i = 0; i < t->block_count; i++) {
        const void *at = t->blocks[i].at;
        const bool scratch = at == &t->scratch[0] || at == &t->scratch[CU_STREAMS - 1];
        sum += scratch ? t->blocks[i].bytes : 0;
    }
    return sum;
}

static void check(struct us_nn_trainer_config *config) {
    struct us_nn_trainer *trainer;
    config->device = GPU;
    const struct us_nn_memory memory = parts_of(config);
    const size_t before = free_bytes(), sum = us_nn_memory_sum(&memory);
    assert_int_equal(us_nn_trainer_create(config, &trainer), US_NN_OK);
    const size_t taken = before - free_bytes();
    assert_int_equal(taken - streams_scratch(trainer), sum - workspace);
    assert_true(taken <= sum);
    us_nn_trainer_destroy(trainer);
    assert_int_equal(free_bytes(), before);
}

static void the_sum_is_what_create_takes(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("df-ud", 64);
    check(&config);
    const struct us_nn_memory single = parts_of(&config);
    assert_int_equal(single.host, 0);
    config.bf16 = true;
    check(&config);
    assert_int_equal(parts_of(&config).weights, single.weights + single.gradients / 2);
    config = config_of("liae-ud", 32);
    config.optimizer.average_decay = 0;
    check(&config);
    config.batch = 4;
    const struct us_nn_memory at_once = parts_of(&config);
    config.pass = 1; /* 4 passes: sums of 1 and of 2 wait */
    check(&config);
    const struct us_nn_memory passes = parts_of(&config);
    assert_int_equal(passes.gradients, 3 * at_once.gradients);
    assert_true(passes.activations < at_once.activations);
    config = config_of("df-ud", 64);
    config.adversaries = (struct us_nn_adversaries){.true_face = 0.01f, .gan = 0.1f, .gan_dims = 8};
    check(&config);
    const struct us_nn_memory judged = parts_of(&config);
    assert_true(judged.adversaries > 0);
    assert_int_equal(judged.optimizer, single.optimizer);
    config = config_of("comb", 64);
    config.arch.identities = 3;
    config.arch.size = 32;
    check(&config);
    assert_true(parts_of(&config).host > 0);
}

static void little_room_is_no_failure_of_the_question(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("df-ud", 64);
    config.device = GPU;
    const struct us_nn_memory memory = parts_of(&config);
    us_emulation_set_memory(1 << 20);
    const struct us_nn_memory again = parts_of(&config);
    us_emulation_set_memory(0);
    assert_memory_equal(&memory, &again, sizeof memory);
}

static struct us_nn_kept_faces make_faces(const uint16_t **faces, struct us_priority_spot *spots,
                                          const uint16_t *face) {
    for (int i = 0; i < KEPT; i++) {
        faces[i] = face;
    }
    return (struct us_nn_kept_faces){.faces = faces, .spots = spots, .count = KEPT};
}

/* With `room` on the device beside the trainer; true when faces come step by step. */
static bool check_kept(size_t room) {
    static const uint16_t *faces[KEPT];
    static const uint16_t face[SIZE * SIZE * 4];
    static struct us_priority_spot spots[KEPT * US_PRIORITY_SPOTS];
    static const size_t counts[US_NN_IDENTITIES] = {KEPT, KEPT};
    struct us_nn_trainer_config config = config_of("df-ud", SIZE);
    struct us_nn_trainer *trainer;
    const struct us_nn_kept_faces kept = make_faces(faces, spots, face);
    config.device = GPU;
    assert_int_equal(us_nn_trainer_create(&config, &trainer), US_NN_OK);
    us_emulation_set_memory(us_emulation_used() + room);
    const size_t before = free_bytes();
    assert_int_equal(before, room);
    const struct us_nn_kept_memory said = us_nn_trainer_kept_memory(&config, counts, before);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(us_nn_trainer_keep_faces(trainer, i, &kept), US_NN_OK);
    }
    assert_int_equal(before - free_bytes(), said.device);
    assert_int_equal(said.streamed, us_nn_trainer_note(trainer) != NULL);
    us_nn_trainer_destroy(trainer);
    us_emulation_set_memory(0);
    return said.streamed;
}

static void kept_faces_are_counted(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("comb", 64);
    const size_t counts[US_NN_IDENTITIES] = {KEPT, KEPT};
    const size_t each = (size_t)KEPT * SIZE * SIZE * 4 * sizeof(uint16_t);
    assert_false(check_kept(reserve + 4 * each));
    assert_true(check_kept(reserve + each + each / 2)); /* those of the second do not fit */
    assert_true(check_kept(reserve));
    config.device = GPU;
    config.arch.size = 32; /* until it is grown, it takes batches */
    assert_int_equal(us_nn_trainer_kept_memory(&config, counts, workspace * 8).device, 0);
    config.device = US_NN_CPU;
    assert_int_equal(us_nn_trainer_kept_memory(&config, counts, workspace * 8).device, 0);
}

static void a_model_says_what_it_takes(void **state) {
    (void)state;
    const struct us_nn_trainer_config trained = config_of("df-ud", 64);
    const struct us_nn_model_config config = {
        .device = GPU, .arch = trained.arch, .batch = 1, .threads = 1};
    struct us_nn_memory memory;
    struct us_nn_layout layout;
    struct us_nn_model *model;
    assert_int_equal(us_nn_layout_init(&layout, &trained.arch), US_NN_OK);
    float *parameters = us_nn_alloc(layout.count * sizeof *parameters);
    assert_int_equal(us_nn_model_memory(&config, &memory), US_NN_OK);
    const size_t before = free_bytes(), sum = us_nn_memory_sum(&memory);
    assert_int_equal(us_nn_model_create(&config, parameters, &model), US_NN_OK);
    assert_in_range(before - free_bytes(), sum - workspace_of_model, sum);
    us_nn_model_destroy(model);
    us_nn_free(parameters);
    us_nn_layout_finish(&layout);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_what_create_takes),
        cmocka_unit_test(little_room_is_no_failure_of_the_question),
        cmocka_unit_test(kept_faces_are_counted),
        cmocka_unit_test(a_model_says_what_it_takes),
    };
    nn_set_cuda_engine(&us_cuda_trainer_table);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
