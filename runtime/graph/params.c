#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

/* One parameter of a node, while it is filled. */
struct filling {
    struct us_loader *loader;
    const struct us_draft *draft;
    const struct us_param *param;
    void *field;
};

static const char *wanted_text(enum us_param_type type) {
    static const char *const texts[] = {
        [US_PARAM_BOOL] = "true or false",   [US_PARAM_INT] = "a whole number",
        [US_PARAM_DOUBLE] = "a number",      [US_PARAM_STRING] = "text",
        [US_PARAM_PATH] = "a path",          [US_PARAM_CHOICE] = "one of its choices",
        [US_PARAM_FRAMES] = "frames",        [US_PARAM_STRINGS] = "a list of texts",
        [US_PARAM_PATHS] = "a list of paths"};
    return texts[type];
}

/* "node 'feather' (blur)" */
static const char *node_text(const struct filling *f) {
    return us_arena_printf(f->loader->arena, "node '%s' (%s)", f->draft->node.name,
                           f->draft->node.type->name);
}

/* What a message about the parameter's value calls it; made only for a value that is refused. */
static const char *value_text(const struct filling *f, const struct us_yaml *value) {
    bool good = value->kind == US_YAML_SCALAR && !us_yaml_is_null(value);
    return good ? "" : us_arena_printf(f->loader->arena, "%s: %s", node_text(f), f->param->name);
}

static struct us_error *mismatch(const struct filling *f, const struct us_scalar *scalar) {
    struct us_error *error = us_fail(US_GRAPH, "%s: %s is %s%s, wanted %s", node_text(f),
                                     f->param->name, us_quoted(f->loader->arena, scalar->text),
                                     scalar->origin, wanted_text(f->param->type));
    if (!scalar->plain && !scalar->origin[0] && f->param->type != US_PARAM_FRAMES) {
        error = us_error_hint(error, "write it without quotes");
    }
    return us_error_at(error, scalar->pos);
}

static struct us_error *out_of_range(const struct filling *f, const struct us_scalar *scalar) {
    const struct us_param *p = f->param;
    return us_error_at(us_fail(US_GRAPH, "%s: %s is %.60s%s, allowed %s", node_text(f), p->name,
                               scalar->text, scalar->origin,
                               us_range_text(f->loader->arena, p->min, p->max, p->unit)),
                       scalar->pos);
}

static struct us_error *fill_bool(const struct filling *f, const struct us_scalar *scalar) {
    bool is_true = strcmp(scalar->text, "true") == 0;
    if (!scalar->plain || (!is_true && strcmp(scalar->text, "false") != 0)) {
        return mismatch(f, scalar);
    }
    *(bool *)f->field = is_true;
    return NULL;
}

static bool in_range(const struct us_param *param, double value) {
    return !us_range_given(param->min, param->max) || (value >= param->min && value <= param->max);
}

static struct us_error *fill_int(const struct filling *f, const struct us_scalar *scalar) {
    int64_t value;
    if (!scalar->plain || !us_parse_int(scalar->text, &value)) {
        return mismatch(f, scalar);
    }
    *(int64_t *)f->field = value;
    return in_range(f->param, (double)value) ? NULL : out_of_range(f, scalar);
}

static struct us_error *read_double(const struct filling *f, const struct us_scalar *scalar,
                                    double *value) {
    if (!scalar->plain || !us_parse_double(scalar->text, value)) {
        return mismatch(f, scalar);
    }
    return in_range(f->param, *value) ? NULL : out_of_range(f, scalar);
}

static struct us_error *fill_choice(const struct filling *f, const struct us_scalar *scalar) {
    struct us_name_list names = {0};
    const char *found = NULL;
    for (const char *const *choice = f->param->choices; choice && *choice; choice++) {
        us_names_add(&names, *choice);
        found = strcmp(*choice, scalar->text) == 0 ? *choice : found;
    }
    *(const char **)f->field = found;
    struct us_error *error = NULL;
    if (!found) {
        struct us_str list = {0};
        for (size_t i = 0; i < names.count; i++) {
            us_str_printf(&list, "%s%s", i ? ", " : "", names.items[i]);
        }
        error =
            us_fail(US_GRAPH, "%s: %s is %s%s, allowed %s", node_text(f), f->param->name,
                    us_quoted(f->loader->arena, scalar->text), scalar->origin, us_str_text(&list));
        us_str_finish(&list);
        const char *nearest = us_str_nearest(scalar->text, names.items, names.count);
        error = nearest ? us_error_hint(error, "did you mean '%s'?", nearest) : error;
    }
    us_names_finish(&names);
    return us_error_at(error, scalar->pos);
}

