#include <math.h>
#include <string.h>

#include "kernels/nn/model.h"
#include "nodes/face/crop_info.h"
#include "nodes/learn/model_cache.h"
#include "nodes/learn/swap_outlook.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"

enum { IN_MODEL, IN_FACES, OUT_IMAGE = 0 };

struct infer_params {
    const char *as, *mask;
};

static const char *const masks[] = {"learned", "landmarks", "product", NULL};
static const char *const colours[3] = {"R", "G", "B"};

#define PARAMS struct infer_params
static const struct us_param params[] = {
    US_STRING(PARAMS, as, "swap",
              "Who is drawn: swap and source are the source, destination is the destination (a "
              "reconstruction, to judge the model by), other1 to other6 the further persons of a "
              "comb."),
    US_CHOICE(PARAMS, mask, "product", masks,
              "The matte: what the model learned, the crop's own from the landmarks, or their "
              "product."),
    US_PARAMS_END};

static const struct us_port inputs[] = {
    {.name = "model", .doc = "What train_swap made.", .data = US_MODEL, .reach = US_THIS_FRAME},
    {.name = "faces",
     .doc = "Face crops with the size, coverage and encoding of the training's.",
     .data = US_IMAGE,
     .reach = US_THIS_FRAME},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {.name = "image",
     .doc = "The crop with the face drawn anew: R, G, B encoded as the crop's, matte.A; attributes "
            "and place as the crop's.",
     .data = US_IMAGE},
    {.name = NULL}};

/* The identity of a name: source 0, destination 1, other1 2 ...; -1: none. */
static int identity_of(const char *as) {
    const bool other = strncmp(as, "other", 5) == 0 && as[5] >= '1' &&
                       as[5] <= '0' + US_NN_IDENTITIES - 2 && !as[6];
    return strcmp(as, "swap") == 0 || strcmp(as, "source") == 0 ? US_NN_SOURCE
           : strcmp(as, "destination") == 0                     ? US_NN_DESTINATION
           : other                                              ? as[5] - '0' + 1
                                                                : -1;
}

static struct us_error *check(const void *values) {
    const struct infer_params *p = values;
    return identity_of(p->as) < 0
               ? us_fail(US_USAGE,
                         "as is '%s', allowed are swap, source, destination and other1 to other%d",
                         p->as, US_NN_IDENTITIES - 2)
               : NULL;
}

static struct us_error *check_identity(const struct us_swap_model *model, const char *as) {
    const int identities = us_nn_arch_identities(&model->arch);
    return identity_of(as) < identities
               ? NULL
               : us_fail(US_FAILED, "as is '%s', but the model has %d identities", as, identities);
}

static struct us_error *check_fit(const struct us_swap_model *model, const struct us_image *crop,
                                  const struct us_crop_info *info) {
    const int width = us_window_width(&crop->data_window);
    const int height = us_window_height(&crop->data_window);
    const int size = model->arch.resolution;
    struct us_error *error = NULL;
    if (width != size || height != size) {
        error = us_fail(US_FAILED, "the model works on crops of %d px, this one is %d x %d", size,
                        width, height);
    } else if (strcmp(info->encoding, model->encoding) != 0) {
        error = us_fail(US_FAILED, "the model works on %s crops, this one is %s", model->encoding,
                        info->encoding);
    } else if (strcmp(info->coverage, model->coverage) != 0) {
        error = us_fail(US_FAILED, "the model works on crops of coverage %s, this one is %s",
                        model->coverage, info->coverage);
    }
    return us_error_hint(error, "use the face_crop settings of the training");
}

/* [3][size][size] from the crop; what is not finite becomes 0, as in training. */
static struct us_error *read_faces(const struct us_image *crop, int size, float *planes) {
    const size_t area = (size_t)size * (size_t)size;
    for (size_t c = 0; c < 3; c++) {
        const struct us_view view = {planes + c * area, size, size, size};
        US_TRY(us_image_read_plane(crop, colours[c], view));
    }
    for (size_t i = 0; i < 3 * area; i++) {
        planes[i] = isfinite(planes[i]) ? planes[i] : 0;
    }
    return NULL;
}

