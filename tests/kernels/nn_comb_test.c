/* The architecture that grows: its sizes, its gradients on the way, and that growing keeps what was
 * learnt. */
#include <math.h>
#include <string.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/model.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/reduce_internal.h"
#include "kernels/nn/trainer_internal.h"
#include "tests/support/check.h"

enum { R = 32, FACES = 2, MOST = 3 };

static float *noise(size_t count, uint32_t stream) {
    float *values = us_nn_alloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        uint32_t words[4];
        us_philox(5, stream, 0, i, words);
        values[i] = us_philox_unit(words[0]);
    }
    return values;
}

static struct us_nn_batch make_batch(void) {
    struct us_nn_batch batch = {0};
    for (uint32_t i = 0; i < MOST; i++) {
        batch.faces[i].inputs = noise(FACES * 3 * R * R, 10 + i);
        batch.faces[i].targets = noise(FACES * 3 * R * R, 20 + i);
        batch.faces[i].masks = noise(FACES * R * R, 30 + i);
        batch.faces[i].priorities = noise(FACES * R * R, 40 + i);
    }
    return batch;
}

static void free_batch(struct us_nn_batch *batch) {
    for (int i = 0; i < MOST; i++) {
        us_nn_free((float *)batch->faces[i].inputs);
        us_nn_free((float *)batch->faces[i].targets);
        us_nn_free((float *)batch->faces[i].masks);
        us_nn_free((float *)batch->faces[i].priorities);
    }
}

static struct us_nn_trainer_config config_at(int size, bool fading, float fade) {
    struct us_nn_trainer_config config = {
        .arch = {.family = US_NN_COMB,
                 .resolution = R,
                 .ae_dims = 6,
                 .e_dims = 7,
                 .d_dims = 9,
                 .d_mask_dims = 4,
                 .identities = MOST,
                 .size = size,
                 .fading = fading,
                 .fade = fade},
        .optimizer = us_nn_optimizer_usual(US_NN_ADABELIEF),
        .loss = us_nn_loss_usual(),
        .batch = FACES,
        .threads = 1,
        .seed = 5,
    };
    config.loss.priority = 3;
    return config;
}

static struct us_nn_trainer *create(const struct us_nn_trainer_config *config) {
    struct us_nn_trainer *trainer;
    assert_int_equal(us_nn_trainer_create(config, &trainer), US_NN_OK);
    return trainer;
}

static void poison(struct us_nn_trainer *trainer) {
    const struct nn_net *net = &((struct nn_cpu_trainer *)trainer)->net.net;
    memset(net->arena, 0xFF, net->plan.size);
}

static float *read_buffer(struct us_nn_trainer *trainer, enum us_nn_buffer buffer) {
    float *flat = us_nn_alloc(us_nn_trainer_layout(trainer)->count * sizeof *flat);
    assert_int_equal(us_nn_trainer_read(trainer, buffer, flat), US_NN_OK);
    return flat;
}

static double loss_of(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                      const float *flat) {
    struct us_nn_losses losses;
    assert_int_equal(us_nn_trainer_write(trainer, US_NN_PARAMETERS, flat), US_NN_OK);
    poison(trainer);
    assert_int_equal(us_nn_trainer_evaluate(trainer, batch, &losses), US_NN_OK);
    return losses.total;
}

/* Along a slice's own gradient the loss rises by the gradient's length. */
static void check_slice(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                        const struct us_nn_slice *slice, const float *flat, const float *gradient) {
    const size_t count = us_nn_trainer_layout(trainer)->count;
    float *moved = us_nn_alloc(count * sizeof *moved);
    double length = 0, sides[2];
    for (size_t i = slice->offset; i < slice->offset + slice->count; i++) {
        length += (double)gradient[i] * (double)gradient[i];
    }
    length = sqrt(length);
    const double step = fmin(5e-4 / (length + 1e-9), 0.01);
    for (int s = 0; s < 2; s++) {
        memcpy(moved, flat, count * sizeof *moved);
        for (size_t i = slice->offset; i < slice->offset + slice->count; i++) {
            moved[i] += (float)((s ? -step : step) / length * (double)gradient[i]);
        }
        sides[s] = loss_of(trainer, batch, moved);
    }
    const double slope = (sides[0] - sides[1]) / (2 * step);
    if (!(length > 0) || fabs(slope / length - 1) > 0.06 + 1e-5 / (step * length)) {
        fail_msg("%s: the loss has slope %g, the gradient says %g", slice->name, slope, length);
    }
    us_nn_free(moved);
}