static void keep_frames(struct us_arena *arena, struct us_frames *parsed, struct us_frames *kept) {
    *kept = (struct us_frames){.count = parsed->count, .all = parsed->all};
    kept->items = us_arena_alloc(arena, parsed->count * sizeof *kept->items);
    if (parsed->count) {
        memcpy(kept->items, parsed->items, parsed->count * sizeof *kept->items);
    }
    us_frames_finish(parsed);
}

static struct us_error *fill_frames(const struct filling *f, const struct us_scalar *scalar) {
    struct us_frames parsed = {0};
    struct us_error *error = us_frames_parse(scalar->text, &parsed);
    if (error) {
        error->code = US_GRAPH;
        error = us_error_wrap(error, "%s: %s%s", node_text(f), f->param->name, scalar->origin);
        return us_error_at(error, scalar->pos);
    }
    error = us_count_work(f->loader, parsed.count, scalar->pos);
    if (error) {
        us_frames_finish(&parsed);
        return error;
    }
    keep_frames(f->loader->arena, &parsed, f->field);
    return NULL;
}

/* A list of ranges is the ranges together: [1001, 1010-1020]. */
static struct us_error *fill_frame_list(const struct filling *f, const struct us_yaml *list) {
    struct us_str joined = {0};
    struct us_error *error = NULL;
    struct us_scalar scalar = {.pos = list->pos, .origin = ""};
    for (size_t i = 0; i < list->count && !error; i++) {
        struct us_scalar part;
        error = us_scalar_read(f->loader, f->draft->scope, list->items[i], f->param->name, &part);
        if (!error) {
            us_str_printf(&joined, "%s%s", i ? "," : "", part.text);
        }
    }
    if (!error) {
        scalar.text = us_str_text(&joined);
        error = fill_frames(f, &scalar);
    }
    us_str_finish(&joined);
    return error;
}

static struct us_error *refuse_path(const struct filling *f, const struct us_scalar *scalar,
                                    const struct us_yaml *roots) {
    struct us_str list = {0};
    for (size_t i = 0; i < roots->count; i++) {
        us_str_printf(&list, "%s%.100s", i ? ", " : "", roots->items[i]->text);
    }
    struct us_error *error =
        us_fail(US_REFUSED, "%s: %s is %s%s, which is outside the declared roots", node_text(f),
                f->param->name, us_quoted(f->loader->arena, scalar->text), scalar->origin);
    error = us_error_hint(error, "%s:%d allows %s", roots->pos.file, roots->pos.line,
                          us_str_text(&list));
    us_str_finish(&list);
    return us_error_at(error, scalar->pos);
}

static struct us_error *read_path(const struct filling *f, const struct us_scalar *scalar,
                                  const char **path) {
    *path = scalar->is_path
                ? scalar->text
                : us_path_full(f->loader->arena, f->loader->graph->folder, scalar->text);
    const struct us_yaml *roots = **path ? us_roots_refuse(f->loader, *path) : NULL;
    return roots ? refuse_path(f, scalar, roots) : NULL;
}

static struct us_error *fill_list(const struct filling *f, const struct us_yaml *value) {
    struct us_strings *strings = f->field;
    bool paths = f->param->type == US_PARAM_PATHS, is_list = value->kind == US_YAML_LIST;
    size_t count = is_list ? value->count : 1;
    strings->items = us_arena_alloc(f->loader->arena, count * sizeof *strings->items);
    strings->count = count;
    for (size_t i = 0; i < count; i++) {
        struct us_scalar scalar;
        const struct us_yaml *item = is_list ? value->items[i] : value;
        US_TRY(us_scalar_read(f->loader, f->draft->scope, item, value_text(f, item), &scalar));
        strings->items[i] = scalar.text;
        US_TRY(paths ? read_path(f, &scalar, &strings->items[i]) : NULL);
    }
    return NULL;
}

static struct us_error *fill_scalar(const struct filling *f, const struct us_yaml *value) {
    struct us_scalar scalar;
    US_TRY(us_scalar_read(f->loader, f->draft->scope, value, value_text(f, value), &scalar));
    switch (f->param->type) {
    case US_PARAM_BOOL:
        return fill_bool(f, &scalar);
    case US_PARAM_INT:
        return fill_int(f, &scalar);
    case US_PARAM_DOUBLE:
        return read_double(f, &scalar, f->field);
    case US_PARAM_CHOICE:
        return fill_choice(f, &scalar);
    case US_PARAM_FRAMES:
        return fill_frames(f, &scalar);
    case US_PARAM_PATH:
        return read_path(f, &scalar, f->field);
    case US_PARAM_STRING:
    case US_PARAM_STRINGS:
    case US_PARAM_PATHS:
        break;
    }
    *(const char **)f->field = scalar.text;
    return NULL;
}

