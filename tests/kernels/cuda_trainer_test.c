/* The trainer of a GPU, run on the emulation, against the processor's. */
#include <math.h>
#include <string.h>

#include "emulation.h"
#include "kernels/cuda/trainer_internal.h"
#include "kernels/half.h"
#include "kernels/nn/engine_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "tests/support/check.h"

enum { FACES = 2, GPU = 1 };

static float *picture(int size, int planes, uint32_t stream) {
    float *values = us_nn_alloc((size_t)(planes * size * size) * sizeof *values);
    for (int i = 0; i < planes * size * size; i++) {
        uint32_t words[4];
        us_philox(3, stream, 0, (uint64_t)i, words);
        const float wave = sinf((float)(i % size) * 0.2f + (float)(i / size) * 0.13f);
        values[i] = 0.5f + 0.3f * wave + 0.1f * (us_philox_unit(words[0]) - 0.5f);
    }
    return values;
}

static struct us_nn_batch make_batch(int size, int identities) {
    struct us_nn_batch batch = {0};
    for (uint32_t i = 0; i < (uint32_t)identities; i++) {
        batch.faces[i].inputs = picture(size, 3 * FACES, 10 + i);
        batch.faces[i].targets = picture(size, 3 * FACES, 20 + i);
        batch.faces[i].masks = picture(size, FACES, 30 + i);
        batch.faces[i].priorities = picture(size, FACES, 40 + i);
    }
    return batch;
}

static void free_batch(struct us_nn_batch *batch) {
    for (int i = 0; i < US_NN_IDENTITIES; i++) {
        us_nn_free((float *)batch->faces[i].inputs);
        us_nn_free((float *)batch->faces[i].targets);
        us_nn_free((float *)batch->faces[i].masks);
        us_nn_free((float *)batch->faces[i].priorities);
    }
}

static struct us_nn_trainer_config config_of(const char *name, int resolution) {
    struct us_nn_trainer_config config = {
        .arch =
            {.resolution = resolution, .ae_dims = 8, .e_dims = 6, .d_dims = 5, .d_mask_dims = 4},
        .optimizer = us_nn_optimizer_usual(US_NN_ADABELIEF),
        .loss = us_nn_loss_usual(),
        .batch = FACES,
        .threads = 1,
        .seed = 11,
    };
    config.loss.priority = 3;
    config.optimizer.clip_norm = 1;
    config.optimizer.average_decay = 0.9f;
    assert_true(us_nn_arch_parse(name, &config.arch));
    return config;
}

static struct us_nn_trainer *create(const struct us_nn_trainer_config *config, int device) {
    struct us_nn_trainer *trainer;
    struct us_nn_trainer_config own = *config;
    own.device = device;
    const char *problem = us_nn_trainer_problem(&own);
    if (problem) {
        fail_msg("%s", problem);
    }
    assert_int_equal(us_nn_trainer_create(&own, &trainer), US_NN_OK);
    return trainer;
}

static float *read_buffer(struct us_nn_trainer *trainer, enum us_nn_buffer buffer) {
    float *flat = us_nn_alloc(us_nn_trainer_layout(trainer)->count * sizeof *flat);
    assert_int_equal(us_nn_trainer_read(trainer, buffer, flat), US_NN_OK);
    return flat;
}

static double distance(const float *a, const float *b, size_t count, double *norm) {
    double sum = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = (double)a[i] - (double)b[i];
        sum += d * d;
        square += (double)a[i] * (double)a[i];
    }
    *norm = sqrt(square);
    return sqrt(sum);
}

/* Every slice of a buffer is the same within a part of its norm. */
static void assert_slices(struct us_nn_trainer *a, struct us_nn_trainer *b,
                          enum us_nn_buffer buffer, double tolerance) {
    const struct us_nn_layout *layout = us_nn_trainer_layout(a);
    float *x = read_buffer(a, buffer), *y = read_buffer(b, buffer);
    double whole, largest = 0;
    distance(x, y, layout->count, &whole);
    for (int i = 0; i < layout->slice_count; i++) {
        const struct us_nn_slice *slice = &layout->slices[i];
        double norm;
        const double off = distance(x + slice->offset, y + slice->offset, slice->count, &norm);
        const double part = off / (norm + 1e-4 * whole);
        largest = part > largest ? part : largest;
        if (!(part <= tolerance)) {
            fail_msg("%s: off by %g of %g", slice->name, off, norm);
        }
    }
    print_message("    slices within %.2g\n", largest);
    us_nn_free(x);
    us_nn_free(y);
}

