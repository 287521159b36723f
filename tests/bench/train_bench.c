/* Images a second of a training step: bench_train RESOLUTION AE E D D_MASK BATCH THREADS STEPS
 * [bf16]. Prints the steps' median and fastest, and the losses of the last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/nn/graph.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/trainer.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static float *noise(size_t count, uint32_t stream) {
    float *values = us_nn_alloc(count * sizeof *values);
    for (size_t i = 0; values && i < count; i++) {
        uint32_t words[4];
        us_philox(1, stream, 0, i, words);
        values[i] = us_philox_unit(words[0]);
    }
    return values;
}

/* Floating-point operations of a step's convolutions and matrix products, counted directly:
 * forward, both gradients, no gradient of the first layer's input. */
static double operations(const struct us_nn_trainer_config *config) {
    struct nn_graph *graph = nn_graph_of(&config->arch, true);
    if (!graph) {
        return 0;
    }
    const struct us_nn_arch *a = &config->arch;
    const double first = 2.0 * a->e_dims * 3 * 25 * a->resolution * a->resolution / 4;
    const double macs = 3 * nn_graph_macs(graph) - first;
    nn_graph_destroy(graph);
    return 2 * macs * config->batch;
}

static void measure(struct us_nn_trainer *trainer, const struct us_nn_batch *batch, int images,
                    int steps, double flop) {
    struct us_nn_losses losses = {0};
    double *seconds = us_nn_alloc((size_t)steps * sizeof *seconds);
    for (int i = -2; i < steps && seconds; i++) {
        const double start = now();
        const enum us_nn_status status = us_nn_trainer_step(trainer, batch, &losses);
        if (status) {
            printf("%s\n", us_nn_status_text(status));
            exit(1);
        }
        if (i >= 0) {
            seconds[i] = now() - start;
        }
    }
    qsort(seconds, (size_t)steps, sizeof *seconds, compare);
    const double median = seconds[steps / 2];
    printf(
        "understudy median %.2f ms/step %.2f images/s, fastest %.2f ms %.2f images/s, loss %.4f, "
        "%.1f GFLOP/s\n",
        median * 1e3, images / median, seconds[0] * 1e3, images / seconds[0], losses.total,
        flop / median / 1e9);
    us_nn_free(seconds);
}

int main(int argc, char **argv) {
    if (argc < 9) {
        fprintf(stderr, "usage: bench_train RESOLUTION AE E D D_MASK BATCH THREADS STEPS [bf16]\n");
        return 2;
    }
    int v[8];
    for (int i = 0; i < 8; i++) {
        v[i] = atoi(argv[i + 1]);
    }
    const struct us_nn_trainer_config config = {.arch = {.family = US_NN_DF,
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
                                                .threads = v[6],
                                                .seed = 1,
                                                .bf16 = argc > 9 && strcmp(argv[9], "bf16") == 0};
    const size_t area = (size_t)v[0] * (size_t)v[0] * (size_t)v[5];
    struct us_nn_batch batch;
    struct us_nn_faces *sides[2] = {&batch.faces[0], &batch.faces[1]};
    for (uint32_t s = 0; s < 2; s++) {
        sides[s]->inputs = noise(3 * area, 10 + s);
        sides[s]->targets = noise(3 * area, 20 + s);
        sides[s]->masks = noise(area, 30 + s);
    }
    struct us_nn_trainer *trainer;
    const enum us_nn_status status = us_nn_trainer_create(&config, &trainer);
    if (status) {
        printf("%s\n", us_nn_status_text(status));
        return 1;
    }
    measure(trainer, &batch, 2 * v[5], v[7], operations(&config));
    us_nn_trainer_destroy(trainer);
    return 0;
}
