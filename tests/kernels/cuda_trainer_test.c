/* The trainer of a GPU, run on the emulation, against the processor's. */
#include "tests/kernels/cuda_trainer_fixture.h"

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

static bool touch_the_same(const struct cu_net *net, const struct cu_op *a, const struct cu_op *b) {
    for (int i = 0; i < a->access_count; i++) {
        for (int k = 0; k < b->access_count; k++) {
            const struct cu_access *x = &a->accesses[i], *y = &b->accesses[k];
            const char *at = cu_net_at(net, x->ref), *other = cu_net_at(net, y->ref);
            if ((x->write || y->write) && at && other && at < other + y->bytes &&
                other < at + x->bytes) {
                return true;
            }
        }
    }
    return false;
}

/* The emulation runs streams one after another, a device does not: whatever two operations of
 * different streams touch, one of them writing, the later waits for the earlier. */
static void test_streams_wait_for_one_another(void **state) {
    (void)state;
    static const char *const names[] = {"df-ud", "df", "liae-ud"};
    int apart = 0, waits = 0;
    for (int n = 0; n < 3; n++) {
        struct us_nn_trainer_config config = config_of(names[n], 64);
        config.adversaries = (struct us_nn_adversaries){
            .true_face = n == 0 ? 1 : 0, .gan = n == 1 ? 0 : 1, .gan_dims = 8};
        struct us_nn_trainer *trainer = create(&config, GPU);
        const struct cu_net *net = &((struct cu_trainer *)trainer)->net;
        int done[CU_STREAMS] = {-1, -1}; /* the other's last operation that is surely done */
        for (int i = 0; i < net->op_count; i++) {
            const struct cu_op *op = &net->ops[i];
            if (op->wait >= 0) {
                assert_true(op->wait < i && net->ops[op->wait].signal &&
                            net->ops[op->wait].stream != op->stream);
                assert_non_null(net->events[op->wait]);
                done[op->stream] = op->wait > done[op->stream] ? op->wait : done[op->stream];
                waits++;
            }
            for (int k = 0; k < i; k++) {
                if (net->ops[k].stream != op->stream && k > done[op->stream]) {
                    assert_false(touch_the_same(net, op, &net->ops[k]));
                    apart++;
                }
            }
        }
        us_nn_trainer_destroy(trainer);
    }
    assert_true(apart > 1000 && waits > 2);
    print_message("    %d waits, %d pairs free to run together\n", waits, apart);
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
        cmocka_unit_test(test_streams_wait_for_one_another),
        cmocka_unit_test(test_too_little_memory_is_said_beforehand),
    };
    nn_set_cuda_engine(&us_cuda_trainer_table);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
