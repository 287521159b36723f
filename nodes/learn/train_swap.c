#include <string.h>

#include "nodes/learn/model_file.h"
#include "nodes/learn/swap_outlook.h"
#include "nodes/learn/train_result.h"
#include "nodes/learn/training.h"
#include "runtime/base/mem.h"

enum { IN_SOURCE, IN_DESTINATION, IN_INIT, IN_OTHERS };
enum { OUT_MODEL, OUT_METRICS, OUT_CURVE, OUT_PREVIEW };

static const struct us_port inputs[] = {
    {.name = "source",
     .doc = "The person whose face is wanted: face crops of all frames, or data sets.",
     .data = US_IMAGE | US_DATASET,
     .reach = US_ALL_FRAMES,
     .list = true},
    {.name = "destination",
     .doc = "The person in the footage: face crops of all frames, or data sets.",
     .data = US_IMAGE | US_DATASET,
     .reach = US_ALL_FRAMES,
     .list = true},
    {.name = "init_from",
     .doc = "A model of the same architecture to start from.",
     .data = US_MODEL,
     .reach = US_ALL_FRAMES,
     .optional = true},
    {.name = "others",
     .doc = "Further persons for comb, each an entry of the list: face crops of all frames, or a "
            "data set. The more there are, the better the encoder knows expressions.",
     .data = US_IMAGE | US_DATASET,
     .reach = US_ALL_FRAMES,
     .optional = true,
     .list = true},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {.name = "model", .doc = "The trained model, safetensors.", .data = US_MODEL},
    {.name = "metrics",
     .doc = "A line every 25 steps, one for every incident, and the held-out SSIM and PSNR at the "
            "end.",
     .data = US_METRICS},
    {.name = "curve", .doc = "The loss over the steps, PNG.", .data = US_FILE},
    {.name = "preview",
     .doc = "Held-out faces, what the model makes of them, and the swap, PNG.",
     .data = US_FILE},
    {.name = NULL}};

static struct us_error *same_arch(const struct us_nn_arch *model, const struct us_nn_arch *wanted) {
    const struct {
        const char *name;
        int model, wanted;
    } dims[] = {{"resolution", model->resolution, wanted->resolution},
                {"ae_dims", model->ae_dims, wanted->ae_dims},
                {"e_dims", model->e_dims, wanted->e_dims},
                {"d_dims", model->d_dims, wanted->d_dims},
                {"mask_dims", model->d_mask_dims, wanted->d_mask_dims},
                {"identities", us_nn_arch_identities(model), us_nn_arch_identities(wanted)}};
    if (strcmp(us_nn_arch_name(model), us_nn_arch_name(wanted)) != 0) {
        return us_fail(US_FAILED, "the model at 'init_from' is %s, this training is %s",
                       us_nn_arch_name(model), us_nn_arch_name(wanted));
    }
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        if (dims[i].model != dims[i].wanted) {
            return us_fail(US_FAILED, "the model at 'init_from' has %s %d, this training %d",
                           dims[i].name, dims[i].model, dims[i].wanted);
        }
    }
    return NULL;
}

/* Weights of the parts to reset come from the seed, as in a training without init. */
static struct us_error *reset_parts(const struct us_training *t, float *parameters) {
    const struct us_nn_layout *layout = us_nn_trainer_layout(t->trainer);
    const struct us_strings *reset = &t->params->reset;
    float *fresh = us_try_alloc_pixels(layout->count * sizeof *fresh);
    if (!fresh) {
        return us_fail(US_RETRY, "no memory for %zu weights", layout->count);
    }
    us_nn_layout_initialise(layout, t->config.seed, fresh);
    for (int i = 0; i < layout->slice_count; i++) {
        const struct us_nn_slice *slice = &layout->slices[i];
        for (size_t k = 0; k < reset->count; k++) {
            const size_t length = strlen(reset->items[k]);
            if (strncmp(slice->name, reset->items[k], length) == 0 && slice->name[length] == '.') {
                memcpy(parameters + slice->offset, fresh + slice->offset,
                       slice->count * sizeof *fresh);
            }
        }
    }
    us_free(fresh);
    return NULL;
}

