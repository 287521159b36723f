#include "kernels/nn/arch.h"

#include <string.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/memory.h"

static const struct nn_family *const families[] = {
    [US_NN_DF] = &nn_df_family, [US_NN_LIAE] = &nn_liae_family, [US_NN_COMB] = &nn_comb_family};

/* Every name of a family, indexed by its options: u 1, d 2, t 4, c 8. */
#define NAMES(f)                                                                                  \
    {                                                                                             \
        f, f "-u", f "-d", f "-ud", f "-t", f "-ut", f "-dt", f "-udt", f "-c", f "-uc", f "-dc", \
            f "-udc", f "-tc", f "-utc", f "-dtc", f "-udtc"                                      \
    }
static const char *const names[][16] = {
    [US_NN_DF] = NAMES("df"), [US_NN_LIAE] = NAMES("liae"), [US_NN_COMB] = {"comb"}};

static const char *paired_problem(const struct us_nn_arch *arch) {
    if (arch->resolution < 32 || arch->resolution > 640) {
        return "the resolution is out of range, allowed 32 to 640";
    }
    if (arch->resolution % (arch->doubled ? 32 : 16)) {
        return arch->doubled ? "the resolution must be a multiple of 32 with option d"
                             : "the resolution must be a multiple of 16";
    }
    return arch->size || arch->fading ? "only comb grows" : NULL;
}

const char *us_nn_arch_problem(const struct us_nn_arch *arch) {
    if ((size_t)arch->family >= sizeof families / sizeof *families) {
        return "the family is unknown, allowed: df, liae, comb";
    }
    const struct nn_family *family = families[arch->family];
    const char *problem = family->problem ? family->problem(arch) : paired_problem(arch);
    const int dims[] = {arch->ae_dims, arch->e_dims, arch->d_dims, arch->d_mask_dims};
    for (int i = 0; i < 4 && !problem; i++) {
        if (dims[i] < 4 || dims[i] > 1024) {
            problem = "the dims are out of range, allowed 4 to 1024";
        }
    }
    return problem;
}

int us_nn_arch_identities(const struct us_nn_arch *arch) {
    return arch->family == US_NN_COMB ? arch->identities : 2;
}

int us_nn_arch_size(const struct us_nn_arch *arch) {
    return arch->size ? arch->size : arch->resolution;
}

const char *us_nn_arch_name(const struct us_nn_arch *arch) {
    return names[arch->family][(arch->likeness ? 1 : 0) + (arch->doubled ? 2 : 0) +
                               (arch->deeper ? 4 : 0) + (arch->cosine ? 8 : 0)];
}

bool us_nn_arch_parse(const char *name, struct us_nn_arch *arch) {
    for (size_t f = 0; f < sizeof names / sizeof *names; f++) {
        for (int s = 0; s < 16; s++) {
            if (names[f][s] && strcmp(name, names[f][s]) == 0) {
                arch->family = (enum us_nn_family)f;
                arch->likeness = s & 1;
                arch->doubled = s & 2;
                arch->deeper = s & 4;
                arch->cosine = s & 8;
                return true;
            }
        }
    }
    return false;
}

static struct nn_graph *make_graph(const struct us_nn_arch *arch, bool training, bool whole) {
    struct nn_graph *graph = us_nn_arch_problem(arch) ? NULL : us_nn_alloc(sizeof *graph);
    if (!graph) {
        return NULL;
    }
    nn_graph_init(graph, training, us_nn_arch_identities(arch));
    families[arch->family]->build(graph, arch, whole);
    if (graph->status) {
        nn_graph_destroy(graph);
        return NULL;
    }
    return graph;
}

struct nn_graph *nn_graph_of(const struct us_nn_arch *arch, bool training) {
    return make_graph(arch, training, false);
}

struct nn_graph *nn_graph_whole(const struct us_nn_arch *arch) {
    return make_graph(arch, false, true);
}
