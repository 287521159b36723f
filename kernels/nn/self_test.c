#include "kernels/nn/self_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"
#include "kernels/nn/trainer.h"

enum { R = 32, PIXELS = R * R, STEPS = 2 };
static const double loss_tolerance = 1e-4, gradient_tolerance = 2e-3; /* relative */
static const double picture_tolerance = 1e-3;

/* Eight planes a face: input, target, mask, priority. */
struct faces {
    float planes[2][8 * PIXELS];
};

/* What a training leaves to be compared. */
struct outcome {
    double losses[STEPS], gradients[STEPS]; /* norms of the latter */
    float image[3 * PIXELS], mask[PIXELS];
};

static void draw_faces(struct faces *faces) {
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < 8 * PIXELS; i++) {
            uint32_t words[4];
            us_philox(5, (uint32_t)side, 0, (uint64_t)i, words);
            const float wave = sinf((float)(i % R) * 0.2f + (float)(i / R % R) * 0.13f);
            faces->planes[side][i] = 0.5f + 0.3f * wave + 0.1f * us_philox_unit(words[0]);
        }
    }
}

struct training {
    const char *name, *arch;
    float true_face, gan;
};

static struct us_nn_trainer_config config_of(const struct training *training, int device) {
    struct us_nn_trainer_config config = {
        .device = device,
        .arch = {.resolution = R, .ae_dims = 8, .e_dims = 8, .d_dims = 8, .d_mask_dims = 4},
        .optimizer = us_nn_optimizer_usual(US_NN_ADABELIEF),
        .loss = us_nn_loss_usual(),
        .batch = 1,
        .threads = 1,
        .seed = 7,
    };
    config.loss.priority = 1;
    config.adversaries = (struct us_nn_adversaries){
        .true_face = training->true_face, .gan = training->gan, .gan_dims = 8};
    us_nn_arch_parse(training->arch, &config.arch);
    config.arch.identities = config.arch.family == US_NN_COMB ? 2 : 0;
    return config;
}

static enum us_nn_status train(const struct training *training, int device,
                               const struct faces *faces, struct outcome *outcome) {
    const struct us_nn_trainer_config config = config_of(training, device);
    struct us_nn_batch batch = {0};
    for (int side = 0; side < 2; side++) {
        const float *planes = faces->planes[side];
        batch.faces[side] = (struct us_nn_faces){.inputs = planes,
                                                 .targets = planes + (size_t)3 * PIXELS,
                                                 .masks = planes + (size_t)6 * PIXELS,
                                                 .priorities = planes + (size_t)7 * PIXELS};
    }
    struct us_nn_trainer *trainer = NULL;
    enum us_nn_status status =
        us_nn_trainer_problem(&config) ? US_NN_BAD_CONFIG : us_nn_trainer_create(&config, &trainer);
    if (status != US_NN_OK) {
        return status;
    }
    for (int i = 0; i < STEPS && status == US_NN_OK; i++) {
        struct us_nn_losses losses;
        status = us_nn_trainer_step(trainer, &batch, &losses);
        outcome->losses[i] = losses.total;
        outcome->gradients[i] = losses.gradient_norm;
    }
    if (status == US_NN_OK) {
        status = us_nn_trainer_infer(trainer, US_NN_SOURCE, faces->planes[1], 1, outcome->image,
                                     outcome->mask);
    }
    us_nn_trainer_destroy(trainer);
    return status;
}

static double farthest(const float *a, const float *b, int count) {
    double most = 0;
    for (int i = 0; i < count; i++) {
        const double off = fabs((double)a[i] - (double)b[i]);
        most = off > most || off != off ? off : most;
    }
    return most;
}

/* False with a clause in `text`. */
static bool agree(const struct outcome *got, const struct outcome *wanted, char *text,
                  size_t size) {
    for (int i = 0; i < STEPS; i++) {
        const double off = fabs(got->losses[i] / wanted->losses[i] - 1);
        if (!(off <= loss_tolerance)) {
            snprintf(text, size, "the loss of step %d is %.7g, the CPU's is %.7g", i + 1,
                     got->losses[i], wanted->losses[i]);
            return false;
        }
    }
    for (int i = 0; i < STEPS; i++) {
        const double off = fabs(got->gradients[i] / wanted->gradients[i] - 1);
        if (!(off <= gradient_tolerance)) {
            snprintf(text, size, "the gradient of step %d has norm %.7g, the CPU's has %.7g", i + 1,
                     got->gradients[i], wanted->gradients[i]);
            return false;
        }
    }
    const double image = farthest(got->image, wanted->image, 3 * PIXELS);
    const double mask = farthest(got->mask, wanted->mask, PIXELS);
    if (image <= picture_tolerance && mask <= picture_tolerance) {
        return true;
    }
    snprintf(text, size, "a drawn face is off by %.2g, its mask by %.2g, allowed %.2g", image, mask,
             picture_tolerance);
    return false;
}

/* On the CPU, on the device, and there once more, which must give the same bits; NULL or what is
 * wrong. */
static const char *check(const struct training *training, int device, const struct faces *faces,
                         struct outcome outcomes[3], char *text, size_t size) {
    const int devices[3] = {US_NN_CPU, device, device};
    for (int i = 0; i < 3; i++) {
        const enum us_nn_status status = train(training, devices[i], faces, &outcomes[i]);
        if (status != US_NN_OK) {
            return us_nn_status_text(status);
        }
    }
    if (!agree(&outcomes[1], &outcomes[0], text, size)) {
        return text;
    }
    return memcmp(&outcomes[1], &outcomes[2], sizeof outcomes[1]) == 0
               ? NULL
               : "the same training again gives other bits";
}

int us_nn_self_test(int device, us_nn_report *report, void *context) {
    static const struct training trainings[] = {{"df-ud", "df-ud", 0, 0},
                                                {"liae-udtc", "liae-udtc", 0, 0},
                                                {"comb", "comb", 0, 0},
                                                {"against discriminators", "df-ud", 0.5f, 0.5f}};
    struct faces *faces = us_nn_alloc(sizeof *faces);
    struct outcome *outcomes = us_nn_alloc(3 * sizeof *outcomes);
    int bad = 0;
    if (faces) {
        draw_faces(faces);
    }
    for (size_t i = 0; i < sizeof trainings / sizeof *trainings; i++) {
        char name[64], text[160];
        snprintf(name, sizeof name, "training %s", trainings[i].name);
        const char *error = faces && outcomes
                                ? check(&trainings[i], device, faces, outcomes, text, sizeof text)
                                : us_nn_status_text(US_NN_NO_MEMORY);
        report(context, name, error);
        bad += error != NULL;
    }
    us_nn_free(faces);
    us_nn_free(outcomes);
    return bad;
}
