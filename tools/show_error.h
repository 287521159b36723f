/* How an error looks to a person:
 *
 *     shot.yaml:14:7: error: node 'comp' (composite): no parameter 'erod_px'; did you mean
 *       14 |       erod_px: 4
 *          |       ^~~~~~~
 *       because: ...
 *       try: ...
 */
#ifndef US_TOOLS_SHOW_ERROR_H
#define US_TOOLS_SHOW_ERROR_H

#include <stdbool.h>

#include "runtime/base/error.h"
#include "runtime/base/str.h"

void us_error_text(const struct us_error *error, struct us_str *out);

/* Prints to stderr, frees, and returns the exit status that the error's code stands for. */
int us_show_error(struct us_error *error);

/* Prints a warning to stderr, or as an event; nothing for NULL or "". */
void us_warn(const char *text, bool json);

/* Appends text with control characters and what is not UTF-8 made harmless: file names and values
 * come from files. */
void us_plain_text(const char *text, size_t length, struct us_str *out);

#endif
