/* Training against discriminators on a GPU, run on the emulation, against the processor's. */
#include "tests/kernels/cuda_trainer_fixture.h"

static struct us_nn_trainer_config against(const char *name, float true_face, float gan) {
    struct us_nn_trainer_config config = config_of(name, 32);
    config.optimizer = us_nn_optimizer_usual(US_NN_ADAM);
    config.optimizer.clip_norm = 0.2f;
    config.optimizer.average_decay = 0.9f;
    config.adversaries =
        (struct us_nn_adversaries){.true_face = true_face, .gan = gan, .gan_dims = 8};
    return config;
}

static float *read_judges(const struct us_nn_trainer *trainer) {
    const size_t count = us_nn_trainer_judge_count(trainer);
    float *flat = us_nn_alloc(count * sizeof *flat);
    assert_true(count > 0);
    assert_int_equal(us_nn_trainer_read_judges(trainer, flat), US_NN_OK);
    return flat;
}

static void assert_same_judges(struct us_nn_trainer *a, struct us_nn_trainer *b) {
    float *x = read_judges(a), *y = read_judges(b);
    assert_int_equal(us_nn_trainer_judge_count(a), us_nn_trainer_judge_count(b));
    assert_memory_equal(x, y, us_nn_trainer_judge_count(a) * sizeof *x);
    us_nn_free(x);
    us_nn_free(y);
}

/* Of all slices, the one that differs most, as a part of its norm. */
static double farthest(const struct us_nn_layout *layout, const float *x, const float *y) {
    double whole, most = 0;
    distance(x, y, layout->count, &whole);
    for (int i = 0; i < layout->slice_count; i++) {
        const struct us_nn_slice *s = &layout->slices[i];
        double norm;
        const double off = distance(x + s->offset, y + s->offset, s->count, &norm);
        const double part = off / (norm + 1e-4 * whole);
        most = part > most ? part : most;
    }
    return most;
}

static double gradients_apart(struct us_nn_trainer *a, struct us_nn_trainer *b) {
    float *x = read_buffer(a, US_NN_GRADIENTS), *y = read_buffer(b, US_NN_GRADIENTS);
    const double most = farthest(us_nn_trainer_layout(a), x, y);
    us_nn_free(x);
    us_nn_free(y);
    return most;
}

/* The first moments after one step are what the judges' gradients were. */
static double judges_apart(struct us_nn_trainer *cpu, struct us_nn_trainer *gpu) {
    const struct cu_trainer *t = (const struct cu_trainer *)gpu;
    float *x = read_judges(cpu), *y = read_judges(gpu);
    size_t at = 0;
    double most = 0;
    for (int i = 0; i < NN_JUDGES; i++) {
        if (t->judges[i]) {
            const struct us_nn_layout *layout = &t->judges[i]->layout;
            const size_t first = at + layout->count;
            const double part = farthest(layout, x + first, y + first);
            most = part > most ? part : most;
            at += 3 * layout->count;
        }
    }
    assert_int_equal(at, us_nn_trainer_judge_count(cpu));
    us_nn_free(x);
    us_nn_free(y);
    return most;
}

static void assert_judged(const struct us_nn_losses *a, const struct us_nn_losses *b,
                          double tolerance) {
    for (int i = 0; i < 2; i++) {
        ASSERT_NEAR(b->faces[i].adversarial, a->faces[i].adversarial,
                    tolerance * a->faces[i].adversarial);
        ASSERT_NEAR(b->faces[i].judge, a->faces[i].judge, tolerance * a->faces[i].judge);
    }
}

static void compare(struct us_nn_trainer_config config, const char *name, bool bf16) {
    struct us_nn_trainer *cpu = create(&config, US_NN_CPU);
    config.bf16 = bf16;
    struct us_nn_trainer *gpu = create(&config, GPU);
    struct us_nn_batch batch = make_batch(32, 2);
    struct us_nn_losses a, b;
    const struct us_nn_adversaries *with = &config.adversaries;
    assert_int_equal(us_nn_trainer_gradients(cpu, &batch, &a), US_NN_OK);
    assert_int_equal(us_nn_trainer_gradients(gpu, &batch, &b), US_NN_OK);
    assert_true((a.faces[0].judge > 0) == (with->gan > 0));
    assert_true((b.faces[1].judge > 0) == (with->true_face > 0));
    assert_losses(&a, &b, 2, bf16 ? 1e-2 : 1e-5);
    assert_judged(&a, &b, bf16 ? 1e-2 : 1e-5);
    const double own = gradients_apart(cpu, gpu);
    assert_int_equal(us_nn_trainer_update(cpu), US_NN_OK);
    assert_int_equal(us_nn_trainer_update(gpu), US_NN_OK);
    const double judges = judges_apart(cpu, gpu);
    print_message("%s %s, true face %g, gan %g: slices within %.2g, the judges' within %.2g\n",
                  name, bf16 ? "bf16" : "f32", (double)with->true_face, (double)with->gan, own,
                  judges);
    /* The codes of two people, rounded, are what a fresh net hardly tells apart. */
    assert_true(own < (bf16 ? 0.3 : 2e-4) && judges < (bf16 ? 0.4 : 2e-4));
    free_batch(&batch);
    us_nn_trainer_destroy(cpu);
    us_nn_trainer_destroy(gpu);
}

