#include "nodes/learn/train_params.h"

#include <string.h>

#include "kernels/cuda/load.h"
#include "kernels/nn/comm.h"
#include "nodes/learn/loss_guard.h"

static const char *const archs[] = {"df", "liae", "comb", NULL};
static const char *const optimizers[] = {"adabelief", "adam", NULL};
static const char *const precisions[] = {"f32", "bf16", NULL};
static const char *const exchanges[] = {"f32", "bf16", NULL};
static const char *const flips[] = {"none", "source", "destination", "both", NULL};

#define P struct train_params
#define AT(field) offsetof(P, field)

const struct us_param us_train_params[] = {
    US_CHOICE(P, arch, "df", archs,
              "Architecture: df has one encoder and a decoder each, and keeps the likeness; liae "
              "has one decoder and mixes what two codes say, and follows light and expression of "
              "the destination more; comb has a decoder for each of two and more identities, and "
              "grows from small faces to large ones."),
    US_STRING(
        P, options, "ud",
        "Letters: u for more likeness (a normed code), d for double resolution at the same "
        "cost, t for a deeper net, c for x cos x as activation; \"\" for none. comb has none."),
    US_INT(P, ae_dims, 64, 4, 1024, "channels", "Width of the code between encoder and decoders."),
    US_INT(P, e_dims, 32, 4, 1024, "channels", "Width of the encoder."),
    US_INT(P, d_dims, 32, 4, 1024, "channels", "Width of the decoders."),
    US_INT(P, mask_dims, 12, 4, 256, "channels", "Width of the decoders' mask branch."),
    {.name = "grow.start",
     .doc = "comb: the size it begins at, a power of two.",
     .type = US_PARAM_INT,
     .offset = AT(grow_start),
     .number = 16,
     .min = 4,
     .max = 1024,
     .unit = "px",
     .neutral = true},
    {.name = "grow.steps",
     .doc = "comb: steps at each size before it doubles; in the first half of them the new size "
            "fades in.",
     .type = US_PARAM_INT,
     .offset = AT(grow_steps),
     .number = 5000,
     .min = 2,
     .max = 100000000,
     .unit = "steps",
     .neutral = true},
    US_INT(P, batch, 4, 1, 256, "pairs", "Faces of each person in a step, of all ranks together."),
    {.name = "ranks",
     .doc =
         "Processes that share each step's batch, one a device; 0: one, or as many as a launcher "
         "started. Results are the same up to rounding, and bit for bit with pass.",
     .type = US_PARAM_INT,
     .offset = AT(ranks),
     .max = US_NN_COMM_RANKS,
     .unit = "",
     .role = US_UNKEYED},
    {.name = "pass",
     .doc = "Pairs that a rank computes at once, at most all of its batch; less take less memory. "
            "0: all. Gradients of passes and ranks are added in one fixed order, so that the bits "
            "stay when the ranks (powers of two of them) change and pass does not.",
     .type = US_PARAM_INT,
     .offset = AT(pass),
     .max = 256,
     .unit = "pairs",
     .role = US_UNKEYED},
    {.name = "exchange",
     .doc = "How gradients travel between ranks: bf16 takes half the bytes; on GPUs it wants "
            "precision: bf16 and no pass.",
     .type = US_PARAM_CHOICE,
     .offset = AT(exchange),
     .text = "f32",
     .choices = exchanges,
     .unit = "",
     .neutral = true},
    {.name = "steps",
     .doc = "Steps to train. More than before goes on where the last training "
            "with these parameters stopped.",
     .type = US_PARAM_INT,
     .offset = AT(steps),
     .number = 20000,
     .min = 1,
     .max = 100000000,
     .unit = "steps",
     .role = US_EXTENDING},
    {.name = "until.loss",
     .doc = "Stops earlier, when the mean loss of the last 100 steps is below "
            "this.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(until_loss),
     .number = NAN,
     .min = 0,
     .max = 1000,
     .unit = "",
     .role = US_EXTENDING},
    US_CHOICE(P, optimizer, "adam", optimizers, "How gradients become updates."),
    US_DOUBLE(P, lr, 5e-4, 0, 1, "",
              "Learning rate: 2e-4 to 5e-4 suit adam; adabelief, which starts with larger steps, "
              "5e-5 to 1e-4."),
    US_DOUBLE(
        P, lr_dropout, 0, 0, 1, "",
        "Chance that a weight takes part in a step, 0.3 is usual for the last phase; the rate "
        "then also swings with a period of 500 steps. 0: off, all weights always."),
    US_DOUBLE(P, clip, 1, 0, 1000, "", "Largest norm of the gradient; 0: no limit."),
    US_DOUBLE(P, average, 0.995, 0, 0.99999, "",
              "Decay of the moving average of the weights, which becomes the model; 0: the last "
              "weights do."),
    US_CHOICE(P, precision, "f32", precisions,
              "bf16 multiplies in bfloat16 (faster where the processor can), weights stay float."),
    {.name = "loss.dssim",
     .doc = "Weight of structural dissimilarity.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(dssim_weight),
     .number = 10,
     .max = 1000,
     .unit = ""},
    {.name = "loss.square",
     .doc = "Weight of the mean squared error.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(square_weight),
     .number = 10,
     .max = 1000,
     .unit = ""},
    {.name = "loss.absolute",
     .doc = "Weight of the mean absolute error.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(absolute_weight),
     .number = 0,
     .max = 1000,
     .unit = ""},
    {.name = "loss.mask",
     .doc = "Weight of the mask's mean squared error.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(mask_weight),
     .number = 10,
     .max = 1000,
     .unit = ""},
    {.name = "loss.eyes_mouth",
     .doc = "Weight of the mean absolute error around eyes and mouth, where the expression is; "
            "for crops with FaceMesh landmarks.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(priority_weight),
     .number = 60,
     .max = 10000,
     .unit = ""},
    {.name = "true_face.power",
     .doc = "Weight of a discriminator that tells the source's codes from the destination's (df "
            "only): the swap keeps more of the source's face. 0.01 is usual for the last phase.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(true_face_power),
     .number = 0,
     .max = 1,
     .unit = "",
     .neutral = true},
    {.name = "gan.power",
     .doc = "Weight of a discriminator that tells made source faces from true ones, by patch and "
            "by pixel: more detail, for the last phase of a training that has settled. 0.1 is "
            "usual.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(gan_power),
     .number = 0,
     .max = 5,
     .unit = "",
     .neutral = true},
    {.name = "gan.patch",
     .doc = "What a patch's judgement sees; 0: an eighth of the crop.",
     .type = US_PARAM_INT,
     .offset = AT(gan_patch),
     .number = 0,
     .min = 0,
     .max = 640,
     .unit = "px",
     .neutral = true},
    {.name = "gan.dims",
     .doc = "Width of that discriminator: its memory and time grow with the square.",
     .type = US_PARAM_INT,
     .offset = AT(gan_dims),
     .number = 16,
     .min = 4,
     .max = 512,
     .unit = "channels",
     .neutral = true},
    US_BOOL(P, masked, true, "The image terms of the loss count inside the matte only."),
    US_DOUBLE(P, random_warp, 0.1, 0, 1, "cells",
              "How far the nodes of the random warp of the input move; 0: no warp."),
    US_CHOICE(P, flip, "none", flips, "Whose faces are mirrored in half of the cases."),
    US_DOUBLE(P, rotation, 10, 0, 180, "degrees", "Random rotation, each way."),
    US_DOUBLE(P, scale, 0.05, 0, 1, "", "Random scale: 0.05 is from 1/1.05 to 1.05."),
    US_DOUBLE(P, shift, 0.05, 0, 1, "sides", "Random shift, each way."),
    {.name = "settle.after",
     .doc = "From this step on inputs are no longer warped and turn, scale and shift less: warped "
            "inputs teach what the faces have in common, true ones how far eyes and mouth are "
            "open.",
     .type = US_PARAM_INT,
     .offset = AT(settle_after),
     .number = 4000,
     .min = 0,
     .max = 1000000000,
     .unit = "steps"},
    {.name = "settle.jitter",
     .doc = "Part of rotation, scale and shift that is left then.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(settle_jitter),
     .number = 0.4,
     .max = 1,
     .unit = ""},
    US_DOUBLE(P, light, 0.03, 0, 1, "encoded",
              "Random exposure of input and target alike, each way: the model learns to follow the "
              "light. 0.0763 is a stop in the log encoding."),
    US_DOUBLE(P, hue, 0, 0, 180, "degrees", "Random hue of the source's input only, each way."),
    US_DOUBLE(P, saturation, 0, 0, 1, "", "Random saturation of the source's input only."),
    US_DOUBLE(P, value, 0, 0, 1, "encoded", "Random brightness of the source's input only."),
    US_INT(P, seed, 1, 0, 4294967295.0, "", "Of first weights and variations."),
    US_INT(P, holdout, 10, 0, 1000000, "faces",
           "One crop in so many is kept out of the training, to measure the model with; 0: none. "
           "Data sets come with their own."),
    US_STRINGS(P, reset,
               "Parts of the model at `init_from` that start again: encoder, inter, decoder_src, "
               "decoder_dst; with liae encoder, inter_AB, inter_B, decoder; with comb encoder, "
               "decoder_src, decoder_dst, decoder_other1 and so on."),
    {.name = "checkpoint.minutes",
     .doc = "Saves the training this often, and with it preview.png, curve.png and metrics.jsonl, "
            "to look at while it goes on; 0: not by the clock.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(checkpoint_minutes),
     .number = 5,
     .max = 1440,
     .unit = "minutes",
     .role = US_UNKEYED},
    {.name = "checkpoint.steps",
     .doc = "Saves the training every so many steps too; 0: not.",
     .type = US_PARAM_INT,
     .offset = AT(checkpoint_steps),
     .number = 0,
     .max = 100000000,
     .unit = "steps",
     .role = US_UNKEYED},
    {.name = "checkpoint.keep",
     .doc = "Newest checkpoints that stay; of older ones a few do, ever further apart.",
     .type = US_PARAM_INT,
     .offset = AT(checkpoint_keep),
     .number = 2,
     .min = 1,
     .max = 1000,
     .unit = "files",
     .role = US_UNKEYED},
    {.name = "guard.factor",
     .doc = "When the median loss of the last 10 steps exceeds the median of guard.window steps "
            "before by so many standard deviations (estimated from the median deviation) and by "
            "half, training goes back to a checkpoint from before that; 0: never.",
     .type = US_PARAM_DOUBLE,
     .offset = AT(guard_factor),
     .number = 8,
     .max = 1000,
     .unit = "",
     .neutral = true},
    {.name = "guard.window",
     .doc = "Steps whose losses are the usual ones for guard.factor.",
     .type = US_PARAM_INT,
     .offset = AT(guard_window),
     .number = 200,
     .min = US_GUARD_LEAST,
     .max = US_GUARD_WINDOW_MOST,
     .unit = "steps",
     .neutral = true},
    US_STRING(P, license, "", "Licence of the model, carried in its file."),
    US_STRING(P, consent, "", "Reference to the persons' consent, carried in the model's file."),
    US_PARAMS_END};

