#include <math.h>
#include <string.h>

#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

static const char *const type_names[] = {"int",  "float",  "bool",  "string",
                                         "path", "frames", "choice"};
static const char *const wanted[] = {"a whole number", "a number", "true or false", "text",
                                     "a path",         "frames",   "a choice"};
enum { TYPES = sizeof type_names / sizeof *type_names };

static const char *const declaration_keys[] = {"type", "default", "min", "max", "choices", "doc"};
enum { DECLARATION_KEYS = sizeof declaration_keys / sizeof *declaration_keys };

static struct us_error *check_keys(struct us_loader *loader, const struct us_yaml *key,
                                   const struct us_yaml *declared) {
    if (declared->kind != US_YAML_MAP) {
        struct us_error *error =
            us_fail(US_GRAPH, "parameter '%s' is %s, wanted a mapping with its type", key->text,
                    us_yaml_kind_name(declared));
        return us_error_at(us_error_hint(error, "write %s: {type: int, default: 1}", key->text),
                           declared->pos);
    }
    for (size_t i = 0; i < declared->count; i++) {
        const struct us_yaml *inner = declared->keys[i];
        bool known = false;
        for (size_t k = 0; k < DECLARATION_KEYS; k++) {
            known = known || strcmp(inner->text, declaration_keys[k]) == 0;
        }
        if (!known) {
            return us_unknown_key(loader, "a parameter", inner, declaration_keys, DECLARATION_KEYS);
        }
    }
    return NULL;
}

static struct us_error *read_type(struct us_loader *loader, const struct us_yaml *key,
                                  const struct us_yaml *declared, enum us_value_type *type) {
    const struct us_yaml *value = us_yaml_find(declared, "type");
    if (!value || value->kind != US_YAML_SCALAR) {
        struct us_error *error = us_fail(US_GRAPH, "parameter '%s' has no type", key->text);
        error = us_error_hint(error, "add type: int, float, bool, string, path, frames or choice");
        return us_error_at(error, value ? value->pos : key->pos);
    }
    for (size_t i = 0; i < TYPES; i++) {
        if (strcmp(value->text, type_names[i]) == 0) {
            *type = (enum us_value_type)i;
            return NULL;
        }
    }
    struct us_error *error = us_fail(US_GRAPH, "parameter '%s' has type %s", key->text,
                                     us_quoted(loader->arena, value->text));
    return us_error_at(us_hint_names(error, value->text, type_names, TYPES), value->pos);
}

static bool is_number(enum us_value_type type) {
    return type == US_TYPE_INT || type == US_TYPE_FLOAT;
}

static struct us_error *check_limit(const struct us_yaml *key, const struct us_yaml *declared,
                                    enum us_value_type type, const char *name, double *limit) {
    const struct us_yaml *value = us_yaml_find(declared, name);
    if (!value) {
        return NULL;
    }
    if (!is_number(type)) {
        return us_error_at(
            us_fail(US_GRAPH, "parameter '%s' is no number and takes no %s", key->text, name),
            value->pos);
    }
    if (value->kind != US_YAML_SCALAR || !value->plain || !us_parse_double(value->text, limit)) {
        return us_error_at(us_fail(US_GRAPH, "%s of parameter '%s' is no number", name, key->text),
                           value->pos);
    }
    return NULL;
}

static struct us_error *check_choices(const struct us_yaml *key, const struct us_yaml *declared,
                                      enum us_value_type type) {
    const struct us_yaml *choices = us_yaml_find(declared, "choices");
    bool is_choice = type == US_TYPE_CHOICE;
    if (is_choice && (!choices || choices->kind != US_YAML_LIST || choices->count == 0)) {
        struct us_error *error =
            us_fail(US_GRAPH, "parameter '%s' has no list of choices", key->text);
        return us_error_at(us_error_hint(error, "add choices: [a, b]"),
                           choices ? choices->pos : key->pos);
    }
    if (!is_choice && choices) {
        return us_error_at(us_fail(US_GRAPH, "parameter '%s' is of type %s and takes no choices",
                                   key->text, type_names[type]),
                           choices->pos);
    }
    for (size_t i = 0; is_choice && i < choices->count; i++) {
        if (choices->items[i]->kind != US_YAML_SCALAR) {
            return us_error_at(us_fail(US_GRAPH, "a choice of parameter '%s' is %s", key->text,
                                       us_yaml_kind_name(choices->items[i])),
                               choices->items[i]->pos);
        }
    }
    return NULL;
}