static void test_gradients_agree(void **state) {
    (void)state;
    compare(against("df-ud", 2, 0), "df-ud", false);
    compare(against("df-ud", 0, 2), "df-ud", false);
    compare(against("df-ud", 0.5f, 0.5f), "df-ud", false);
    compare(against("df", 3, 3), "df", false);
    compare(against("liae-ud", 0, 2), "liae-ud", false);
    struct us_nn_trainer_config config = against("df-ud", 0, 2);
    config.loss.masked = false;
    compare(config, "df-ud, unmasked", false);
}

/* Whose concatenations have padding between their parts. */
static void test_odd_widths_and_patches(void **state) {
    (void)state;
    struct us_nn_trainer_config config = against("df-ud", 0, 2);
    config.adversaries.gan_dims = 5;
    config.adversaries.gan_patch = 9;
    compare(config, "df-ud, width 5", false);
    config.adversaries.gan_dims = 12;
    config.adversaries.gan_patch = 24;
    compare(config, "df-ud, width 12", false);
}

static void test_gradients_in_bf16(void **state) {
    (void)state;
    compare(against("df-ud", 0.5f, 0.5f), "df-ud", true);
    compare(against("liae-ud", 0, 0.5f), "liae-ud", true);
}

/* The gradient of what a judge costs reaches the net: not with it, another one. */
static void test_they_pull(void **state) {
    (void)state;
    const struct us_nn_trainer_config off = against("df-ud", 0, 0), code = against("df-ud", 2, 0),
                                      face = against("df-ud", 0, 2);
    struct us_nn_trainer *trainers[3] = {create(&off, GPU), create(&code, GPU), create(&face, GPU)};
    struct us_nn_batch batch = make_batch(32, 2);
    struct us_nn_losses losses;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(us_nn_trainer_gradients(trainers[i], &batch, &losses), US_NN_OK);
        assert_true(i > 0 || us_nn_trainer_judge_count(trainers[i]) == 0);
    }
    assert_true(gradients_apart(trainers[0], trainers[1]) > 0.05);
    assert_true(gradients_apart(trainers[0], trainers[2]) > 0.05);
    assert_int_equal(us_nn_trainer_evaluate(trainers[2], &batch, &losses), US_NN_OK);
    assert_true(losses.faces[0].adversarial == 0 && losses.faces[0].judge == 0);
    free_batch(&batch);
    for (int i = 0; i < 3; i++) {
        us_nn_trainer_destroy(trainers[i]);
    }
}

static void test_many_steps_stay_together(void **state) {
    (void)state;
    struct us_nn_trainer_config config = against("df-ud", 0.05f, 0.1f);
    config.optimizer.epsilon = 1e-3f; /* small gradients that differ make small differences */
    struct us_nn_trainer *cpu = create(&config, US_NN_CPU), *gpu = create(&config, GPU);
    struct us_nn_batch batch = make_batch(32, 2);
    struct us_nn_losses a, b;
    float *start = read_judges(gpu);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(us_nn_trainer_step(cpu, &batch, &a), US_NN_OK);
        assert_int_equal(us_nn_trainer_step(gpu, &batch, &b), US_NN_OK);
        assert_losses(&a, &b, 2, 1e-3);
        assert_judged(&a, &b, 1e-3);
    }
    assert_non_null(((struct cu_trainer *)gpu)->from_batch.exec);
    double norm;
    const size_t count = us_nn_trainer_judge_count(gpu);
    float *x = read_judges(cpu), *y = read_judges(gpu);
    const double way = distance(start, x, count, &norm), off = distance(x, y, count, &norm);
    print_message("    judges %g from the processor's after a way of %g\n", off, way);
    assert_true(way > 0 && off < 0.05 * way);
    us_nn_free(start);
    us_nn_free(x);
    us_nn_free(y);
    free_batch(&batch);
    us_nn_trainer_destroy(cpu);
    us_nn_trainer_destroy(gpu);
}

