#include "kernels/nn/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/philox.h"

#define MOST_SLICES 192
#define STREAM_INITIAL 1u

static const struct nn_family *const families[] = {[US_NN_DF] = &nn_df_family};
static const char *const names[][4] = {[US_NN_DF] = {"df", "df-u", "df-d", "df-ud"}};

const struct nn_family *nn_family_of(const struct us_nn_arch *arch) {
    return families[arch->family];
}

const char *us_nn_arch_problem(const struct us_nn_arch *arch) {
    if ((size_t)arch->family >= sizeof families / sizeof *families) {
        return "the family is unknown, allowed: df";
    }
    if (arch->resolution < 32 || arch->resolution > 640) {
        return "the resolution is out of range, allowed 32 to 640";
    }
    if (arch->resolution % (arch->doubled ? 32 : 16)) {
        return arch->doubled ? "the resolution must be a multiple of 32 with option d"
                             : "the resolution must be a multiple of 16";
    }
    const int dims[] = {arch->ae_dims, arch->e_dims, arch->d_dims, arch->d_mask_dims};
    for (int i = 0; i < 4; i++) {
        if (dims[i] < 4 || dims[i] > 1024) {
            return "the dims are out of range, allowed 4 to 1024";
        }
    }
    return NULL;
}

int us_nn_arch_identities(const struct us_nn_arch *arch) {
    (void)arch;
    return 2;
}

const char *us_nn_arch_name(const struct us_nn_arch *arch) {
    return names[arch->family][(arch->likeness ? 1 : 0) + (arch->doubled ? 2 : 0)];
}

bool us_nn_arch_parse(const char *name, struct us_nn_arch *arch) {
    for (size_t f = 0; f < sizeof names / sizeof *names; f++) {
        for (int s = 0; s < 4; s++) {
            if (strcmp(name, names[f][s]) == 0) {
                arch->family = (enum us_nn_family)f;
                arch->likeness = s & 1;
                arch->doubled = s & 2;
                return true;
            }
        }
    }
    return false;
}

static struct us_nn_slice *append(struct us_nn_layout *layout, const char *name, const char *kind) {
    if (layout->slice_count == MOST_SLICES) {
        return NULL;
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

static void append_layer(struct us_nn_layout *layout, const char *name, int rank,
                         const int64_t shape[4]) {
    struct us_nn_slice *weight = append(layout, name, "weight");
    if (weight) {
        set_shape(layout, weight, rank, shape);
    }
    struct us_nn_slice *bias = append(layout, name, "bias");
    if (bias) {
        set_shape(layout, bias, 1, shape);
    }
}

void nn_layout_conv(struct us_nn_layout *layout, const char *name, int out, int in, int kernel) {
    append_layer(layout, name, 4, (const int64_t[4]){out, in, kernel, kernel});
}

void nn_layout_dense(struct us_nn_layout *layout, const char *name, int out, int in) {
    append_layer(layout, name, 2, (const int64_t[4]){out, in});
}

enum us_nn_status us_nn_layout_init(struct us_nn_layout *layout, const struct us_nn_arch *arch) {
    *layout = (struct us_nn_layout){0};
    if (us_nn_arch_problem(arch)) {
        return US_NN_BAD_CONFIG;
    }
    layout->slices = us_nn_alloc(MOST_SLICES * sizeof *layout->slices);
    if (!layout->slices) {
        return US_NN_NO_MEMORY;
    }
    nn_family_of(arch)->layout(arch, layout);
    return US_NN_OK;
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
