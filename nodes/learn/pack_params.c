#include "nodes/learn/pack_params.h"

#include <string.h>

enum { TEXT_MOST = 1 << 20, LIST_MOST = 1 << 16 };

static void put_text(const char *text, struct us_str *bytes) {
    const uint64_t length = text ? strlen(text) : UINT64_MAX;
    us_str_append_bytes(bytes, &length, sizeof length);
    if (text) {
        us_str_append_bytes(bytes, text, (size_t)length);
    }
}

static void put_list(const struct us_strings *list, struct us_str *bytes) {
    const uint64_t count = list->count;
    us_str_append_bytes(bytes, &count, sizeof count);
    for (size_t i = 0; i < list->count; i++) {
        put_text(list->items[i], bytes);
    }
}

void us_params_pack(const struct us_param *table, const void *params, struct us_str *bytes) {
    for (const struct us_param *p = table; p->name; p++) {
        const char *field = (const char *)params + p->offset;
        switch (p->type) {
        case US_PARAM_BOOL:
            us_str_append_bytes(bytes, field, sizeof(bool));
            break;
        case US_PARAM_INT:
            us_str_append_bytes(bytes, field, sizeof(int64_t));
            break;
        case US_PARAM_DOUBLE:
            us_str_append_bytes(bytes, field, sizeof(double));
            break;
        case US_PARAM_STRING:
        case US_PARAM_PATH:
        case US_PARAM_CHOICE:
            put_text(*(const char *const *)(const void *)field, bytes);
            break;
        case US_PARAM_STRINGS:
        case US_PARAM_PATHS:
            put_list((const struct us_strings *)(const void *)field, bytes);
            break;
        case US_PARAM_FRAMES:
            US_BUG("frames are not packed");
        }
    }
}

struct reader {
    const char *at;
    size_t left;
    struct us_arena *arena;
};

static bool take(struct reader *r, void *value, size_t size) {
    if (r->left < size) {
        return false;
    }
    memcpy(value, r->at, size);
    r->at += size;
    r->left -= size;
    return true;
}

static bool take_text(struct reader *r, const char **text) {
    uint64_t length;
    *text = NULL;
    if (!take(r, &length, sizeof length)) {
        return false;
    }
    if (length == UINT64_MAX) {
        return true;
    }
    if (length > TEXT_MOST || length > r->left) {
        return false;
    }
    *text = us_arena_strndup(r->arena, r->at, (size_t)length);
    r->at += length;
    r->left -= (size_t)length;
    return true;
}

static bool take_list(struct reader *r, struct us_strings *list) {
    uint64_t count;
    if (!take(r, &count, sizeof count) || count > LIST_MOST) {
        return false;
    }
    list->count = (size_t)count;
    list->items = us_arena_alloc(r->arena, (list->count + 1) * sizeof *list->items);
    for (size_t i = 0; i < list->count; i++) {
        if (!take_text(r, &list->items[i]) || !list->items[i]) {
            return false;
        }
    }
    return true;
}

static bool is_choice(const struct us_param *p, const char *text) {
    for (const char *const *c = p->choices; text && *c; c++) {
        if (strcmp(*c, text) == 0) {
            return true;
        }
    }
    return !text;
}

/* NaN means "not set" where that is the default. */
static bool in_range(const struct us_param *p, double value) {
    return (value >= p->min && value <= p->max) || (isnan(value) && isnan(p->number));
}

static bool take_param(struct reader *r, const struct us_param *p, char *field) {
    uint8_t truth;
    int64_t whole;
    double real;
    const char *text;
    switch (p->type) {
    case US_PARAM_BOOL:
        if (!take(r, &truth, sizeof truth) || truth > 1) {
            return false;
        }
        *(bool *)(void *)field = truth;
        return true;
    case US_PARAM_INT:
        if (!take(r, &whole, sizeof whole) || !in_range(p, (double)whole)) {
            return false;
        }
        memcpy(field, &whole, sizeof whole);
        return true;
    case US_PARAM_DOUBLE:
        if (!take(r, &real, sizeof real) || !in_range(p, real)) {
            return false;
        }
        memcpy(field, &real, sizeof real);
        return true;
    case US_PARAM_STRING:
    case US_PARAM_PATH:
    case US_PARAM_CHOICE:
        if (!take_text(r, &text) || (p->choices && !is_choice(p, text))) {
            return false;
        }
        *(const char **)(void *)field = text;
        return true;
    case US_PARAM_STRINGS:
    case US_PARAM_PATHS:
        return take_list(r, (struct us_strings *)(void *)field);
    case US_PARAM_FRAMES:
        break;
    }
    return false;
}

struct us_error *us_params_unpack(const struct us_param *table, const void *bytes, size_t size,
                                  void *params, struct us_arena *arena) {
    struct reader r = {.at = bytes, .left = size, .arena = arena};
    for (const struct us_param *p = table; p->name; p++) {
        if (!take_param(&r, p, (char *)params + p->offset)) {
            return us_fail(US_CORRUPT, "rank 0 sends no sound value of '%s'", p->name);
        }
    }
    return r.left ? us_fail(US_CORRUPT, "rank 0 sends %zu bytes too many", r.left) : NULL;
}
