#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "runtime/graph/loader.h"

/* A reference on its way to a node: what was written, and what is left of it. */
struct walk {
    struct us_loader *loader;
    const struct us_yaml *value;
    const char *rest; /* the next part of "a.b.c", or "" */
};

/* Links found for one port. */
struct found {
    struct us_link *links;
    size_t count, capacity;
};

static struct us_error *fail_at(const struct walk *w, struct us_error *error) {
    return us_error_at(error, w->value->pos);
}

static const char *next_part(struct walk *w) {
    size_t length = strcspn(w->rest, ".");
    const char *part = us_arena_strndup(w->loader->arena, w->rest, length);
    w->rest += length;
    w->rest += *w->rest == '.' && w->rest[1] != '\0';
    return part;
}

static struct us_error *unknown_node(const struct walk *w, const struct us_scope *scope,
                                     const char *name, bool inside) {
    struct us_name_list names = {0};
    us_names_add_keys(&names, scope->nodes);
    if (!inside) {
        us_names_add_keys(&names, scope->inputs);
    }
    const char *quoted = us_quoted(w->loader->arena, name);
    struct us_error *error = inside ? us_fail(US_GRAPH, "'%s' (template '%s') has no node %s",
                                              scope->use_name, scope->template_name, quoted)
                                    : us_fail(US_GRAPH, "there is no node %s", quoted);
    const char *dot = strchr(name, '$');
    if (dot && dot[1] == '(') {
        error = us_error_hint(error, "an input takes the name of a node, not a parameter");
    } else if (!inside && scope->use && us_yaml_index(w->loader->top->nodes, name) >= 0) {
        error = us_error_hint(
            error, "a template sees its own nodes only: declare it under the template's inputs:");
    } else {
        error = us_hint_names(error, name, names.items, names.count);
    }
    us_names_finish(&names);
    return fail_at(w, error);
}

static struct us_error *unknown_port(const struct walk *w, const struct us_draft *draft,
                                     const char *name) {
    struct us_name_list names = {0};
    const struct us_port *outputs = draft->node.type->outputs;
    for (size_t i = 0; outputs && outputs[i].name; i++) {
        us_names_add(&names, outputs[i].name);
    }
    struct us_error *error = us_fail(US_GRAPH, "node '%s' (%s) has no output %s", draft->node.name,
                                     draft->node.type->name, us_quoted(w->loader->arena, name));
    error = us_hint_names(error, name, names.items, names.count);
    us_names_finish(&names);
    return fail_at(w, error);
}

/* The first output that fits is what a node alone means. */
static struct us_error *pick_port(struct walk *w, uint32_t index, unsigned wanted,
                                  struct us_link *link) {
    const struct us_draft *draft = &w->loader->drafts[index];
    const struct us_port *outputs = draft->node.type->outputs;
    *link = (struct us_link){.node = index, .pos = w->value->pos};
    if (!us_port_count(outputs)) {
        return fail_at(w, us_fail(US_GRAPH, "node '%s' (%s) gives nothing", draft->node.name,
                                  draft->node.type->name));
    }
    if (*w->rest) {
        int port = us_port_find(outputs, w->rest);
        if (port < 0) {
            return unknown_port(w, draft, w->rest);
        }
        link->port = (uint32_t)port;
        return NULL;
    }
    for (uint32_t i = 0; wanted && outputs[i].name; i++) {
        if (outputs[i].data & wanted) {
            link->port = i;
            break;
        }
    }
    return NULL;
}

static struct us_error *walk_member(struct walk *w, const struct us_member *member, unsigned wanted,
                                    struct us_link *link);

/* The output of a used template: what `output:` names, else its last node. */
static struct us_error *walk_output(struct walk *w, const struct us_scope *scope, unsigned wanted,
                                    struct us_link *link) {
    if (!scope->output) {
        return walk_member(w, &scope->members[scope->nodes->count - 1], wanted, link);
    }
    struct us_error *error = us_link_resolve(w->loader, scope, scope->output, wanted, link);
    if (!error) {
        link->pos = w->value->pos;
    }
    return us_scope_explain(scope, error);
}

static struct us_error *walk_member(struct walk *w, const struct us_member *member, unsigned wanted,
                                    struct us_link *link) {
    const struct us_scope *scope = member->scope;
    if (!scope) {
        return pick_port(w, member->draft, wanted, link);
    }
    if (!*w->rest) {
        return walk_output(w, scope, wanted, link);
    }
    const char *part = next_part(w);
    ptrdiff_t at = us_yaml_index(scope->nodes, part);
    if (at < 0) {
        return unknown_node(w, scope, part, true);
    }
    return walk_member(w, &scope->members[at], wanted, link);
}

static struct us_error *check_reference(const struct us_yaml *value) {
    if (value->kind != US_YAML_SCALAR) {
        return us_error_at(us_fail(US_GRAPH, "wanted the name of a node here, this is %s",
                                   us_yaml_kind_name(value)),
                           value->pos);
    }
    if (us_yaml_is_null(value)) {
        return us_error_at(us_fail(US_GRAPH, "wanted the name of a node here"), value->pos);
    }
    return NULL;
}

