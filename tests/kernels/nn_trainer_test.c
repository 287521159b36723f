#include "kernels/nn/trainer.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/model.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/trainer_internal.h"
#include "tests/support/check.h"

enum { FACES = 2 };

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

static struct us_nn_batch make_batch(int size, int faces) {
    struct us_nn_batch batch;
    struct us_nn_faces *sides[] = {&batch.faces[0], &batch.faces[1]};
    for (uint32_t i = 0; i < 2; i++) {
        sides[i]->inputs = picture(size, 3 * faces, 10 + i);
        sides[i]->targets = picture(size, 3 * faces, 20 + i);
        sides[i]->masks = picture(size, faces, 30 + i);
    }
    return batch;
}

static void free_batch(struct us_nn_batch *batch) {
    const struct us_nn_faces *sides[] = {&batch->faces[0], &batch->faces[1]};
    for (int i = 0; i < 2; i++) {
        us_nn_free((float *)sides[i]->inputs);
        us_nn_free((float *)sides[i]->targets);
        us_nn_free((float *)sides[i]->masks);
    }
}

static struct us_nn_trainer_config small_config(const char *name, int resolution) {
    struct us_nn_trainer_config config = {
        .arch =
            {.resolution = resolution, .ae_dims = 5, .e_dims = 6, .d_dims = 7, .d_mask_dims = 5},
        .optimizer = us_nn_optimizer_usual(US_NN_ADABELIEF),
        .loss = us_nn_loss_usual(),
        .batch = FACES,
        .threads = 1,
        .seed = 11,
    };
    assert_true(us_nn_arch_parse(name, &config.arch));
    return config;
}

static struct us_nn_trainer *create(const struct us_nn_trainer_config *config) {
    struct us_nn_trainer *trainer;
    assert_int_equal(us_nn_trainer_create(config, &trainer), US_NN_OK);
    return trainer;
}

/* Whatever a step reads before it is written shows as NaN. */
static void poison(struct us_nn_trainer *trainer) {
    const struct nn_net *net = &((struct nn_cpu_trainer *)trainer)->net.net;
    memset(net->arena, 0xFF, net->plan.size);
}

static float *read_buffer(struct us_nn_trainer *trainer, enum us_nn_buffer buffer) {
    float *flat = us_nn_alloc(us_nn_trainer_layout(trainer)->count * sizeof *flat);
    assert_int_equal(us_nn_trainer_read(trainer, buffer, flat), US_NN_OK);
    return flat;
}

static double loss_at(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                      const float *flat) {
    struct us_nn_losses losses;
    assert_int_equal(us_nn_trainer_write(trainer, US_NN_PARAMETERS, flat), US_NN_OK);
    assert_int_equal(us_nn_trainer_evaluate(trainer, batch, &losses), US_NN_OK);
    return losses.total;
}

/* The derivative along a slice's own gradient is that gradient's length. */
static void check_slice(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                        const struct us_nn_slice *slice, float *flat, const float *gradient) {
    double length = 0;
    for (size_t i = slice->offset; i < slice->offset + slice->count; i++) {
        length += (double)gradient[i] * (double)gradient[i];
    }
    length = sqrt(length);
    assert_true(length > 0);
    const double step = fmin(2e-4 / length, 0.02);
    double sides[2];
    for (int s = 0; s < 2; s++) {
        const double move = (s ? -step : step) / length;
        float *moved = us_nn_alloc(us_nn_trainer_layout(trainer)->count * sizeof *moved);
        memcpy(moved, flat, us_nn_trainer_layout(trainer)->count * sizeof *moved);
        for (size_t i = slice->offset; i < slice->offset + slice->count; i++) {
            moved[i] += (float)(move * (double)gradient[i]);
        }
        sides[s] = loss_at(trainer, batch, moved);
        us_nn_free(moved);
    }
    const double slope = (sides[0] - sides[1]) / (2 * step);
    if (fabs(slope / length - 1) > 0.05 + 4e-6 / (step * length)) {
        fail_msg("%s: the loss has slope %g, the gradient says %g", slice->name, slope, length);
    }
}

