#include "nodes/io/sequence.h"

#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"

struct takes {
    char **items;
    size_t count;
};

static void takes_finish(struct takes *takes) {
    for (size_t i = 0; i < takes->count; i++) {
        us_free(takes->items[i]);
    }
    us_free(takes->items);
}

static bool asks_for(const struct us_frames *asked, int32_t number) {
    return asked->all || us_frames_find(asked, (struct us_frame){0, number}) >= 0;
}

static struct us_error *scan(const char *pattern, int32_t take, const struct us_frames *asked,
                             struct us_frames *frames) {
    struct us_frames found = {0};
    struct us_error *error = us_pattern_scan(pattern, take, &found);
    for (size_t i = 0; i < found.count && !error; i++) {
        if (asks_for(asked, found.items[i].number)) {
            us_frames_add(frames, found.items[i]);
        }
    }
    us_frames_finish(&found);
    return error;
}

struct us_error *us_sequence_frames(const char *path, const struct us_frames *asked,
                                    struct us_frames *frames) {
    if (!asked->all && !us_pattern_has_takes(path)) {
        us_frames_copy(asked, frames);
        return NULL;
    }
    struct takes takes = {0};
    US_TRY(us_pattern_takes(path, &takes.items, &takes.count));
    struct us_error *error = NULL;
    for (size_t i = 0; i < takes.count && !error; i++) {
        if (asked->all || us_pattern_has_frame(path)) {
            error = scan(takes.items[i], (int32_t)i, asked, frames);
        }
        for (size_t k = 0; !asked->all && !us_pattern_has_frame(path) && k < asked->count; k++) {
            us_frames_add(frames, (struct us_frame){(int32_t)i, asked->items[k].number});
        }
    }
    takes_finish(&takes);
    if (!error && !frames->count) {
        error = us_error_hint(us_fail(US_MISSING, "no file matches '%s'%s", path,
                                      asked->all ? "" : " in the frames asked for"),
                              "check the path; #### stands for a frame number of four digits");
    }
    return error;
}

static char *take_pattern(const char *path, int32_t take) {
    struct takes takes = {0};
    char *pattern = NULL;
    us_error_free(us_pattern_takes(path, &takes.items, &takes.count));
    if (take >= 0 && (size_t)take < takes.count) {
        pattern = us_strdup(takes.items[take]);
    }
    takes_finish(&takes);
    return pattern;
}

char *us_sequence_take_name(const char *path, int32_t take) {
    char *pattern = us_pattern_has_takes(path) ? take_pattern(path, take) : NULL;
    if (!pattern) {
        return NULL;
    }
    const char *name = us_path_name(pattern);
    char *short_name = us_strndup(name, strcspn(name, ".#%$"));
    if (!short_name[0]) {
        us_free(short_name);
        short_name = us_strdup(name);
    }
    us_free(pattern);
    return short_name;
}

struct us_error *us_sequence_source(const char *path, struct us_frame frame,
                                    struct us_sources *sources) {
    char *pattern = us_pattern_has_takes(path) ? take_pattern(path, frame.take) : us_strdup(path);
    if (!pattern) {
        return us_fail(US_MISSING, "take %d of '%s' is gone", frame.take, path);
    }
    char *file = us_pattern_path(pattern, frame.number);
    us_source_add(sources, "image", file,
                  us_pattern_has_frame(path) ? "render the frame, or leave it out of frames:"
                                             : "check the path");
    us_free(file);
    us_free(pattern);
    return NULL;
}
