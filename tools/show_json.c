#include <string.h>

#include "tools/json_line.h"
#include "tools/show_internal.h"

void us_json_show(const struct us_event *event, double left, bool at_least) {
    static const char *const names[] = {
        [US_EVENT_START] = "start",     [US_EVENT_DONE] = "done",
        [US_EVENT_CACHED] = "cached",   [US_EVENT_FAILED] = "failed",
        [US_EVENT_SKIPPED] = "skipped", [US_EVENT_PROGRESS] = "progress",
        [US_EVENT_REMADE] = "remade",   [US_EVENT_WARNING] = "warning",
    };
    json_t *line = us_json_begin(names[event->kind]);
    if (event->node) {
        us_json_text(line, "node", event->node->name);
        if (event->count) {
            us_json_int(line, "count", (int64_t)event->count);
        } else {
            us_json_frame(line, event->per_frame, event->frame);
        }
    }
    const bool at_work = event->kind == US_EVENT_START || event->kind == US_EVENT_DONE;
    if (at_work && event->worker >= 0) {
        us_json_int(line, "worker", event->worker);
        us_json_text(line, "device", event->device);
    }
    switch (event->kind) {
    case US_EVENT_START:
        us_json_text(line, "why", event->why);
        break;
    case US_EVENT_DONE:
        us_json_real(line, "seconds", event->seconds);
        us_json_text(line, "status", event->status);
        break;
    case US_EVENT_REMADE:
        us_json_real(line, "seconds", event->seconds);
        break;
    case US_EVENT_FAILED:
        us_json_error(line, event->error);
        break;
    case US_EVENT_PROGRESS:
        if (event->fraction >= 0) {
            us_json_real(line, "fraction", event->fraction);
        }
        us_json_text(line, "status", event->status);
        if (left >= 0) {
            us_json_real(line, "eta_seconds", left);
            if (at_least) {
                json_object_set_new(line, "at_least", json_true());
            }
        }
        break;
    case US_EVENT_WARNING:
        us_json_text(line, "text", event->status);
        break;
    case US_EVENT_CACHED:
    case US_EVENT_SKIPPED:
        break;
    }
    us_json_end(line);
}