static struct us_error *check_options(const char *options) {
    for (const char *c = options; *c; c++) {
        if (!strchr("udtc", *c) || strchr(c + 1, *c)) {
            return us_fail(US_USAGE, "options is '%s', allowed are u, d, t and c, each once",
                           options);
        }
    }
    return NULL;
}

/* The parts of an architecture that can start again, as the first words of their layers. */
static const struct {
    const char *arch, *parts[US_NN_IDENTITIES + 2], *said;
} resets[] = {{"df",
               {"encoder", "inter", "decoder_src", "decoder_dst"},
               "encoder, inter, decoder_src and decoder_dst"},
              {"liae",
               {"encoder", "inter_AB", "inter_B", "decoder"},
               "encoder, inter_AB, inter_B and decoder"},
              {"comb",
               {"encoder", "decoder_src", "decoder_dst", "decoder_other1", "decoder_other2",
                "decoder_other3", "decoder_other4", "decoder_other5", "decoder_other6"},
               "encoder, decoder_src, decoder_dst and decoder_other1 to decoder_other6"}};

static struct us_error *check_reset(const struct train_params *p) {
    size_t row = 0;
    while (strcmp(resets[row].arch, p->arch) != 0) {
        row++;
    }
    for (size_t i = 0; i < p->reset.count; i++) {
        bool known = false;
        for (const char *const *part = resets[row].parts; *part; part++) {
            known |= strcmp(p->reset.items[i], *part) == 0;
        }
        if (!known) {
            return us_fail(US_USAGE, "reset names '%s', allowed with %s are %s", p->reset.items[i],
                           p->arch, resets[row].said);
        }
    }
    return NULL;
}

