#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

static const char *const template_keys[] = {"params", "inputs", "nodes", "output", "doc"};
enum { TEMPLATE_KEYS = sizeof template_keys / sizeof *template_keys };

static struct us_error *append_cause(struct us_error *error, struct us_error *cause) {
    struct us_error *last = error;
    while (last->cause) {
        last = last->cause;
    }
    last->cause = cause;
    return error;
}

static struct us_error *explain_one(const struct us_scope *scope, struct us_error *error) {
    if (!error || !scope->use) {
        return error;
    }
    struct us_error *cause = us_fail(error->code, "in template '%s', used as '%s'",
                                     scope->template_name, scope->use_name);
    return append_cause(error, us_error_at(cause, scope->use_pos));
}

struct us_error *us_scope_explain(const struct us_scope *scope, struct us_error *error) {
    for (; error && scope; scope = scope->user) {
        error = explain_one(scope, error);
    }
    return error;
}

static struct us_error *unknown_type(struct us_loader *loader, const struct us_yaml *type) {
    struct us_name_list names = {0};
    for (size_t i = 0; i < loader->registry->count; i++) {
        us_names_add(&names, loader->registry->types[i]->name);
    }
    struct us_error *error =
        us_fail(US_GRAPH, "there is no node type %s", us_quoted(loader->arena, type->text));
    const char *nearest = us_str_nearest(type->text, names.items, names.count);
    if (us_yaml_index(loader->document.templates, type->text) >= 0) {
        error = us_error_hint(error, "it is a template: write use: %s", type->text);
    } else if (nearest) {
        error = us_error_hint(error, "did you mean '%s'?", nearest);
    } else {
        error = us_error_hint(error, "understudy nodes lists them");
    }
    us_names_finish(&names);
    return us_error_at(error, type->pos);
}

static struct us_error *count_node(struct us_loader *loader, const struct us_scope *scope,
                                   const struct us_yaml *key) {
    loader->text_bytes += strlen(scope->prefix) + strlen(key->text);
    if (loader->draft_count + loader->use_count >= US_MOST_NODES ||
        loader->text_bytes > US_MOST_TEXT) {
        return us_error_at(
            us_fail(US_GRAPH, "the graph comes to more than %d nodes", US_MOST_NODES), key->pos);
    }
    return NULL;
}

static struct us_error *add_draft(struct us_loader *loader, const struct us_scope *scope,
                                  const struct us_yaml *key, const struct us_yaml *body,
                                  struct us_member *member) {
    const struct us_yaml *type = us_yaml_find(body, "type");
    if (type->kind != US_YAML_SCALAR || us_yaml_is_null(type)) {
        return us_error_at(us_fail(US_GRAPH, "the type of node '%s' is no name", key->text),
                           type->pos);
    }
    const struct us_node_type *found = us_registry_find(loader->registry, type->text);
    if (!found) {
        return unknown_type(loader, type);
    }
    struct us_draft draft = {.scope = scope, .body = body};
    draft.node.name = us_arena_printf(loader->arena, "%s%s", scope->prefix, key->text);
    draft.node.type = found;
    draft.node.pos = key->pos;
    member->draft = (uint32_t)loader->draft_count;
    us_grow(&loader->drafts, &loader->draft_capacity, loader->draft_count, sizeof draft);
    loader->drafts[loader->draft_count++] = draft;
    return NULL;
}

static struct us_error *find_template(struct us_loader *loader, const struct us_yaml *use,
                                      const struct us_yaml **template) {
    const struct us_yaml *templates = loader->document.templates;
    if (use->kind != US_YAML_SCALAR) {
        return us_error_at(us_fail(US_GRAPH, "use: takes the name of a template"), use->pos);
    }
    *template = us_yaml_find(templates, use->text);
    if (*template) {
        return NULL;
    }
    struct us_name_list names = {0};
    us_names_add_keys(&names, templates);
    struct us_error *error =
        us_fail(US_GRAPH, "there is no template %s", us_quoted(loader->arena, use->text));
    if (us_registry_find(loader->registry, use->text)) {
        error = us_error_hint(error, "it is a node type: write type: %s", use->text);
    } else {
        error = us_hint_names(error, use->text, names.items, names.count);
    }
    us_names_finish(&names);
    return us_error_at(error, use->pos);
}

