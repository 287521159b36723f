#include "tests/support/tflite_builder.h"

#include <stdlib.h>
#include <string.h>

struct buffer {
    uint8_t *bytes;
    size_t size, room;
};

static void set(struct buffer *b, size_t at, size_t width, uint32_t value) {
    for (size_t i = 0; i < width; i++) {
        b->bytes[at + i] = (uint8_t)(value >> 8 * i);
    }
}

/* Zeroed bytes at the end, aligned to four. */
static size_t extend(struct buffer *b, size_t count) {
    size_t at = (b->size + 3) / 4 * 4;
    if (at + count > b->room) {
        abort();
    }
    memset(b->bytes + b->size, 0, at + count - b->size);
    b->size = at + count;
    return at;
}

/* A table with `count` fields of four bytes each that `slot` points to; field i is at +4 + 4i. */
static size_t put_table(struct buffer *b, size_t slot, int count) {
    size_t vtable = extend(b, 4 + 2 * (size_t)count), table = extend(b, 4 + 4 * (size_t)count);
    set(b, vtable, 2, 4 + 2 * (uint32_t)count);
    set(b, vtable + 2, 2, 4 + 4 * (uint32_t)count);
    for (int i = 0; i < count; i++) {
        set(b, vtable + 4 + 2 * (size_t)i, 2, 4 + 4 * (uint32_t)i);
    }
    set(b, table, 4, (uint32_t)(table - vtable));
    set(b, slot, 4, (uint32_t)(table - slot));
    return table;
}

static size_t field(size_t table, int index) {
    return table + 4 + 4 * (size_t)index;
}

/* Takes a field out of a table. */
static void drop(struct buffer *b, size_t table, int index) {
    uint32_t back = 0;
    memcpy(&back, b->bytes + table, 4);
    set(b, table - back + 4 + 2 * (size_t)index, 2, 0);
}

static size_t put_vector(struct buffer *b, size_t slot, size_t count, size_t width) {
    size_t at = extend(b, 4 + count * width);
    set(b, at, 4, (uint32_t)count);
    set(b, slot, 4, (uint32_t)(at - slot));
    return at + 4;
}

static void put_ints(struct buffer *b, size_t slot, const int *values, int count) {
    size_t at = put_vector(b, slot, (size_t)count, 4);
    for (int i = 0; i < count; i++) {
        set(b, at + 4 * (size_t)i, 4, (uint32_t)values[i]);
    }
}

static void put_tensors(struct buffer *b, const struct us_test_net *net, size_t graph,
                        size_t buffers) {
    size_t list = put_vector(b, field(graph, 0), (size_t)net->tensor_count, 4);
    for (int i = 0; i < net->tensor_count; i++) {
        const struct us_test_tensor *t = &net->tensors[i];
        size_t table = put_table(b, list + 4 * (size_t)i, 3);
        set(b, field(table, 1), 1, (uint32_t)t->type);
        set(b, field(table, 2), 4, t->data ? (uint32_t)i + 1 : 0);
        put_ints(b, field(table, 0), t->shape, t->rank);
        size_t stored = put_table(b, buffers + 4 * ((size_t)i + 1), 1);
        size_t at = put_vector(b, field(stored, 0), t->size, 1);
        if (t->data) {
            memcpy(b->bytes + at, t->data, t->size);
        }
    }
}

static void put_ops(struct buffer *b, const struct us_test_net *net, size_t graph, size_t codes) {
    size_t list = put_vector(b, field(graph, 3), (size_t)net->op_count, 4);
    for (int i = 0; i < net->op_count; i++) {
        const struct us_test_op *op = &net->ops[i];
        size_t code = put_table(b, codes + 4 * (size_t)i, 4);
        drop(b, code, 1);
        set(b, field(code, 3), 4, (uint32_t)op->code);
        size_t table = put_table(b, list + 4 * (size_t)i, 5);
        set(b, field(table, 0), 4, (uint32_t)i);
        put_ints(b, field(table, 1), op->inputs, op->input_count);
        put_ints(b, field(table, 2), &op->output, 1);
        size_t options = put_table(b, field(table, 4), 8);
        for (int f = 0; f < 8; f++) {
            drop(b, options, f);
        }
        uint32_t back;
        memcpy(&back, b->bytes + options, 4);
        for (int o = 0; o < op->option_count; o++) {
            const struct us_test_option *option = &op->options[o];
            set(b, options - back + 4 + 2 * (size_t)option->field, 2,
                4 + 4 * (uint32_t)option->field);
            set(b, field(options, option->field), (size_t)option->width, (uint32_t)option->value);
        }
    }
}

size_t us_test_tflite(const struct us_test_net *net, uint8_t *bytes, size_t room) {
    struct buffer b = {bytes, 0, room};
    extend(&b, 8);
    memcpy(bytes + 4, "TFL3", 4);
    size_t root = put_table(&b, 0, 5);
    set(&b, field(root, 0), 4, 3);
    drop(&b, root, 3);
    size_t codes = put_vector(&b, field(root, 1), (size_t)net->op_count, 4);
    size_t graphs = put_vector(&b, field(root, 2), 1, 4);
    size_t buffers = put_vector(&b, field(root, 4), (size_t)net->tensor_count + 1, 4);
    put_table(&b, buffers, 0);
    size_t graph = put_table(&b, graphs, 4);
    put_ints(&b, field(graph, 1), &net->input, 1);
    put_ints(&b, field(graph, 2), &net->output, 1);
    put_tensors(&b, net, graph, buffers);
    put_ops(&b, net, graph, codes);
    return b.size;
}