static struct us_error *check_growth(const struct train_params *p) {
    if (p->grow_start & (p->grow_start - 1)) {
        return us_fail(US_USAGE, "grow.start is %lld, allowed are powers of two",
                       (long long)p->grow_start);
    }
    if (strcmp(p->arch, "comb") == 0 && strcmp(p->options, "") != 0 &&
        strcmp(p->options, "ud") != 0) {
        return us_fail(US_USAGE, "options is '%s', but comb has none", p->options);
    }
    return NULL;
}

struct us_error *us_train_check(const void *params) {
    const struct train_params *p = params;
    US_TRY(check_options(p->options));
    US_TRY(check_reset(p));
    US_TRY(check_growth(p));
    if (p->dssim_weight + p->square_weight + p->absolute_weight <= 0) {
        return us_fail(US_USAGE, "loss.dssim, loss.square and loss.absolute are all 0");
    }
    if (p->ranks > 1 && p->batch % p->ranks != 0) {
        return us_fail(US_USAGE, "a batch of %lld pairs cannot be split among %lld ranks",
                       (long long)p->batch, (long long)p->ranks);
    }
    if (p->pass > 0 && p->pass < p->batch && p->batch % p->pass != 0) {
        return us_fail(US_USAGE, "pass is %lld, allowed is a divisor of the batch, %lld",
                       (long long)p->pass, (long long)p->batch);
    }
    const struct us_cuda_module *module;
    const char *why_not;
    if (strcmp(p->precision, "bf16") == 0 && !us_nn_has_bf16() &&
        us_cuda_device_count(&module, &why_not) == 0) {
        return us_error_hint(us_fail(US_MISSING, "precision is bf16, but this processor has none"),
                             "use precision: f32");
    }
    return NULL;
}

