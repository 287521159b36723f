/* Images a second of a training step on the first CUDA device, its faces in the device's memory:
 * bench_gpu RESOLUTION AE E D D_MASK BATCH STEPS [f32]. Prints the steps' median and fastest, and
 * the fraction of the measured rate of matrix products. Every step picks and varies its faces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda/load.h"
#include "kernels/half.h"
#include "kernels/nn/graph.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/trainer.h"

enum { FACES = 64, WARM = 10 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of a step's convolutions and matrix products: forward and both gradients, but for that of the
 * faces. */
static double operations(const struct us_nn_trainer_config *config) {
    struct nn_graph *graph = nn_graph_of(&config->arch, true);
    const struct us_nn_arch *a = &config->arch;
    const double first = 2.0 * a->e_dims * 3 * 25 * a->resolution * a->resolution / 4;
    const double macs = graph ? 3 * nn_graph_macs(graph) - first : 0;
    nn_graph_destroy(graph);
    return 2 * macs * config->batch;
}

static bool keep_noise(struct us_nn_trainer *trainer, int size, int identity) {
    const size_t face = (size_t)size * (size_t)size * 4;
    const uint16_t *faces[FACES];
    float *values = us_nn_alloc(face * sizeof *values);
    uint16_t *halves = us_nn_alloc(FACES * face * sizeof *halves); /* as long as the trainer */
    for (size_t f = 0; f < FACES && values && halves; f++) {
        for (size_t i = 0; i < face; i++) {
            uint32_t words[4];
            us_philox(1, (uint32_t)identity, f, i, words);
            values[i] = us_philox_unit(words[0]);
        }
        us_float_to_half(values, halves + f * face, face);
        faces[f] = halves + f * face;
    }
    us_nn_free(values);
    const struct us_nn_kept_faces kept = {.faces = faces, .count = FACES};
    return values && halves && !us_nn_trainer_keep_faces(trainer, identity, &kept);
}

static struct us_nn_turn turn_of(uint64_t step) {
    struct us_nn_turn turn = {.step = step, .streams = {16, 17}};
    for (int i = 0; i < 2; i++) {
        turn.ranges[i] = (struct us_augment_ranges){
            .rotation_degrees = 10, .scale = 0.05, .shift = 0.05, .warp = 0.24, .light = 0.02};
    }
    return turn;
}

static int measure(struct us_nn_trainer *trainer, int images, int steps, double flop, double peak) {
    struct us_nn_losses losses = {0};
    double *seconds = us_nn_alloc((size_t)steps * sizeof *seconds);
    for (int i = -WARM; i < steps && seconds; i++) {
        const struct us_nn_turn turn = turn_of((uint64_t)(i + WARM));
        const double start = now();
        const enum us_nn_status status = us_nn_trainer_step_drawn(trainer, &turn, &losses);
        if (status) {
            printf("%s\n", us_nn_status_text(status));
            return 1;
        }
        seconds[i < 0 ? 0 : i] = now() - start;
    }
    qsort(seconds, (size_t)steps, sizeof *seconds, compare);
    const double median = seconds[steps / 2];
    printf(
        "understudy median %.3f ms/step %.1f images/s, fastest %.3f ms %.1f images/s, loss %.4f, "
        "%.1f TFLOP/s",
        median * 1e3, images / median, seconds[0] * 1e3, images / seconds[0], losses.total,
        flop / median * 1e-12);
    if (peak > 0) {
        printf(", %.1f %% of the measured %.0f", 100 * flop / median / peak, peak * 1e-12);
    }
    printf("\n");
    us_nn_free(seconds);
    return 0;
}

static void print_notes(const struct us_nn_trainer *trainer) {
    if (us_nn_trainer_note(trainer)) {
        printf("understudy note: %s\n", us_nn_trainer_note(trainer));
    }
}

static int run(const struct us_nn_trainer_config *config, int steps, double peak) {
    struct us_nn_trainer *trainer;
    const char *problem = us_nn_trainer_problem(config);
    const double start = now();
    const enum us_nn_status status = us_nn_trainer_create(config, &trainer);
    if (status) {
        printf("%s\n", problem ? problem : us_nn_status_text(status));
        return 1;
    }
    printf("understudy ready after %.2f s\n", now() - start);
    int bad = 1;
    if (keep_noise(trainer, config->arch.resolution, 0) &&
        keep_noise(trainer, config->arch.resolution, 1)) {
        bad = measure(trainer, 2 * config->batch, steps, operations(config), peak);
    }
    print_notes(trainer);
    us_nn_trainer_destroy(trainer);
    return bad;
}

int main(int argc, char **argv) {
    const struct us_cuda_module *module;
    const char *why_not;
    int v[7];
    if (argc < 8) {
        fprintf(stderr, "usage: bench_gpu RESOLUTION AE E D D_MASK BATCH STEPS [f32]\n");
        return 2;
    }
    for (int i = 0; i < 7; i++) {
        v[i] = atoi(argv[i + 1]);
    }
    if (us_cuda_device_count(&module, &why_not) == 0) {
        printf("skipped: no CUDA device (%s)\n", why_not);
        return 0;
    }
    const bool f32 = argc > 8 && strcmp(argv[8], "f32") == 0;
    struct us_cuda_peaks peaks = {0};
    if (module->peaks) {
        (void)module->peaks(0, &peaks);
    }
    const struct us_nn_trainer_config config = {.device = 1,
                                                .arch = {.family = US_NN_DF,
                                                         .likeness = true,
                                                         .doubled = true,
                                                         .resolution = v[0],
                                                         .ae_dims = v[1],
                                                         .e_dims = v[2],
                                                         .d_dims = v[3],
                                                         .d_mask_dims = v[4]},
                                                .optimizer = us_nn_optimizer_usual(US_NN_ADAM),
                                                .loss = us_nn_loss_usual(),
                                                .batch = v[5],
                                                .threads = 1,
                                                .seed = 1,
                                                .bf16 = !f32};
    return run(&config, v[6] > 0 ? v[6] : 1, f32 ? peaks.f32 : peaks.bf16);
}