static struct us_error *combine(const struct us_image *crop, const char *mask, int size,
                                float *matte) {
    if (strcmp(mask, "learned") == 0) {
        return NULL;
    }
    const size_t area = (size_t)size * (size_t)size;
    struct us_view landmarks;
    US_TRY(us_planes_create(size, size, 1, &landmarks));
    struct us_error *error = us_image_read_plane(crop, "matte.A", landmarks);
    const bool product = strcmp(mask, "product") == 0;
    for (size_t i = 0; i < area && !error; i++) {
        const float own = us_view_row(landmarks, (int32_t)(i / (size_t)size))[i % (size_t)size];
        matte[i] = product ? matte[i] * own : own;
    }
    us_free(landmarks.data);
    return error;
}

static struct us_error *set_plane(struct us_image *image, const char *name, int size,
                                  float *values) {
    struct us_channel *channel;
    US_TRY(us_image_add_channel(image, name, US_FLOAT, &channel));
    us_channel_write(channel, (struct us_view){values, size, size, size});
    return NULL;
}

static struct us_error *make_image(const struct us_image *crop, int size, float *planes,
                                   float *matte, struct us_image **image) {
    const size_t area = (size_t)size * (size_t)size;
    US_TRY(us_image_copy(crop, false, image));
    for (size_t c = 0; c < 3; c++) {
        US_TRY(set_plane(*image, colours[c], size, planes + c * area));
    }
    return set_plane(*image, "matte.A", size, matte);
}

/* A frame of a batch. */
struct face {
    struct us_task *task;
    const struct us_image *crop;
    struct us_crop_info info;
};

enum { MOST = 8 }; /* frames at once */

/* The frame's own part: it fails by itself. */
static struct us_error *finish_face(const struct face *face, int size, float *planes,
                                    float *matte) {
    const struct infer_params *p = us_task_params(face->task);
    struct us_image *image = NULL;
    struct us_error *error = combine(face->crop, p->mask, size, matte);
    if (!error) {
        error = make_image(face->crop, size, planes, matte, &image);
    }
    if (error) {
        us_image_unref(image);
        return error;
    }
    us_task_output(face->task, OUT_IMAGE, us_value_from_image(image));
    return NULL;
}

/* Puts those that the model can work on first; the others have failed. */
static int read_all(const struct us_swap_model *model, struct face *faces, int count,
                    float *planes) {
    const int size = model->arch.resolution;
    const size_t area = (size_t)size * (size_t)size;
    int fit = 0;
    for (int i = 0; i < count; i++) {
        const struct infer_params *p = us_task_params(faces[i].task);
        struct us_error *error = check_fit(model, faces[i].crop, &faces[i].info);
        error = error ? error : check_identity(model, p->as);
        error = error ? error : read_faces(faces[i].crop, size, planes + 3 * area * (size_t)fit);
        if (error) {
            us_task_fail(faces[i].task, error);
            continue;
        }
        const struct face face = faces[i];
        faces[i] = faces[fit];
        faces[fit++] = face;
    }
    return fit;
}

/* `memory`: 7 planes a face, three to read, three to draw, the matte. */
static struct us_error *draw(struct us_prepared_model *model, struct face *faces, int count,
                             float *memory) {
    const struct us_swap_model *about = us_prepared_model_about(model);
    const int size = about->arch.resolution;
    const size_t area = (size_t)size * (size_t)size;
    float *drawn = memory + 3 * area * (size_t)count, *mattes = drawn + 3 * area * (size_t)count;
    const int fit = read_all(about, faces, count, memory);
    if (fit == 0) {
        return NULL;
    }
    const struct infer_params *p = us_task_params(faces[0].task);
    US_TRY(us_prepared_model_infer(model, (enum us_nn_side)identity_of(p->as), memory, fit, drawn,
                                   mattes));
    for (int i = 0; i < fit; i++) {
        struct us_error *error =
            finish_face(&faces[i], size, drawn + 3 * area * (size_t)i, mattes + area * (size_t)i);
        if (error) {
            us_task_fail(faces[i].task, error);
        }
    }
    return NULL;
}

static struct us_error *infer_on(int device, struct face *faces, int count) {
    struct us_task *task = faces[0].task;
    struct us_value *value;
    struct us_prepared_model *model;
    US_TRY(us_task_input(task, IN_MODEL, 0, &value));
    US_TRY(us_prepared_model_get(value, device, us_task_threads(task), &model));
    const size_t size = (size_t)us_prepared_model_about(model)->arch.resolution;
    float *memory = us_try_alloc_pixels(7 * size * size * (size_t)count * sizeof *memory);
    struct us_error *error = memory ? draw(model, faces, count, memory)
                                    : us_fail(US_FAILED, "no memory for a face of %zu px", size);
    us_free(memory);
    us_prepared_model_release(model);
    return error;
}