struct us_error *us_number_read(struct us_loader *loader, const struct us_draft *draft,
                                const struct us_param *param, const struct us_yaml *value,
                                double *number) {
    struct filling f = {.loader = loader, .draft = draft, .param = param};
    struct us_scalar scalar;
    US_TRY(us_scalar_read(loader, draft->scope, value, param->name, &scalar));
    return read_double(&f, &scalar, number);
}

static struct us_error *animate(const struct filling *f, struct us_draft *draft, uint32_t index,
                                const struct us_yaml *map) {
    struct us_node *node = &draft->node;
    if (f->param->type != US_PARAM_DOUBLE || !node->type->per_frame) {
        struct us_error *error = us_fail(US_GRAPH, "%s: %s is a mapping, wanted %s", node_text(f),
                                         f->param->name, wanted_text(f->param->type));
        error = f->param->type == US_PARAM_DOUBLE
                    ? us_error_hint(error, "only nodes that run frame by frame are animated")
                    : error;
        return us_error_at(error, map->pos);
    }
    struct us_animation animation = {.param = index};
    US_TRY(us_animation_read(f->loader, draft, f->param, map, &animation));
    struct us_animation *grown =
        us_arena_alloc(f->loader->arena, (node->animation_count + 1) * sizeof *grown);
    if (node->animation_count) {
        memcpy(grown, node->animations, node->animation_count * sizeof *grown);
    }
    grown[node->animation_count++] = animation;
    node->animations = grown;
    *(double *)f->field = animation.keys[0].value;
    return NULL;
}

static struct us_error *fill_param(struct us_loader *loader, struct us_draft *draft, uint32_t index,
                                   const struct us_yaml *value) {
    struct us_node *node = &draft->node;
    struct filling f = {.loader = loader, .draft = draft, .param = &node->type->params[index]};
    f.field = (char *)node->params + f.param->offset;
    node->param_pos[index] = value->pos;
    bool is_list = value->kind == US_YAML_LIST;
    if (value->kind == US_YAML_MAP) {
        return animate(&f, draft, index, value);
    }
    if (f.param->type == US_PARAM_STRINGS || f.param->type == US_PARAM_PATHS) {
        return fill_list(&f, value);
    }
    if (is_list && f.param->type == US_PARAM_FRAMES && value->count) {
        return fill_frame_list(&f, value);
    }
    if (is_list) {
        return us_error_at(us_fail(US_GRAPH, "%s: %s is a list, wanted %s", node_text(&f),
                                   f.param->name, wanted_text(f.param->type)),
                           value->pos);
    }
    return fill_scalar(&f, value);
}

static struct us_error *default_frames(struct us_arena *arena, const struct us_param *param,
                                       struct us_frames *frames) {
    struct us_frames parsed = {0};
    struct us_error *error = param->text ? us_frames_parse(param->text, &parsed) : NULL;
    if (error) {
        us_frames_finish(&parsed);
        return error;
    }
    keep_frames(arena, &parsed, frames);
    return NULL;
}

static struct us_error *fill_default(struct us_arena *arena, const char *folder,
                                     const struct us_param *param, void *field) {
    switch (param->type) {
    case US_PARAM_BOOL:
        *(bool *)field = param->number != 0;
        break;
    case US_PARAM_INT:
        *(int64_t *)field = (int64_t)param->number;
        break;
    case US_PARAM_DOUBLE:
        *(double *)field = param->number;
        break;
    case US_PARAM_STRING:
    case US_PARAM_CHOICE:
        *(const char **)field = param->text;
        break;
    case US_PARAM_PATH:
        *(const char **)field = param->text ? us_path_full(arena, folder, param->text) : NULL;
        break;
    case US_PARAM_FRAMES:
        return default_frames(arena, param, field);
    case US_PARAM_STRINGS:
    case US_PARAM_PATHS:
        break;
    }
    return NULL;
}

size_t us_param_count(const struct us_node_type *type) {
    size_t count = 0;
    while (type->params && type->params[count].name) {
        count++;
    }
    return count;
}

struct us_error *us_params_default(struct us_arena *arena, const char *folder,
                                   const struct us_node_type *type, void *params) {
    for (size_t i = 0; type->params && type->params[i].name; i++) {
        const struct us_param *param = &type->params[i];
        US_TRY(fill_default(arena, folder, param, (char *)params + param->offset));
    }
    return NULL;
}