static struct us_error *read_init(struct us_training *t, struct us_swap_model *model) {
    struct us_value *value;
    US_TRY(us_task_input(t->task, IN_INIT, 0, &value));
    struct us_error *error = us_swap_model_parse(value->bytes, value->size, model);
    US_TRY(us_error_wrap(error, "cannot start from '%s'", us_task_input_name(t->task, IN_INIT, 0)));
    US_TRY(same_arch(&model->arch, &t->config.arch));
    if (strcmp(model->encoding, t->sides[0].dataset.encoding) != 0) {
        return us_fail(US_FAILED, "the model at 'init_from' works on %s crops, these are %s",
                       model->encoding, t->sides[0].dataset.encoding);
    }
    return reset_parts(t, model->parameters);
}

static struct us_error *train(struct us_training *t) {
    struct us_swap_model init = {0};
    US_TRY(us_training_open(t, t->task,
                            (struct us_training_ports){IN_SOURCE, IN_DESTINATION, IN_OTHERS}));
    struct us_error *error = NULL;
    if (us_task_input_count(t->task, IN_INIT) > 0) {
        error = read_init(t, &init);
    }
    if (!error) {
        error = us_training_run(t, init.parameters);
    }
    us_swap_model_finish(&init);
    US_TRY(error);
    return us_train_results(
        t, (struct us_train_ports){OUT_MODEL, OUT_METRICS, OUT_CURVE, OUT_PREVIEW});
}

static struct us_error *run(struct us_task *task) {
    struct us_training training = {.task = task};
    struct us_error *error = train(&training);
    us_training_close(&training, error);
    return error;
}

static const struct us_swap_ports swap_ports = {IN_SOURCE, IN_DESTINATION, IN_INIT, IN_OTHERS};

static void describe(const struct us_outlook *outlook, struct us_geometry *made) {
    us_swap_outlook_of_training(outlook, swap_ports, &made[OUT_MODEL]);
}

static struct us_error *memory(const struct us_outlook *outlook, struct us_memory *memory) {
    return us_train_memory(outlook, swap_ports, memory);
}

static void needs(const void *params, struct us_needs *needs) {
    const struct train_params *p = params;
    needs->threads = -1;
    const bool one = p->ranks == 1;
    needs->device = one ? US_DEVICE_PREFERRED : US_DEVICE_ALL;
}

const struct us_node_type us_node_train_swap = {
    .name = "train_swap",
    .group = "learn",
    .version = 2,
    .summary = "Trains the autoencoder that turns one face into another.",
    .doc =
        "One encoder learns to describe both faces, a decoder each learns to draw one of them; the "
        "swap is the destination's description drawn by the source's decoder. The architecture is "
        "the field's df or liae, or a comb of more decoders that grows to 1024 px. Every step "
        "draws faces, turns, scales, shifts and warps them, and "
        "the net "
        "learns to draw the unwarped face inside its matte (DSSIM and squared error), and the "
        "matte. Random numbers are functions of seed and step, so a training that was stopped goes "
        "on from its last checkpoint with the same bits; raising steps continues. A batch whose "
        "loss is not finite is passed over; if that does not help, training goes back to the last "
        "checkpoint. Crops decide the size, 32 to 640 px, a multiple of 16 (32 with option d); "
        "with "
        "comb a power of two up to 1024.",
    .example = "model: {type: train_swap, source: actor.crop, destination: plate.crop, "
               "steps: 20000, until: {loss: 0.02}}",
    .inputs = inputs,
    .outputs = outputs,
    .params = us_train_params,
    .params_size = sizeof(struct train_params),
    .volatile_result = true,
    .check = us_train_check,
    .needs = needs,
    .describe = describe,
    .memory = memory,
    .run = run,
};