/* Every `stride`th slice. */
static void check_gradients(const char *name, int resolution, int stride) {
    const struct us_nn_trainer_config config = small_config(name, resolution);
    const float growth = config.arch.cosine ? 0.8f : 2; /* x cos x bends more, the larger x is */
    struct us_nn_trainer *trainer = create(&config);
    struct us_nn_batch batch = make_batch(resolution, FACES);
    const struct us_nn_layout *layout = us_nn_trainer_layout(trainer);
    float *flat = read_buffer(trainer, US_NN_PARAMETERS);
    for (size_t i = 0; i < layout->count; i++) {
        uint32_t words[4];
        us_philox(4, 4, 4, i, words);
        flat[i] = growth * flat[i] + 0.05f * growth * (us_philox_unit(words[0]) - 0.5f);
    }
    assert_int_equal(us_nn_trainer_write(trainer, US_NN_PARAMETERS, flat), US_NN_OK);
    poison(trainer);
    struct us_nn_losses losses;
    assert_int_equal(us_nn_trainer_gradients(trainer, &batch, &losses), US_NN_OK);
    assert_true(losses.finite);
    float *gradient = read_buffer(trainer, US_NN_GRADIENTS);
    for (int i = 0; i < layout->slice_count; i += stride) {
        check_slice(trainer, &batch, &layout->slices[i], flat, gradient);
    }
    us_nn_free(flat);
    us_nn_free(gradient);
    free_batch(&batch);
    us_nn_trainer_destroy(trainer);
}

static void test_gradients_of_every_slice(void **state) {
    (void)state;
    check_gradients("df", 32, 7);
    check_gradients("df-u", 48, 5);
    check_gradients("df-d", 32, 5);
    check_gradients("df-ud", 64, 1);
    check_gradients("df-udt", 64, 9);
    check_gradients("df-c", 32, 5);
    check_gradients("liae", 32, 5);
    check_gradients("liae-ud", 64, 3);
    check_gradients("liae-utc", 64, 9);
}

static void test_training_learns(void **state) {
    (void)state;
    struct us_nn_trainer_config config = small_config("df-ud", 32);
    config.optimizer = us_nn_optimizer_usual(US_NN_ADAM);
    config.optimizer.rate = 3e-3f;
    struct us_nn_trainer *trainer = create(&config);
    struct us_nn_batch batch = make_batch(32, FACES);
    struct us_nn_losses first, last;
    assert_int_equal(us_nn_trainer_step(trainer, &batch, &first), US_NN_OK);
    for (int i = 0; i < 80; i++) {
        assert_int_equal(us_nn_trainer_step(trainer, &batch, &last), US_NN_OK);
    }
    assert_true(last.total < 0.7 * first.total);
    assert_true(last.faces[0].square < first.faces[0].square);
    assert_true(last.faces[1].mask < first.faces[1].mask);
    assert_int_equal(us_nn_trainer_steps(trainer), 81);
    free_batch(&batch);
    us_nn_trainer_destroy(trainer);
}

/* Stopped and resumed from its buffers, a training ends with the bits of one that never stopped. */
static void test_resumed_training_has_the_same_bits(void **state) {
    (void)state;
    struct us_nn_trainer_config config = small_config("df-ud", 32);
    config.optimizer.rate_dropout = 0.3f;
    config.optimizer.clip_norm = 1;
    config.optimizer.average_decay = 0.9f;
    struct us_nn_trainer *whole = create(&config), *half = create(&config);
    struct us_nn_batch batch = make_batch(32, FACES);
    struct us_nn_losses losses;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(us_nn_trainer_step(whole, &batch, &losses), US_NN_OK);
        if (i < 3) {
            assert_int_equal(us_nn_trainer_step(half, &batch, &losses), US_NN_OK);
        }
    }
    struct us_nn_trainer *resumed = create(&config);
    for (int b = US_NN_PARAMETERS; b <= US_NN_AVERAGE; b++) {
        float *flat = read_buffer(half, (enum us_nn_buffer)b);
        assert_int_equal(us_nn_trainer_write(resumed, (enum us_nn_buffer)b, flat), US_NN_OK);
        us_nn_free(flat);
    }
    us_nn_trainer_set_steps(resumed, us_nn_trainer_steps(half));
    poison(resumed);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(us_nn_trainer_step(resumed, &batch, &losses), US_NN_OK);
    }
    for (int b = US_NN_PARAMETERS; b <= US_NN_AVERAGE; b++) {
        float *a = read_buffer(whole, (enum us_nn_buffer)b);
        float *c = read_buffer(resumed, (enum us_nn_buffer)b);
        assert_memory_equal(a, c, us_nn_trainer_layout(whole)->count * sizeof *a);
        us_nn_free(a);
        us_nn_free(c);
    }
    us_nn_trainer_destroy(whole);
    us_nn_trainer_destroy(half);
    us_nn_trainer_destroy(resumed);
    free_batch(&batch);
}

