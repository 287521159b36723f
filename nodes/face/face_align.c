#include <stdio.h>
#include <string.h>

#include "nodes/face/facemesh.h"
#include "nodes/face/mean_face.h"
#include "nodes/face/weights.h"
#include "runtime/api/task.h"

struct face_align_params {
    int64_t refine;
    double min_presence;
};
#define PARAMS struct face_align_params

static const struct us_param params[] = {
    US_INT(PARAMS, refine, 5, 0, 16, "",
           "Looks at slightly changed crops whose landmarks are averaged: more is steadier and "
           "slower. 0 keeps the landmarks of the detector's box."),
    US_DOUBLE(PARAMS, min_presence, 0.5, 0.0, 1.0, "",
              "How sure the landmark network must be that it sees a face; other faces are "
              "dropped."),
    US_PARAMS_END,
};

enum { IN_IMAGE, IN_FACES };
enum { OUT_FACES };

static const struct us_port inputs[] = {
    {.name = "image", .doc = "The frames the faces were found in.", .data = US_IMAGE},
    {.name = "faces", .doc = "Boxes from face_detect or face_override.", .data = US_FACES},
    {.name = NULL},
};
static const struct us_port outputs[] = {
    {.name = "faces",
     .doc = "The same faces with landmarks, matrix, pose and openings of mouth and eyes.",
     .data = US_FACES},
    {.name = NULL},
};

static struct us_error *face_align_sources(const void *params_, struct us_frame frame,
                                           struct us_sources *sources) {
    (void)params_;
    (void)frame;
    us_weights_source(sources, US_WEIGHTS_FACEMESH);
    return NULL;
}

static bool is_artists(const struct us_face *face, enum us_face_part part) {
    return strcmp(face->source[part], "artist") == 0;
}

/* *kept is false when the face is to be dropped. */
static struct us_error *align_face(struct us_facemesh *mesh, const struct us_frame_rgb *frame,
                                   const PARAMS *p, struct us_face *face, bool *kept) {
    *kept = false;
    if (!is_artists(face, US_PART_LANDMARKS)) {
        double presence;
        US_TRY(us_facemesh_find(mesh, frame, (int)p->refine, face, &presence));
        if (presence < p->min_presence && !is_artists(face, US_PART_BOX)) {
            return NULL;
        }
    }
    *kept = true;
    if (is_artists(face, US_PART_MATRIX)) {
        us_face_pose(face);
        us_face_measure(face);
        return NULL;
    }
    snprintf(face->source[US_PART_MATRIX], sizeof face->source[0], "%s",
             face->source[US_PART_LANDMARKS]);
    *kept = us_face_fit(face);
    return NULL;
}

static struct us_error *align_all(struct us_task *task, const struct us_frame_rgb *frame,
                                  struct us_faces *faces) {
    const struct us_tflite *network;
    struct us_facemesh mesh;
    size_t count = 0;
    bool kept;
    US_TRY(us_weights_load(US_WEIGHTS_FACEMESH, &network));
    US_TRY(us_facemesh_start(&mesh, network));
    struct us_error *error = NULL;
    for (size_t i = 0; i < faces->count && !error; i++) {
        error = align_face(&mesh, frame, us_task_params(task), &faces->items[i], &kept);
        if (!error && kept) {
            faces->items[count++] = faces->items[i];
        }
        error = error ? error : us_task_progress(task, -1);
    }
    faces->count = count;
    us_facemesh_finish(&mesh);
    return error;
}

struct work {
    struct us_task *task;
    const struct us_value *found;
    const struct us_image *image;
    struct us_faces faces;
};

static struct us_error *align(struct us_gpu *gpu, void *context) {
    struct work *work = context;
    struct us_frame_rgb frame;
    us_faces_finish(&work->faces);
    US_TRY(us_faces_read(work->found->bytes, work->found->size, &work->faces));
    struct us_error *error = us_frame_rgb_read(work->image, gpu, &frame);
    if (!error) {
        error = align_all(work->task, &frame, &work->faces);
    }
    us_frame_rgb_finish(&frame);
    return error;
}

static struct us_error *face_align_run(struct us_task *task) {
    struct us_value *image, *found;
    US_TRY(us_task_input(task, IN_IMAGE, 0, &image));
    US_TRY(us_task_input(task, IN_FACES, 0, &found));
    struct work work = {.task = task, .found = found, .image = image->image};
    struct us_error *error = us_gpu_run(task, align, &work);
    if (!error) {
        us_task_output(task, OUT_FACES, us_faces_write(&work.faces));
    }
    us_faces_finish(&work.faces);
    return error;
}

static void face_align_needs(const void *params_, struct us_needs *needs) {
    (void)params_;
    needs->device = US_DEVICE_PREFERRED;
}

const struct us_node_type us_node_face_align = {
    .name = "face_align",
    .group = "face",
    .version = 2,
    .summary = "Finds 468 landmarks of each face and the matrix to the mean face.",
    .doc = "Runs FaceMesh (Kartynnik et al. 2019; MediaPipe's weights, Apache-2.0) on a turned "
           "square around each box, then again on several slightly changed squares around the "
           "landmarks found, and averages: the error that depends on where the crop lies cancels "
           "(after Naruniec et al. 2020). The matrix takes plate pixels to the unit square of the "
           "mean face (51 points, dlib): a similarity after Umeyama 1991, weighted so that what "
           "moves with speech and blinking counts little, and re-weighted after Huber so that a "
           "few misplaced points do not turn it. Yaw, pitch and roll follow from the landmarks in "
           "depth; mouth_open and eye_open_left/right are distances between lips and lids over "
           "the width of mouth and eye. Landmarks and matrices an artist set are kept.",
    .example = "pose: {type: face_align, image: plate, faces: found}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .sources = face_align_sources,
    .needs = face_align_needs,
    .run = face_align_run,
};
