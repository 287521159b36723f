#include "kernels/nn/params_internal.h"

#include <stdio.h>
#include <string.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/dnnl_internal.h"
#include "kernels/nn/memory.h"

static enum us_nn_status set_up(struct nn_params *params) {
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    memset(params, 0, sizeof *params);
    params->block = (isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core ? 16 : 8;
    const enum us_nn_status status = nn_dnnl(dnnl_engine_create(&params->engine, dnnl_cpu, 0));
    return status ? status
                  : nn_dnnl(dnnl_stream_create(&params->stream, params->engine,
                                               dnnl_stream_default_flags));
}

enum us_nn_status nn_params_init(struct nn_params *params, const struct us_nn_arch *arch) {
    const enum us_nn_status status = set_up(params);
    return status ? status : us_nn_layout_init(&params->layout, arch);
}

enum us_nn_status nn_params_init_for(struct nn_params *params, const struct nn_graph *graph) {
    const enum us_nn_status status = set_up(params);
    return status ? status : nn_layout_of_graph(&params->layout, graph);
}

void nn_params_finish(struct nn_params *params) {
    for (int i = 0; i < params->count; i++) {
        us_nn_free(params->weights[i].rows);
        us_nn_free(params->weights[i].mask);
    }
    us_nn_layout_finish(&params->layout);
    if (params->stream) {
        dnnl_stream_destroy(params->stream);
    }
    if (params->engine) {
        dnnl_engine_destroy(params->engine);
    }
    memset(params, 0, sizeof *params);
}

int nn_params_pad(const struct nn_params *params, int channels) {
    return (channels + params->block - 1) / params->block * params->block;
}

static const struct us_nn_slice *find_part(const struct nn_params *params, const char *name,
                                           const char *kind) {
    char full[56];
    snprintf(full, sizeof full, "%s.%s", name, kind);
    return us_nn_layout_find(&params->layout, full);
}

static struct nn_weight *existing(struct nn_params *params, const char *name) {
    for (int i = 0; i < params->count; i++) {
        if (strcmp(params->weights[i].name, name) == 0) {
            return &params->weights[i];
        }
    }
    return NULL;
}

static struct nn_weight *add(struct nn_params *params, const char *name, int rows) {
    if (params->count == NN_WEIGHTS) {
        return NULL;
    }
    struct nn_weight *w = &params->weights[params->count];
    snprintf(w->name, sizeof w->name, "%s", name);
    w->out = rows;
    w->rows = us_nn_alloc((size_t)rows * sizeof *w->rows);
    if (!w->rows) {
        return NULL;
    }
    params->count++;
    return w;
}

/* The canonical row of a layer's row, or -1 for padding. */
static int canonical_row(const struct nn_params *params, enum nn_row_order order, int size,
                         int real, int row) {
    if (order == NN_ROWS_SHUFFLE) {
        const int group = nn_params_pad(params, real / 4);
        return row % group < real / 4 ? row / group * (real / 4) + row % group : -1;
    }
    if (order == NN_ROWS_VECTOR) {
        const int area = size * size, block = params->block;
        const int channel = row / (area * block) * block + row % block;
        const int canonical = channel * area + row / block % area;
        return canonical < real ? canonical : -1;
    }
    return row < real ? row : -1;
}

static int padded_rows(const struct nn_params *params, enum nn_row_order order, int size,
                       int real) {
    if (order == NN_ROWS_SHUFFLE) {
        return 4 * nn_params_pad(params, real / 4);
    }
    if (order == NN_ROWS_VECTOR) {
        return nn_params_pad(params, real / (size * size)) * size * size;
    }
    return nn_params_pad(params, real);
}

/* Inputs are padded unless they are the colours of an image or a plain vector. */
static void set_inputs(const struct nn_params *params, struct nn_weight *w, int real_in, int height,
                       int width) {
    w->real_in = real_in;
    w->in = real_in <= 3 || (w->dense && height == 1) ? real_in : nn_params_pad(params, real_in);
    w->height = height;
    w->width = width;
}

struct nn_weight *nn_params_layer(struct nn_params *params, const char *name,
                                  enum nn_row_order order, int size) {
    struct nn_weight *w = existing(params, name);
    const struct us_nn_slice *weight = find_part(params, name, "weight");
    const struct us_nn_slice *bias = find_part(params, name, "bias");
    if (w || !weight || !bias) {
        return w;
    }
    const int real = (int)weight->shape[0];
    const bool vector_out = weight->rank == 2 && order == NN_ROWS_PLAIN;
    w = add(params, name, vector_out ? real : padded_rows(params, order, size, real));
    if (!w) {
        return NULL;
    }
    w->dense = weight->rank == 2;
    w->channels = order == NN_ROWS_PLAIN ? real : w->out;
    for (int i = 0; i < w->out; i++) {
        const int row = canonical_row(params, order, size, real, i);
        if (row >= 0) {
            w->rows[i] = (struct nn_row){.weight = weight, .bias = bias, .row = row};
        }
    }
    if (w->dense) {
        const int side = order == NN_ROWS_VECTOR ? 1 : size;
        set_inputs(params, w, (int)weight->shape[1] / (side * side), side, side);
    } else {
        set_inputs(params, w, (int)weight->shape[1], (int)weight->shape[2], (int)weight->shape[3]);
    }
    return w;
}

struct nn_weight *nn_params_merged(struct nn_params *params, const char *name,
                                   const char *const *parts, int part_count) {
    struct nn_weight *w = existing(params, name);
    const struct us_nn_slice *first = find_part(params, parts[0], "weight");
    if (w || !first) {
        return w;
    }
    const int each = (int)first->shape[0];
    w = add(params, name, nn_params_pad(params, each * part_count));
    if (!w) {
        return NULL;
    }
    for (int i = 0; i < each * part_count; i++) {
        w->rows[i] = (struct nn_row){.weight = find_part(params, parts[i / each], "weight"),
                                     .bias = find_part(params, parts[i / each], "bias"),
                                     .row = i % each};
    }
    w->partial = true;
    w->channels = each * part_count;
    set_inputs(params, w, (int)first->shape[1], 3, 3);
    return w;
}

enum us_nn_status nn_params_place(struct nn_params *params, struct nn_weight *weight,
                                  const dnnl_memory_desc_t *desc) {
    if (weight->placed) {
        return US_NN_OK;
    }
    weight->desc = *desc;
    weight->count = dnnl_memory_desc_get_size(desc) / sizeof(float);
    weight->offset = params->arena_count;
    weight->bias_offset = weight->offset + (weight->count + 15) / 16 * 16;
    params->arena_count = weight->bias_offset + ((size_t)weight->out + 15) / 16 * 16;
    weight->placed = true;
    return US_NN_OK;
}