static struct us_error *section(const struct us_yaml *body, const char *name, const char *key,
                                const struct us_yaml **map) {
    const struct us_yaml *value = us_yaml_find(body, key);
    *map = NULL;
    if (value && !us_yaml_is_null(value) && value->kind != US_YAML_MAP) {
        return us_error_at(us_fail(US_GRAPH, "'%s' of template '%s' is %s, wanted a mapping", key,
                                   name, us_yaml_kind_name(value)),
                           value->pos);
    }
    *map = value && value->kind == US_YAML_MAP ? value : NULL;
    return NULL;
}

static struct us_error *check_body(struct us_loader *loader, const char *name,
                                   const struct us_yaml *body) {
    if (body->kind != US_YAML_MAP) {
        return us_error_at(us_fail(US_GRAPH, "template '%s' is %s, wanted a mapping with nodes",
                                   name, us_yaml_kind_name(body)),
                           body->pos);
    }
    for (size_t i = 0; i < body->count; i++) {
        bool known = false;
        for (size_t k = 0; k < TEMPLATE_KEYS; k++) {
            known = known || strcmp(body->keys[i]->text, template_keys[k]) == 0;
        }
        if (!known) {
            return us_unknown_key(loader, "a template", body->keys[i], template_keys,
                                  TEMPLATE_KEYS);
        }
    }
    return NULL;
}

static struct us_error *check_input(struct us_loader *loader, const struct us_yaml *key,
                                    const struct us_yaml *input) {
    static const char *const keys[] = {"doc", "optional"};
    if (input->kind != US_YAML_MAP && !us_yaml_is_null(input)) {
        struct us_error *error = us_fail(US_GRAPH, "input '%s' is %s, wanted a mapping", key->text,
                                         us_yaml_kind_name(input));
        return us_error_at(us_error_hint(error, "write %s: {doc: What it is.}", key->text),
                           input->pos);
    }
    for (size_t i = 0; i < input->count; i++) {
        const struct us_yaml *value = input->items[i];
        bool optional = strcmp(input->keys[i]->text, "optional") == 0;
        if (!optional && strcmp(input->keys[i]->text, "doc") != 0) {
            return us_unknown_key(loader, "an input", input->keys[i], keys, 2);
        }
        if (optional && (value->kind != US_YAML_SCALAR ||
                         (strcmp(value->text, "true") != 0 && strcmp(value->text, "false") != 0))) {
            return us_error_at(us_fail(US_GRAPH, "optional wants true or false"), value->pos);
        }
    }
    return NULL;
}

static struct us_error *check_interface(struct us_loader *loader, const struct us_scope *made) {
    for (size_t i = 0; made->inputs && i < made->inputs->count; i++) {
        const struct us_yaml *key = made->inputs->keys[i];
        US_TRY(us_check_name(loader, "an input", key));
        US_TRY(check_input(loader, key, made->inputs->items[i]));
        if (us_yaml_index(made->params, key->text) >= 0 ||
            us_yaml_index(made->nodes, key->text) >= 0) {
            return us_error_at(us_fail(US_GRAPH,
                                       "input '%s' has the name of a parameter or node of its "
                                       "template",
                                       key->text),
                               key->pos);
        }
    }
    ptrdiff_t taken = us_yaml_index(made->params, "use");
    taken = taken < 0 ? us_yaml_index(made->inputs, "use") : taken;
    if (taken >= 0) {
        return us_error_at(us_fail(US_GRAPH, "a template cannot take anything called 'use'"),
                           made->template_pos);
    }
    return NULL;
}

static struct us_error *check_use_keys(struct us_loader *loader, const struct us_scope *made) {
    for (size_t i = 0; i < made->use->count; i++) {
        const struct us_yaml *key = made->use->keys[i];
        if (strcmp(key->text, "use") == 0 || us_yaml_index(made->params, key->text) >= 0 ||
            us_yaml_index(made->inputs, key->text) >= 0) {
            continue;
        }
        struct us_name_list names = {0};
        us_names_add_keys(&names, made->params);
        us_names_add_keys(&names, made->inputs);
        const char *what = us_arena_printf(loader->arena, "template '%s'", made->template_name);
        struct us_error *error = us_unknown_key(loader, what, key, names.items, names.count);
        us_names_finish(&names);
        return error;
    }
    return NULL;
}

static struct us_error *recursion_error(const struct us_scope *user, const char *name) {
    struct us_str path = {0};
    us_str_append(&path, name);
    for (const struct us_scope *s = user; s->use; s = s->user) {
        struct us_str longer = {0};
        us_str_printf(&longer, "%s -> %s", s->template_name, us_str_text(&path));
        us_str_finish(&path);
        path = longer;
        if (strcmp(s->template_name, name) == 0) {
            break;
        }
    }
    struct us_error *error =
        us_fail(US_GRAPH, "template '%s' uses itself (%s)", name, us_str_text(&path));
    us_str_finish(&path);
    return error;
}