static void test_bad_numbers_leave_the_model_alone(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = small_config("df-ud", 32);
    struct us_nn_trainer *trainer = create(&config);
    struct us_nn_batch batch = make_batch(32, FACES);
    float *before = read_buffer(trainer, US_NN_PARAMETERS);
    ((float *)batch.faces[0].targets)[17] = NAN;
    struct us_nn_losses losses;
    assert_int_equal(us_nn_trainer_step(trainer, &batch, &losses), US_NN_NOT_FINITE);
    assert_false(losses.finite);
    assert_true(isnan(losses.faces[US_NN_SOURCE].total) &&
                isfinite(losses.faces[US_NN_DESTINATION].total));
    float *after = read_buffer(trainer, US_NN_PARAMETERS);
    assert_memory_equal(before, after, us_nn_trainer_layout(trainer)->count * sizeof *before);
    assert_int_equal(us_nn_trainer_steps(trainer), 0);
    us_nn_free(before);
    us_nn_free(after);
    free_batch(&batch);
    us_nn_trainer_destroy(trainer);
}

/* More faces than the batch, through a trainer and through a model of another batch size. */
static void test_inference_does_not_depend_on_the_batch(void **state) {
    (void)state;
    const struct us_nn_trainer_config config = small_config("df-ud", 32);
    struct us_nn_trainer *trainer = create(&config);
    enum { COUNT = 5, AREA = 32 * 32 };
    float *faces = picture(32, 3 * COUNT, 40);
    float *images = picture(32, 6 * COUNT, 41), *masks = picture(32, 2 * COUNT, 42);
    assert_int_equal(us_nn_trainer_infer(trainer, US_NN_SOURCE, faces, COUNT, images, masks),
                     US_NN_OK);
    float *flat = read_buffer(trainer, US_NN_PARAMETERS);
    struct us_nn_model *model;
    const struct us_nn_model_config one = {.arch = config.arch, .batch = 1, .threads = 1};
    assert_int_equal(us_nn_model_create(&one, flat, &model), US_NN_OK);
    assert_int_equal(us_nn_model_infer(model, US_NN_SOURCE, faces, COUNT, images + 3 * COUNT * AREA,
                                       masks + COUNT * AREA),
                     US_NN_OK);
    for (int i = 0; i < 3 * COUNT * AREA; i++) {
        ASSERT_NEAR((double)images[3 * COUNT * AREA + i], (double)images[i], 1e-6);
        assert_true(images[i] >= 0 && images[i] <= 1);
    }
    for (int i = 0; i < COUNT * AREA; i++) {
        ASSERT_NEAR((double)masks[COUNT * AREA + i], (double)masks[i], 1e-6);
    }
    float *alone = picture(32, 3, 43), *other = picture(32, 3, 44);
    assert_int_equal(
        us_nn_trainer_infer(trainer, US_NN_SOURCE, faces + 3 * 3 * AREA, 1, alone, NULL), US_NN_OK);
    assert_memory_equal(alone, images + 3 * 3 * AREA, 3 * AREA * sizeof *alone);
    assert_int_equal(us_nn_trainer_infer(trainer, US_NN_DESTINATION, faces, 1, other, NULL),
                     US_NN_OK);
    assert_memory_not_equal(other, images, 3 * AREA * sizeof *other);
    float *blocks[] = {faces, images, masks, flat, alone, other};
    for (int i = 0; i < 6; i++) {
        us_nn_free(blocks[i]);
    }
    us_nn_model_destroy(model);
    us_nn_trainer_destroy(trainer);
}