static double apart(struct us_nn_trainer *a, struct us_nn_trainer *b, enum us_nn_buffer buffer) {
    double norm;
    float *x = read_buffer(a, buffer), *y = read_buffer(b, buffer);
    const double off = distance(x, y, us_nn_trainer_layout(a)->count, &norm);
    us_nn_free(x);
    us_nn_free(y);
    return off;
}

static void assert_losses(const struct us_nn_losses *a, const struct us_nn_losses *b,
                          int identities, double tolerance) {
    for (int i = 0; i < identities; i++) {
        const double *x = &a->faces[i].dssim, *y = &b->faces[i].dssim;
        for (int k = 0; k < 5; k++) {
            ASSERT_NEAR(y[k], x[k], tolerance * fabs(x[k]));
        }
        assert_true(a->faces[i].total > 0);
    }
    ASSERT_NEAR(b->total, a->total, tolerance * a->total);
    ASSERT_NEAR(b->gradient_norm, a->gradient_norm, 100 * tolerance * a->gradient_norm);
}

static void gradients_of(struct us_nn_trainer_config config, const char *name, bool bf16) {
    const int resolution = config.arch.resolution;
    const int identities = us_nn_arch_identities(&config.arch);
    struct us_nn_trainer *cpu = create(&config, US_NN_CPU);
    config.bf16 = bf16;
    struct us_nn_trainer *gpu = create(&config, GPU);
    struct us_nn_batch batch = make_batch(resolution, identities);
    struct us_nn_losses a, b, c;
    assert_int_equal(us_nn_trainer_gradients(cpu, &batch, &a), US_NN_OK);
    assert_int_equal(us_nn_trainer_gradients(gpu, &batch, &b), US_NN_OK);
    assert_int_equal(us_nn_trainer_evaluate(gpu, &batch, &c), US_NN_OK);
    print_message("%s %d %s: loss %.6f, %.6f\n", name, resolution, bf16 ? "bf16" : "f32", a.total,
                  b.total);
    assert_losses(&a, &b, identities, bf16 ? 1e-2 : 1e-5);
    assert_true(b.total == c.total);
    assert_slices(cpu, gpu, US_NN_GRADIENTS, bf16 ? 0.3 : 2e-4);
    free_batch(&batch);
    us_nn_trainer_destroy(cpu);
    us_nn_trainer_destroy(gpu);
}

static void gradients_agree(const char *name, int resolution, bool bf16) {
    gradients_of(config_of(name, resolution), name, bf16);
}

static struct us_nn_trainer_config comb_of(int size, bool fading) {
    struct us_nn_trainer_config config = config_of("df", 32);
    config.arch = (struct us_nn_arch){.family = US_NN_COMB,
                                      .resolution = 32,
                                      .ae_dims = 6,
                                      .e_dims = 7,
                                      .d_dims = 9,
                                      .d_mask_dims = 4,
                                      .identities = 3,
                                      .size = size,
                                      .fading = fading,
                                      .fade = 0.3f};
    return config;
}

static void test_a_comb_on_its_way(void **state) {
    (void)state;
    gradients_of(comb_of(0, false), "comb", false);
    gradients_of(comb_of(16, true), "comb at 16", false);
    const struct us_nn_trainer_config config = comb_of(16, true);
    struct us_nn_trainer *cpu = create(&config, US_NN_CPU), *gpu = create(&config, GPU);
    enum { AREA = 32 * 32 };
    float *face = picture(32, 3, 5), a[4 * AREA], b[4 * AREA];
    us_nn_trainer_set_fade(cpu, 0.8f);
    us_nn_trainer_set_fade(gpu, 0.8f);
    assert_int_equal(us_nn_trainer_infer(cpu, (enum us_nn_side)2, face, 1, a, a + 3 * AREA), 0);
    assert_int_equal(us_nn_trainer_infer(gpu, (enum us_nn_side)2, face, 1, b, b + 3 * AREA), 0);
    for (int i = 0; i < 4 * AREA; i++) {
        ASSERT_NEAR(b[i], a[i], 1e-5);
    }
    float *flat = read_buffer(cpu, US_NN_PARAMETERS); /* with layers of other sizes */
    assert_int_equal(us_nn_trainer_write(gpu, US_NN_PARAMETERS, flat), US_NN_OK);
    float *back = read_buffer(gpu, US_NN_PARAMETERS);
    assert_memory_equal(flat, back, us_nn_trainer_layout(gpu)->count * sizeof *flat);
    us_nn_free(flat);
    us_nn_free(back);
    us_nn_free(face);
    us_nn_trainer_destroy(cpu);
    us_nn_trainer_destroy(gpu);
}

