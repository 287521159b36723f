/* Steps whose faces stay on the device, run on the emulation, against those from batches. */
#include "tests/kernels/cuda_trainer_fixture.h"

/* Faces as a data set has them, and the batch that the processor makes of a turn. */
enum { SIZE = 32, KEPT = 5 };

struct kept {
    uint16_t *values;
    const uint16_t *faces[KEPT];
    struct us_priority_spot spots[KEPT][US_PRIORITY_SPOTS];
};

static struct kept *make_kept(uint32_t stream) {
    struct kept *k = us_nn_alloc(sizeof *k);
    const size_t face = (size_t)SIZE * SIZE * 4;
    k->values = us_nn_alloc(KEPT * face * sizeof *k->values);
    float *values = picture(SIZE, 4 * KEPT, stream);
    us_float_to_half(values, k->values, KEPT * face);
    us_nn_free(values);
    for (int i = 0; i < KEPT; i++) {
        k->faces[i] = k->values + (size_t)i * face;
        for (int s = 0; s < US_PRIORITY_SPOTS; s++) {
            k->spots[i][s] = (struct us_priority_spot){
                .x = 8.0f + (float)(3 * i), .y = 6.0f + (float)(8 * s), .ux = 0.3f, .vy = 0.4f};
        }
    }
    return k;
}

static void free_kept(struct kept *k) {
    us_nn_free(k->values);
    us_nn_free(k);
}

static struct us_nn_turn make_turn(uint64_t step) {
    struct us_nn_turn turn = {.step = step, .first_slot = 3};
    for (uint32_t i = 0; i < 2; i++) {
        turn.streams[i] = 16 + i;
        turn.ranges[i] = (struct us_augment_ranges){.rotation_degrees = 10,
                                                    .scale = 0.05,
                                                    .shift = 0.05,
                                                    .flip = 0.4,
                                                    .warp = 0.2,
                                                    .light = 0.02,
                                                    .hue_degrees = 3};
    }
    return turn;
}

static void fill_batch(struct us_nn_batch *batch, struct kept *const kept[2],
                       const struct us_nn_turn *turn, uint64_t seed) {
    const size_t area = (size_t)SIZE * SIZE;
    float *scratch = us_nn_alloc(us_augment_scratch(SIZE) * sizeof *scratch);
    for (int i = 0; i < 2; i++) {
        struct us_nn_faces *faces = &batch->faces[i];
        for (uint32_t k = 0; k < FACES; k++) {
            const uint32_t slot = turn->first_slot + k;
            const size_t pick = us_augment_pick(KEPT, seed, turn->streams[i], turn->step, slot);
            float *priority = (float *)faces->priorities + k * area;
            struct us_augment_job job = {.face = kept[i]->faces[pick],
                                         .input = (float *)faces->inputs + k * 3 * area,
                                         .target = (float *)faces->targets + k * 3 * area,
                                         .mask = (float *)faces->masks + k * area};
            us_augment_draw(&turn->ranges[i], SIZE, seed, turn->streams[i], turn->step, slot,
                            &job.draw);
            us_augment_run(&job, 1, SIZE, 1, scratch);
            for (int p = 0; p < SIZE * SIZE; p++) {
                const float *m = job.draw.affine;
                const float x = (float)(p % SIZE) + 0.5f, y = (float)(p / SIZE) + 0.5f;
                priority[p] = us_priority_at(kept[i]->spots[pick], m[0] * x + m[1] * y + m[2],
                                             m[3] * x + m[4] * y + m[5]);
            }
        }
    }
    us_nn_free(scratch);
}

static void keep(struct us_nn_trainer *trainer, struct kept *const kept[2]) {
    for (int i = 0; i < 2; i++) {
        const struct us_nn_kept_faces faces = {
            .faces = kept[i]->faces, .spots = kept[i]->spots[0], .count = KEPT};
        assert_int_equal(us_nn_trainer_keep_faces(trainer, i, &faces), US_NN_OK);
    }
}

static void assert_judged(const struct us_nn_losses *a, const struct us_nn_losses *b, bool judged) {
    for (int i = 0; i < 2; i++) {
        assert_true((a->faces[i].judge > 0.1) == judged);
        ASSERT_NEAR(b->faces[i].judge, a->faces[i].judge, 1e-4);
        ASSERT_NEAR(b->faces[i].adversarial, a->faces[i].adversarial, 1e-4);
    }
}

/* Steps from kept faces are those from batches, but for rounding; streamed faces change no bit. */
static void check_drawn_steps(int pass, struct us_nn_adversaries adversaries) {
    struct us_nn_trainer_config config = config_of("df-ud", SIZE);
    config.optimizer.epsilon = 1e-3f;
    config.pass = pass;
    config.adversaries = adversaries;
    struct us_nn_trainer *plain = create(&config, GPU), *drawn = create(&config, GPU),
                         *streamed = create(&config, GPU);
    struct kept *const kept[2] = {make_kept(50), make_kept(51)};
    struct us_nn_batch batch = make_batch(SIZE, 2);
    struct us_nn_losses a, b, c;
    struct us_nn_turn turn = make_turn(0);
    assert_int_equal(us_nn_trainer_step_drawn(drawn, &turn, &b), US_NN_UNSUPPORTED);
    keep(drawn, kept);
    us_emulation_set_memory(us_emulation_used() + ((size_t)1 << 20));
    keep(streamed, kept);
    us_emulation_set_memory(0);
    assert_null(us_nn_trainer_note(drawn));
    assert_non_null(us_nn_trainer_note(streamed));
    for (uint64_t step = 0; step < 5; step++) {
        turn = make_turn(step + (step == 4)); /* the last is not the one expected */
        fill_batch(&batch, kept, &turn, config.seed);
        assert_int_equal(us_nn_trainer_step(plain, &batch, &a), US_NN_OK);
        assert_int_equal(us_nn_trainer_step_drawn(drawn, &turn, &b), US_NN_OK);
        assert_int_equal(us_nn_trainer_step_drawn(streamed, &turn, &c), US_NN_OK);
        assert_losses(&a, &b, 2, 1e-4);
        assert_judged(&a, &b, adversaries.gan > 0);
    }
    assert_non_null(((struct cu_trainer *)drawn)->from_faces.exec);
    assert_same_bits(drawn, streamed);
    free_batch(&batch);
    free_kept(kept[0]);
    free_kept(kept[1]);
    us_nn_trainer_destroy(plain);
    us_nn_trainer_destroy(drawn);
    us_nn_trainer_destroy(streamed);
}

static void test_drawn_steps_are_batches(void **state) {
    (void)state;
    check_drawn_steps(0, (struct us_nn_adversaries){0});
}

static void test_drawn_steps_in_passes_are_batches(void **state) {
    (void)state;
    check_drawn_steps(1, (struct us_nn_adversaries){0});
}

static void test_so_are_those_against_discriminators(void **state) {
    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        check_drawn_steps(
            pass, (struct us_nn_adversaries){.true_face = 0.1f, .gan = 0.1f, .gan_dims = 8});
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawn_steps_are_batches),
        cmocka_unit_test(test_drawn_steps_in_passes_are_batches),
        cmocka_unit_test(test_so_are_those_against_discriminators),
    };
    nn_set_cuda_engine(&us_cuda_trainer_table);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
