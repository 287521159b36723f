#include <math.h>
#include <stdio.h>

#include "kernels/blur.h"
#include "kernels/cuda/frame_internal.h"
#include "kernels/cuda/self_test_internal.h"
#include "kernels/encoding.h"
#include "kernels/grain.h"
#include "kernels/morph.h"
#include "kernels/nn/memory.h"
#include "kernels/polygon.h"
#include "kernels/ssim.h"

enum { WIDTH = 97, HEIGHT = 61, PIXELS = WIDTH * HEIGHT, PLANES = 4, OUT = 3 };
enum { SCRATCH = 64 * PIXELS, COUNT = 3 * PIXELS };

static const struct us_cuda_frame_api *const api = &us_cuda_frame_table;

/* The same planes in both memories; plane OUT, and two behind it, are what a check fills. */
struct kit {
    struct us_cuda_frame *frame;
    void *stream;
    struct us_view here[PLANES], there[PLANES];
    float *memory, *block, *scratch_here, *scratch_there; /* PLANES + 2 planes each, and scratch */
    float *got;
};

static void resample(struct kit *k) {
    const double map[6] = {1.1, 0.3, -4, -0.2, 0.9, 6};
    us_resample_affine(k->here, &k->here[OUT], 1, map, US_FILTER_LANCZOS3);
    api->resample_affine(k->there, &k->there[OUT], 1, map, US_FILTER_LANCZOS3, k->stream);
}

static void blur(struct kit *k) {
    us_gaussian_blur(k->here[0], k->here[OUT], 3.7, k->scratch_here);
    api->gaussian_blur(k->there[0], k->there[OUT], 3.7, k->scratch_there, k->stream);
}

static void grow(struct kit *k) {
    us_matte_grow(k->here[2], k->here[OUT], -2.4, k->scratch_here);
    api->matte_grow(k->there[2], k->there[OUT], -2.4, k->scratch_there, k->stream);
}

static void fill(struct kit *k) {
    const double points[4][2] = {{10.2, 3.1}, {90.7, 20.3}, {60.1, 58.8}, {4.4, 40.5}};
    us_polygon_fill(k->here[OUT], points, 4);
    api->up(k->frame, k->scratch_there, points, sizeof points);
    api->polygon_fill(k->there[OUT], (const double(*)[2])(void *)k->scratch_there, 4, k->stream);
}

static void encode(struct kit *k) {
    us_log_encode(k->here[0].data, k->here[OUT].data, PIXELS);
    us_log_decode(k->here[1].data, k->here[OUT].data + PIXELS, PIXELS);
    api->log_encode(k->there[0].data, k->there[OUT].data, PIXELS, k->stream);
    api->log_decode(k->there[1].data, k->there[OUT].data + PIXELS, PIXELS, k->stream);
}

static void mix(struct kit *k) {
    const struct us_blend_frame frame = {{0.8, 0.1, 2, -0.1, 0.8, 3}, 70, 50, 0.8, 4};
    for (int i = 0; i < PIXELS; i++) {
        k->here[OUT].data[i] = 0;
    }
    us_blend_cover(&frame, k->here[OUT]);
    us_blend_mix(k->here[OUT], k->here[0], k->here[2]);
    api->blend_cover(&frame, k->there[OUT], k->stream);
    api->blend_mix(k->there[OUT], k->there[0], k->there[2], k->stream);
}

static void convert(struct kit *k) {
    struct us_samples here = {k->here[OUT].data, WIDTH, HEIGHT, US_SAMPLE_HALF}, there = here;
    there.data = k->there[OUT].data;
    us_samples_write(here, 0, 0, k->here[0], NULL);
    api->samples_write(there, 0, 0, k->there[0], NULL, k->stream);
    struct us_view back = {k->here[OUT].data + PIXELS, WIDTH, HEIGHT, WIDTH};
    us_samples_read(here, -3, 2, 0.5f, back);
    back.data = k->there[OUT].data + PIXELS;
    api->samples_read(there, -3, 2, 0.5f, back, k->stream);
}

static void add_grain(struct kit *k) {
    double like = us_grain_measure(k->here[0], k->here[2], k->scratch_here);
    double *found = (double *)(void *)k->scratch_there;
    double lack = us_grain_lack(like, us_grain_measure(k->here[2], k->here[2], k->scratch_here), 1);
    us_grain_add(k->here[OUT], k->here[2], lack, 7, 0, 0);
    api->grain_measure(k->there[0], k->there[2], k->scratch_there + 16, found, k->stream);
    api->grain_measure(k->there[2], k->there[2], k->scratch_there + 16, found + 1, k->stream);
    api->grain_add(k->there[OUT], k->there[2], found, found + 1, 1, 7, 0, 0, k->stream);
}

static void expose(struct kit *k) {
    const struct us_exposure exposure = {{1, 0, -3, 0, 1, 2}, WIDTH, HEIGHT, 0.5, -1, 1};
    us_expose(k->here, &exposure, k->here[OUT].data);
    api->expose(k->there, &exposure, k->there[OUT].data, (double *)(void *)k->scratch_there,
                k->stream);
}

static void move_colour(struct kit *k) {
    const struct us_colour_map map = {{{1.1, 0.1, 0}, {-0.2, 0.9, 0}, {0, 0.3, 1.4}}, {0.1, 0, 0}};
    us_colour_apply(&map, k->here);
    api->colour_apply(&map, k->there, k->stream);
    for (int i = 0; i < PIXELS; i++) {
        k->here[OUT].data[i] = k->here[0].data[i];
    }
    api->blend_fill(k->there[OUT], 0, k->stream);
    const double still[6] = {1, 0, 0, 0, 1, 0};
    api->resample_affine(k->there, &k->there[OUT], 1, still, US_FILTER_NEAREST, k->stream);
}

