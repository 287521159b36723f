#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"

#define STREAM_INITIAL 1u

#define FEWEST_SLICES 64

/* The array doubles when it is full. NULL when there is no memory. */
static struct us_nn_slice *append(struct us_nn_layout *layout, const char *name, const char *kind) {
    const int count = layout->slice_count;
    if (count == 0 || (count >= FEWEST_SLICES && (count & (count - 1)) == 0)) {
        const size_t room = count > 0 ? 2 * (size_t)count : FEWEST_SLICES;
        struct us_nn_slice *more = us_nn_alloc(room * sizeof *more);
        if (!more) {
            return NULL;
        }
        if (count > 0) {
            memcpy(more, layout->slices, (size_t)count * sizeof *more);
        }
        us_nn_free(layout->slices);
        layout->slices = more;
    }
    struct us_nn_slice *slice = &layout->slices[layout->slice_count++];
    snprintf(slice->name, sizeof slice->name, "%s.%s", name, kind);
    slice->offset = layout->count;
    return slice;
}

static void set_shape(struct us_nn_layout *layout, struct us_nn_slice *slice, int rank,
                      const int64_t shape[4]) {
    slice->rank = rank;
    slice->count = 1;
    for (int i = 0; i < rank; i++) {
        slice->shape[i] = shape[i];
        slice->count *= (size_t)shape[i];
    }
    layout->count += slice->count;
}

static enum us_nn_status append_layer(struct us_nn_layout *layout, const char *name, int rank,
                                      const int64_t shape[4]) {
    static const char *const kinds[] = {"weight", "bias"};
    for (int i = 0; i < 2; i++) {
        struct us_nn_slice *slice = append(layout, name, kinds[i]);
        if (!slice) {
            return US_NN_NO_MEMORY;
        }
        set_shape(layout, slice, i == 0 ? rank : 1, shape);
    }
    return US_NN_OK;
}

enum us_nn_status nn_layout_conv(struct us_nn_layout *layout, const char *name, int out, int in,
                                 int kernel) {
    return append_layer(layout, name, 4, (const int64_t[4]){out, in, kernel, kernel});
}

enum us_nn_status nn_layout_dense(struct us_nn_layout *layout, const char *name, int out, int in) {
    return append_layer(layout, name, 2, (const int64_t[4]){out, in});
}

static bool has_layer(const struct us_nn_layout *layout, const char *name) {
    const size_t length = strlen(name);
    for (int i = 0; i < layout->slice_count; i += 2) {
        const char *slice = layout->slices[i].name;
        if (strncmp(slice, name, length) == 0 && strcmp(slice + length, ".weight") == 0) {
            return true;
        }
    }
    return false;
}

enum us_nn_status nn_layout_of_graph(struct us_nn_layout *layout, const struct nn_graph *graph) {
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < graph->count; i++) {
        const struct nn_node *node = &graph->nodes[i];
        for (int k = 0; k < node->layer_count && !status; k++) {
            const struct nn_node *in = &graph->nodes[node->inputs[0]];
            const char *name = node->layers[k].text;
            if (has_layer(layout, name)) {
                continue;
            }
            status = node->kind == NN_DENSE
                         ? nn_layout_dense(layout, name, node->c * node->h * node->w,
                                           in->c * in->h * in->w)
                         : nn_layout_conv(layout, name, node->c / node->layer_count, in->c,
                                          node->kernels[k]);
        }
    }
    return status;
}

enum us_nn_status us_nn_layout_init(struct us_nn_layout *layout, const struct us_nn_arch *arch) {
    *layout = (struct us_nn_layout){0};
    if (us_nn_arch_problem(arch)) {
        return US_NN_BAD_CONFIG;
    }
    struct nn_graph *graph = nn_graph_whole(arch);
    const enum us_nn_status status = graph ? nn_layout_of_graph(layout, graph) : US_NN_NO_MEMORY;
    nn_graph_destroy(graph);
    if (status) {
        us_nn_layout_finish(layout);
    }
    return status;
}

enum us_nn_status us_nn_layout_used(const struct us_nn_layout *layout,
                                    const struct us_nn_arch *arch, bool *used) {
    struct us_nn_layout own = {0};
    struct nn_graph *graph = nn_graph_of(arch, false);
    const enum us_nn_status status = graph ? nn_layout_of_graph(&own, graph) : US_NN_NO_MEMORY;
    for (int i = 0; i < layout->slice_count && !status; i++) {
        used[i] = us_nn_layout_find(&own, layout->slices[i].name) != NULL;
    }
    nn_graph_destroy(graph);
    us_nn_layout_finish(&own);
    return status;
}

void us_nn_layout_finish(struct us_nn_layout *layout) {
    us_nn_free(layout->slices);
    *layout = (struct us_nn_layout){0};
}

const struct us_nn_slice *us_nn_layout_find(const struct us_nn_layout *layout, const char *name) {
    for (int i = 0; i < layout->slice_count; i++) {
        if (strcmp(layout->slices[i].name, name) == 0) {
            return &layout->slices[i];
        }
    }
    return NULL;
}

static void initialise_slice(const struct us_nn_slice *slice, uint64_t number, uint64_t seed,
                             float *values) {
    if (slice->rank == 1) {
        memset(values, 0, slice->count * sizeof *values);
        return;
    }
    const double taps = slice->rank == 4 ? (double)(slice->shape[2] * slice->shape[3]) : 1.0;
    const double fans = taps * (double)(slice->shape[0] + slice->shape[1]);
    const float limit = (float)sqrt(6.0 / fans);
    for (size_t i = 0; i < slice->count; i += 4) {
        uint32_t words[4];
        us_philox(seed, STREAM_INITIAL, 0, number << 40 | i / 4, words);
        for (size_t k = 0; k < 4 && i + k < slice->count; k++) {
            values[i + k] = limit * (2 * us_philox_unit(words[k]) - 1);
        }
    }
}

void us_nn_layout_initialise(const struct us_nn_layout *layout, uint64_t seed, float *parameters) {
    for (int i = 0; i < layout->slice_count; i++) {
        initialise_slice(&layout->slices[i], (uint64_t)i, seed,
                         parameters + layout->slices[i].offset);
    }
}
