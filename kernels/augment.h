/* Random variations of a face for training, as a function of a counter: any step can be replayed.
 *
 * A draw is a rotation, scale, shift and mirror that input, target and matte share, a smooth warp
 * that only the input gets (so that the net learns to straighten a face into the identity's), a
 * change of light that input and target share, and a change of colour that only the input gets.
 * The warp has 2, 4 or 8 cells a side (each equally likely); its inner nodes move by at most
 * `warp` cells each way, the sum of three uniform numbers; between nodes and pixels Keys' cubic
 * (1981) interpolates. Beyond the border the edge repeats. */
#ifndef US_KERNELS_AUGMENT_H
#define US_KERNELS_AUGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct us_augment_ranges {
    double rotation_degrees; /* each way */
    double scale;            /* 0.05: from 1 / 1.05 to 1.05 */
    double shift;            /* part of the side, each way */
    double flip;             /* chance of a mirrored face */
    double warp;             /* part of a cell; the field uses 0.24; 0: none */
    double light;            /* encoded units, each way: input and target alike */
    double hue_degrees;      /* each way; hue, saturation and value change the input only */
    double saturation;       /* part, each way */
    double value;            /* encoded units, each way */
};

enum { US_AUGMENT_NODES = 9 }; /* of the finest warp, each way */

struct us_augment_draw {
    float affine[6];                                    /* target pixel -> face pixel */
    int cells;                                          /* of the warp; 0: none */
    float moves[US_AUGMENT_NODES][US_AUGMENT_NODES][2]; /* of the nodes, in pixels */
    float light[3];                                     /* added to R, G, B */
    float colour[3][4];                                 /* the input's R, G, B from R, G, B, 1 */
    int recolour; /* whether; as wide as the rest: all its bytes are set */
};

/* The draw of one slot of a batch in one step. `stream` tells identities (and repeats) apart. */
void us_augment_draw(const struct us_augment_ranges *ranges, int size, uint64_t seed,
                     uint32_t stream, uint64_t step, uint32_t slot, struct us_augment_draw *draw);

/* Which of `count` faces that slot takes. */
size_t us_augment_pick(size_t count, uint64_t seed, uint32_t stream, uint64_t step, uint32_t slot);

/* One face to make: `face` is [size][size][4] R, G, B, matte as binary16. */
struct us_augment_job {
    const uint16_t *face;
    struct us_augment_draw draw;
    float *input, *target; /* [3][size][size] */
    float *mask;           /* [size][size], 0 to 1 */
};

/* Floats of scratch one thread needs. */
size_t us_augment_scratch(int size);

/* Makes `count` faces with up to `threads` threads; `scratch` has us_augment_scratch floats a
 * thread. The result does not depend on `threads`. */
void us_augment_run(const struct us_augment_job *jobs, size_t count, int size, int threads,
                    float *scratch);

#endif
