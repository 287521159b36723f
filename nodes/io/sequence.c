#include "nodes/io/sequence.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/watch.h"

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
        error = us_fail(US_MISSING, "no file matches '%s'%s", path,
                        asked->all ? "" : " in the frames asked for");
    }
    return us_error_hint(error, "check the path; #### stands for a frame number of four digits");
}

/* Takes are asked for once a frame; listing the folder each time would cost its size times the
 * number of frames. The last answer is kept while its folder has not changed; a folder that changed
 * within the last two seconds might change again without its time moving, so it is listed anew. */
static struct {
    pthread_mutex_t lock;
    char *pattern;
    struct stat folder;
    struct takes takes;
} known = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool folder_of(const char *pattern, struct stat *info) {
    char *folder = us_path_folder(pattern);
    us_watch_note(folder);
    bool found = !us_pattern_has_takes(folder) && stat(folder, info) == 0 &&
                 info->st_mtim.tv_sec + 2 < time(NULL);
    us_free(folder);
    return found;
}

static bool is_known(const char *pattern, const struct stat *now) {
    const struct stat *then = &known.folder;
    return known.pattern && strcmp(known.pattern, pattern) == 0 && now->st_dev == then->st_dev &&
           now->st_ino == then->st_ino && now->st_mtim.tv_sec == then->st_mtim.tv_sec &&
           now->st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

static char *pick(const struct takes *takes, int32_t take) {
    return take >= 0 && (size_t)take < takes->count ? us_strdup(takes->items[take]) : NULL;
}

static char *take_pattern(const char *path, int32_t take) {
    struct stat folder;
    struct takes takes = {0};
    bool settled = folder_of(path, &folder);
    pthread_mutex_lock(&known.lock);
    char *pattern = NULL;
    if (settled && is_known(path, &folder)) {
        pattern = pick(&known.takes, take);
    } else {
        us_error_free(us_pattern_takes(path, &takes.items, &takes.count));
        pattern = pick(&takes, take);
        if (settled) {
            takes_finish(&known.takes);
            us_free(known.pattern);
            known.pattern = us_strdup(path);
            known.folder = folder;
            known.takes = takes;
            takes = (struct takes){0};
        }
    }
    pthread_mutex_unlock(&known.lock);
    takes_finish(&takes);
    return pattern;
}

/* What stands in `pattern`, a take of `path`, for the parts of `path` that have wildcards: "take2"
 * of "actor/take2.####.exr", "day1/cam_b" of "day1/cam_b/####.exr". */
char *us_sequence_take_name(const char *path, int32_t take) {
    char *pattern = us_pattern_has_takes(path) ? take_pattern(path, take) : NULL;
    struct us_str name = {0};
    for (const char *at = pattern, *of = path; at && *at && *of;) {
        const size_t length = strcspn(at, "/"), asked = strcspn(of, "/");
        char *part = us_strndup(of, asked);
        if (us_pattern_has_takes(part)) {
            const size_t stem = at[length] ? length : strcspn(at, ".#%$");
            us_str_append(&name, name.length ? "/" : "");
            us_str_append_bytes(&name, at, stem ? stem : length);
        }
        us_free(part);
        at += length + strspn(at + length, "/");
        of += asked + strspn(of + asked, "/");
    }
    us_free(pattern);
    return name.length ? us_str_take(&name) : NULL;
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
