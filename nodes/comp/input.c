#include "nodes/comp/input.h"

#include <string.h>

#include "nodes/comp/region.h"

struct us_error *us_input_image(struct us_task *task, int port, const struct us_image **image) {
    *image = NULL;
    if (us_task_input_count(task, port) == 0) {
        return NULL;
    }
    struct us_value *value;
    US_TRY(us_task_input(task, port, 0, &value));
    *image = value->image;
    return NULL;
}

int us_choice_index(const char *const *choices, const char *text) {
    int i = 0;
    while (choices[i] && strcmp(choices[i], text) != 0) {
        i++;
    }
    return i;
}

struct us_error *us_window_check(const char *what, const struct us_window *a, const char *whose,
                                 const struct us_window *b) {
    char left[64], right[64];
    if (us_window_equal(a, b)) {
        return NULL;
    }
    return us_error_hint(us_fail(US_FAILED, "%s is %s, but %s %s", what, us_window_text(a, left),
                                 whose, us_window_text(b, right)),
                         "connect images of the same plate");
}
