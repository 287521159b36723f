#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/net_internal.h"
#include "kernels/nn/memory.h"

#define ALIGNMENT 64 /* elements; 128 bytes in bfloat16 */

static size_t aligned(size_t count) {
    return (count + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

void cu_params_init(struct cu_params *params, const struct us_nn_layout *layout) {
    memset(params, 0, sizeof *params);
    params->layout = layout;
}

static const struct us_nn_slice *find(const struct cu_params *params, const char *name,
                                      const char *kind) {
    char full[sizeof((struct us_nn_slice *)0)->name];
    snprintf(full, sizeof full, "%s.%s", name, kind);
    return us_nn_layout_find(params->layout, full);
}

static struct cu_layer *existing(struct cu_params *params, const struct us_nn_slice *first) {
    for (int i = 0; i < params->count; i++) {
        if (params->layers[i].weights[0] == first) {
            return &params->layers[i];
        }
    }
    return NULL;
}

static bool same(const struct cu_layer *a, const struct cu_layer *b) {
    return a->part_count == b->part_count && a->order == b->order && a->row_c == b->row_c &&
           a->row_h == b->row_h && a->row_w == b->row_w && a->real_in == b->real_in &&
           a->in == b->in && a->split == b->split && a->gap == b->gap && a->height == b->height &&
           a->width == b->width;
}

/* A part's kernel lies in the middle of the layer's. */
static int margin(const struct cu_layer *layer, const struct us_nn_slice *weight) {
    return weight->rank == 4 ? (layer->height - (int)weight->shape[2]) / 2 : 0;
}

static bool part_fits(const struct cu_layer *layer, const struct nn_node *node, int part) {
    const struct us_nn_slice *w = layer->weights[part], *b = layer->biases[part];
    if (!w || !b || b->shape[0] != layer->each || w->shape[0] != layer->each) {
        return false;
    }
    if (node->kind == NN_DENSE) {
        return w->rank == 2 &&
               w->shape[1] == (int64_t)layer->real_in * layer->height * layer->width;
    }
    return w->rank == 4 && w->shape[1] == layer->real_in && w->shape[2] == node->kernels[part] &&
           w->shape[3] == node->kernels[part];
}

static void set_rows(struct cu_layer *layer, const struct nn_node *node, enum cu_row_order order) {
    const int rows = node->c * (node->kind == NN_DENSE ? node->h * node->w : 1);
    layer->order = order;
    layer->each = rows / node->layer_count;
    layer->row_c = node->c;
    layer->row_h = layer->row_w = 1;
    layer->out = cu_pad(rows);
    if (order == CU_ROWS_SHUFFLE) {
        layer->out = 4 * cu_pad(rows / 4);
    } else if (node->kind == NN_DENSE) {
        layer->row_h = node->h;
        layer->row_w = node->w;
        layer->out = node->h * node->w * cu_pad(node->c);
    }
}

/* Channels of what a concatenation joined are padded each by themselves. */
static void set_columns(struct cu_layer *layer, const struct nn_graph *graph,
                        const struct nn_node *input) {
    layer->real_in = layer->split = input->c;
    layer->in = cu_pad(input->c);
    if (input->kind == NN_CONCAT) {
        layer->split = graph->nodes[input->inputs[0]].c;
        layer->gap = cu_pad(layer->split) - layer->split;
        layer->in = cu_pad(layer->split) + cu_pad(graph->nodes[input->inputs[1]].c);
    }
}

struct cu_layer *cu_params_layer(struct cu_params *params, const struct nn_graph *graph,
                                 const struct nn_node *node, enum cu_row_order order) {
    const struct nn_node *input = &graph->nodes[node->inputs[0]];
    struct cu_layer made = {.part_count = node->layer_count};
    set_rows(&made, node, order);
    const bool dense = node->kind == NN_DENSE;
    set_columns(&made, graph, input);
    made.height = dense ? input->h : node->kernel;
    made.width = dense ? input->w : node->kernel;
    for (int i = 0; i < node->layer_count; i++) {
        made.weights[i] = find(params, node->layers[i].text, "weight");
        made.biases[i] = find(params, node->layers[i].text, "bias");
        if (!part_fits(&made, node, i)) {
            return NULL;
        }
        made.partial = made.partial || margin(&made, made.weights[i]) > 0;
    }
    made.count = (size_t)made.out * (size_t)made.height * (size_t)made.width * (size_t)made.in;
    struct cu_layer *known = existing(params, made.weights[0]);
    if (known) {
        return same(known, &made) ? known : NULL;
    }
    if (params->count == CU_LAYERS) {
        return NULL;
    }
    params->layers[params->count] = made;
    return &params->layers[params->count++];
}

size_t cu_layer_span(const struct cu_layer *layer) {
    return aligned(layer->count) + aligned((size_t)layer->out);
}

void cu_params_place(struct cu_params *params) {
    params->arena_count = params->mask_count = 0;
    for (int i = params->count; i-- > 0;) {
        struct cu_layer *layer = &params->layers[i];
        layer->offset = params->arena_count;
        layer->bias_offset = layer->offset + aligned(layer->count);
        params->arena_count += cu_layer_span(layer);
        if (layer->partial) {
            layer->mask_offset = params->mask_count;
            params->mask_count += aligned(layer->count);
        }
    }
}

/* Where row `row` of all canonical rows lies. */
static size_t row_place(const struct cu_layer *layer, int row) {
    if (layer->order == CU_ROWS_SHUFFLE) {
        const int group = layer->row_c / 4;
        return (size_t)(row / group * cu_pad(group) + row % group);
    }
    const int area = layer->row_h * layer->row_w;
    return (size_t)(row % area) * (size_t)cu_pad(layer->row_c) + (size_t)(row / area);
}

/* Calls `visit` for every weight of a layer with its canonical and its padded place. */
typedef void visitor(size_t canonical, size_t place, const float *from, float *to);

static void visit_row(const struct cu_layer *layer, int part, int row, visitor *visit,
                      const float *from, float *to) {
    const struct us_nn_slice *w = layer->weights[part];
    const int edge = margin(layer, w), height = layer->height - 2 * edge;
    const int width = layer->width - 2 * edge;
    const size_t each = (size_t)layer->real_in * (size_t)height * (size_t)width;
    const size_t start = w->offset + (size_t)row * each;
    const size_t out = row_place(layer, part * layer->each + row);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            const size_t tap = (size_t)((y + edge) * layer->width + x + edge);
            const size_t place =
                (out * (size_t)(layer->height * layer->width) + tap) * (size_t)layer->in;
            const size_t canonical = start + (size_t)(y * width + x);
            for (int c = 0; c < layer->real_in; c++) {
                const size_t column = (size_t)(c < layer->split ? c : c + layer->gap);
                visit(canonical + (size_t)c * (size_t)(height * width), place + column, from, to);
            }
        }
    }
}

