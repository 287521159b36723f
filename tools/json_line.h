/* Lines of JSON on stdout. */
#ifndef US_TOOLS_JSON_LINE_H
#define US_TOOLS_JSON_LINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/frames.h"

/* An object that starts with "event" when `event` is not NULL. */
json_t *us_json_begin(const char *event);
/* NULL text leaves the member out; bytes that are not UTF-8 become '?'. */
void us_json_text(json_t *object, const char *name, const char *text);
void us_json_int(json_t *object, const char *name, int64_t value);
/* Left out when it is not finite. */
void us_json_real(json_t *object, const char *name, double value);
/* "frame": a number, or null for a node without frames; "take" beside it when it is not 0. */
void us_json_frame(json_t *object, bool per_frame, struct us_frame frame);
/* "error": text, because, hint, file, line and column, status. */
void us_json_error(json_t *object, const struct us_error *error);
/* Prints the object on a line of its own and frees it. */
void us_json_end(json_t *object);

#endif
