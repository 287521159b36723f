#include <stdlib.h>
#include <string.h>

#include "nodes/learn/onnx/net_internal.h"
#include "runtime/base/mem.h"

static size_t rounded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static size_t bytes_of(const struct us_onnx_value *value) {
    return rounded(value->count * sizeof(float));
}

/* Homes in use at once, by offset. */
struct row {
    struct us_onnx_value **items;
    size_t count, capacity;
};

static void retire(struct row *row, int32_t now) {
    size_t kept = 0;
    for (size_t i = 0; i < row->count; i++) {
        if (row->items[i]->last >= now) {
            row->items[kept++] = row->items[i];
        }
    }
    row->count = kept;
}

/* Puts a value into the first gap that holds it. */
static void insert(struct row *row, struct us_onnx_value *value) {
    size_t at = 0, offset = 0;
    while (at < row->count && row->items[at]->offset < offset + bytes_of(value)) {
        offset = row->items[at]->offset + bytes_of(row->items[at]);
        at++;
    }
    us_grow(&row->items, &row->capacity, row->count, sizeof *row->items);
    memmove(row->items + at + 1, row->items + at, (row->count - at) * sizeof *row->items);
    row->items[at] = value;
    row->count++;
    value->offset = offset;
}

static int by_birth(const void *a, const void *b) {
    const struct us_onnx_value *x = *(struct us_onnx_value *const *)a;
    const struct us_onnx_value *y = *(struct us_onnx_value *const *)b;
    return x->first != y->first ? (x->first > y->first) - (x->first < y->first) : (x > y) - (x < y);
}

static void place_homes(struct us_onnx_net *net) {
    struct us_onnx_value **homes = us_malloc((size_t)net->value_count * sizeof(void *));
    struct row row = {0};
    size_t count = 0;
    for (int32_t i = 0; i < net->value_count; i++) {
        struct us_onnx_value *value = &net->values[i];
        if (value->home == i && !value->constant && value->made) {
            homes[count++] = value;
        }
    }
    qsort(homes, count, sizeof(void *), by_birth);
    for (size_t i = 0; i < count; i++) {
        retire(&row, homes[i]->first);
        insert(&row, homes[i]);
        const size_t end = homes[i]->offset + bytes_of(homes[i]);
        net->memory_bytes = end > net->memory_bytes ? end : net->memory_bytes;
    }
    us_free(row.items);
    us_free(homes);
}

struct us_error *us_onnx_place(struct us_onnx_net *net) {
    place_homes(net);
    net->scratch = net->memory_bytes;
    net->memory_bytes += rounded(net->scratch_bytes);
    if (net->memory_bytes > net->binding.memory) {
        return us_error_hint(
            us_fail(US_FAILED, "the model needs %zu MiB for an input of %s, allowed are %zu",
                    net->memory_bytes >> 20, us_onnx_shape_text(&net->binding.input),
                    net->binding.memory >> 20),
            "give smaller images, tiles, or a larger memory");
    }
    net->memory = us_try_alloc_pixels(net->memory_bytes);
    return net->memory ? NULL : us_fail(US_RETRY, "no memory for %zu bytes", net->memory_bytes);
}

float *us_onnx_net_input(struct us_onnx_net *net) {
    return us_onnx_data(net, &net->values[net->input]);
}

size_t us_onnx_net_outputs(const struct us_onnx_net *net) {
    return net->output_count;
}

struct us_onnx_result us_onnx_net_output(const struct us_onnx_net *net, size_t index) {
    const struct us_onnx_value *value = &net->values[net->outputs[index]];
    return (struct us_onnx_result){value->name, &value->shape, value->count,
                                   value->integer ? NULL : us_onnx_data(net, value)};
}

struct us_error *us_onnx_net_run(struct us_onnx_net *net, struct us_error *(*pause)(void *context),
                                 void *context) {
    for (int32_t i = 0; i < net->op_count; i++) {
        struct us_onnx_op *op = &net->ops[i];
        if (pause) {
            US_TRY(pause(context));
        }
        struct us_error *error = op->kind->run(net, op);
        if (error) {
            return us_error_wrap(error, "node '%.80s' (%.60s)", op->node->name, op->node->op);
        }
    }
    return NULL;
}

size_t us_onnx_net_bytes(const struct us_onnx_net *net) {
    return net->memory_bytes + net->kept;
}