static struct us_nn_arch arch_of(const struct train_params *p, int size, int identities) {
    struct us_nn_arch arch = {.family = US_NN_COMB,
                              .resolution = size,
                              .ae_dims = (int)p->ae_dims,
                              .e_dims = (int)p->e_dims,
                              .d_dims = (int)p->d_dims,
                              .d_mask_dims = (int)p->mask_dims,
                              .identities = identities};
    if (strcmp(p->arch, "comb") != 0) {
        arch.family = strcmp(p->arch, "liae") == 0 ? US_NN_LIAE : US_NN_DF;
        arch.likeness = strchr(p->options, 'u') != NULL;
        arch.doubled = strchr(p->options, 'd') != NULL;
        arch.deeper = strchr(p->options, 't') != NULL;
        arch.cosine = strchr(p->options, 'c') != NULL;
    }
    return arch;
}

/* What a display shows of the log encoding, black to white, takes half of its values: the image
 * terms count as if it took all of them. */
static struct us_nn_loss_weights loss_of(const struct train_params *p, const char *encoding) {
    const double range = strcmp(encoding, "log") == 0 ? 0.5 : 1;
    return (struct us_nn_loss_weights){.dssim = (float)p->dssim_weight,
                                       .square = (float)(p->square_weight / (range * range)),
                                       .absolute = (float)(p->absolute_weight / range),
                                       .mask = (float)p->mask_weight,
                                       .priority = (float)(p->priority_weight / range),
                                       .range = (float)range,
                                       .masked = p->masked};
}