/* Rate dropout is of the net alone: all of a judge's weights move, as on the processor. */
static void test_rate_dropout_spares_judges(void **state) {
    (void)state;
    struct us_nn_trainer_config config = against("df-ud", 0.5f, 0.5f);
    config.optimizer.epsilon = 1e-3f;
    config.optimizer.rate_dropout = 0.3f;
    struct us_nn_trainer *cpu = create(&config, US_NN_CPU), *gpu = create(&config, GPU);
    struct us_nn_batch batch = make_batch(32, 2);
    struct us_nn_losses losses;
    float *start = read_judges(gpu);
    assert_int_equal(us_nn_trainer_step(cpu, &batch, &losses), US_NN_OK);
    assert_int_equal(us_nn_trainer_step(gpu, &batch, &losses), US_NN_OK);
    const size_t count = us_nn_trainer_judge_count(gpu);
    float *x = read_judges(cpu), *y = read_judges(gpu);
    double norm;
    const double way = distance(start, x, count, &norm), off = distance(x, y, count, &norm);
    assert_true(way > 0 && off < 0.01 * way);
    us_nn_free(start);
    us_nn_free(x);
    us_nn_free(y);
    free_batch(&batch);
    us_nn_trainer_destroy(cpu);
    us_nn_trainer_destroy(gpu);
}

static void poison(struct us_nn_trainer *trainer) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    assert_int_equal(cudaMemset(t->memory, 0xFF, t->net.plan.size), cudaSuccess);
    for (int i = 0; i < NN_JUDGES; i++) {
        const struct cu_judge *j = t->judges[i];
        if (j) {
            assert_int_equal(cudaMemset(j->memory, 0xFF, j->net.plan.size), cudaSuccess);
        }
    }
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

/* Everything, from one trainer to another. */
static void hand_over(struct us_nn_trainer *from, struct us_nn_trainer *to) {
    static const enum us_nn_buffer buffers[] = {US_NN_PARAMETERS, US_NN_MOMENT1, US_NN_MOMENT2,
                                                US_NN_AVERAGE};
    for (int i = 0; i < 4; i++) {
        float *flat = read_buffer(from, buffers[i]);
        assert_int_equal(us_nn_trainer_write(to, buffers[i], flat), US_NN_OK);
        us_nn_free(flat);
    }
    float *judges = read_judges(from);
    assert_int_equal(us_nn_trainer_write_judges(to, judges), US_NN_OK);
    us_nn_free(judges);
    us_nn_trainer_set_steps(to, us_nn_trainer_steps(from));
}

static void replay_of(struct us_nn_trainer_config config) {
    config.optimizer.rate_dropout = 0.3f;
    struct us_nn_batch batch = make_batch(32, 2);
    struct us_nn_trainer *captured = create(&config, GPU), *plain = create(&config, GPU),
                         *resumed = create(&config, GPU);
    ((struct cu_trainer *)plain)->uncaptured = true;
    steps(captured, &batch, 4, false);
    steps(plain, &batch, 4, true);
    assert_non_null(((struct cu_trainer *)captured)->from_batch.exec);
    assert_null(us_nn_trainer_note(captured));
    assert_null(((struct cu_trainer *)plain)->from_batch.exec);
    assert_same_bits(captured, plain);
    assert_same_judges(captured, plain);
    steps(resumed, &batch, 1, false); /* whose judges are something else by now */
    hand_over(captured, resumed);
    steps(captured, &batch, 3, false);
    steps(resumed, &batch, 3, false);
    assert_same_bits(captured, resumed);
    assert_same_judges(captured, resumed);
    free_batch(&batch);
    us_nn_trainer_destroy(captured);
    us_nn_trainer_destroy(plain);
    us_nn_trainer_destroy(resumed);
}

static void test_replay_poison_and_resume_change_no_bit(void **state) {
    (void)state;
    struct us_nn_trainer_config config = against("df-ud", 0.05f, 0.1f);
    replay_of(config);
    config.bf16 = true;
    replay_of(config);
}

/* What the processor's training saved goes on on a device, and can be begun again. */
static void test_states_travel(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = against("df-ud", 0.05f, 0.1f);
    struct us_nn_trainer *cpu = create(&config, US_NN_CPU), *gpu = create(&config, GPU);
    struct us_nn_batch batch = make_batch(32, 2);
    assert_same_judges(cpu, gpu); /* the first weights */
    float *first = read_judges(gpu);
    steps(cpu, &batch, 2, false);
    hand_over(cpu, gpu);
    assert_same_judges(cpu, gpu);
    assert_int_equal(us_nn_trainer_write_judges(gpu, NULL), US_NN_OK);
    float *again = read_judges(gpu);
    assert_memory_equal(first, again, us_nn_trainer_judge_count(gpu) * sizeof *first);
    us_nn_free(first);
    us_nn_free(again);
    free_batch(&batch);
    us_nn_trainer_destroy(cpu);
    us_nn_trainer_destroy(gpu);
}

/* Weights that overflow what reads them. */
static void spoil(struct us_nn_trainer *trainer, int which) {
    struct cu_judge *j = ((struct cu_trainer *)trainer)->judges[which];
    const float huge = 3e38f;
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(cudaMemcpy(j->masters + i, &huge, sizeof huge, cudaMemcpyHostToDevice),
                         cudaSuccess);
    }
}

