#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

const char *us_quoted(struct us_arena *arena, const char *text) {
    enum { LONGEST = 60 };
    size_t length = strcspn(text, "\n");
    bool cut = text[length] != '\0';
    if (length > LONGEST) {
        length = LONGEST;
        cut = true;
        while (length && ((unsigned char)text[length] & 0xC0) == 0x80) {
            length--;
        }
    }
    return us_arena_printf(arena, "'%.*s%s'", (int)length, text, cut ? "..." : "");
}

void us_names_add(struct us_name_list *list, const char *name) {
    if (list->count < US_MOST_NAMES) {
        us_grow(&list->items, &list->capacity, list->count, sizeof *list->items);
        list->items[list->count++] = name;
    }
}

void us_names_add_keys(struct us_name_list *list, const struct us_yaml *map) {
    for (size_t i = 0; map && i < map->count; i++) {
        us_names_add(list, map->keys[i]->text);
    }
}

void us_names_finish(struct us_name_list *list) {
    us_free(list->items);
    *list = (struct us_name_list){0};
}

struct us_error *us_hint_names(struct us_error *error, const char *text, const char *const *names,
                               size_t count) {
    enum { MOST_LISTED = 40 };
    const char *nearest = us_str_nearest(text, names, count);
    if (nearest) {
        return us_error_hint(error, "did you mean '%s'?", nearest);
    }
    if (!count || count > MOST_LISTED) {
        return error;
    }
    struct us_str list = {0};
    for (size_t i = 0; i < count; i++) {
        us_str_printf(&list, "%s%s", i ? ", " : "", names[i]);
    }
    error = us_error_hint(error, "choose from %s", us_str_text(&list));
    us_str_finish(&list);
    return error;
}

struct us_error *us_unknown_key(struct us_loader *loader, const char *what,
                                const struct us_yaml *key, const char *const *names, size_t count) {
    struct us_error *error =
        us_fail(US_GRAPH, "%s has no key %s", what, us_quoted(loader->arena, key->text));
    if (key->text[0] && strspn(key->text, "0123456789-x") == strlen(key->text)) {
        error = us_error_hint(error, "inside { } a list of frames wants quotes: \"1001,1005\"");
        return us_error_at(error, key->pos);
    }
    return us_error_at(us_hint_names(error, key->text, names, count), key->pos);
}

struct us_error *us_check_name(struct us_loader *loader, const char *what,
                               const struct us_yaml *key) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t length = strlen(key->text);
    bool good = length > 0 && length <= 100 && strchr(letters, key->text[0]);
    for (size_t i = 1; i < length && good; i++) {
        good = strchr(letters, key->text[i]) || strchr("0123456789-", key->text[i]);
    }
    if (good) {
        return NULL;
    }
    struct us_error *error =
        us_fail(US_GRAPH, "%s is no name for %s", us_quoted(loader->arena, key->text), what);
    error = us_error_hint(error, "use letters, digits, _ and -, a letter first, at most 100");
    return us_error_at(error, key->pos);
}
