#include "nodes/learn/onnx/net.h"

#include <stdlib.h>
#include <string.h>

#include "nodes/learn/onnx/net_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

enum { NAMED = 24 }; /* missing operators listed in an error */
static const size_t most_folded = (size_t)1 << 30;

struct us_onnx_name {
    const char *text;
    int32_t value;
};

static const struct us_onnx_kind *const tables[] = {
    us_onnx_point_kinds,  us_onnx_move_kinds,   us_onnx_shape_kinds, us_onnx_window_kinds,
    us_onnx_linear_kinds, us_onnx_reduce_kinds, us_onnx_join_kinds};

const struct us_onnx_kind *us_onnx_find_kind(const struct us_onnx_node *node) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables && !*node->domain; t++) {
        for (const struct us_onnx_kind *kind = tables[t]; kind->name; kind++) {
            if (strcmp(kind->name, node->op) == 0) {
                return kind;
            }
        }
    }
    return NULL;
}

bool us_onnx_knows(const struct us_onnx_node *node) {
    return us_onnx_find_kind(node) != NULL;
}

static bool same_op(const struct us_onnx_node *a, const struct us_onnx_node *b) {
    return strcmp(a->op, b->op) == 0 && strcmp(a->domain, b->domain) == 0;
}

static void list_missing(const struct us_onnx_node *node, size_t others, struct us_str *text) {
    us_str_printf(text, "%s%s%s%.60s (node '%.60s'", text->length ? ", " : "",
                  *node->domain ? node->domain : "", *node->domain ? "." : "", node->op,
                  node->name);
    us_str_printf(text, others ? " and %zu more)" : ")", others);
}

struct us_error *us_onnx_check(const struct us_onnx_file *file) {
    const struct us_onnx_node *missing[NAMED];
    size_t others[NAMED] = {0}, count = 0;
    if (file->opset < US_ONNX_OPSET_MIN || file->opset > US_ONNX_OPSET_MAX) {
        return us_fail(US_FAILED, "the model uses operator set %lld, understood are %d to %d",
                       (long long)file->opset, US_ONNX_OPSET_MIN, US_ONNX_OPSET_MAX);
    }
    for (size_t i = 0; i < file->node_count; i++) {
        const struct us_onnx_node *node = &file->nodes[i];
        size_t known = 0;
        if (us_onnx_find_kind(node)) {
            continue;
        }
        while (known < count && !same_op(missing[known], node)) {
            known++;
        }
        if (known < count) {
            others[known]++;
        } else if (count < NAMED) {
            missing[count++] = node;
        }
    }
    if (!count) {
        return NULL;
    }
    struct us_str text = {0};
    for (size_t i = 0; i < count; i++) {
        list_missing(missing[i], others[i], &text);
    }
    struct us_error *error =
        us_fail(US_FAILED, "the model needs operators of set %lld that are missing here: %s",
                (long long)file->opset, us_str_text(&text));
    us_str_finish(&text);
    return us_error_hint(error, "export the model without them, or run it with an exec node");
}