static void visit_layer(const struct cu_layer *layer, visitor *visit, const float *from,
                        float *to) {
    for (int part = 0; part < layer->part_count; part++) {
        for (int row = 0; row < layer->each; row++) {
            visit_row(layer, part, row, visit, from, to);
        }
    }
}

static void bring_in(size_t canonical, size_t place, const float *from, float *to) {
    to[place] = from[canonical];
}

static void bring_out(size_t canonical, size_t place, const float *from, float *to) {
    to[canonical] = from[place];
}

static void set_one(size_t canonical, size_t place, const float *from, float *to) {
    (void)canonical;
    (void)from;
    to[place] = 1;
}

void cu_layer_import(const struct cu_layer *layer, const float *flat, float *layer_at) {
    float *bias = layer_at + (layer->bias_offset - layer->offset);
    visit_layer(layer, bring_in, flat, layer_at);
    for (int i = 0; i < layer->part_count * layer->each; i++) {
        const struct us_nn_slice *slice = layer->biases[i / layer->each];
        bias[row_place(layer, i)] = flat[slice->offset + (size_t)(i % layer->each)];
    }
}

void cu_layer_export(const struct cu_layer *layer, const float *layer_at, float *flat) {
    const float *bias = layer_at + (layer->bias_offset - layer->offset);
    visit_layer(layer, bring_out, layer_at, flat);
    for (int i = 0; i < layer->part_count * layer->each; i++) {
        const struct us_nn_slice *slice = layer->biases[i / layer->each];
        flat[slice->offset + (size_t)(i % layer->each)] = bias[row_place(layer, i)];
    }
}