struct us_error *us_link_resolve(struct us_loader *loader, const struct us_scope *scope,
                                 const struct us_yaml *value, unsigned wanted,
                                 struct us_link *link) {
    US_TRY(check_reference(value));
    US_TRY(us_count_work(loader, 1, value->pos));
    struct walk w = {.loader = loader, .value = value, .rest = value->text};
    const char *part = next_part(&w);
    ptrdiff_t at = us_yaml_index(scope->nodes, part);
    if (at < 0) {
        return unknown_node(&w, scope, part, false);
    }
    return walk_member(&w, &scope->members[at], wanted, link);
}

/* "image or faces" */
static const char *data_text(struct us_arena *arena, unsigned data) {
    const char *text = "";
    for (unsigned bit = US_IMAGE; bit <= US_FILE; bit <<= 1) {
        if (data & bit) {
            text = us_arena_printf(arena, "%s%s%s", text, *text ? " or " : "", us_data_name(bit));
        }
    }
    return text;
}

/* One input port of a draft, while it is connected. */
struct connecting {
    struct us_loader *loader;
    const struct us_draft *draft;
    const struct us_port *port;
};

static struct us_error *add_link(const struct connecting *c, const struct us_scope *scope,
                                 const struct us_yaml *value, struct found *found) {
    struct us_link link;
    US_TRY(us_link_resolve(c->loader, scope, value, c->port->data, &link));
    const struct us_node *from = &c->loader->drafts[link.node].node;
    unsigned given = from->type->outputs[link.port].data;
    if (!(given & c->port->data)) {
        struct us_error *error =
            us_fail(US_GRAPH, "node '%s' port '%s' takes %s, but '%s' gives %s",
                    c->draft->node.name, c->port->name, data_text(c->loader->arena, c->port->data),
                    value->text, data_text(c->loader->arena, given));
        return us_error_at(error, value->pos);
    }
    us_grow(&found->links, &found->capacity, found->count, sizeof link);
    found->links[found->count++] = link;
    return NULL;
}

static bool is_optional(const struct us_yaml *input) {
    const struct us_yaml *optional = us_yaml_find(input, "optional");
    return optional && optional->kind == US_YAML_SCALAR && strcmp(optional->text, "true") == 0;
}

/* Adds what a value names: a node, or what the template's user gave for an input. */
static struct us_error *add_value(const struct connecting *c, const struct us_scope *scope,
                                  const struct us_yaml *value, struct found *found) {
    if (value->kind == US_YAML_LIST) {
        for (size_t i = 0; i < value->count; i++) {
            if (value->items[i]->kind != US_YAML_SCALAR) {
                return check_reference(value->items[i]);
            }
            US_TRY(add_value(c, scope, value->items[i], found));
        }
        return NULL;
    }
    US_TRY(check_reference(value));
    ptrdiff_t input = us_yaml_index(scope->inputs, value->text);
    if (input < 0) {
        return add_link(c, scope, value, found);
    }
    const struct us_yaml *given = us_yaml_find(scope->use, value->text);
    US_TRY(us_count_work(c->loader, 1, value->pos));
    if (given) {
        return add_value(c, scope->user, given, found);
    }
    if (is_optional(scope->inputs->items[input])) {
        return NULL;
    }
    struct us_error *error = us_fail(US_GRAPH, "'%s' (template '%s'): input '%s' is not connected",
                                     scope->use_name, scope->template_name, value->text);
    return us_error_at(us_error_hint(error, "add %s: NODE", value->text), scope->use_pos);
}

static struct us_error *check_count(const struct connecting *c, const struct us_yaml *value,
                                    size_t count) {
    const struct us_node *node = &c->draft->node;
    if (count == 0 && !c->port->optional) {
        struct us_error *error = us_fail(US_GRAPH, "node '%s' (%s): input '%s' is not connected",
                                         node->name, node->type->name, c->port->name);
        error = us_error_hint(error, "add %s: NODE, a node that gives %s", c->port->name,
                              data_text(c->loader->arena, c->port->data));
        return us_error_at(error, value ? value->pos : node->pos);
    }
    if (!c->port->list && value && (count > 1 || value->kind == US_YAML_LIST)) {
        return us_error_at(us_fail(US_GRAPH, "node '%s' port '%s' takes one node, not a list",
                                   node->name, c->port->name),
                           value->pos);
    }
    return NULL;
}

static struct us_error *connect(const struct connecting *c, struct us_node_input *input) {
    const struct us_yaml *value = us_yaml_find(c->draft->body, c->port->name);
    struct found found = {0};
    struct us_error *error = value ? add_value(c, c->draft->scope, value, &found) : NULL;
    if (!error) {
        error = check_count(c, value, found.count);
    }
    if (!error && found.count) {
        input->count = found.count;
        input->links = us_arena_alloc(c->loader->arena, found.count * sizeof *found.links);
        memcpy(input->links, found.links, found.count * sizeof *found.links);
    }
    us_free(found.links);
    return error;
}

struct us_error *us_draft_link(struct us_loader *loader, struct us_draft *draft) {
    const struct us_port *ports = draft->node.type->inputs;
    size_t count = (size_t)us_port_count(ports);
    draft->node.inputs = us_arena_alloc(loader->arena, count * sizeof *draft->node.inputs);
    for (size_t i = 0; i < count; i++) {
        struct connecting c = {.loader = loader, .draft = draft, .port = &ports[i]};
        US_TRY(connect(&c, &draft->node.inputs[i]));
    }
    return NULL;
}
