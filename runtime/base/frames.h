/* Frames, frame ranges and file name patterns.
 *
 * A frame is a number within a take. Takes come from a glob in a path (actor/take*.####.exr): they
 * count from 0 in the order of their sorted names; a path without a glob has the one take 0. */
#ifndef US_RUNTIME_BASE_FRAMES_H
#define US_RUNTIME_BASE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/str.h"

struct us_frame {
    int32_t take, number;
};

/* Sorted by take, then number; without duplicates. Zeroed is empty. */
struct us_frames {
    struct us_frame *items;
    size_t count, capacity;
    bool all; /* parsed from "all": whatever there is; items is empty */
};

int us_frame_compare(struct us_frame a, struct us_frame b);
void us_frames_finish(struct us_frames *frames);
void us_frames_add(struct us_frames *frames, struct us_frame frame); /* any order; keeps sorted */
/* Puts items that were appended in any order in their order, without duplicates. */
void us_frames_sort(struct us_frames *frames);
/* Overwrites `to`, which owns its items. */
void us_frames_copy(const struct us_frames *from, struct us_frames *to);
/* Index of `frame`, or -1. */
ptrdiff_t us_frames_find(const struct us_frames *frames, struct us_frame frame);

/* "1001-1100", "1001-1100x2", "1001,1005,1010-1020", "all"; negative numbers allowed; take 0.
 * At most 10,000,000 frames. The error has no place: callers add it. */
struct us_error *us_frames_parse(const char *text, struct us_frames *frames) US_NODISCARD;
/* Whether such a text names take 0's frame `number`, in a time that does not depend on how many it
 * names. */
struct us_error *us_frames_text_has(const char *text, int32_t number, bool *has) US_NODISCARD;
/* The shortest such text; takes other than 0 are written "TAKE:RANGE", joined by spaces. */
void us_frames_print(const struct us_frames *frames, struct us_str *out);

/* Patterns: "####" (as many digits as #), "%04d", "%d", "$F4", "$F" in the file name (the last one
 * counts; folders may be called anything). A file belongs to a pattern when us_pattern_path would
 * write its name for some number. Glob characters * ? [ ] may stand beside it, in folders too, and
 * mean takes; a folder whose very name has such characters is found as it is. */
bool us_pattern_has_frame(const char *pattern);
bool us_pattern_has_takes(const char *pattern);
/* The path of a frame. A pattern without a frame part gives itself. `take` is the glob's expansion
 * (us_pattern_takes) or NULL. us_malloc'ed. */
char *us_pattern_path(const char *pattern, int32_t number);
/* Expands the glob over what is on disk: patterns without glob characters, sorted, one a take.
 * Empty when nothing matches. The array and its items are us_malloc'ed. */
struct us_error *us_pattern_takes(const char *pattern, char ***takes, size_t *count) US_NODISCARD;
/* Frames on disk that match a pattern (no glob), added to `frames` with that take. A pattern
 * without a frame part is frame 0 when the file is there. A missing folder is an error. */
struct us_error *us_pattern_scan(const char *pattern, int32_t take,
                                 struct us_frames *frames) US_NODISCARD;

#endif