static struct us_error *check_declaration(struct us_loader *loader, const struct us_yaml *key,
                                          const struct us_yaml *declared,
                                          enum us_value_type *type) {
    double min = -HUGE_VAL, max = HUGE_VAL;
    US_TRY(us_check_name(loader, "a parameter", key));
    US_TRY(check_keys(loader, key, declared));
    US_TRY(read_type(loader, key, declared, type));
    US_TRY(check_limit(key, declared, *type, "min", &min));
    US_TRY(check_limit(key, declared, *type, "max", &max));
    if (min > max) {
        return us_error_at(
            us_fail(US_GRAPH, "parameter '%s' has min %.15g above max %.15g", key->text, min, max),
            us_yaml_find(declared, "min")->pos);
    }
    return check_choices(key, declared, *type);
}

/* Takes what -p gave; every name must be a parameter of the graph. */
static struct us_error *take_settings(struct us_loader *loader, struct us_scope *scope) {
    for (size_t i = 0; i < loader->setting_count; i++) {
        const struct us_setting *setting = &loader->settings[i];
        ptrdiff_t at = us_yaml_index(scope->params, setting->name);
        if (at >= 0) {
            scope->arguments[at].set = us_arena_strdup(loader->arena, setting->value);
            continue;
        }
        struct us_name_list names = {0};
        us_names_add_keys(&names, scope->params);
        struct us_error *error = us_fail(US_USAGE, "-p %s=...: the graph has no parameter %s",
                                         setting->name, us_quoted(loader->arena, setting->name));
        error = us_hint_names(error, setting->name, names.items, names.count);
        us_names_finish(&names);
        return error;
    }
    return NULL;
}

struct us_error *us_scope_declare(struct us_loader *loader, struct us_scope *scope) {
    size_t count = scope->params ? scope->params->count : 0;
    scope->arguments = us_arena_alloc(loader->arena, count * sizeof *scope->arguments);
    for (size_t i = 0; i < count; i++) {
        const struct us_yaml *key = scope->params->keys[i];
        US_TRY(us_count_work(loader, 1, key->pos));
        US_TRY(check_declaration(loader, key, scope->params->items[i], &scope->arguments[i].type));
        scope->arguments[i].given = scope->use ? us_yaml_find(scope->use, key->text) : NULL;
    }
    return scope->outer ? NULL : take_settings(loader, scope);
}

/* What a check of a value needs to speak of it. */
struct checked {
    const struct us_yaml *key, *declared;
    const struct us_argument *argument;
    struct us_scalar scalar;
};

static struct us_error *mismatch(struct us_loader *loader, const struct checked *c) {
    struct us_error *error = us_fail(US_GRAPH, "parameter '%s' is %s%s, wanted %s", c->key->text,
                                     us_quoted(loader->arena, c->scalar.text), c->scalar.origin,
                                     wanted[c->argument->type]);
    return us_error_at(error, c->scalar.pos);
}

static struct us_error *check_number(struct us_loader *loader, const struct checked *c) {
    double number = 0, min = -HUGE_VAL, max = HUGE_VAL;
    int64_t whole = 0;
    bool parsed = c->argument->type == US_TYPE_INT ? us_parse_int(c->scalar.text, &whole)
                                                   : us_parse_double(c->scalar.text, &number);
    if (!parsed || !c->scalar.plain) {
        return mismatch(loader, c);
    }
    number = c->argument->type == US_TYPE_INT ? (double)whole : number;
    US_TRY(check_limit(c->key, c->declared, c->argument->type, "min", &min));
    US_TRY(check_limit(c->key, c->declared, c->argument->type, "max", &max));
    if (number >= min && number <= max) {
        return NULL;
    }
    const char *range = isfinite(min) && isfinite(max)
                            ? us_arena_printf(loader->arena, "%.15g to %.15g", min, max)
                        : isfinite(min) ? us_arena_printf(loader->arena, "at least %.15g", min)
                                        : us_arena_printf(loader->arena, "at most %.15g", max);
    return us_error_at(us_fail(US_GRAPH, "parameter '%s' is %.60s%s, allowed %s", c->key->text,
                               c->scalar.text, c->scalar.origin, range),
                       c->scalar.pos);
}

static struct us_error *check_choice(struct us_loader *loader, const struct checked *c) {
    const struct us_yaml *choices = us_yaml_find(c->declared, "choices");
    struct us_name_list names = {0};
    for (size_t i = 0; i < choices->count; i++) {
        if (strcmp(choices->items[i]->text, c->scalar.text) == 0) {
            us_names_finish(&names);
            return NULL;
        }
        us_names_add(&names, choices->items[i]->text);
    }
    struct us_error *error =
        us_fail(US_GRAPH, "parameter '%s' is %s%s, which is none of its choices", c->key->text,
                us_quoted(loader->arena, c->scalar.text), c->scalar.origin);
    error = us_hint_names(error, c->scalar.text, names.items, names.count);
    us_names_finish(&names);
    return us_error_at(error, c->scalar.pos);
}

