#include <unistd.h>

#include "nodes/face/override.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/watch.h"

struct face_override_params {
    const char *path;
    bool every_frame;
};
#define PARAMS struct face_override_params

static const struct us_param params[] = {
    {.name = "path",
     .type = US_PARAM_PATH,
     .offset = US_PARAM_FIELD_(PARAMS, path, const char *),
     .unit = "",
     .required = true,
     .doc = "The JSON file, or one a frame: fix/ab010.####.json."},
    US_BOOL(PARAMS, every_frame, false,
            "Every frame must have its file. Otherwise a frame without one stays as it is."),
    US_PARAMS_END,
};

enum { IN_FACES };
enum { OUT_FACES };

static const struct us_port inputs[] = {
    {.name = "faces", .doc = "Faces from any face node.", .data = US_FACES},
    {.name = NULL},
};
static const struct us_port outputs[] = {
    {.name = "faces", .doc = "The same with the artist's values.", .data = US_FACES},
    {.name = NULL},
};

static struct us_error *face_override_sources(const void *params_, struct us_frame frame,
                                              struct us_sources *sources) {
    const PARAMS *p = params_;
    char *path = us_pattern_path(p->path, frame.number);
    char *folder = us_path_folder(path);
    struct us_error *error = NULL;
    us_watch_note(path);
    us_watch_note(folder);
    if (p->every_frame || !us_pattern_has_frame(p->path) || access(path, F_OK) == 0) {
        us_source_add(sources, "override", path, "write the file, or correct path");
    } else if (access(folder, F_OK) != 0) {
        error = us_error_hint(us_fail(US_MISSING, "there is no folder '%s'", folder),
                              "make it, or correct path");
    }
    us_free(folder);
    us_free(path);
    return error;
}

static struct us_error *apply(const char *path, int32_t number, struct us_faces *faces) {
    static const size_t largest_file = (size_t)64 << 20;
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(path, largest_file, &bytes, &size));
    struct us_error *error = us_override_apply(bytes, size, number, faces);
    us_free(bytes);
    return us_error_wrap(error, "override '%s'", path);
}

static struct us_error *face_override_run(struct us_task *task) {
    struct us_value *value;
    struct us_faces faces;
    const char *path = us_task_source(task, "override", 0);
    US_TRY(us_task_input(task, IN_FACES, 0, &value));
    US_TRY(us_faces_read(value->bytes, value->size, &faces));
    struct us_error *error = path ? apply(path, us_task_frame(task).number, &faces) : NULL;
    if (!error) {
        us_task_output(task, OUT_FACES, us_faces_write(&faces));
    }
    us_faces_finish(&faces);
    return error;
}

const struct us_node_type us_node_face_override = {
    .name = "face_override",
    .group = "face",
    .version = 1,
    .summary = "Puts an artist's corrections over faces; they always win.",
    .doc =
        "Reads JSON that an artist wrote and applies it to the faces, marking what it sets as "
        "the artist's, which later nodes leave alone. The file is {\"understudy\": \"override\", "
        "\"version\": 1, \"faces\": [...], \"frames\": {\"1001\": [...], \"1010-1020\": "
        "[...]}}: 'faces' applies wherever the file is read, 'frames' to those frames. An "
        "entry names a face with \"track\": N, \"face\": N (its place in the list) or \"add\": "
        "true, and says \"delete\": true, or gives fields as the faces files have them (box, "
        "landmarks, matrix, pose), or moves single landmarks with \"points\": {\"33\": [x, y]}. "
        "Coordinates are plate pixels. Put it before face_align to correct boxes, after it to "
        "correct landmarks; landmarks without a matrix get theirs fitted anew. The file is a "
        "hashed source: editing it reruns the frames it changes.",
    .example = "fixed: {type: face_override, faces: pose, path: fix/ab010.json}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .per_frame = true,
    .sources = face_override_sources,
    .run = face_override_run,
};
