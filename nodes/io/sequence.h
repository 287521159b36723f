/* What the readers share: frames, takes and files of a path pattern (runtime/base/frames.h). */
#ifndef US_NODES_IO_SEQUENCE_H
#define US_NODES_IO_SEQUENCE_H

#include "runtime/api/node.h"

/* The frames there are to read. "all" is what is on disk; a range of a path without takes is taken
 * as it is, so that a hole shows as a missing file; of a path with takes, those of the range that
 * each take has. A path without a frame number is one picture for every frame asked for, or frame 0
 * for "all". Fails when nothing is there (US_MISSING). */
struct us_error *us_sequence_frames(const char *path, const struct us_frames *asked,
                                    struct us_frames *frames) US_NODISCARD;

/* The file's name up to the frame number, us_malloc'ed; NULL when the path has no takes. */
char *us_sequence_take_name(const char *path, int32_t take);

/* Adds the file of a frame as source "image". */
struct us_error *us_sequence_source(const char *path, struct us_frame frame,
                                    struct us_sources *sources) US_NODISCARD;

#endif
