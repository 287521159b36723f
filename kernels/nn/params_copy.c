#include <string.h>

#include "kernels/nn/dnnl_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/params_internal.h"

static size_t plain_count(const struct nn_weight *w) {
    return (size_t)w->out * (size_t)w->in * (size_t)w->height * (size_t)w->width;
}

static enum us_nn_status plain_desc(const struct nn_weight *w, dnnl_memory_desc_t *desc) {
    const dnnl_dims_t dims = {w->out, w->in, w->height, w->width};
    const bool flat = w->desc.ndims == 2;
    return nn_dnnl(dnnl_memory_desc_init_by_tag(desc, flat ? 2 : 4, dims, dnnl_f32,
                                                flat ? dnnl_ab : dnnl_abcd));
}

/* The canonical run of one row and input channel inside the plain tensor: a slice with a smaller
 * kernel lies in the centre of the layer's. */
struct run {
    size_t plain, flat; /* of the first tap */
    int height, width;
    int plain_stride;
};

static struct run run_of(const struct nn_weight *w, int out, int in) {
    const struct us_nn_slice *s = w->rows[out].weight;
    const int height = s->rank == 4 ? (int)s->shape[2] : w->height;
    const int width = s->rank == 4 ? (int)s->shape[3] : w->width;
    const int top = (w->height - height) / 2, left = (w->width - width) / 2;
    const size_t taps = (size_t)height * (size_t)width;
    const size_t row = (size_t)w->rows[out].row;
    return (struct run){
        .plain = (((size_t)out * (size_t)w->in + (size_t)in) * (size_t)w->height + (size_t)top) *
                     (size_t)w->width +
                 (size_t)left,
        .flat = s->offset + (row * (size_t)w->real_in + (size_t)in) * taps,
        .height = height,
        .width = width,
        .plain_stride = w->width,
    };
}

/* Copies between a plain padded tensor and the flat buffer; to_plain leaves padding alone. */
static void copy_rows(const struct nn_weight *w, float *plain, float *flat, bool to_plain) {
    for (int o = 0; o < w->out; o++) {
        for (int i = 0; w->rows[o].weight && i < w->real_in; i++) {
            const struct run r = run_of(w, o, i);
            for (int y = 0; y < r.height; y++) {
                float *p = plain + r.plain + (size_t)(y * r.plain_stride);
                float *f = flat + r.flat + (size_t)(y * r.width);
                memcpy(to_plain ? p : f, to_plain ? f : p, (size_t)r.width * sizeof *p);
            }
        }
    }
}

static void copy_biases(const struct nn_weight *w, float *arena, float *flat, bool to_arena) {
    for (int o = 0; o < w->out; o++) {
        if (w->rows[o].bias) {
            float *a = arena + w->bias_offset + o;
            float *f = flat + w->rows[o].bias->offset + w->rows[o].row;
            *(to_arena ? a : f) = *(to_arena ? f : a);
        }
    }
}

static size_t largest_plain(const struct nn_params *params) {
    size_t most = 1;
    for (int i = 0; i < params->count; i++) {
        const size_t count = plain_count(&params->weights[i]);
        most = count > most ? count : most;
    }
    return most;
}

static enum us_nn_status import_layer(const struct nn_params *params, const struct nn_weight *w,
                                      float *flat, float *plain, float *arena) {
    dnnl_memory_desc_t desc;
    enum us_nn_status status = plain_desc(w, &desc);
    memset(plain, 0, plain_count(w) * sizeof *plain);
    copy_rows(w, plain, flat, true);
    if (!status) {
        status = nn_reorder_once(params, &desc, plain, &w->desc, arena + w->offset);
    }
    copy_biases(w, arena, flat, true);
    return status;
}

static enum us_nn_status export_layer(const struct nn_params *params, const struct nn_weight *w,
                                      float *arena, float *plain, float *flat) {
    dnnl_memory_desc_t desc;
    enum us_nn_status status = plain_desc(w, &desc);
    if (!status) {
        status = nn_reorder_once(params, &w->desc, arena + w->offset, &desc, plain);
    }
    copy_rows(w, plain, flat, false);
    copy_biases(w, arena, flat, false);
    return status;
}

enum us_nn_status nn_params_import(const struct nn_params *params, const float *flat,
                                   float *arena) {
    float *plain = us_nn_alloc(largest_plain(params) * sizeof *plain);
    enum us_nn_status status = plain ? US_NN_OK : US_NN_NO_MEMORY;
    for (int i = 0; i < params->count && !status; i++) {
        status = import_layer(params, &params->weights[i], (float *)flat, plain, arena);
    }
    us_nn_free(plain);
    return status;
}

enum us_nn_status nn_params_export(const struct nn_params *params, const float *arena,
                                   float *flat) {
    float *plain = us_nn_alloc(largest_plain(params) * sizeof *plain);
    enum us_nn_status status = plain ? US_NN_OK : US_NN_NO_MEMORY;
    for (int i = 0; i < params->count && !status; i++) {
        status = export_layer(params, &params->weights[i], (float *)arena, plain, flat);
    }
    us_nn_free(plain);
    return status;
}

static enum us_nn_status make_mask(const struct nn_params *params, struct nn_weight *w) {
    float *ones = us_nn_alloc(params->layout.count * sizeof *ones);
    float *plain = us_nn_alloc(plain_count(w) * sizeof *plain);
    w->mask = us_nn_alloc(w->count * sizeof *w->mask);
    dnnl_memory_desc_t desc;
    enum us_nn_status status = ones && plain && w->mask ? plain_desc(w, &desc) : US_NN_NO_MEMORY;
    if (!status) {
        for (size_t i = 0; i < params->layout.count; i++) {
            ones[i] = 1.0f;
        }
        copy_rows(w, plain, ones, true);
        status = nn_reorder_once(params, &desc, plain, &w->desc, w->mask);
    }
    us_nn_free(plain);
    us_nn_free(ones);
    return status;
}

enum us_nn_status nn_params_make_masks(struct nn_params *params) {
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < params->count && !status; i++) {
        if (params->weights[i].partial && !params->weights[i].mask) {
            status = make_mask(params, &params->weights[i]);
        }
    }
    return status;
}
