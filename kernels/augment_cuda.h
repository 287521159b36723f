/* Augmentation on the device: the draws of augment.h, from faces that stay in device memory. */
#ifndef US_KERNELS_AUGMENT_CUDA_H
#define US_KERNELS_AUGMENT_CUDA_H

#include "kernels/augment.h"
#include "kernels/nn/types_cuda.h"
#include "kernels/priority.h"

NN_CUDA_BEGIN

/* What may change from step to step, in device memory. */
struct us_augment_turn {
    uint64_t step;
    struct us_augment_ranges ranges;
    uint32_t stream; /* tells identities and repeats apart */
};

/* One identity's faces in device memory. */
struct us_cuda_faces {
    const uint16_t *faces; /* [count][size][size][4] R, G, B, matte as binary16 */
    const struct us_priority_spot
        *spots; /* [count][US_PRIORITY_SPOTS], or NULL: priorities are 0 */
    size_t count;
    bool picked; /* the faces are those of the slots, in order; else each slot picks its own */
};

/* One identity's part of a batch, in device memory. */
struct us_cuda_augmented {
    float *inputs;          /* [batch][3][size][size], or NULL */
    void *packed;           /* the same as NHWC with 8 channels of `type`, or NULL */
    float *targets;         /* [batch][3][size][size] */
    float *masks;           /* [batch][size][size] */
    float *priorities;      /* [batch][size][size], or NULL */
    enum nn_cuda_type type; /* of packed */
};

/* Bytes of scratch for `batch` slots. */
size_t us_cuda_augment_scratch(int batch);

/* Makes the faces of slots first_slot to first_slot + batch - 1 as us_augment_pick,
 * us_augment_draw and us_augment_run do; colours differ by rounding only. */
cudaError_t us_cuda_augment(const struct us_cuda_faces *faces, const struct us_augment_turn *turn,
                            uint64_t seed, uint32_t first_slot, int batch, int size,
                            const struct us_cuda_augmented *out, void *scratch,
                            cudaStream_t stream);

NN_CUDA_END

#endif