/* What a device cannot compute the processor does; what it cannot hold is the run's to decide. */
static struct us_error *infer(struct face *faces, int count) {
    struct us_task *task = faces[0].task;
    const int device = us_task_device(task);
    struct us_error *error = infer_on(1 + device, faces, count);
    if (device < 0 || !error || us_error_is(error, US_CANCELLED)) {
        return error;
    }
    if (us_error_is(error, US_RETRY)) {
        us_error_free(error);
        return us_task_device_full(task, 0, 0);
    }
    struct us_error *again = infer_on(US_NN_CPU, faces, count);
    if (!again) {
        us_task_warn(task, "%s on device cuda:%d; on the processor instead", error->text, device);
    }
    us_error_free(error);
    return again;
}

/* A frame without a face passes; true: there is one to draw. */
static bool open_face(struct us_task *task, struct face *face) {
    struct us_value *value;
    *face = (struct face){.task = task};
    struct us_error *error = us_task_input(task, IN_FACES, 0, &value);
    error = error ? error : us_crop_info_read(value->image, &face->info);
    if (error) {
        us_task_fail(task, error);
        return false;
    }
    face->crop = value->image;
    if (!face->info.found) {
        us_task_output(task, OUT_IMAGE, us_value_ref(value));
        us_crop_info_finish(&face->info);
    }
    return face->info.found;
}

static bool same_model(const struct us_task *a, const struct us_task *b) {
    const struct us_digest one = us_task_input_digest(a, IN_MODEL, 0),
                           other = us_task_input_digest(b, IN_MODEL, 0);
    return us_digest_equal(&one, &other);
}

static struct us_error *run_batch(struct us_task **tasks, size_t count) {
    struct face faces[MOST];
    int open = 0;
    for (size_t i = 0; i < count; i++) {
        if (!same_model(tasks[0], tasks[i])) {
            return us_fail(US_FAILED, "the frames have different models");
        }
    }
    for (size_t i = 0; i < count; i++) {
        open += open_face(tasks[i], &faces[open]);
    }
    struct us_error *error = open ? infer(faces, open) : NULL;
    for (int i = 0; i < open; i++) {
        us_crop_info_finish(&faces[i].info);
    }
    return error;
}

static struct us_error *run(struct us_task *task) {
    return run_batch(&task, 1);
}

static void describe(const struct us_outlook *outlook, struct us_geometry *made) {
    made[OUT_IMAGE] = outlook->inputs[IN_FACES].items[0];
}

/* The prepared model (model_cache.h), and on a device the weights that it is prepared from. */
static struct us_error *memory(const struct us_outlook *outlook, struct us_memory *memory) {
    const struct us_swap_outlook *model = outlook->inputs[IN_MODEL].items[0].about;
    const int device = outlook->device_count > 0 ? 1 + outlook->devices[0] : US_NN_CPU;
    const int place = device == US_NN_CPU ? US_HOST_MEMORY : device - 1;
    struct us_nn_memory taken;
    if (!model) {
        return NULL;
    }
    const struct us_nn_model_config config = {.device = device,
                                              .arch = model->arch,
                                              .batch = us_prepared_model_batch(device),
                                              .threads = outlook->threads};
    if (us_nn_model_memory(&config, &taken)) {
        return NULL; /* the training, or what reads the model, says what is wrong */
    }
    us_memory_add(memory, place, "weights", taken.weights);
    us_memory_add(memory, place, "activations", taken.activations);
    us_memory_add(memory, place, "scratch", taken.scratch);
    return NULL;
}

static void needs(const void *values, struct us_needs *wanted) {
    (void)values;
    wanted->device = US_DEVICE_PREFERRED;
    wanted->batch = MOST;
}

const struct us_node_type us_node_infer_swap = {
    .name = "infer_swap",
    .group = "learn",
    .version = 3,
    .summary = "Draws the other face into a crop.",
    .doc =
        "Runs a model of train_swap on a face crop. The result is a crop again, in the same "
        "place and encoding, for composite. Frames without a face pass as they are. The encoding "
        "reaches above 1.0 in linear light, so highlights come back as light above 1.0.",
    .example = "swap: {type: infer_swap, model: model, faces: plate.crop}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .check = check,
    .needs = needs,
    .describe = describe,
    .memory = memory,
    .run = run,
    .run_batch = run_batch,
};
