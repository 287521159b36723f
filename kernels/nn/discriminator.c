#include "kernels/nn/discriminator.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/nn/memory.h"

enum { MOST_CHANNELS = 512, MOST_HALVINGS = 4 };

static struct nn_layer_name name_of(const char *format, int number) {
    struct nn_layer_name name;
    snprintf(name.text, sizeof name.text, format, number);
    return name;
}

static enum us_nn_status begin(struct nn_judge_graph *judge, int c, int h, int w) {
    *judge = (struct nn_judge_graph){.graph = us_nn_alloc(sizeof *judge->graph)};
    if (!judge->graph) {
        return US_NN_NO_MEMORY;
    }
    nn_graph_init(judge->graph, true, 1);
    nn_graph_input(judge->graph, 2, c, h, w);
    judge->graph->nodes[0].differentiable = true;
    return US_NN_OK;
}

static enum us_nn_status end(struct nn_judge_graph *judge) {
    const enum us_nn_status status = judge->graph->status;
    if (status) {
        nn_graph_destroy(judge->graph);
        *judge = (struct nn_judge_graph){0};
    }
    return status;
}

static int conv(struct nn_graph *graph, int x, struct nn_layer_name layer, int channels, int kernel,
                int stride, float slope) {
    const struct nn_after after = {.activation = NN_LEAKY, .slope = slope, .residual = -1};
    return nn_graph_conv(graph, x, layer.text, channels, kernel, stride, &after);
}

static void add_output(struct nn_judge_graph *judge, int x, const char *layer) {
    const struct nn_after linear = {.activation = NN_LINEAR, .residual = -1};
    const int logits = nn_graph_conv(judge->graph, x, layer, 1, 1, 1, &linear);
    judge->outputs[judge->output_count++] = nn_graph_planes(judge->graph, logits, false);
}

enum us_nn_status nn_code_judge_graph(int c, int h, int w, struct nn_judge_graph *judge) {
    const int count = 1 + (h < w ? h : w) / 8;
    enum us_nn_status status = begin(judge, c, h, w);
    int x = 0;
    for (int i = 0; i < count && !status; i++) {
        x = conv(judge->graph, x, name_of("code_judge.down%d", i), 256 << (i < 3 ? i : 3),
                 i == 0 ? 4 : 3, 2, 0.1f);
    }
    if (!status) {
        add_output(judge, x, "code_judge.out");
        status = end(judge);
    }
    return status;
}

int nn_receptive_field(const int *strides, int count) {
    int field = 1, step = 1;
    for (int i = 0; i < count; i++) {
        field += 2 * step;
        step *= strides[i];
    }
    return field;
}

/* Strides are the bits of `code`, 1 for stride 2; false when there are too many of those. */
static bool decode(int code, int count, int size, int strides[NN_PATCH_LAYERS]) {
    int halvings = 0;
    for (int i = 0; i < count; i++) {
        strides[i] = 1 + (code >> i & 1);
        halvings += code >> i & 1;
    }
    return halvings <= MOST_HALVINGS && size % (1 << halvings) == 0;
}

int nn_patch_strides(int size, int patch, int strides[NN_PATCH_LAYERS]) {
    int best = 0, best_count = 1, best_error = 1 << 30;
    for (int count = 1; count <= NN_PATCH_LAYERS; count++) {
        for (int code = (1 << count) - 1; code >= 0; code--) {
            const bool fits = decode(code, count, size, strides);
            const int error = abs(nn_receptive_field(strides, count) - patch);
            if (fits && error < best_error) {
                best = code;
                best_count = count;
                best_error = error;
            }
        }
    }
    decode(best, best_count, size, strides);
    return best_count;
}

/* Up one layer, to `channels` channels: by depth-to-space where the way down halved. */
static int up(struct nn_graph *graph, int x, int number, int channels, int stride) {
    const struct nn_layer_name layer = name_of("face_judge.up%d", number);
    x = conv(graph, x, layer, stride == 2 ? 4 * channels : channels, 3, 1, 0.2f);
    return stride == 2 ? nn_graph_depth_to_space(graph, x) : x;
}

enum us_nn_status nn_face_judge_graph(int size, int patch, int dims, struct nn_judge_graph *judge) {
    int strides[NN_PATCH_LAYERS], before[NN_PATCH_LAYERS], channels[NN_PATCH_LAYERS + 1];
    const int count = nn_patch_strides(size, patch, strides);
    const enum us_nn_status status = begin(judge, 3, size, size);
    if (status) {
        return status;
    }
    struct nn_graph *graph = judge->graph;
    int x = conv(graph, 0, name_of("face_judge.in", 0), dims, 1, 1, 0.2f);
    channels[0] = dims;
    for (int i = 0; i < count; i++) {
        const int doubled = channels[i] * strides[i];
        before[i] = x;
        channels[i + 1] = doubled > MOST_CHANNELS ? MOST_CHANNELS : doubled;
        x = conv(graph, x, name_of("face_judge.down%d", i), channels[i + 1], 3, strides[i], 0.2f);
    }
    add_output(judge, x, "face_judge.patch");
    for (int i = count; i-- > 0;) {
        x = nn_graph_concat(graph, up(graph, x, i, channels[i], strides[i]), before[i]);
    }
    add_output(judge, x, "face_judge.pixel");
    return end(judge);
}