static struct us_error *unknown_key(struct us_loader *loader, const struct us_draft *draft,
                                    const struct us_yaml *key, const char *prefix) {
    struct us_name_list names = {0};
    const struct us_node_type *type = draft->node.type;
    for (size_t i = 0; type->inputs && type->inputs[i].name && !*prefix; i++) {
        us_names_add(&names, type->inputs[i].name);
    }
    for (size_t i = 0; i < us_param_count(type); i++) {
        if (us_str_starts(type->params[i].name, prefix)) {
            us_names_add(&names, type->params[i].name + strlen(prefix));
        }
    }
    if (!*prefix) {
        us_names_add(&names, "cache");
    }
    const char *what =
        us_arena_printf(loader->arena, "node '%s' (%s)%s%.*s", draft->node.name, type->name,
                        *prefix ? ": " : "", *prefix ? (int)strlen(prefix) - 1 : 0, prefix);
    struct us_error *error = us_unknown_key(loader, what, key, names.items, names.count);
    us_names_finish(&names);
    if (!error->hint) {
        error = us_error_hint(error, "understudy nodes %s lists them", type->name);
    }
    return error;
}

static struct us_error *fill_cache(struct us_draft *draft, const struct us_yaml *value) {
    bool scalar = value->kind == US_YAML_SCALAR;
    if (scalar && strcmp(value->text, "keep") == 0) {
        draft->node.store = US_STORE_KEEP;
    } else if (scalar && strcmp(value->text, "drop") == 0) {
        draft->node.store = US_STORE_DROP;
    } else {
        return us_error_at(us_fail(US_GRAPH, "node '%s': cache is '%.40s', allowed keep, drop",
                                   draft->node.name, scalar ? value->text : "..."),
                           value->pos);
    }
    return NULL;
}

/* Fills from a mapping whose keys stand behind `prefix` ("" or "until."). */
static struct us_error *fill_keys(struct us_loader *loader, struct us_draft *draft,
                                  const struct us_yaml *map, const char *prefix);

static struct us_error *fill_key(struct us_loader *loader, struct us_draft *draft,
                                 const struct us_yaml *key, const struct us_yaml *value,
                                 const char *prefix) {
    const struct us_node_type *type = draft->node.type;
    const char *name =
        *prefix ? us_arena_printf(loader->arena, "%s%s", prefix, key->text) : key->text;
    if (!*prefix && (strcmp(name, "type") == 0 || us_port_find(type->inputs, name) >= 0)) {
        return NULL;
    }
    for (uint32_t i = 0; type->params && type->params[i].name; i++) {
        if (strcmp(type->params[i].name, name) == 0) {
            return fill_param(loader, draft, i, value);
        }
    }
    const char *group = us_arena_printf(loader->arena, "%s.", name);
    bool is_group = false;
    for (size_t i = 0; i < us_param_count(type); i++) {
        is_group = is_group || us_str_starts(type->params[i].name, group);
    }
    if (is_group && value->kind == US_YAML_MAP) {
        return fill_keys(loader, draft, value, group);
    }
    if (is_group) {
        return us_error_at(us_fail(US_GRAPH, "node '%s' (%s): %s is %s, wanted a mapping",
                                   draft->node.name, type->name, name, us_yaml_kind_name(value)),
                           value->pos);
    }
    if (!*prefix && strcmp(name, "cache") == 0) {
        return fill_cache(draft, value);
    }
    return unknown_key(loader, draft, key, prefix);
}

static struct us_error *fill_keys(struct us_loader *loader, struct us_draft *draft,
                                  const struct us_yaml *map, const char *prefix) {
    for (size_t i = 0; i < map->count; i++) {
        US_TRY(us_count_work(loader, 1, map->keys[i]->pos));
        US_TRY(fill_key(loader, draft, map->keys[i], map->items[i], prefix));
    }
    return NULL;
}

static struct us_error *check_filled(struct us_draft *draft) {
    struct us_node *node = &draft->node;
    size_t count = us_param_count(node->type);
    for (size_t i = 0; i < count; i++) {
        const struct us_param *param = &node->type->params[i];
        if (param->required && !node->param_pos[i].line) {
            struct us_error *error = us_fail(US_GRAPH, "node '%s' (%s) needs %s", node->name,
                                             node->type->name, param->name);
            return us_error_at(
                us_error_hint(error, "add %s: %s", param->name, wanted_text(param->type)),
                node->pos);
        }
    }
    struct us_error *error = node->type->check ? node->type->check(node->params) : NULL;
    if (error && !error->pos.line) {
        error->code = US_GRAPH;
        error = us_error_wrap(error, "node '%s' (%s)", node->name, node->type->name);
        error = us_error_at(error, node->pos);
    }
    return error;
}

struct us_error *us_draft_fill(struct us_loader *loader, struct us_draft *draft) {
    struct us_node *node = &draft->node;
    size_t count = us_param_count(node->type);
    US_TRY(us_count_work(loader, count, node->pos));
    node->params = us_arena_alloc(loader->arena, node->type->params_size);
    node->param_pos = us_arena_alloc(loader->arena, count * sizeof *node->param_pos);
    US_TRY(us_params_default(loader->arena, loader->graph->folder, node->type, node->params));
    US_TRY(fill_keys(loader, draft, draft->body, ""));
    return check_filled(draft);
}