static void test_gradients_agree(void **state) {
    (void)state;
    gradients_agree("df", 32, false);
    gradients_agree("df-ud", 64, false);
    gradients_agree("df-udt", 64, false);
    gradients_agree("df-c", 32, false);
    gradients_agree("liae", 32, false);
    gradients_agree("liae-udt", 64, false);
}

static void test_gradients_in_bf16(void **state) {
    (void)state;
    gradients_agree("df-u", 32, true);
    gradients_agree("liae-ud", 64, true);
}

static void test_many_steps_stay_together(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("df-ud", 32);
    config.optimizer.epsilon = 1e-3f; /* small gradients that differ make small differences */
    struct us_nn_trainer *cpu = create(&config, US_NN_CPU), *gpu = create(&config, GPU);
    struct us_nn_batch batch = make_batch(32, 2);
    struct us_nn_losses a, b;
    double first = 0;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(us_nn_trainer_step(cpu, &batch, &a), US_NN_OK);
        assert_int_equal(us_nn_trainer_step(gpu, &batch, &b), US_NN_OK);
        assert_losses(&a, &b, 2, 1e-3);
        first = i == 0 ? b.total : first;
    }
    assert_true(b.total < first);
    assert_int_equal(us_nn_trainer_steps(gpu), 20);
    struct us_nn_trainer *start = create(&config, GPU);
    static const enum us_nn_buffer buffers[] = {US_NN_PARAMETERS, US_NN_AVERAGE};
    for (int i = 0; i < 2; i++) {
        const double way = apart(start, cpu, buffers[i]), off = apart(gpu, cpu, buffers[i]);
        print_message("    %g from the processor's after a way of %g\n", off, way);
        assert_true(way > 0 && off < 0.05 * way);
    }
    us_nn_trainer_destroy(start);
    free_batch(&batch);
    us_nn_trainer_destroy(cpu);
    us_nn_trainer_destroy(gpu);
}

static void assert_same_bits(struct us_nn_trainer *a, struct us_nn_trainer *b) {
    static const enum us_nn_buffer buffers[] = {US_NN_PARAMETERS, US_NN_MOMENT1, US_NN_MOMENT2,
                                                US_NN_AVERAGE};
    for (int i = 0; i < 4; i++) {
        float *x = read_buffer(a, buffers[i]), *y = read_buffer(b, buffers[i]);
        assert_memory_equal(x, y, us_nn_trainer_layout(a)->count * sizeof *x);
        us_nn_free(x);
        us_nn_free(y);
    }
}

static void poison(struct us_nn_trainer *trainer) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    assert_int_equal(cudaMemset(t->memory, 0xFF, t->net.plan.size), cudaSuccess);
    for (int i = 0; i < CU_STREAMS; i++) {
        assert_int_equal(cudaMemset(t->scratch[i], 0xFF, t->net.scratch), cudaSuccess);
    }
}

static void steps(struct us_nn_trainer *trainer, const struct us_nn_batch *batch, int count,
                  bool poisoned) {
    struct us_nn_losses losses;
    for (int i = 0; i < count; i++) {
        if (poisoned) {
            poison(trainer);
        }
        assert_int_equal(us_nn_trainer_step(trainer, batch, &losses), US_NN_OK);
    }
}

static void test_replay_poison_and_resume_change_no_bit(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("df-ud", 32);
    config.bf16 = true;
    config.optimizer.rate_dropout = 0.3f;
    struct us_nn_batch batch = make_batch(32, 2);
    struct us_nn_trainer *captured = create(&config, GPU), *plain = create(&config, GPU);
    ((struct cu_trainer *)plain)->uncaptured = true;
    steps(captured, &batch, 5, false);
    steps(plain, &batch, 5, true);
    assert_non_null(((struct cu_trainer *)captured)->from_batch.exec);
    assert_null(((struct cu_trainer *)plain)->from_batch.exec);
    assert_same_bits(captured, plain);

    struct us_nn_trainer *resumed = create(&config, GPU);
    static const enum us_nn_buffer buffers[] = {US_NN_PARAMETERS, US_NN_MOMENT1, US_NN_MOMENT2,
                                                US_NN_AVERAGE};
    for (int i = 0; i < 4; i++) {
        float *flat = read_buffer(captured, buffers[i]);
        assert_int_equal(us_nn_trainer_write(resumed, buffers[i], flat), US_NN_OK);
        us_nn_free(flat);
    }
    us_nn_trainer_set_steps(resumed, us_nn_trainer_steps(captured));
    steps(captured, &batch, 3, false);
    steps(resumed, &batch, 3, false);
    assert_same_bits(captured, resumed);
    free_batch(&batch);
    us_nn_trainer_destroy(captured);
    us_nn_trainer_destroy(plain);
    us_nn_trainer_destroy(resumed);
}

