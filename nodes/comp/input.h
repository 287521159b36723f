/* Small helpers of compositing nodes for their inputs and choices. */
#ifndef US_NODES_COMP_INPUT_H
#define US_NODES_COMP_INPUT_H

#include "runtime/api/task.h"

/* The first image at a port; NULL when an optional one is not connected. */
struct us_error *us_input_image(struct us_task *task, int port,
                                const struct us_image **image) US_NODISCARD;
/* Place of `text` in a NULL-terminated list that holds it. */
int us_choice_index(const char *const *choices, const char *text);
/* Fails unless the windows are equal: "<what> is (...)-(...), but <whose> (...)-(...)". */
struct us_error *us_window_check(const char *what, const struct us_window *a, const char *whose,
                                 const struct us_window *b) US_NODISCARD;

#endif
