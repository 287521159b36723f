#include "runtime/graph/schema.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"

/* A name in a graph; a text with a parameter in it; a number that YAML 1.1 readers take for text.
 */
#define NAME_PATTERN "^[A-Za-z_][A-Za-z0-9_-]*$"
#define REFERENCE_PATTERN "\\$\\("
#define EXPONENT_PATTERN "^[-+]?[0-9]*\\.?[0-9]+[eE][-+]?[0-9]+$"

static json_t *text_schema(void) {
    return json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean");
}

static json_t *ref(const char *name) {
    return json_pack("{s:o}", "$ref", json_sprintf("#/$defs/%s", name));
}

/* One item, or a list of them. */
static json_t *one_or_list(json_t *item) {
    json_t *list = json_pack("{s:s,s:O}", "type", "array", "items", item);
    return json_pack("{s:[o,o]}", "anyOf", item, list);
}

static json_t *closed(json_t *properties) {
    return json_pack("{s:s,s:o,s:b}", "type", "object", "properties", properties,
                     "additionalProperties", 0);
}

/* Any names, each with a value that fits. */
static json_t *named(json_t *value) {
    return json_pack("{s:[s,s],s:{s:s},s:o}", "type", "object", "null", "propertyNames", "pattern",
                     NAME_PATTERN, "additionalProperties", value);
}

static void set_limit(json_t *schema, const char *key, double limit, bool whole) {
    if (isfinite(limit)) {
        json_object_set_new(schema, key,
                            whole ? json_integer((json_int_t)limit) : json_real(limit));
    }
}

static json_t *number_schema(const struct us_param *param) {
    bool whole = param->type == US_PARAM_INT;
    json_t *schema = json_pack("{s:s}", "type", whole ? "integer" : "number");
    if (!(param->min == 0 && param->max == 0)) {
        set_limit(schema, "minimum", param->min, whole);
        set_limit(schema, "maximum", param->max, whole);
    }
    return schema;
}

static json_t *double_schema(const struct us_param *param, bool animated) {
    json_t *exponent = json_pack("{s:s,s:s}", "type", "string", "pattern", EXPONENT_PATTERN);
    json_t *value =
        json_pack("{s:[o,o,o]}", "anyOf", number_schema(param), exponent, ref("reference"));
    if (!animated) {
        return value;
    }
    json_t *keys = json_pack("{s:s,s:{s:O},s:{s:{s:[s,s]}},s:b}", "type", "object",
                             "patternProperties", "^-?[0-9]+$", value, "properties", "ease", "enum",
                             "linear", "hold", "additionalProperties", 0);
    return json_pack("{s:[o,o]}", "anyOf", value, keys);
}

static json_t *choice_schema(const struct us_param *param) {
    json_t *choices = json_array();
    for (const char *const *choice = param->choices; choice && *choice; choice++) {
        json_array_append_new(choices, json_string(*choice));
    }
    return json_pack("{s:[{s:o},o]}", "anyOf", "enum", choices, ref("reference"));
}

static json_t *value_schema(const struct us_node_type *type, const struct us_param *param) {
    switch (param->type) {
    case US_PARAM_BOOL:
        return json_pack("{s:[{s:s},o]}", "anyOf", "type", "boolean", ref("reference"));
    case US_PARAM_INT:
        return json_pack("{s:[o,o]}", "anyOf", number_schema(param), ref("reference"));
    case US_PARAM_DOUBLE:
        return double_schema(param, type->per_frame);
    case US_PARAM_CHOICE:
        return choice_schema(param);
    case US_PARAM_FRAMES:
        return ref("frames");
    case US_PARAM_STRINGS:
    case US_PARAM_PATHS:
        return one_or_list(text_schema());
    case US_PARAM_STRING:
    case US_PARAM_PATH:
        break;
    }
    return text_schema();
}