static void check_gradients(int size, bool fading, int stride) {
    const struct us_nn_trainer_config config = config_at(size, fading, 0.4f);
    struct us_nn_trainer *trainer = create(&config);
    struct us_nn_batch batch = make_batch();
    const struct us_nn_layout *layout = us_nn_trainer_layout(trainer);
    float *flat = read_buffer(trainer, US_NN_PARAMETERS);
    for (size_t i = 0; i < layout->count; i++) {
        uint32_t words[4];
        us_philox(4, 4, 4, i, words);
        flat[i] = 1.5f * flat[i] + 0.1f * (us_philox_unit(words[0]) - 0.5f);
    }
    assert_int_equal(us_nn_trainer_write(trainer, US_NN_PARAMETERS, flat), US_NN_OK);
    poison(trainer);
    struct us_nn_losses losses;
    assert_int_equal(us_nn_trainer_gradients(trainer, &batch, &losses), US_NN_OK);
    float *gradient = read_buffer(trainer, US_NN_GRADIENTS);
    bool *used = us_nn_alloc((size_t)layout->slice_count * sizeof *used);
    assert_int_equal(us_nn_layout_used(layout, &config.arch, used), US_NN_OK);
    int seen = 0;
    for (int i = 0; i < layout->slice_count; i++) {
        const struct us_nn_slice *slice = &layout->slices[i];
        for (size_t k = 0; !used[i] && k < slice->count; k++) {
            assert_true(gradient[slice->offset + k] == 0);
        }
        if (used[i] && seen++ % stride == 0) {
            check_slice(trainer, &batch, slice, flat, gradient);
        }
    }
    us_nn_free(used);
    us_nn_free(flat);
    us_nn_free(gradient);
    free_batch(&batch);
    us_nn_trainer_destroy(trainer);
}

static void test_gradients_at_every_size(void **state) {
    (void)state;
    check_gradients(4, false, 1);
    check_gradients(8, true, 3);
    check_gradients(16, false, 5);
    check_gradients(32, true, 5);
}

/* About 23 million parameters each, as published; a face takes 42.7e9 multiply-adds in either. */
static void test_published_size(void **state) {
    (void)state;
    struct us_nn_arch arch = {.family = US_NN_COMB,
                              .resolution = 1024,
                              .ae_dims = 512,
                              .e_dims = 512,
                              .d_dims = 512,
                              .d_mask_dims = 4,
                              .identities = 2};
    assert_string_equal(us_nn_arch_name(&arch), "comb");
    struct us_nn_layout layout;
    assert_int_equal(us_nn_layout_init(&layout, &arch), US_NN_OK);
    double encoder = 0;
    for (int i = 0; i < layout.slice_count; i++) {
        encoder +=
            strncmp(layout.slices[i].name, "encoder.", 8) ? 0 : (double)layout.slices[i].count;
    }
    ASSERT_NEAR(encoder / 1e6, 23, 1);
    ASSERT_NEAR(((double)layout.count - encoder) / 2e6, 23, 1);
    us_nn_layout_finish(&layout);
    struct nn_graph *graph = nn_graph_of(&arch, true);
    ASSERT_NEAR(nn_graph_macs(graph) / 2e9, 42.7 + 42.7, 0.1);
    nn_graph_destroy(graph);
    arch.identities = 8;
    graph = nn_graph_of(&arch, true);
    assert_non_null(graph);
    nn_graph_destroy(graph);
}

/* Faces of blocks that the smaller size sees without loss. */
static float *blocky_faces(int size) {
    float *small = noise((size_t)(FACES * 3 * size * size), 77);
    float *faces = us_nn_alloc(FACES * 3 * R * R * sizeof *faces);
    for (int i = 0; i < FACES * 3 * R * R; i++) {
        const int x = i % R * size / R, y = i / R % R * size / R, plane = i / (R * R);
        faces[i] = small[(plane * size + y) * size + x];
    }
    us_nn_free(small);
    return faces;
}