static void compare(struct kit *k) {
    us_ssim_map(k->here[0], k->here[1], k->here[OUT], 2, k->scratch_here);
    api->ssim_map(k->there[0], k->there[1], k->there[OUT], 2, k->scratch_there, k->stream);
}

static void convolve(struct kit *k) {
    const struct us_sliding window = {3, 3, 1, 1, 1, 1, US_FUSED_RELU};
    const struct us_net_step step = {.kind = US_NET_CONV,
                                     .in = {0, 20, 30, 8},
                                     .out = {PIXELS, 20, 30, 8},
                                     .window = window,
                                     .weights = k->here[1].data,
                                     .bias = k->here[2].data,
                                     .weight_count = 9 * 8 * 8,
                                     .bias_count = 8};
    const struct us_net_plan plan = {&step, 1, 2 * PIXELS};
    struct us_nhwc in = {k->here[0].data, 20, 30, 8}, out = {k->here[OUT].data, 20, 30, 8};
    struct us_cuda_net *net = api->net_create(k->frame, &plan);
    us_tflite_conv(in, out, step.weights, step.bias, &window, k->scratch_here);
    if (net) {
        api->clear(k->frame, k->scratch_there, 2 * PIXELS * sizeof(float));
        api->up(k->frame, k->scratch_there, k->here[0].data, 20 * 30 * 8 * sizeof(float));
        api->net_run(k->frame, net, k->scratch_there, 1);
        struct us_samples made = {k->scratch_there + PIXELS, 20 * 30 * 8, 1, US_SAMPLE_FLOAT};
        struct us_view row = {k->there[OUT].data, 20 * 30 * 8, 1, 20 * 30 * 8};
        api->samples_read(made, 0, 0, 0, row, k->stream);
        (void)api->wait(k->frame);
        api->net_destroy(net);
    }
}

static const struct {
    const char *name;
    void (*run)(struct kit *kit);
} checks[] = {
    {"image resample", resample},  {"image blur", blur},          {"image grow", grow},
    {"image polygon", fill},       {"image encoding", encode},    {"image blend", mix},
    {"image samples", convert},    {"image grain", add_grain},    {"image exposure", expose},
    {"image colour", move_colour}, {"image similarity", compare}, {"image network", convolve},
};

static bool make_kit(struct kit *k) {
    const size_t floats = (PLANES + 2) * PIXELS;
    k->memory = us_nn_alloc((floats + SCRATCH + COUNT) * sizeof(float));
    k->block = api->take(k->frame, floats * sizeof(float));
    k->scratch_there = api->take(k->frame, SCRATCH * sizeof(float));
    k->stream = api->stream(k->frame);
    if (!k->memory || !k->block || !k->scratch_there) {
        return false;
    }
    k->scratch_here = k->memory + floats;
    k->got = k->scratch_here + SCRATCH;
    for (int i = 0; i < PLANES; i++) {
        k->here[i] = (struct us_view){k->memory + i * PIXELS, WIDTH, HEIGHT, WIDTH};
        k->there[i] = (struct us_view){k->block + i * PIXELS, WIDTH, HEIGHT, WIDTH};
    }
    return true;
}

/* Light in planes 0 and 1, a matte in 2; what will be filled starts as 0 in both. */
static void fill_planes(struct kit *k) {
    uint32_t seed = 1;
    for (int i = 0; i < (PLANES + 2) * PIXELS; i++) {
        seed = seed * 1664525u + 1013904223u;
        float value = (float)(seed >> 8) / 16777216.0f;
        k->memory[i] = i < 2 * PIXELS ? 2 * value - 0.2f : i < OUT * PIXELS ? value : 0;
    }
    api->up(k->frame, k->block, k->memory, (PLANES + 2) * PIXELS * sizeof(float));
}

static const char *run_check(struct kit *k, void (*run)(struct kit *kit)) {
    static _Thread_local char text[128];
    fill_planes(k);
    run(k);
    const struct us_cuda_piece piece = {k->there[OUT].data, k->got, COUNT * sizeof(float)};
    if (api->down(k->frame, &piece, 1)) {
        return api->problem();
    }
    double most = 0;
    for (int i = 0; i < COUNT; i++) {
        double wanted = (double)k->here[OUT].data[i];
        double off = fabs((double)k->got[i] - wanted) / (1 + fabs(wanted));
        most = off <= most ? most : off; /* NaN stays */
    }
    if (most <= 1e-5) {
        return NULL;
    }
    snprintf(text, sizeof text, "a value is off by %.3g of its size, allowed 1e-05", most);
    return text;
}

int frame_self_test(int ordinal, us_cuda_report *report, void *context) {
    struct kit kit = {0};
    int bad = 0;
    if (api->open(ordinal, &kit.frame)) {
        report(context, "image", api->problem());
        return 1;
    }
    const bool made = make_kit(&kit);
    if (!made) {
        report(context, "image", "out of memory");
        bad++;
    }
    for (size_t i = 0; made && i < sizeof checks / sizeof *checks; i++) {
        const char *error = run_check(&kit, checks[i].run);
        report(context, checks[i].name, error);
        bad += error != NULL;
    }
    us_nn_free(kit.memory);
    if (api->close(kit.frame)) {
        report(context, "image", api->problem());
        bad++;
    }
    return bad;
}