static void check_bf16(const char *name) {
    struct us_nn_trainer_config config = small_config(name, 64);
    config.bf16 = true;
    struct us_nn_trainer *narrow = create(&config);
    config.bf16 = false;
    struct us_nn_trainer *wide = create(&config);
    struct us_nn_batch batch = make_batch(64, FACES);
    struct us_nn_losses a, b;
    poison(narrow);
    assert_int_equal(us_nn_trainer_gradients(narrow, &batch, &a), US_NN_OK);
    assert_int_equal(us_nn_trainer_gradients(wide, &batch, &b), US_NN_OK);
    ASSERT_NEAR(a.total, b.total, 0.01);
    float *g = read_buffer(narrow, US_NN_GRADIENTS), *h = read_buffer(wide, US_NN_GRADIENTS);
    double difference = 0, length = 0;
    for (size_t i = 0; i < us_nn_trainer_layout(wide)->count; i++) {
        difference += pow((double)(g[i] - h[i]), 2);
        length += pow((double)h[i], 2);
    }
    assert_true(difference < 0.12 * 0.12 * length);
    us_nn_free(g);
    us_nn_free(h);
    free_batch(&batch);
    us_nn_trainer_destroy(narrow);
    us_nn_trainer_destroy(wide);
}

static void test_bf16_follows_float(void **state) {
    (void)state;
    if (!us_nn_has_bf16()) {
        struct us_nn_trainer_config config = small_config("df-ud", 64);
        struct us_nn_trainer *none;
        config.bf16 = true;
        assert_int_equal(us_nn_trainer_create(&config, &none), US_NN_BAD_CONFIG);
        print_message("no bfloat16 on this processor: only the refusal is tested\n");
        return;
    }
    check_bf16("df-ud");
    check_bf16("liae-udc");
}

static void test_what_cannot_be_built_is_said(void **state) {
    (void)state;
    struct us_nn_trainer_config config = small_config("df-ud", 48);
    size_t bytes;
    assert_string_equal(us_nn_trainer_problem(&config),
                        "the resolution must be a multiple of 32 with option d");
    assert_int_equal(us_nn_trainer_memory(&config, &bytes), US_NN_BAD_CONFIG);
    config.arch.resolution = 64;
    assert_null(us_nn_trainer_problem(&config));
    assert_int_equal(us_nn_trainer_memory(&config, &bytes), US_NN_OK);
    assert_in_range(bytes, 1000000, 40000000);
    config.batch = 0;
    assert_string_equal(us_nn_trainer_problem(&config),
                        "the batch is out of range, allowed 1 to 256");
    config.batch = 256; /* only described, not allocated */
    config.arch.ae_dims = 1024;
    size_t more;
    assert_int_equal(us_nn_trainer_memory(&config, &more), US_NN_OK);
    assert_true(more > 20 * bytes);
}

struct job {
    const struct us_nn_trainer_config *config;
    const struct us_nn_batch *batch;
    float *parameters;
};

static void *train_in_a_thread(void *data) {
    struct job *job = data;
    struct us_nn_trainer *trainer = create(job->config);
    struct us_nn_losses losses;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(us_nn_trainer_step(trainer, job->batch, &losses), US_NN_OK);
    }
    job->parameters = read_buffer(trainer, US_NN_PARAMETERS);
    us_nn_trainer_destroy(trainer);
    return NULL;
}

static void test_any_thread_gets_the_same_bits(void **state) {
    (void)state;
    struct us_nn_trainer_config config = small_config("df-u", 32);
    config.threads = 2;
    struct us_nn_batch batch = make_batch(32, FACES);
    struct job here = {&config, &batch, NULL}, there = here;
    pthread_t thread;
    train_in_a_thread(&here);
    assert_int_equal(pthread_create(&thread, NULL, train_in_a_thread, &there), 0);
    pthread_join(thread, NULL);
    struct us_nn_layout layout;
    assert_int_equal(us_nn_layout_init(&layout, &config.arch), US_NN_OK);
    assert_memory_equal(here.parameters, there.parameters, layout.count * sizeof(float));
    us_nn_layout_finish(&layout);
    us_nn_free(here.parameters);
    us_nn_free(there.parameters);
    free_batch(&batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_of_every_slice),
        cmocka_unit_test(test_training_learns),
        cmocka_unit_test(test_resumed_training_has_the_same_bits),
        cmocka_unit_test(test_bad_numbers_leave_the_model_alone),
        cmocka_unit_test(test_inference_does_not_depend_on_the_batch),
        cmocka_unit_test(test_bf16_follows_float),
        cmocka_unit_test(test_what_cannot_be_built_is_said),
        cmocka_unit_test(test_any_thread_gets_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