static bool is_stored(const struct us_onnx_file *file, const char *name) {
    for (size_t i = 0; i < file->tensor_count; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

struct us_error *us_onnx_image_input(const struct us_onnx_file *file,
                                     const struct us_onnx_port **port) {
    *port = NULL;
    for (size_t i = 0; i < file->input_count; i++) {
        const struct us_onnx_port *input = &file->inputs[i];
        if (is_stored(file, input->name)) {
            continue;
        }
        if (*port) {
            return us_fail(US_FAILED,
                           "the model has more than one input: '%.60s' and '%.60s', known are "
                           "models of one image",
                           (*port)->name, input->name);
        }
        *port = input;
    }
    if (!*port) {
        return us_fail(US_FAILED, "the model has no input");
    }
    const struct us_onnx_port *p = *port;
    const bool real = p->type == US_ONNX_FLOAT || p->type == US_ONNX_FLOAT16;
    if (!real || (p->shaped && p->shape.rank != 4)) {
        return us_fail(US_FAILED, "the model's input '%.60s' is not an image of floats: %s",
                       p->name, real ? us_onnx_shape_text(&p->shape) : "its type is another");
    }
    return NULL;
}

static int by_text(const void *a, const void *b) {
    return strcmp(((const struct us_onnx_name *)a)->text, ((const struct us_onnx_name *)b)->text);
}

static int32_t add_value(struct us_onnx_net *net, const char *name) {
    const int32_t index = net->value_count++;
    net->values[index] = (struct us_onnx_value){.name = name, .home = index};
    net->names[index] = (struct us_onnx_name){name, index};
    return index;
}

/* Values for the input, the stored tensors and every output; the operators' outputs are filled. */
static void add_values(struct us_onnx_net *net, const struct us_onnx_port *input) {
    const struct us_onnx_file *file = net->file;
    size_t most = 1 + file->tensor_count;
    for (size_t i = 0; i < file->node_count; i++) {
        most += file->nodes[i].output_count;
    }
    net->values = us_arena_alloc(&net->arena, most * sizeof *net->values);
    net->names = us_arena_alloc(&net->arena, most * sizeof *net->names);
    net->input = add_value(net, input->name);
    for (size_t i = 0; i < file->tensor_count; i++) {
        const struct us_onnx_tensor *tensor = &file->tensors[i];
        struct us_onnx_value *value = &net->values[add_value(net, tensor->name)];
        value->integer = tensor->integer;
        value->shape = tensor->shape;
        value->count = tensor->count;
        value->constant = tensor->data;
        value->made = true;
    }
    net->ops = us_arena_alloc(&net->arena, file->node_count * sizeof *net->ops + 1);
    for (size_t i = 0; i < file->node_count; i++) {
        const struct us_onnx_node *node = &file->nodes[i];
        struct us_onnx_op *op = &net->ops[i];
        op->node = node;
        op->kind = us_onnx_find_kind(node);
        op->output_count = (int)node->output_count;
        op->outputs = us_arena_alloc(&net->arena, node->output_count * sizeof *op->outputs + 1);
        for (size_t k = 0; k < node->output_count; k++) {
            op->outputs[k] = *node->outputs[k] ? add_value(net, node->outputs[k]) : -1;
        }
    }
    net->op_count = (int32_t)file->node_count;
}

static struct us_error *sort_names(struct us_onnx_net *net) {
    qsort(net->names, (size_t)net->value_count, sizeof *net->names, by_text);
    for (int32_t i = 1; i < net->value_count; i++) {
        if (strcmp(net->names[i - 1].text, net->names[i].text) == 0) {
            return us_fail(US_CORRUPT, "the model makes '%.80s' twice", net->names[i].text);
        }
    }
    return NULL;
}

static struct us_error *find_value(const struct us_onnx_net *net, const char *name,
                                   int32_t *index) {
    const struct us_onnx_name key = {name, 0};
    const struct us_onnx_name *found =
        bsearch(&key, net->names, (size_t)net->value_count, sizeof key, by_text);
    if (!found) {
        return us_fail(US_CORRUPT, "the model reads '%.80s', which nothing makes", name);
    }
    *index = found->value;
    return NULL;
}

static struct us_error *link_op(struct us_onnx_net *net, struct us_onnx_op *op) {
    const struct us_onnx_node *node = op->node;
    op->input_count = (int)node->input_count;
    op->inputs = us_arena_alloc(&net->arena, node->input_count * sizeof *op->inputs + 1);
    for (int k = 0; k < op->input_count; k++) {
        op->inputs[k] = -1;
        if (*node->inputs[k]) {
            US_TRY(find_value(net, node->inputs[k], &op->inputs[k]));
            net->values[op->inputs[k]].uses++;
        }
    }
    return NULL;
}

static struct us_error *link_values(struct us_onnx_net *net) {
    const struct us_onnx_file *file = net->file;
    for (int32_t i = 0; i < net->op_count; i++) {
        US_TRY(link_op(net, &net->ops[i]));
    }
    net->output_count = file->output_count;
    net->outputs = us_arena_alloc(&net->arena, file->output_count * sizeof *net->outputs + 1);
    for (size_t i = 0; i < file->output_count; i++) {
        US_TRY(find_value(net, file->outputs[i].name, &net->outputs[i]));
        net->values[net->outputs[i]].uses++;
    }
    return NULL;
}

static struct us_error *bind_input(struct us_onnx_net *net, const struct us_onnx_port *port) {
    struct us_onnx_value *value = &net->values[net->input];
    const struct us_onnx_shape *wanted = &port->shape, *given = &net->binding.input;
    bool fits = !port->shaped || wanted->rank == given->rank;
    for (int i = 0; i < given->rank && fits && port->shaped; i++) {
        fits = wanted->dims[i] < 0 || wanted->dims[i] == given->dims[i];
    }
    if (!fits || !us_onnx_elements(given, &value->count) || value->count == 0) {
        const char *text = us_arena_strdup(&net->arena, us_onnx_shape_text(wanted));
        return us_fail(US_FAILED, "the model's input '%.60s' is %s, given is %s", port->name, text,
                       us_onnx_shape_text(given));
    }
    value->shape = *given;
    value->made = true;
    value->first = -1;
    return NULL;
}

static struct us_error *check_counts(const struct us_onnx_net *net, const struct us_onnx_op *op) {
    const struct us_onnx_kind *kind = op->kind;
    if (op->input_count < kind->least_inputs || op->input_count > kind->most_inputs ||
        op->output_count < 1 || op->output_count > kind->most_outputs || op->outputs[0] < 0) {
        return us_fail(US_FAILED, "it has %d inputs and %d outputs, allowed %d to %d and 1 to %d",
                       op->input_count, op->output_count, kind->least_inputs, kind->most_inputs,
                       kind->most_outputs);
    }
    for (int k = 1; k < op->output_count; k++) {
        const struct us_onnx_value *value = us_onnx_out(net, op, k);
        op->outputs[k] = value && value->uses ? op->outputs[k] : -1; /* nobody wants it */
    }
    for (int k = 0; k < op->input_count; k++) {
        const struct us_onnx_value *value = us_onnx_in(net, op, k);
        if (!value && k < kind->least_inputs) {
            return us_fail(US_FAILED, "input %d is missing", k);
        }
        if (value && !value->made) {
            return us_fail(US_CORRUPT, "it reads '%.80s' before that is made", value->name);
        }
        if (value && value->integer && !kind->integers && k == 0) {
            return us_fail(US_FAILED, "input '%.80s' is whole numbers", value->name);
        }
    }
    return NULL;
}

static bool all_constant(const struct us_onnx_net *net, const struct us_onnx_op *op, bool inputs) {
    const int count = inputs ? op->input_count : op->output_count;
    for (int k = 0; k < count; k++) {
        const struct us_onnx_value *value =
            inputs ? us_onnx_in(net, op, k) : us_onnx_out(net, op, k);
        if (value && !value->constant) {
            return false;
        }
    }
    return true;
}

/* Computes an operator of constants now. */
static struct us_error *fold(struct us_onnx_net *net, struct us_onnx_op *op) {
    for (int k = 0; k < op->output_count; k++) {
        struct us_onnx_value *value = us_onnx_out(net, op, k);
        if (value && !value->constant) {
            void *block;
            net->folded += value->count;
            US_TRY(us_onnx_keep(net, value->count * (value->integer ? 8 : 4) + 1, &block));
            value->constant = block;
        }
    }
    if (net->folded > most_folded) {
        return us_fail(US_FAILED, "the model computes more than %zu constants", most_folded);
    }
    for (int k = 0; k < op->output_count; k++) {
        const struct us_onnx_value *value = us_onnx_out(net, op, k);
        if (value && value->count) {
            return op->kind->run(net, op);
        }
    }
    return NULL;
}

/* Readers that were counted have been prepared. */
static void use_inputs(struct us_onnx_net *net, const struct us_onnx_op *op, int32_t at) {
    for (int k = 0; k < op->input_count; k++) {
        const struct us_onnx_value *value = us_onnx_in(net, op, k);
        if (value) {
            struct us_onnx_value *home = &net->values[value->home];
            home->uses--;
            home->last = at;
        }
    }
    for (int k = 0; k < op->output_count; k++) {
        struct us_onnx_value *value = us_onnx_out(net, op, k);
        if (value && value->home == value - net->values) {
            value->first = value->last = at;
        }
        if (value) {
            value->made = true;
        }
    }
}

static struct us_error *check_outputs(const struct us_onnx_net *net, const struct us_onnx_op *op) {
    for (int k = 0; k < op->output_count; k++) {
        const struct us_onnx_value *value = us_onnx_out(net, op, k);
        if (value && !value->constant && (value->integer || value->count == 0)) {
            return us_fail(US_FAILED, "its result '%.80s' %s", value->name,
                           value->count ? "is whole numbers that depend on the image"
                                        : "has no elements");
        }
    }
    return NULL;
}

static struct us_error *prepare(struct us_onnx_net *net, struct us_onnx_op *op, int32_t at) {
    US_TRY(check_counts(net, op));
    US_TRY(op->kind->prepare(net, op));
    if (all_constant(net, op, true) && !all_constant(net, op, false)) {
        US_TRY(fold(net, op));
    }
    use_inputs(net, op, at);
    return check_outputs(net, op);
}

/* Operators stay in the list in their order; those whose results are known drop out. */
static struct us_error *prepare_all(struct us_onnx_net *net) {
    int32_t kept = 0;
    for (int32_t i = 0; i < net->op_count; i++) {
        struct us_onnx_op *op = &net->ops[i];
        struct us_error *error = prepare(net, op, kept);
        if (error) {
            net->op_count = i + 1; /* what follows has nothing to destroy */
            return us_error_wrap(error, "node '%.80s' (%.60s, operator set %lld)", op->node->name,
                                 op->node->op, (long long)net->file->opset);
        }
        const struct us_onnx_value *out = us_onnx_out(net, op, 0);
        const bool viewed = out->home != op->outputs[0] && !op->plan && !op->conv;
        if (all_constant(net, op, false) || viewed) {
            us_onnx_conv_destroy(op->conv);
            op->conv = NULL;
        } else {
            const struct us_onnx_op moved = *op;
            op->conv = NULL;
            net->ops[kept++] = moved;
        }
    }
    net->op_count = kept;
    for (size_t i = 0; i < net->output_count; i++) {
        net->values[net->values[net->outputs[i]].home].last = kept;
    }
    return NULL;
}

static struct us_error *build(struct us_onnx_net *net) {
    const struct us_onnx_port *input;
    US_TRY(us_onnx_check(net->file));
    US_TRY(us_onnx_image_input(net->file, &input));
    add_values(net, input);
    US_TRY(sort_names(net));
    US_TRY(link_values(net));
    US_TRY(bind_input(net, input));
    US_TRY(prepare_all(net));
    return us_onnx_place(net);
}

struct us_error *us_onnx_net_create(const struct us_onnx_file *file,
                                    const struct us_onnx_binding *binding,
                                    struct us_onnx_net **net) {
    *net = us_calloc(1, sizeof **net);
    (*net)->file = file;
    (*net)->binding = *binding;
    struct us_error *error = build(*net);
    if (error) {
        us_onnx_net_destroy(*net);
        *net = NULL;
    }
    return error;
}

void us_onnx_net_destroy(struct us_onnx_net *net) {
    if (net) {
        for (int32_t i = 0; i < net->op_count; i++) {
            us_onnx_conv_destroy(net->ops[i].conv);
        }
        us_free(net->memory);
        us_arena_finish(&net->arena);
        us_free(net);
    }
}