static json_t *default_value(const struct us_param *param) {
    switch (param->type) {
    case US_PARAM_BOOL:
        return json_boolean(param->number != 0);
    case US_PARAM_INT:
        return json_integer((json_int_t)param->number);
    case US_PARAM_DOUBLE:
        return isfinite(param->number) ? json_real(param->number) : NULL;
    default:
        return param->text ? json_string(param->text) : NULL;
    }
}

static json_t *param_schema(const struct us_node_type *type, const struct us_param *param) {
    json_t *schema = value_schema(type, param);
    bool unit = param->unit && param->unit[0];
    json_object_set_new(schema, "description",
                        json_sprintf("%s%s%s%s", param->doc, unit ? " In " : "",
                                     unit ? param->unit : "", unit ? "." : ""));
    json_t *value = param->required ? NULL : default_value(param);
    if (value) {
        json_object_set_new(schema, "default", value);
    }
    return schema;
}

/* Puts a parameter where its dotted name says: until.loss is loss in the mapping until. */
static void add_param(json_t *properties, const struct us_node_type *type,
                      const struct us_param *param) {
    char *name = us_strdup(param->name), *rest = name;
    for (char *dot; (dot = strchr(rest, '.')) != NULL; rest = dot + 1) {
        *dot = '\0';
        json_t *group = json_object_get(properties, rest);
        if (!group) {
            group = closed(json_object());
            json_object_set_new(properties, rest, group);
        }
        properties = json_object_get(group, "properties");
    }
    json_object_set_new(properties, rest, param_schema(type, param));
    us_free(name);
}

static json_t *port_schema(const struct us_port *port) {
    json_t *schema = port->list ? one_or_list(ref("link")) : ref("link");
    struct us_str names = {0};
    for (unsigned bit = US_IMAGE; bit <= US_FILE; bit <<= 1) {
        if (port->data & bit) {
            us_str_printf(&names, "%s%s", names.length ? " or " : "", us_data_name(bit));
        }
    }
    json_object_set_new(schema, "description",
                        json_sprintf("Takes %s: %s", us_str_text(&names), port->doc));
    us_str_finish(&names);
    return schema;
}

static json_t *type_schema(const struct us_node_type *type) {
    json_t *properties = json_object(), *required = json_pack("[s]", "type");
    json_object_set_new(properties, "type", json_pack("{s:s}", "const", type->name));
    json_object_set_new(properties, "cache", ref("cache"));
    for (size_t i = 0; type->inputs && type->inputs[i].name; i++) {
        json_object_set_new(properties, type->inputs[i].name, port_schema(&type->inputs[i]));
        if (!type->inputs[i].optional) {
            json_array_append_new(required, json_string(type->inputs[i].name));
        }
    }
    for (size_t i = 0; type->params && type->params[i].name; i++) {
        add_param(properties, type, &type->params[i]);
        if (type->params[i].required && !strchr(type->params[i].name, '.')) {
            json_array_append_new(required, json_string(type->params[i].name));
        }
    }
    json_t *schema = closed(properties);
    json_object_set_new(schema, "required", required);
    json_object_set_new(schema, "title", json_string(type->name));
    json_object_set_new(schema, "description", json_string(type->summary));
    return schema;
}

/* A node: the type decides which keys it takes. A node that uses a template takes the template's
 * parameters; one that states neither changes an included one. */
static json_t *node_schema(const struct us_registry *registry) {
    json_t *types = json_array(), *rules = json_array();
    for (size_t i = 0; i < registry->count; i++) {
        const struct us_node_type *type = registry->types[i];
        json_array_append_new(types, json_string(type->name));
        json_array_append_new(
            rules,
            json_pack("{s:{s:{s:{s:s}},s:[s]},s:o}", "if", "properties", "type", "const",
                      type->name, "required", "type", "then",
                      json_pack("{s:o}", "$ref", json_sprintf("#/$defs/node_%s", type->name))));
    }
    json_t *type = json_pack("{s:o,s:s}", "enum", types, "description", "The node type.");
    json_t *use = json_pack("{s:s,s:s}", "type", "string", "description",
                            "The template to use in place of a node type.");
    return json_pack("{s:s,s:{s:o,s:o},s:{s:[s,s]},s:o}", "type", "object", "properties", "type",
                     type, "use", use, "not", "required", "type", "use", "allOf", rules);
}

