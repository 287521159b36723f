#include "nodes/learn/training_guard.h"

#include <stdio.h>
#include <string.h>

#include "nodes/learn/growth.h"
#include "nodes/learn/training_state.h"
#include "runtime/base/mem.h"

/* Why a training goes back, and what to say when that does not help. */
struct trouble {
    const char *why, *complaint, *advice;
};

struct us_loss_guard us_training_loss_guard(const struct us_training *t) {
    const uint64_t last = t->step > 0 ? t->step - 1 : 0;
    return (struct us_loss_guard){.losses = t->losses,
                                  .sides = 2,
                                  .since = us_growth_since(t->params, &t->config.arch, last),
                                  .window = (int)t->params->guard_window,
                                  .factor = t->params->guard_factor};
}

/* Appends the incidents among `lines` that the metrics of the checkpoint do not have. */
static void keep_incidents(struct us_training *t, const char *lines) {
    static const char incident[] = "{\"event\":\"went_back\"";
    const size_t length = t->lines.length;
    if (strlen(lines) < length || strncmp(lines, us_str_text(&t->lines), length) != 0) {
        return;
    }
    for (const char *line = lines + length, *end; (end = strchr(line, '\n')); line = end + 1) {
        if (strncmp(line, incident, sizeof incident - 1) == 0) {
            us_str_append_bytes(&t->lines, line, (size_t)(end + 1 - line));
        }
    }
}

/* Trouble after a return to the same place wants an older one. */
static uint64_t limit_of(const struct us_training *t) {
    const struct us_loss_guard guard = us_training_loss_guard(t);
    const uint64_t good = us_loss_guard_good(&guard, t->step);
    if (t->returns == 0 || good < t->returned_to) {
        return good;
    }
    return t->returned_to > 0 ? t->returned_to - 1 : 0;
}

static struct us_error *restore(struct us_training *t, const float *init) {
    const uint64_t from = t->step, returns = t->returns + 1, generation = t->generation + 1;
    const uint64_t trouble = from > t->trouble ? from : t->trouble;
    char *lines = us_strdup(us_str_text(&t->lines));
    us_training_settle(t);
    struct us_error *error = us_training_restore(t, limit_of(t), init);
    if (!error) {
        us_checkpoint_remove(t->folder, t->step + 1, from);
        t->returns = returns;
        t->generation = generation;
        t->trouble = trouble;
        t->returned_to = t->step;
        keep_incidents(t, lines);
    }
    us_free(lines);
    return error;
}

static struct us_error *go_back(struct us_training *t, const float *init,
                                const struct trouble *trouble) {
    const unsigned long long from = t->step;
    if (t->returns == US_TRAINING_RETURNS) {
        us_training_settle(t);
        us_checkpoint_remove(t->folder, limit_of(t) + 1, t->step);
        return us_error_hint(us_fail(US_FAILED,
                                     "the training does not %s: %s at step %llu, after going back "
                                     "%d times",
                                     trouble->complaint, trouble->why, from + 1,
                                     US_TRAINING_RETURNS),
                             "%s", trouble->advice);
    }
    US_TRY(restore(t, init));
    us_str_printf(&t->lines,
                  "{\"event\":\"went_back\",\"from_step\":%llu,\"to_step\":%llu,\"why\":\"%s\"}\n",
                  from, (unsigned long long)t->step, trouble->why);
    us_task_warn(t->task, "%s at step %llu: training goes on from step %llu", trouble->why,
                 from + 1, (unsigned long long)t->step);
    return NULL;
}

struct us_error *us_training_not_finite(struct us_training *t, const float *init, const char *why) {
    const struct trouble trouble = {why, "stay finite", "lower lr, or set clip to 1"};
    return go_back(t, init, &trouble);
}

struct us_error *us_training_look(struct us_training *t, const float *init) {
    const struct us_loss_guard guard = us_training_loss_guard(t);
    const struct us_guard_look look = us_loss_guard_look(&guard, t->step);
    if (look.verdict == US_GUARD_JUMPED) {
        char why[96];
        snprintf(why, sizeof why, "the loss jumped from %.4g to %.4g", look.usual, look.recent);
        const struct trouble trouble = {
            why, "settle",
            "lower lr, set clip to 1, look for a wrong face among the crops, or let it pass with "
            "guard.factor: 0"};
        return go_back(t, init, &trouble);
    }
    if (t->returns > 0 && t->step > t->trouble + (uint64_t)guard.window) {
        t->returns = t->trouble = t->returned_to = 0;
    }
    return NULL;
}
