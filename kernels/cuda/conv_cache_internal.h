/* What was chosen for a convolution, kept in a folder.
 *
 * One file an entry, named by the hash of its key: a line that names the format, a checksum of all
 * that follows, the key, the choice, and the plan as cuDNN writes it down. A file that is damaged,
 * or that holds another key, counts as absent. */
#ifndef US_KERNELS_CUDA_CONV_CACHE_INTERNAL_H
#define US_KERNELS_CUDA_CONV_CACHE_INTERNAL_H

#include <stdbool.h>

#include "kernels/cuda/conv_plan.h"

enum { CONV_KEY = 768 };

/* Where plans hold: they are for one device model and one version of cuDNN. */
struct conv_place {
    char gpu[256];
    int multiprocessors;
    size_t cudnn;
    bool timed; /* the choice was measured */
};

/* One line, without a newline. */
void conv_cache_key(char key[CONV_KEY], const struct us_conv_desc *desc,
                    const struct conv_place *place);

struct conv_choice {
    bool fused, matmul;
    int rank, candidates, wrong; /* as in struct us_conv_plan_info, when it was chosen */
    float microseconds;
    char *json; /* us_nn_free */
};

/* False: not there. */
bool conv_cache_read(const char *folder, const char *key, struct conv_choice *choice);
/* Keeps a choice, unless a sound one stands there already: that one is given (its json is not
 * NULL), so that processes that choose at the same time end with the same plan. Makes the folder
 * too. A choice that cannot be kept is not. */
void conv_cache_keep(const char *folder, const char *key, const struct conv_choice *choice,
                     struct conv_choice *standing);
void conv_cache_forget(const char *folder, const char *key);

#endif