static json_t *declaration_schema(void) {
    json_t *properties =
        json_pack("{s:{s:[s,s,s,s,s,s,s]},s:o,s:{s:s},s:{s:s},s:{s:s,s:o},s:{s:s}}", "type", "enum",
                  "int", "float", "bool", "string", "path", "frames", "choice", "default",
                  text_schema(), "min", "type", "number", "max", "type", "number", "choices",
                  "type", "array", "items", text_schema(), "doc", "type", "string");
    return closed(properties);
}

static json_t *template_schema(void) {
    json_t *input = json_pack("{s:[s,s],s:{s:{s:s},s:{s:s}},s:b}", "type", "object", "null",
                              "properties", "doc", "type", "string", "optional", "type", "boolean",
                              "additionalProperties", 0);
    json_t *schema = closed(json_pack("{s:o,s:o,s:o,s:o,s:{s:s}}", "params", named(ref("param")),
                                      "inputs", named(input), "nodes", named(ref("node")), "output",
                                      ref("link"), "doc", "type", "string"));
    json_object_set_new(schema, "required", json_pack("[s]", "nodes"));
    return schema;
}

static json_t *definitions(const struct us_registry *registry) {
    json_t *defs = json_object();
    json_object_set_new(defs, "reference",
                        json_pack("{s:s,s:s,s:s}", "type", "string", "pattern", REFERENCE_PATTERN,
                                  "description", "Text with the value of a parameter."));
    json_object_set_new(
        defs, "link",
        json_pack("{s:s,s:s}", "type", "string", "description", "A node, or node.port."));
    json_t *range = json_pack("{s:[s,s]}", "type", "string", "integer");
    json_object_set_new(defs, "frames", one_or_list(range));
    json_object_set_new(defs, "cache", json_pack("{s:[s,s]}", "enum", "keep", "drop"));
    json_object_set_new(defs, "param", declaration_schema());
    json_object_set_new(defs, "template", template_schema());
    json_object_set_new(defs, "node", node_schema(registry));
    for (size_t i = 0; i < registry->count; i++) {
        struct us_str name = {0};
        us_str_printf(&name, "node_%s", registry->types[i]->name);
        json_object_set_new(defs, us_str_text(&name), type_schema(registry->types[i]));
        us_str_finish(&name);
    }
    return defs;
}

static json_t *graph_schema(const struct us_registry *registry) {
    json_t *properties =
        json_pack("{s:{s:i},s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "understudy", "const", 1, "show",
                  text_schema(), "include", one_or_list(text_schema()), "roots",
                  json_pack("{s:s,s:o}", "type", "array", "items", text_schema()), "params",
                  named(ref("param")), "templates", named(ref("template")), "nodes",
                  named(ref("node")), "outputs", one_or_list(ref("link")));
    json_t *schema = closed(properties);
    json_object_set_new(schema, "required", json_pack("[s]", "understudy"));
    json_object_set_new(schema, "$schema",
                        json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(schema, "title", json_string("Understudy graph"));
    json_object_set_new(schema, "$defs", definitions(registry));
    return schema;
}

char *us_schema_json(const struct us_registry *registry) {
    json_t *schema = graph_schema(registry);
    char *dumped = json_dumps(schema, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(schema);
    if (!dumped) {
        US_BUG("a table of node types holds text that is not UTF-8");
    }
    struct us_str text = {0};
    us_str_printf(&text, "%s\n", dumped);
    us_free(dumped);
    return us_str_take(&text);
}