/* At share 0 a new size draws what the one before drew: so every layer was carried over. */
static void test_growing_keeps_what_was_learnt(void **state) {
    (void)state;
    const struct us_nn_trainer_config before = config_at(8, false, 0),
                                      after = config_at(16, true, 0);
    struct us_nn_trainer *small = create(&before), *large = create(&after);
    struct us_nn_batch batch = make_batch();
    struct us_nn_losses losses;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(us_nn_trainer_step(small, &batch, &losses), US_NN_OK);
    }
    float *flat = read_buffer(small, US_NN_PARAMETERS), *again;
    assert_int_equal(us_nn_trainer_write(large, US_NN_PARAMETERS, flat), US_NN_OK);
    again = read_buffer(large, US_NN_PARAMETERS);
    assert_memory_equal(flat, again, us_nn_trainer_layout(large)->count * sizeof *flat);
    float *faces = blocky_faces(8), drawn[2][3 * 64],
          *image = us_nn_alloc(3 * R * R * sizeof(float));
    assert_int_equal(us_nn_trainer_infer(small, (enum us_nn_side)2, faces, 1, image, NULL),
                     US_NN_OK);
    const struct nn_network *net = &((struct nn_cpu_trainer *)small)->inference;
    memcpy(drawn[0], nn_net_at(&net->net, net->outputs[2].image->value), sizeof drawn[0]);
    assert_int_equal(us_nn_trainer_infer(large, (enum us_nn_side)2, faces, 1, image, NULL),
                     US_NN_OK);
    net = &((struct nn_cpu_trainer *)large)->inference;
    nn_reduce_planes(nn_net_at(&net->net, net->outputs[2].image->value), 3, 16, 8, drawn[1]);
    for (int i = 0; i < 3 * 64; i++) {
        ASSERT_NEAR((double)drawn[0][i], (double)drawn[1][i], 1e-5);
    }
    us_nn_trainer_set_fade(large, 1);
    assert_int_equal(us_nn_trainer_infer(large, (enum us_nn_side)2, faces, 1, image, NULL),
                     US_NN_OK);
    nn_reduce_planes(nn_net_at(&net->net, net->outputs[2].image->value), 3, 16, 8, drawn[1]);
    double difference = 0;
    for (int i = 0; i < 3 * 64; i++) {
        difference = fmax(difference, fabs((double)(drawn[0][i] - drawn[1][i])));
    }
    assert_true(difference > 1e-3);
    us_nn_free(flat);
    us_nn_free(again);
    us_nn_free(faces);
    us_nn_free(image);
    free_batch(&batch);
    us_nn_trainer_destroy(small);
    us_nn_trainer_destroy(large);
}

/* A size does not touch the layers of others, and all identities learn. */
static void test_a_size_leaves_the_others_alone(void **state) {
    (void)state;
    struct us_nn_trainer_config config = config_at(16, true, 0.5f);
    struct us_nn_trainer *trainer = create(&config);
    struct us_nn_batch batch = make_batch();
    struct us_nn_losses first, losses;
    const struct us_nn_layout *layout = us_nn_trainer_layout(trainer);
    float *before = read_buffer(trainer, US_NN_PARAMETERS);
    assert_int_equal(us_nn_trainer_step(trainer, &batch, &first), US_NN_OK);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(us_nn_trainer_step(trainer, &batch, &losses), US_NN_OK);
    }
    for (int i = 0; i < MOST; i++) {
        assert_true(losses.faces[i].total < first.faces[i].total);
    }
    float *after = read_buffer(trainer, US_NN_PARAMETERS);
    bool *used = us_nn_alloc((size_t)layout->slice_count * sizeof *used);
    assert_int_equal(us_nn_layout_used(layout, &config.arch, used), US_NN_OK);
    for (int i = 0; i < layout->slice_count; i++) {
        const struct us_nn_slice *slice = &layout->slices[i];
        const bool same = memcmp(before + slice->offset, after + slice->offset,
                                 slice->count * sizeof *before) == 0;
        assert_true(same == !used[i]);
    }
    us_nn_free(used);
    us_nn_free(before);
    us_nn_free(after);
    free_batch(&batch);
    us_nn_trainer_destroy(trainer);
}

static void test_problems_are_named(void **state) {
    (void)state;
    struct us_nn_arch arch = config_at(8, false, 0).arch;
    assert_null(us_nn_arch_problem(&arch));
    arch.size = 12;
    assert_string_equal(
        us_nn_arch_problem(&arch),
        "the size that comb has grown to is no power of two from 4 to the resolution");
    arch.size = 4;
    arch.fading = true;
    assert_non_null(us_nn_arch_problem(&arch));
    arch = config_at(8, false, 0).arch;
    arch.resolution = 96;
    assert_string_equal(us_nn_arch_problem(&arch),
                        "the resolution of comb must be a power of two from 32 to 1024");
    arch = config_at(8, false, 0).arch;
    arch.identities = 9;
    assert_string_equal(us_nn_arch_problem(&arch), "comb takes 2 to 8 identities");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_at_every_size),
        cmocka_unit_test(test_published_size),
        cmocka_unit_test(test_growing_keeps_what_was_learnt),
        cmocka_unit_test(test_a_size_leaves_the_others_alone),
        cmocka_unit_test(test_problems_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
