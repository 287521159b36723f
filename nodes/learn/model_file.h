/* A trained face-swapping model as a file: safetensors whose arrays are the weights under their
 * layer names in PyTorch's shapes (kernels/nn/arch.h), and whose metadata says how to build the net
 * and where it comes from. Files are foreign bytes and may say anything. */
#ifndef US_NODES_LEARN_MODEL_FILE_H
#define US_NODES_LEARN_MODEL_FILE_H

#include "kernels/nn/arch.h"
#include "runtime/base/error.h"
#include "runtime/base/hash.h"

struct us_swap_model {
    struct us_nn_arch arch;
    char encoding[16], coverage[16];      /* of the crops it was trained on, and works on */
    uint64_t steps;                       /* updates done */
    double loss;                          /* smoothed, at the end */
    char *license, *consent;              /* us_malloc'ed texts; never NULL once parsed */
    struct us_digest source, destination; /* of the two data sets */
    float *parameters;                    /* flat, layout order; us_malloc'ed */
    size_t parameter_count;
};

void us_swap_model_finish(struct us_swap_model *model);

/* The file's bytes, us_malloc'ed; the same model gives the same bytes. */
struct us_error *us_swap_model_print(const struct us_swap_model *model, uint8_t **bytes,
                                     size_t *size) US_NODISCARD;
/* Fills a zeroed model; checks everything against the architecture. Weights that are not finite
 * are refused. Finish also after an error. */
struct us_error *us_swap_model_parse(const uint8_t *bytes, size_t size,
                                     struct us_swap_model *model) US_NODISCARD;
/* Only what net the file's weights are for; they are not looked at. */
struct us_error *us_swap_model_arch(const uint8_t *bytes, size_t size,
                                    struct us_nn_arch *arch) US_NODISCARD;
/* The description without the weights, for people: "df-ud 64 px, ae 64 ...". Static per thread. */
const char *us_swap_model_text(const struct us_swap_model *model);

/* A compute-library status as an error: "cannot <doing>: <status>". NULL for US_NN_OK. */
struct us_error *us_nn_error(enum us_nn_status status, const char *doing) US_NODISCARD;

#endif