static struct us_error *check_recursion(const struct us_scope *user, const struct us_yaml *use) {
    int level = 0;
    for (const struct us_scope *s = user; s->use; s = s->user, level++) {
        if (strcmp(s->template_name, use->text) == 0) {
            return us_error_at(recursion_error(user, use->text), use->pos);
        }
    }
    if (level < US_MOST_TEMPLATES) {
        return NULL;
    }
    return us_error_at(
        us_fail(US_GRAPH, "templates use each other more than %d deep", US_MOST_TEMPLATES),
        use->pos);
}

static struct us_error *fill_scope(struct us_loader *loader, const struct us_yaml *body,
                                   struct us_scope *made) {
    US_TRY(check_body(loader, made->template_name, body));
    US_TRY(section(body, made->template_name, "params", &made->params));
    US_TRY(section(body, made->template_name, "inputs", &made->inputs));
    US_TRY(section(body, made->template_name, "nodes", &made->nodes));
    made->output = us_yaml_find(body, "output");
    made->template_pos = body->pos;
    if (!made->nodes || !made->nodes->count) {
        return us_error_at(us_fail(US_GRAPH, "template '%s' has no nodes", made->template_name),
                           body->pos);
    }
    US_TRY(check_interface(loader, made));
    return check_use_keys(loader, made);
}

static struct us_error *add_use(struct us_loader *loader, const struct us_scope *scope,
                                const struct us_yaml *key, const struct us_yaml *body,
                                struct us_member *member) {
    const struct us_yaml *use = us_yaml_find(body, "use"), *template = NULL;
    US_TRY(find_template(loader, use, &template));
    US_TRY(check_recursion(scope, use));
    struct us_scope *made = us_arena_alloc(loader->arena, sizeof *made);
    made->outer = loader->top;
    made->user = scope;
    made->use = body;
    made->template_name = use->text;
    made->use_pos = key->pos;
    made->use_name = us_arena_printf(loader->arena, "%s%s", scope->prefix, key->text);
    made->prefix = us_arena_printf(loader->arena, "%s.", made->use_name);
    US_TRY(fill_scope(loader, template, made));
    loader->use_count++;
    member->scope = made;
    US_TRY(us_scope_declare(loader, made));
    US_TRY(us_scope_resolve(loader, made));
    return us_scope_expand(loader, made);
}

static struct us_error *expand_entry(struct us_loader *loader, const struct us_scope *scope,
                                     size_t index, struct us_member *member) {
    const struct us_yaml *key = scope->nodes->keys[index], *body = scope->nodes->items[index];
    US_TRY(us_check_name(loader, "a node", key));
    US_TRY(count_node(loader, scope, key));
    if (body->kind != US_YAML_MAP) {
        struct us_error *error =
            us_fail(US_GRAPH, "node '%s' is %s, wanted a mapping with its type", key->text,
                    us_yaml_kind_name(body));
        return us_error_at(error, us_yaml_is_null(body) ? key->pos : body->pos);
    }
    bool has_type = us_yaml_index(body, "type") >= 0, has_use = us_yaml_index(body, "use") >= 0;
    if (has_type && has_use) {
        return us_error_at(us_fail(US_GRAPH, "node '%s' has both type: and use:", key->text),
                           key->pos);
    }
    if (!has_type && !has_use) {
        struct us_error *error = us_fail(US_GRAPH, "node '%s' has no type", key->text);
        return us_error_at(us_error_hint(error, "add type: NODE_TYPE or use: TEMPLATE"), key->pos);
    }
    return has_type ? add_draft(loader, scope, key, body, member)
                    : add_use(loader, scope, key, body, member);
}

struct us_error *us_scope_expand(struct us_loader *loader, struct us_scope *scope) {
    size_t count = scope->nodes->count;
    US_TRY(us_count_work(loader, count, scope->nodes->pos));
    scope->members = us_arena_alloc(loader->arena, count * sizeof *scope->members);
    for (size_t i = 0; i < count; i++) {
        US_TRY(explain_one(scope, expand_entry(loader, scope, i, &scope->members[i])));
    }
    return NULL;
}

struct us_error *us_templates_check(struct us_loader *loader) {
    const struct us_yaml *templates = loader->document.templates;
    for (size_t i = 0; templates && i < templates->count; i++) {
        US_TRY(us_check_name(loader, "a template", templates->keys[i]));
        US_TRY(check_body(loader, templates->keys[i]->text, templates->items[i]));
    }
    return NULL;
}
