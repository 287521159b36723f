/* libFuzzer target of frame ranges and file patterns. The first line is a range, which must say the
 * same after it was printed; the second a pattern, looked for in a small folder; the third a frame.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/frames.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char folder[64];

static void leave(void) {
    static const char remove[] = "rm -rf ";
    char command[sizeof remove + sizeof folder];
    snprintf(command, sizeof command, "%s%s", remove, folder);
    if (system(command) != 0) { // NOLINT: a name of our own
        fprintf(stderr, "cannot remove %s\n", folder);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) { // NOLINT: as libFuzzer declares it
    static const char *const names[] = {"a.1001.exr", "a.1002.exr", "a.-3.exr", "t1/a.7.exr",
                                        "t2/a.7.exr", "t[x]/b",     "#/c.0001", "b.exr"};
    (void)argc, (void)argv;
    strcpy(folder, "/tmp/understudy-fuzz-XXXXXX");
    if (!mkdtemp(folder)) {
        abort();
    }
    atexit(leave);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = us_path_join(folder, names[i]);
        if (us_write_file(path, "x", 1)) {
            abort();
        }
        us_free(path);
    }
    return 0;
}

static void same_again(const struct us_frames *frames) {
    struct us_str text = {0};
    struct us_frames again = {0};
    us_frames_print(frames, &text);
    if (us_frames_parse(us_str_text(&text), &again) || again.all != frames->all ||
        again.count != frames->count) {
        abort();
    }
    for (size_t i = 0; i < frames->count; i++) {
        if (us_frame_compare(frames->items[i], again.items[i]) != 0 ||
            (i && us_frame_compare(frames->items[i - 1], frames->items[i]) >= 0)) {
            abort();
        }
    }
    us_frames_finish(&again);
    us_str_finish(&text);
}

static void try_range(const char *text) {
    enum { MOST = 20000 }; /* printed: more takes long and tells no more */
    struct us_frames frames = {0};
    struct us_error *error = us_frames_parse(text, &frames);
    bool has = false;
    struct us_error *other = us_frames_text_has(text, 1001, &has);
    if (!error != !other ||
        has != (frames.all || us_frames_find(&frames, (struct us_frame){0, 1001}) >= 0)) {
        abort();
    }
    us_error_free(other);
    if (!error && (frames.all || frames.count) && frames.count <= MOST) {
        same_again(&frames);
    }
    us_error_free(error);
    us_frames_finish(&frames);
}

static void try_takes(const char *pattern) {
    char **takes = NULL;
    size_t count = 0;
    struct us_error *error = us_pattern_takes(pattern, &takes, &count);
    for (size_t i = 0; i < count && !error; i++) {
        struct us_frames frames = {0};
        us_error_free(us_pattern_scan(takes[i], (int32_t)i, &frames));
        us_frames_finish(&frames);
        us_free(takes[i]);
    }
    us_free(takes);
    us_error_free(error);
}

static void try_pattern(const char *pattern, int32_t number) {
    struct us_frames frames = {0};
    char *path = us_pattern_path(pattern, number);
    if (!us_pattern_has_frame(pattern) && strcmp(path, pattern) != 0) {
        abort();
    }
    us_free(path);
    if (pattern[0] == '/' || strstr(pattern, "..")) {
        return; /* outside the folder */
    }
    path = us_path_join(folder, pattern);
    us_error_free(us_pattern_scan(path, 0, &frames));
    us_frames_finish(&frames);
    if (us_pattern_has_takes(path)) {
        try_takes(path);
    }
    us_free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char *text = us_strndup((const char *)bytes, size), *rest = text;
    const char *range = strsep(&rest, "\n"), *pattern = rest ? strsep(&rest, "\n") : "";
    try_range(range);
    try_pattern(pattern, rest ? (int32_t)strtol(rest, NULL, 10) : 1001);
    us_free(text);
    return 0;
}
