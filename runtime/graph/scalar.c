#include <string.h>

#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

enum { MOST_BYTES = 1 << 20 };

struct us_error *us_count_work(struct us_loader *loader, size_t count, struct us_pos pos) {
    loader->work += count;
    if (loader->work > US_MOST_WORK) {
        return us_error_at(
            us_fail(US_GRAPH, "the graph comes to more than %d values", US_MOST_WORK), pos);
    }
    return NULL;
}

/* Narrows a value's place to some characters of it, when it stands on one line. */
static struct us_pos part_of(const struct us_yaml *value, size_t offset, size_t length) {
    struct us_pos pos = value->pos;
    size_t text = strlen(value->text);
    if (pos.length == (int)text + (value->plain ? 0 : 2)) {
        pos.column += (int)offset + (value->plain ? 0 : 1);
        pos.length = (int)length;
    }
    return pos;
}

/* Finds an argument by name, in the scope or around it. */
static const struct us_scope *find_argument(const struct us_loader *loader,
                                            const struct us_scope *scope, const char *name,
                                            size_t *index) {
    for (; scope; scope = scope->outer) {
        ptrdiff_t at = us_yaml_index(scope->params, name);
        bool own = at >= 0 && &scope->arguments[at] == loader->resolving;
        if (at >= 0 &&
            !(own && us_yaml_index(scope->outer ? scope->outer->params : NULL, name) >= 0)) {
            *index = (size_t)at;
            return scope;
        }
    }
    return NULL;
}

static struct us_error *no_argument(struct us_loader *loader, const struct us_scope *scope,
                                    const char *name) {
    struct us_name_list names = {0};
    for (; scope; scope = scope->outer) {
        us_names_add_keys(&names, scope->params);
    }
    struct us_error *error =
        us_fail(US_GRAPH, "there is no parameter %s", us_quoted(loader->arena, name));
    error = us_hint_names(error, name, names.items, names.count);
    us_names_finish(&names);
    return error;
}

static struct us_error *look_up(struct us_loader *loader, const struct us_scope *scope,
                                const char *name, const struct us_argument **argument) {
    size_t index;
    const struct us_scope *owner = find_argument(loader, scope, name, &index);
    if (!owner) {
        return no_argument(loader, scope, name);
    }
    US_TRY(us_argument_resolve(loader, owner, index));
    *argument = &owner->arguments[index];
    return NULL;
}

/* $(name) alone keeps the parameter's type. */
static void take_whole(struct us_loader *loader, const struct us_argument *argument,
                       struct us_scalar *scalar) {
    scalar->text = argument->text;
    scalar->plain = argument->type == US_TYPE_INT || argument->type == US_TYPE_FLOAT ||
                    argument->type == US_TYPE_BOOL;
    scalar->is_path = argument->type == US_TYPE_PATH;
    scalar->origin = us_arena_printf(loader->arena, " (%s)", argument->origin);
}

/* One $(name): `at` is its first character, *length what it takes up. */
static struct us_error *read_reference(struct us_loader *loader, const struct us_scope *scope,
                                       const struct us_yaml *value, size_t at, size_t *length,
                                       const struct us_argument **argument) {
    const char *name = value->text + at + 2, *end = strchr(name, ')');
    if (!end) {
        struct us_error *error = us_fail(US_GRAPH, "'$(' without a ')'");
        error = us_error_hint(error, "write $(name), or $$( for the two characters themselves");
        return us_error_at(error, part_of(value, at, 2));
    }
    *length = (size_t)(end - name) + 3;
    struct us_error *error = look_up(
        loader, scope, us_arena_strndup(loader->arena, name, (size_t)(end - name)), argument);
    return error && !error->pos.line ? us_error_at(error, part_of(value, at, *length)) : error;
}

static struct us_error *check_size(struct us_loader *loader, const struct us_str *made,
                                   struct us_pos pos) {
    if (made->length > MOST_BYTES || loader->text_bytes + made->length > US_MOST_TEXT) {
        return us_error_at(us_fail(US_GRAPH, "parameters put in here make too long a text"), pos);
    }
    return NULL;
}

static struct us_error *substitute(struct us_loader *loader, const struct us_scope *scope,
                                   const struct us_yaml *value, struct us_scalar *scalar,
                                   struct us_str *made) {
    const char *text = value->text;
    for (size_t i = 0; text[i];) {
        if (us_str_starts(text + i, "$$(")) {
            us_str_append(made, "$(");
            i += 3;
        } else if (us_str_starts(text + i, "$(")) {
            const struct us_argument *argument = NULL;
            size_t length = 0;
            US_TRY(read_reference(loader, scope, value, i, &length, &argument));
            if (i == 0 && text[length] == '\0') {
                take_whole(loader, argument, scalar);
                return NULL;
            }
            us_str_append(made, argument->text);
            scalar->origin = us_arena_printf(loader->arena, " (%s)", argument->origin);
            i += length;
        } else {
            size_t plain = 1 + strcspn(text + i + 1, "$");
            us_str_append_bytes(made, text + i, plain);
            i += plain;
        }
        US_TRY(check_size(loader, made, value->pos));
    }
    loader->text_bytes += made->length;
    scalar->text = us_arena_strdup(loader->arena, us_str_text(made));
    return NULL;
}

struct us_error *us_scalar_read(struct us_loader *loader, const struct us_scope *scope,
                                const struct us_yaml *value, const char *what,
                                struct us_scalar *scalar) {
    *scalar = (struct us_scalar){
        .text = value->text, .plain = value->plain, .origin = "", .pos = value->pos};
    US_TRY(us_count_work(loader, 1, value->pos));
    if (value->kind != US_YAML_SCALAR) {
        return us_error_at(
            us_fail(US_GRAPH, "%s is %s, wanted one value", what, us_yaml_kind_name(value)),
            value->pos);
    }
    if (us_yaml_is_null(value)) {
        return us_error_at(us_fail(US_GRAPH, "%s has no value", what), value->pos);
    }
    if (!strstr(value->text, "$(")) {
        return NULL;
    }
    struct us_str made = {0};
    struct us_error *error = substitute(loader, scope, value, scalar, &made);
    us_str_finish(&made);
    return error;
}
