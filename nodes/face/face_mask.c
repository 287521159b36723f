#include <string.h>

#include "kernels/blur.h"
#include "kernels/morph.h"
#include "nodes/face/crop_info.h"
#include "nodes/face/faces.h"
#include "nodes/face/regions.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"

struct face_mask_params {
    const char *region;
    double expand_px;
    double feather_px;
    double forehead;
    int64_t track;
};
#define PARAMS struct face_mask_params

static const char *const regions[] = {"face", "eyes", "mouth", "skin", NULL};

static const struct us_param params[] = {
    US_CHOICE(PARAMS, region, "face", regions,
              "What is white: the face's outline, both eyes, the lips and what is between them, "
              "or the face without eyes and mouth."),
    US_DOUBLE(PARAMS, expand_px, 0.0, -256.0, 256.0, "px", "Grows the matte; negative shrinks it."),
    US_DOUBLE(PARAMS, feather_px, 0.0, 0.0, 256.0, "px",
              "Width of the soft edge, half of it to either side."),
    US_DOUBLE(PARAMS, forehead, 0.2, 0.0, 1.5, "",
              "How far the face's outline rises above the landmarks' top, in distances from there "
              "to the brows."),
    US_INT(PARAMS, track, -1, -1, 1000000, "",
           "Which of `faces`: a track, or without tracks a place in the list; -1 for all. Does "
           "not matter for a crop."),
    US_PARAMS_END,
};

enum { IN_IMAGE, IN_FACES };
enum { OUT_MATTE };

static const struct us_port inputs[] = {
    {.name = "image", .doc = "A face crop; or, with faces, the frames.", .data = US_IMAGE},
    {.name = "faces",
     .doc = "Faces with landmarks. Without it the image must be a crop.",
     .data = US_FACES,
     .optional = true},
    {.name = NULL},
};
static const struct us_port outputs[] = {
    {.name = "matte",
     .doc = "matte.A, 0 to 1, with the image's windows and attributes.",
     .data = US_IMAGE},
    {.name = NULL},
};

static enum us_region region_of(const char *name) {
    int which = 0;
    while (regions[which + 1] && strcmp(regions[which], name) != 0) {
        which++;
    }
    static const enum us_region values[] = {US_REGION_FACE, US_REGION_EYES, US_REGION_MOUTH,
                                            US_REGION_SKIN};
    return values[which];
}

/* Brings a region to its size and softness. */
static struct us_error *shape(const PARAMS *p, struct us_view matte) {
    double sigma = p->feather_px / 4; /* four sigma from full to nothing */
    size_t grow = us_matte_grow_scratch(matte.width, matte.height, p->expand_px);
    size_t blur = us_blur_scratch(matte.width, matte.height, sigma);
    float *scratch = us_try_alloc_pixels((grow > blur ? grow : blur) * sizeof *scratch + 64);
    if (!scratch) {
        return us_fail(US_RETRY, "no memory for a matte of %dx%d", matte.width, matte.height);
    }
    if (p->expand_px != 0) {
        us_matte_grow(matte, matte, p->expand_px, scratch);
    }
    if (sigma > 0) {
        us_gaussian_blur(matte, matte, sigma, scratch);
    }
    us_free(scratch);
    return NULL;
}

/* Adds one face's region to the matte. */
static struct us_error *add_face(const PARAMS *p, const double (*points)[2], struct us_view matte) {
    struct us_view part;
    US_TRY(us_planes_create(matte.width, matte.height, 1, &part));
    struct us_error *error = us_region_draw(region_of(p->region), points, p->forehead, part);
    for (int32_t y = 0; y < matte.height && !error; y++) {
        float *to = us_view_row(matte, y);
        const float *from = us_view_row(part, y);
        for (int32_t x = 0; x < matte.width; x++) {
            to[x] = to[x] > from[x] ? to[x] : from[x];
        }
    }
    us_free(part.data);
    return error;
}

