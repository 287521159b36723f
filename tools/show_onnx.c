#include "tools/show_onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/learn/onnx/net.h"
#include "runtime/base/mem.h"
#include "tools/json_line.h"
#include "tools/show_error.h"

struct count {
    const struct us_onnx_node *node; /* the first with that operator */
    size_t times;
};

static int by_operator(const void *a, const void *b) {
    const struct us_onnx_node *x = ((const struct count *)a)->node;
    const struct us_onnx_node *y = ((const struct count *)b)->node;
    const int order = strcmp(x->domain, y->domain);
    return order ? order : strcmp(x->op, y->op);
}

/* The operators of a file, sorted, each once. */
static struct count *count_operators(const struct us_onnx_file *file, size_t *count) {
    struct count *counts = us_calloc(file->node_count + 1, sizeof *counts);
    *count = 0;
    for (size_t i = 0; i < file->node_count; i++) {
        counts[i] = (struct count){&file->nodes[i], 1};
    }
    qsort(counts, file->node_count, sizeof *counts, by_operator);
    for (size_t i = 0; i < file->node_count; i++) {
        if (*count && by_operator(&counts[*count - 1], &counts[i]) == 0) {
            counts[*count - 1].times++;
        } else {
            counts[(*count)++] = counts[i];
        }
    }
    return counts;
}

static void print_ports(const char *what, const struct us_onnx_port *ports, size_t count,
                        struct us_str *out) {
    for (size_t i = 0; i < count; i++) {
        us_str_printf(out, "  %s ", what);
        us_plain_text(ports[i].name, strlen(ports[i].name), out);
        us_str_printf(out, ": %s\n",
                      ports[i].shaped ? us_onnx_shape_text(&ports[i].shape) : "any shape");
    }
}

static void print_text(const struct us_onnx_file *file, const char *path, size_t size,
                       const struct count *counts, size_t count, struct us_str *out) {
    us_plain_text(path, strlen(path), out);
    us_str_printf(out, ": %.1f MiB, ONNX, operator set %lld, %zu nodes, %zu stored tensors\n",
                  (double)size / 0x1p20, (long long)file->opset, file->node_count,
                  file->tensor_count);
    for (size_t i = 0; i < file->note_count; i++) {
        const struct us_onnx_note *note = &file->notes[i];
        us_str_append(out, "  ");
        us_plain_text(note->key, strlen(note->key), out);
        us_str_append(out, ": ");
        us_plain_text(note->value, strnlen(note->value, 200), out);
        us_str_append(out, "\n");
    }
    print_ports("input", file->inputs, file->input_count, out);
    print_ports("output", file->outputs, file->output_count, out);
    for (size_t i = 0; i < count; i++) {
        const struct us_onnx_node *node = counts[i].node;
        us_str_printf(out, "  %6zu x ", counts[i].times);
        us_plain_text(node->op, strlen(node->op), out);
        us_str_append(out, us_onnx_knows(node) ? "\n" : " (missing in infer_onnx)\n");
    }
}

static void print_json(const struct us_onnx_file *file, size_t size, const struct count *counts,
                       size_t count) {
    json_t *line = us_json_begin("model"), *notes = json_object(), *operators = json_array();
    us_json_int(line, "bytes", (int64_t)size);
    us_json_int(line, "operator_set", file->opset);
    for (size_t i = 0; i < file->note_count; i++) {
        us_json_text(notes, file->notes[i].key, file->notes[i].value);
    }
    json_object_set_new(line, "metadata", notes);
    for (size_t i = 0; i < count; i++) {
        json_t *member = json_object();
        us_json_text(member, "name", counts[i].node->op);
        us_json_text(member, "domain", counts[i].node->domain);
        us_json_int(member, "times", (int64_t)counts[i].times);
        json_object_set_new(member, "known", json_boolean(us_onnx_knows(counts[i].node)));
        json_array_append_new(operators, member);
    }
    json_object_set_new(line, "operators", operators);
    us_json_end(line);
}

struct us_error *us_show_onnx(const char *path, const uint8_t *bytes, size_t size, bool json) {
    struct us_onnx_file file = {0};
    struct us_error *error = us_onnx_file_parse(bytes, size, &file);
    if (!error) {
        size_t count;
        struct count *counts = count_operators(&file, &count);
        struct us_str out = {0};
        if (json) {
            print_json(&file, size, counts, count);
        } else {
            print_text(&file, path, size, counts, count, &out);
            fputs(us_str_text(&out), stdout);
        }
        us_str_finish(&out);
        us_free(counts);
    }
    us_onnx_file_finish(&file);
    return us_error_wrap(error, "cannot read model '%s'", path);
}