static struct us_error *check_frames(struct us_loader *loader, const struct checked *c) {
    struct us_frames frames = {0};
    struct us_error *error = us_frames_parse(c->scalar.text, &frames);
    if (!error) {
        error = us_count_work(loader, frames.count, c->scalar.pos);
    }
    us_frames_finish(&frames);
    if (!error) {
        return NULL;
    }
    error->code = US_GRAPH;
    error = us_error_wrap(error, "parameter '%s'%s", c->key->text, c->scalar.origin);
    return us_error_at(error, c->scalar.pos);
}

static struct us_error *check_value(struct us_loader *loader, const struct checked *c) {
    switch (c->argument->type) {
    case US_TYPE_INT:
    case US_TYPE_FLOAT:
        return check_number(loader, c);
    case US_TYPE_BOOL: {
        bool good = strcmp(c->scalar.text, "true") == 0 || strcmp(c->scalar.text, "false") == 0;
        return good && c->scalar.plain ? NULL : mismatch(loader, c);
    }
    case US_TYPE_CHOICE:
        return check_choice(loader, c);
    case US_TYPE_FRAMES:
        return check_frames(loader, c);
    case US_TYPE_STRING:
    case US_TYPE_PATH:
        break;
    }
    return NULL;
}

/* Where the value comes from: -p, the use of a template, or the default. */
static struct us_error *read_source(struct us_loader *loader, const struct us_scope *scope,
                                    const struct us_argument *argument, struct checked *c) {
    const char *what = us_arena_printf(loader->arena, "parameter '%s'", c->key->text);
    if (argument->set) {
        c->scalar = (struct us_scalar){.text = argument->set, .plain = true, .pos = c->key->pos};
        c->scalar.origin =
            us_arena_printf(loader->arena, " (-p %s=%.60s)", c->key->text, argument->set);
        return NULL;
    }
    if (argument->given) {
        return us_scalar_read(loader, scope->user, argument->given, what, &c->scalar);
    }
    const struct us_yaml *value = us_yaml_find(c->declared, "default");
    if (value) {
        return us_scalar_read(loader, scope, value, what, &c->scalar);
    }
    struct us_error *error = us_fail(US_GRAPH, "parameter '%s' has no value", c->key->text);
    if (scope->use) {
        error = us_error_hint(error, "give it to '%s': %s: ...", scope->use_name, c->key->text);
        return us_error_at(error, scope->use_pos);
    }
    error->code = US_USAGE;
    return us_error_at(us_error_hint(error, "add -p %s=...", c->key->text), c->key->pos);
}

/* The origin a message names: the -p behind it all, or this parameter. */
static const char *origin_of(struct us_loader *loader, const struct checked *c) {
    size_t length = strlen(c->scalar.origin);
    if (length > 3) {
        return us_arena_strndup(loader->arena, c->scalar.origin + 2, length - 3);
    }
    return us_arena_printf(loader->arena, "parameter '%s'", c->key->text);
}

static struct us_error *resolve(struct us_loader *loader, const struct us_scope *scope,
                                size_t index) {
    struct us_argument *argument = &scope->arguments[index];
    struct checked c = {.key = scope->params->keys[index],
                        .declared = scope->params->items[index],
                        .argument = argument};
    US_TRY(read_source(loader, scope, argument, &c));
    US_TRY(check_value(loader, &c));
    argument->text = c.scalar.text;
    argument->origin = origin_of(loader, &c);
    if (argument->type == US_TYPE_PATH && !c.scalar.is_path) {
        const char *folder = argument->set ? loader->cwd : loader->graph->folder;
        argument->text = us_path_full(loader->arena, folder, c.scalar.text);
    }
    return NULL;
}

struct us_error *us_argument_resolve(struct us_loader *loader, const struct us_scope *scope,
                                     size_t index) {
    enum { MOST_DEPTH = 100 };
    struct us_argument *argument = &scope->arguments[index];
    const struct us_yaml *key = scope->params->keys[index];
    if (argument->state == US_RESOLVED) {
        return NULL;
    }
    if (argument->state == US_RESOLVING) {
        return us_error_at(us_fail(US_GRAPH, "parameter '%s' is made of itself", key->text),
                           key->pos);
    }
    if (loader->depth >= MOST_DEPTH) {
        return us_error_at(
            us_fail(US_GRAPH, "parameters are made of each other more than %d deep", MOST_DEPTH),
            key->pos);
    }
    const struct us_argument *before = loader->resolving;
    argument->state = US_RESOLVING;
    loader->resolving = argument;
    loader->depth++;
    struct us_error *error = resolve(loader, scope, index);
    loader->depth--;
    loader->resolving = before;
    argument->state = US_RESOLVED;
    return error;
}

struct us_error *us_scope_resolve(struct us_loader *loader, const struct us_scope *scope) {
    for (size_t i = 0; scope->params && i < scope->params->count; i++) {
        US_TRY(us_argument_resolve(loader, scope, i));
    }
    return NULL;
}