static struct us_error *mask_crop(const PARAMS *p, const struct us_image *crop,
                                  struct us_view matte) {
    struct us_crop_info info;
    double points[US_FACE_LANDMARKS][2];
    struct us_error *error = NULL;
    US_TRY(us_error_hint(us_crop_info_read(crop, &info),
                         "give a face_crop as image, or connect faces as well"));
    if (info.found && (info.landmark_count < 468 || info.landmark_count > US_FACE_LANDMARKS)) {
        error =
            us_fail(US_FAILED, "the crop has %d landmarks, wanted 468 or 478", info.landmark_count);
    } else if (info.found) {
        for (int i = 0; i < 2 * info.landmark_count; i++) {
            points[i / 2][i % 2] = (double)info.landmarks[i];
        }
        error = add_face(p, (const double(*)[2])points, matte);
    }
    us_crop_info_finish(&info);
    return error;
}

static struct us_error *mask_face(const PARAMS *p, const struct us_window *window,
                                  const struct us_face *face, struct us_view matte) {
    double points[US_FACE_LANDMARKS][2];
    if (face->landmark_count == 0) {
        return us_error_hint(us_fail(US_FAILED, "a face has no landmarks"),
                             "put face_align before face_mask");
    }
    for (int i = 0; i < face->landmark_count; i++) {
        points[i][0] = face->landmarks[i][0] - window->x_min;
        points[i][1] = face->landmarks[i][1] - window->y_min;
    }
    return add_face(p, (const double(*)[2])points, matte);
}

static struct us_error *mask_faces(struct us_task *task, const struct us_window *window,
                                   struct us_view matte) {
    const PARAMS *p = us_task_params(task);
    struct us_value *value;
    struct us_faces faces;
    struct us_error *error = NULL;
    US_TRY(us_task_input(task, IN_FACES, 0, &value));
    US_TRY(us_faces_read(value->bytes, value->size, &faces));
    const struct us_face *chosen = us_faces_choose(&faces, p->track);
    for (size_t i = 0; i < faces.count && !error; i++) {
        if (p->track < 0 || &faces.items[i] == chosen) {
            error = mask_face(p, window, &faces.items[i], matte);
        }
    }
    us_faces_finish(&faces);
    return error;
}

static struct us_error *fill(struct us_task *task, const struct us_image *image,
                             struct us_image *out) {
    struct us_channel *channel;
    US_TRY(us_image_add_channel(out, "matte.A", US_FLOAT, &channel));
    struct us_view matte = {channel->data, channel->width, channel->height, channel->width};
    if (us_task_input_count(task, IN_FACES) > 0) {
        US_TRY(mask_faces(task, &image->data_window, matte));
    } else {
        US_TRY(mask_crop(us_task_params(task), image, matte));
    }
    return shape(us_task_params(task), matte);
}

static struct us_error *face_mask_run(struct us_task *task) {
    struct us_value *image;
    struct us_image *out;
    US_TRY(us_task_input(task, IN_IMAGE, 0, &image));
    US_TRY(us_image_copy(image->image, false, &out));
    struct us_error *error = fill(task, image->image, out);
    if (error) {
        us_image_unref(out);
        return error;
    }
    us_task_output(task, OUT_MATTE, us_value_from_image(out));
    return NULL;
}

const struct us_node_type us_node_face_mask = {
    .name = "face_mask",
    .group = "face",
    .version = 1,
    .summary = "Draws a matte of the face, the eyes, the mouth or the skin.",
    .doc = "Fills the outline of the landmarks of a part of the face as a closed Catmull-Rom curve "
           "with exact area coverage, in the crop's pixels or, when faces are connected, in the "
           "plate's; then grows it by a disc (Serra 1982) and softens its edge (Gauss). A frame "
           "without a face gives an empty matte. Occlusions are not seen: combine with a drawn "
           "matte in matte_edit.",
    .example = "mouth: {type: face_mask, image: crop, region: mouth, expand_px: 2, feather_px: 4}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .run = face_mask_run,
};