void cu_layer_mask(const struct cu_layer *layer, float *mask) {
    memset(mask, 0, layer->count * sizeof *mask);
    visit_layer(layer, set_one, NULL, mask);
}

static float *widest_layer(const struct cu_params *params) {
    size_t most = 1;
    for (int i = 0; i < params->count; i++) {
        const size_t span = cu_layer_span(&params->layers[i]);
        most = span > most ? span : most;
    }
    return us_nn_alloc(most * sizeof(float));
}

/* bfloat16 values at the end of a buffer become the floats that fill it. */
static void widen(float *values, size_t count) {
    const char *from = (const char *)values + count * sizeof(uint16_t);
    for (size_t i = 0; i < count; i++) {
        uint16_t upper;
        memcpy(&upper, from + i * sizeof upper, sizeof upper);
        const uint32_t bits = (uint32_t)upper << 16;
        memcpy(&values[i], &bits, sizeof bits);
    }
}

enum us_nn_status cu_params_read(const struct cu_params *params, enum nn_cuda_type type,
                                 const void *arena, float *flat) {
    const size_t each = nn_cuda_size(type);
    float *values = widest_layer(params);
    enum us_nn_status status = values ? US_NN_OK : US_NN_NO_MEMORY;
    for (int i = 0; i < params->count && !status; i++) {
        const struct cu_layer *layer = &params->layers[i];
        const size_t count = cu_layer_span(layer);
        char *to = (char *)values + count * (sizeof *values - each);
        status = cu_status(cudaMemcpy(to, (const char *)arena + layer->offset * each, count * each,
                                      cudaMemcpyDeviceToHost));
        if (!status && type == NN_CUDA_BF16) {
            widen(values, count);
        }
        if (!status) {
            cu_layer_export(layer, values, flat);
        }
    }
    us_nn_free(values);
    return status;
}

enum us_nn_status cu_params_write(const struct cu_params *params, const float *flat, float *arena) {
    float *values = widest_layer(params);
    enum us_nn_status status = values ? US_NN_OK : US_NN_NO_MEMORY;
    for (int i = 0; i < params->count && !status; i++) {
        const struct cu_layer *layer = &params->layers[i];
        const size_t bytes = cu_layer_span(layer) * sizeof *values;
        memset(values, 0, bytes);
        cu_layer_import(layer, flat, values);
        status =
            cu_status(cudaMemcpy(arena + layer->offset, values, bytes, cudaMemcpyHostToDevice));
    }
    us_nn_free(values);
    return status;
}

enum us_nn_status cu_params_write_masks(const struct cu_params *params, float *masks) {
    float *values = widest_layer(params);
    enum us_nn_status status = values ? US_NN_OK : US_NN_NO_MEMORY;
    for (int i = 0; i < params->count && !status; i++) {
        const struct cu_layer *layer = &params->layers[i];
        if (layer->partial) {
            cu_layer_mask(layer, values);
            status = cu_status(cudaMemcpy(masks + layer->mask_offset, values,
                                          layer->count * sizeof *values, cudaMemcpyHostToDevice));
        }
    }
    us_nn_free(values);
    return status;
}
