#include "runtime/base/frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"

enum { MOST_FRAMES = 10000000 };

int us_frame_compare(struct us_frame a, struct us_frame b) {
    if (a.take != b.take) {
        return a.take < b.take ? -1 : 1;
    }
    return (a.number > b.number) - (a.number < b.number);
}

void us_frames_finish(struct us_frames *frames) {
    us_free(frames->items);
    *frames = (struct us_frames){0};
}

/* Index of the first item that is not before `frame`. */
static size_t lower_bound(const struct us_frames *frames, struct us_frame frame) {
    size_t low = 0, high = frames->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (us_frame_compare(frames->items[middle], frame) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void us_frames_add(struct us_frames *frames, struct us_frame frame) {
    size_t at = frames->count;
    if (at && us_frame_compare(frames->items[at - 1], frame) >= 0) {
        at = lower_bound(frames, frame);
        if (us_frame_compare(frames->items[at], frame) == 0) {
            return;
        }
    }
    us_grow(&frames->items, &frames->capacity, frames->count, sizeof *frames->items);
    memmove(frames->items + at + 1, frames->items + at,
            (frames->count - at) * sizeof *frames->items);
    frames->items[at] = frame;
    frames->count++;
}

void us_frames_copy(const struct us_frames *from, struct us_frames *to) {
    *to = (struct us_frames){.all = from->all};
    if (from->count) {
        to->items = us_malloc(from->count * sizeof *to->items);
        memcpy(to->items, from->items, from->count * sizeof *to->items);
        to->count = to->capacity = from->count;
    }
}

ptrdiff_t us_frames_find(const struct us_frames *frames, struct us_frame frame) {
    size_t at = lower_bound(frames, frame);
    bool found = at < frames->count && us_frame_compare(frames->items[at], frame) == 0;
    return found ? (ptrdiff_t)at : -1;
}

static int compare_items(const void *a, const void *b) {
    return us_frame_compare(*(const struct us_frame *)a, *(const struct us_frame *)b);
}

void us_frames_sort(struct us_frames *frames) {
    if (frames->count < 2) {
        return;
    }
    qsort(frames->items, frames->count, sizeof *frames->items, compare_items);
    size_t kept = 1;
    for (size_t i = 1; i < frames->count; i++) {
        if (us_frame_compare(frames->items[i], frames->items[kept - 1]) != 0) {
            frames->items[kept++] = frames->items[i];
        }
    }
    frames->count = kept;
}

/* One part of a range text: first-last x step. */
struct span {
    int32_t first, last, step;
};

static const char *skip_spaces(const char *text) {
    return text + strspn(text, " \t");
}

/* Reads a number and moves *text behind it; false when there is none or it does not fit. */
static bool read_number(const char **text, int32_t *number) {
    const char *p = *text;
    bool negative = *p == '-';
    p += negative;
    if (*p < '0' || *p > '9') {
        return false;
    }
    int64_t value = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (*p - '0');
        if (value > INT32_MAX) {
            return false;
        }
    }
    *number = (int32_t)(negative ? -value : value);
    *text = p;
    return true;
}

static bool read_span(const char **text, struct span *span) {
    const char *p = skip_spaces(*text);
    span->step = 1;
    if (!read_number(&p, &span->first)) {
        return false;
    }
    span->last = span->first;
    if (*p == '-') {
        p++;
        if (!read_number(&p, &span->last)) {
            return false;
        }
        if (*p == 'x') {
            p++;
            if (!read_number(&p, &span->step)) {
                return false;
            }
        }
    }
    *text = skip_spaces(p);
    return **text == ',' || **text == '\0';
}

static int64_t span_count(const struct span *span) {
    return ((int64_t)span->last - span->first) / span->step + 1;
}

static struct us_error *check_span(const struct span *span, int64_t have) {
    if (span->last < span->first) {
        return us_error_hint(us_fail(US_USAGE,
                                     "frame range '%" PRId32 "-%" PRId32 "' runs backwards",
                                     span->first, span->last),
                             "write it as %" PRId32 "-%" PRId32, span->last, span->first);
    }
    if (span->step < 1) {
        return us_fail(US_USAGE, "frame step is %" PRId32 ", it must be 1 or more", span->step);
    }
    if (span_count(span) > MOST_FRAMES - have) {
        return us_fail(US_USAGE, "frame range '%" PRId32 "-%" PRId32 "' makes more than %d frames",
                       span->first, span->last, MOST_FRAMES);
    }
    return NULL;
}

typedef void span_visitor(const struct span *span, void *context);

static struct us_error *each_span(const char *text, span_visitor *visit, void *context) {
    const char *p = text;
    for (int64_t have = 0;; p++) {
        struct span span;
        if (!read_span(&p, &span)) {
            return us_error_hint(
                us_fail(US_USAGE, "'%.60s' is not a frame range", text),
                "write frames as 1001-1100, 1001-1100x2, 1001,1005,1010-1020 or all");
        }
        US_TRY(check_span(&span, have));
        have += span_count(&span);
        visit(&span, context);
        if (*p == '\0') {
            return NULL;
        }
    }
}

static void add_span(const struct span *span, void *context) {
    struct us_frames *frames = context;
    const size_t count = (size_t)span_count(span);
    us_grow(&frames->items, &frames->capacity, frames->count + count, sizeof *frames->items);
    for (size_t i = 0; i < count; i++) {
        int64_t number = span->first + (int64_t)i * span->step;
        frames->items[frames->count++] = (struct us_frame){.number = (int32_t)number};
    }
}

struct us_error *us_frames_parse(const char *text, struct us_frames *frames) {
    struct us_frames parsed = {0};
    if (strcmp(text, "all") == 0) {
        *frames = (struct us_frames){.all = true};
        return NULL;
    }
    struct us_error *error = each_span(text, add_span, &parsed);
    if (error) {
        us_frames_finish(&parsed);
        return error;
    }
    us_frames_sort(&parsed);
    *frames = parsed;
    return NULL;
}

struct looking {
    int32_t number;
    bool found;
};

static void look_in_span(const struct span *span, void *context) {
    struct looking *looking = context;
    const int64_t from_first = (int64_t)looking->number - span->first;
    looking->found |=
        from_first >= 0 && looking->number <= span->last && from_first % span->step == 0;
}

struct us_error *us_frames_text_has(const char *text, int32_t number, bool *has) {
    struct looking looking = {number, strcmp(text, "all") == 0};
    US_TRY(looking.found ? NULL : each_span(text, look_in_span, &looking));
    *has = looking.found;
    return NULL;
}

/* How many items from `at` on are evenly spaced within one take. */
static size_t run_length(const struct us_frames *frames, size_t at, int64_t *step) {
    const struct us_frame *items = frames->items;
    size_t count = 1;
    *step = 1;
    if (at + 1 < frames->count && items[at + 1].take == items[at].take) {
        *step = (int64_t)items[at + 1].number - items[at].number;
    }
    while (at + count < frames->count && items[at + count].take == items[at].take &&
           (int64_t)items[at + count].number - items[at + count - 1].number == *step) {
        count++;
    }
    return count;
}

void us_frames_print(const struct us_frames *frames, struct us_str *out) {
    if (frames->all) {
        us_str_append(out, "all");
    }
    for (size_t i = 0; i < frames->count;) {
        struct us_frame first = frames->items[i];
        bool new_take = i == 0 || frames->items[i - 1].take != first.take;
        us_str_append(out, i == 0 ? "" : new_take ? " " : ",");
        if (new_take && first.take != 0) {
            us_str_printf(out, "%" PRId32 ":", first.take);
        }
        int64_t step;
        size_t count = run_length(frames, i, &step);
        if (count < 3 && !(count == 2 && step == 1)) {
            count = 1;
        }
        us_str_printf(out, "%" PRId32, first.number);
        if (count > 1) {
            us_str_printf(out, "-%" PRId32, frames->items[i + count - 1].number);
        }
        if (count > 1 && step > 1) {
            us_str_printf(out, "x%" PRId64, step);
        }
        i += count;
    }
}