static void test_a_loss_that_is_not_finite_moves_nothing(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = config_of("df", 32);
    struct us_nn_trainer *hit = create(&config, GPU), *spared = create(&config, GPU);
    struct us_nn_batch batch = make_batch(32, 2), bad = make_batch(32, 2);
    struct us_nn_losses losses;
    ((float *)bad.faces[1].targets)[7] = NAN;
    steps(hit, &batch, 2, false);
    assert_int_equal(us_nn_trainer_step(hit, &bad, &losses), US_NN_NOT_FINITE);
    assert_false(losses.finite);
    assert_true(losses.faces[0].total < 1e9);
    assert_true(!(losses.faces[1].total < 1e9));
    assert_int_equal(us_nn_trainer_steps(hit), 2);
    steps(hit, &batch, 2, false);
    steps(spared, &batch, 4, false);
    assert_same_bits(hit, spared);
    free_batch(&batch);
    free_batch(&bad);
    us_nn_trainer_destroy(hit);
    us_nn_trainer_destroy(spared);
}

static void test_faces_come_out_as_on_the_processor(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = config_of("df-ud", 32);
    struct us_nn_trainer *cpu = create(&config, US_NN_CPU), *gpu = create(&config, GPU);
    enum { COUNT = 3, AREA = 32 * 32 };
    float *faces = picture(32, 3 * COUNT, 5);
    float *a = us_nn_alloc(4 * COUNT * AREA * sizeof *a),
          *b = us_nn_alloc(4 * COUNT * AREA * sizeof *b);
    for (int side = 0; side < 2; side++) {
        assert_int_equal(
            us_nn_trainer_infer(cpu, (enum us_nn_side)side, faces, COUNT, a, a + 3 * COUNT * AREA),
            US_NN_OK);
        assert_int_equal(
            us_nn_trainer_infer(gpu, (enum us_nn_side)side, faces, COUNT, b, b + 3 * COUNT * AREA),
            US_NN_OK);
        for (int i = 0; i < 4 * COUNT * AREA; i++) {
            ASSERT_NEAR(b[i], a[i], 1e-5);
        }
    }
    float *flat = read_buffer(gpu, US_NN_PARAMETERS);
    struct us_nn_model *model;
    const struct us_nn_model_config one = {
        .device = GPU, .arch = config.arch, .batch = 1, .threads = 1};
    assert_int_equal(us_nn_model_create(&one, flat, &model), US_NN_OK);
    assert_int_equal(us_nn_model_infer(model, US_NN_DESTINATION, faces, COUNT, b, NULL), US_NN_OK);
    for (int i = 0; i < 3 * COUNT * AREA; i++) {
        ASSERT_NEAR(b[i], a[i], 1e-5);
    }
    us_nn_model_destroy(model);
    us_nn_free(flat);
    us_nn_free(faces);
    us_nn_free(a);
    us_nn_free(b);
    us_nn_trainer_destroy(cpu);
    us_nn_trainer_destroy(gpu);
}

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

/* Steps from kept faces are those from batches, but for rounding; streamed faces change no bit. */
static void test_drawn_steps_are_batches(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("df-ud", SIZE);
    config.optimizer.epsilon = 1e-3f;
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

static void test_too_little_memory_is_said_beforehand(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_of("df-ud", 64);
    size_t bytes, more;
    config.device = GPU;
    assert_int_equal(us_nn_trainer_memory(&config, &bytes), US_NN_OK);
    config.batch = 64;
    assert_int_equal(us_nn_trainer_memory(&config, &more), US_NN_OK);
    assert_true(more > bytes + (64 - FACES) * 2 * 64 * 64 * 20);
    us_emulation_set_memory(bytes);
    assert_non_null(strstr(us_nn_trainer_problem(&config), "MiB more"));
    us_emulation_set_memory(0);
    assert_null(us_nn_trainer_problem(&config));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_agree),
        cmocka_unit_test(test_gradients_in_bf16),
        cmocka_unit_test(test_a_comb_on_its_way),
        cmocka_unit_test(test_many_steps_stay_together),
        cmocka_unit_test(test_replay_poison_and_resume_change_no_bit),
        cmocka_unit_test(test_a_loss_that_is_not_finite_moves_nothing),
        cmocka_unit_test(test_faces_come_out_as_on_the_processor),
        cmocka_unit_test(test_drawn_steps_are_batches),
        cmocka_unit_test(test_too_little_memory_is_said_beforehand),
    };
    nn_set_cuda_engine(&us_cuda_trainer_table);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