void us_train_fill(const struct train_params *p, int size, const char *encoding, int identities,
                   struct us_nn_trainer_config *config) {
    const bool adam = strcmp(p->optimizer, "adam") == 0;
    *config = (struct us_nn_trainer_config){.arch = arch_of(p, size, identities),
                                            .comm_bf16 = strcmp(p->exchange, "bf16") == 0,
                                            .seed = (uint64_t)p->seed,
                                            .bf16 = strcmp(p->precision, "bf16") == 0};
    config->optimizer = us_nn_optimizer_usual(adam ? US_NN_ADAM : US_NN_ADABELIEF);
    config->optimizer.rate = (float)p->lr;
    config->optimizer.rate_dropout = (float)p->lr_dropout;
    config->optimizer.clip_norm = (float)p->clip;
    config->optimizer.average_decay = (float)p->average;
    config->adversaries = (struct us_nn_adversaries){.true_face = (float)p->true_face_power,
                                                     .gan = (float)p->gan_power,
                                                     .gan_patch = (int)p->gan_patch,
                                                     .gan_dims = (int)p->gan_dims};
    config->loss = loss_of(p, encoding);
    us_train_share(p, 1, US_NN_CPU, 1, config);
}

void us_train_share(const struct train_params *p, int ranks, int device, int threads,
                    struct us_nn_trainer_config *config) {
    config->batch = (int)p->batch / ranks;
    config->device = device;
    config->threads = threads;
    config->pass = p->pass < config->batch ? (int)p->pass : p->pass > 0 ? config->batch : 0;
}

struct us_error *us_ranks_split(const struct train_params *p, int ranks) {
    if (p->batch % ranks == 0) {
        return NULL;
    }
    return us_error_hint(us_fail(US_FAILED, "a batch of %lld pairs cannot be split among %d ranks",
                                 (long long)p->batch, ranks),
                         "make batch a multiple of the ranks");
}

struct us_error *us_train_config_problem(const struct us_nn_trainer_config *config) {
    const char *problem = us_nn_trainer_problem(config);
    return problem ? us_error_hint(us_fail(US_FAILED, "cannot train on crops of %d px: %s",
                                           config->arch.resolution, problem),
                                   "choose another size at face_crop, other options here or "
                                   "another device (--devices)")
                   : NULL;
}

struct us_error *us_train_config(const struct train_params *p, const struct us_dataset *dataset,
                                 int identities, int threads, int device, int ranks,
                                 struct us_nn_trainer_config *config) {
    US_TRY(us_ranks_split(p, ranks));
    us_train_fill(p, dataset->size, dataset->encoding, identities, config);
    us_train_share(p, ranks, device, threads, config);
    return us_train_config_problem(config);
}

struct us_augment_ranges us_train_ranges(const struct train_params *p, enum us_nn_side side,
                                         uint64_t step) {
    const bool settled = step >= (uint64_t)p->settle_after;
    const double jitter = settled ? p->settle_jitter : 1;
    const bool source = side == US_NN_SOURCE;
    const bool mirrored =
        strcmp(p->flip, "both") == 0 || strcmp(p->flip, source ? "source" : "destination") == 0;
    return (struct us_augment_ranges){.rotation_degrees = p->rotation * jitter,
                                      .scale = p->scale * jitter,
                                      .shift = p->shift * jitter,
                                      .flip = mirrored ? 0.5 : 0,
                                      .warp = settled ? 0 : p->random_warp,
                                      .light = p->light,
                                      .hue_degrees = source ? p->hue : 0,
                                      .saturation = source ? p->saturation : 0,
                                      .value = source ? p->value : 0};
}