static void not_finite(int which, bool captured) {
    const struct us_nn_trainer_config config = against("df-ud", 0.05f, 0.1f);
    struct us_nn_trainer *hit = create(&config, GPU), *spared = create(&config, GPU);
    struct us_nn_batch batch = make_batch(32, 2), bad = make_batch(32, 2);
    struct us_nn_losses losses;
    ((struct cu_trainer *)hit)->uncaptured = !captured;
    steps(hit, &batch, 2, false);
    steps(spared, &batch, 2, false);
    if (which < NN_JUDGES) {
        spoil(hit, which);
    } else {
        ((float *)bad.faces[0].targets)[5] = NAN;
    }
    float *before = read_judges(hit);
    assert_int_equal(us_nn_trainer_step(hit, which < NN_JUDGES ? &batch : &bad, &losses),
                     US_NN_NOT_FINITE);
    float *after = read_judges(hit), *kept = read_judges(spared);
    assert_memory_equal(before, after, us_nn_trainer_judge_count(hit) * sizeof *before);
    assert_false(losses.finite);
    assert_int_equal(us_nn_trainer_steps(hit), 2);
    assert_same_bits(hit, spared);
    assert_int_equal(us_nn_trainer_write_judges(hit, kept), US_NN_OK);
    steps(hit, &batch, 2, false);
    steps(spared, &batch, 2, false);
    assert_same_bits(hit, spared);
    assert_same_judges(hit, spared);
    us_nn_free(before);
    us_nn_free(after);
    us_nn_free(kept);
    free_batch(&batch);
    free_batch(&bad);
    us_nn_trainer_destroy(hit);
    us_nn_trainer_destroy(spared);
}

static void test_what_is_not_finite_moves_nothing(void **state) {
    (void)state;
    for (int which = 0; which <= NN_JUDGES; which++) {
        not_finite(which, true);
        not_finite(which, false);
    }
}

/* Its convolutions use the scratch of the stream that it is on, which has room for them. */
static void test_a_judge_works_in_the_scratch_of_its_stream(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = against("df-ud", 0.05f, 0.1f);
    struct us_nn_trainer *trainer = create(&config, GPU);
    const struct cu_trainer *t = (const struct cu_trainer *)trainer;
    int judges = 0;
    for (int i = 0; i < t->net.op_count; i++) {
        const struct cu_op *op = &t->net.ops[i];
        if (op->judge) {
            assert_true(op->phase == CU_JUDGE);
            assert_ptr_equal(op->judge->net.scratches[0], t->scratch[op->stream]);
            assert_true(us_emulation_is_device(t->scratch[op->stream], op->judge->net.scratch));
            judges++;
        }
    }
    assert_int_equal(judges, NN_JUDGES);
    us_nn_trainer_destroy(trainer);
}

static void test_their_memory_is_counted(void **state) {
    (void)state;
    struct us_nn_trainer_config off = against("df-ud", 0, 0), on = against("df-ud", 0.05f, 0.1f);
    size_t without, with;
    off.device = on.device = GPU;
    assert_int_equal(us_nn_trainer_memory(&off, &without), US_NN_OK);
    assert_int_equal(us_nn_trainer_memory(&on, &with), US_NN_OK);
    struct us_nn_trainer *trainer = create(&on, GPU);
    const struct cu_trainer *t = (const struct cu_trainer *)trainer;
    size_t judges = 0;
    for (int i = 0; i < NN_JUDGES; i++) {
        judges +=
            4 * t->judges[i]->params.arena_count * sizeof(float) + t->judges[i]->net.plan.size;
    }
    assert_true(with >= without + judges && with < without + judges + (1 << 20));
    us_nn_trainer_destroy(trainer);
    on = against("liae-ud", 0.05f, 0);
    on.device = GPU;
    assert_string_equal(us_nn_trainer_problem(&on),
                        "true_face.power is for the architecture df only");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_agree),
        cmocka_unit_test(test_odd_widths_and_patches),
        cmocka_unit_test(test_gradients_in_bf16),
        cmocka_unit_test(test_they_pull),
        cmocka_unit_test(test_many_steps_stay_together),
        cmocka_unit_test(test_rate_dropout_spares_judges),
        cmocka_unit_test(test_replay_poison_and_resume_change_no_bit),
        cmocka_unit_test(test_states_travel),
        cmocka_unit_test(test_what_is_not_finite_moves_nothing),
        cmocka_unit_test(test_a_judge_works_in_the_scratch_of_its_stream),
        cmocka_unit_test(test_their_memory_is_counted),
    };
    nn_set_cuda_engine(&us_cuda_trainer_table);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
