/* The architectures a face can be trained with, and the layout of their parameters.
 *
 * df: one encoder and one inter shared by both identities, one decoder each (image and mask).
 * With R the resolution, e, d, m and ae the dims, conv(k, s, c) padded "same" with bias,
 * up(c) = conv(3, 1, 4c), leaky ReLU .1, depth-to-space x2; down(c) = conv(5, 2, c), leaky ReLU .1;
 * res(c) = conv(3, 1, c), leaky ReLU .2, conv(3, 1, c), + input, leaky ReLU .2:
 *   encoder   down(e) down(2e) down(4e) down(8e), flatten (channel, row, column); likeness: pixel
 *             norm x / sqrt(mean(x^2) + 1e-6) over the vector
 *   inter     dense ae, dense r*r*ae, reshape to ae x r x r, up(ae); r = R/16 (double: R/32)
 *   image     up(8d) res up(4d) res up(2d) res, conv(1, 1, 3), sigmoid; double: conv(1, 1, 3) and
 *             three conv(3, 1, 3), concatenated, depth-to-space, sigmoid
 *   mask      up(8m) up(4m) up(2m), double: up(m); conv(1, 1, 1), sigmoid
 * Deeper: res(e) after the first down, down(8e) and res(8e) after the last; the inter has no up;
 * the decoders start with one more up(8d) res and up(8m). Cosine: x cos x for every leaky ReLU.
 *
 * liae: one encoder, two inters of 2 ae channels (AB: what the two have in common and the source's
 * own, B: the destination's own) and one decoder of 4 ae channels. The source's code is
 * concat(AB(x), AB(x)), the destination's concat(B(x), AB(x)); the swap is the destination's face
 * with the source's code.
 *
 * comb: one encoder and a decoder each for 2 to 8 identities, grown from small faces to large ones.
 * At size p there are C(p) = max(4, e 32 / p), at most e channels (decoders: d); all leaky ReLU .2:
 *   encoder   conv(1, 1, C(p)) of the faces at the size reached; then at p = size ... 8:
 *             conv(3, 1, C(p)) conv(3, 1, C(p/2)), the largest of 2 x 2; at 4: conv(3, 1, C(4)),
 *             dense ae
 *   decoder   dense 4*4*C(4), conv(3, 1, C(4)); at p = 8 ... size: each value 2 x 2 times,
 *             conv(3, 1, C(p)) twice; conv(1, 1, 3) and sigmoid, conv(1, 1, 1) and sigmoid (mask)
 * While a size fades in, its encoder's result is blended with the largest of 2 x 2 of
 * conv(1, 1, C(size/2)) of the faces, and its outputs before the sigmoid with those of size / 2,
 * each value 2 x 2 times. Faces are always R x R; inside they are reduced to the size and what is
 * drawn is enlarged again. The layout has the layers of every size. With e = d = ae = 512 and 1024
 * px it is the published one (Naruniec et al. 2020, High-Resolution Neural Face Swapping for
 * Visual Effects), but that the mask is learned too.
 *
 * Depth-to-space takes channel (2 dy + dx) C + c of the input to channel c at (2y + dy, 2x + dx).
 * "Same" padding of an even total is symmetric; an odd one has the extra row or column at the end.
 * Weights start glorot uniform, biases 0. The architecture is the published one of the face
 * replacement field ("df", "liae", options "u" = likeness, "d" = double, "t" = deeper, "c" =
 * cosine). */
#ifndef US_KERNELS_NN_ARCH_H
#define US_KERNELS_NN_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/nn/status.h"

enum { US_NN_IDENTITIES = 8 }; /* at most, in one model */

enum us_nn_family { US_NN_DF, US_NN_LIAE, US_NN_COMB };

struct us_nn_arch {
    enum us_nn_family family;
    bool likeness;                            /* option u */
    bool doubled;                             /* option d */
    bool deeper;                              /* option t */
    bool cosine;                              /* option c */
    int resolution;                           /* 32 to 640, a multiple of 16 (32 when doubled) */
    int ae_dims, e_dims, d_dims, d_mask_dims; /* 4 to 1024 each */
    int identities;                           /* comb: 2 to US_NN_IDENTITIES */
    int size;    /* comb: what it has grown to, a power of two from 4; 0: the resolution */
    bool fading; /* comb: the blocks of `size` come in beside those of size / 2 ... */
    float fade;  /* ... and have this share at first */
};

/* NULL when the architecture can be built, else one clause that says what is wrong with it. */
const char *us_nn_arch_problem(const struct us_nn_arch *arch);

/* How many identities it has a decoder (or a code) for: 2, more for some. */
int us_nn_arch_identities(const struct us_nn_arch *arch);
/* The side of the faces it works on inside: the resolution, or what a comb has grown to. */
int us_nn_arch_size(const struct us_nn_arch *arch);

/* "df", "df-u", ... "liae-udtc", with the letters in the order u d t c. parse sets family and
 * options only; false: no such name. */
const char *us_nn_arch_name(const struct us_nn_arch *arch);
bool us_nn_arch_parse(const char *name, struct us_nn_arch *arch);

/* One tensor inside a flat buffer of floats, row-major: out, in, height, width for convolutions,
 * out, in for dense layers, out for biases (PyTorch's shapes, so that a file of slices loads
 * there as it is). */
struct us_nn_slice {
    char name[56]; /* "encoder.down1.weight", "decoder_src.res0.conv1.bias" */
    int rank;      /* 1, 2 or 4 */
    int64_t shape[4];
    size_t offset, count; /* in floats */
};

/* All parameters of an architecture in one flat buffer of `count` floats, without holes. */
struct us_nn_layout {
    struct us_nn_slice *slices;
    int slice_count;
    size_t count;
};

enum us_nn_status us_nn_layout_init(struct us_nn_layout *layout, const struct us_nn_arch *arch);
void us_nn_layout_finish(struct us_nn_layout *layout);
/* Sets used[slice] to whether the network of arch has that layer; others of the layout belong to
 * sizes that a comb is not at. */
enum us_nn_status us_nn_layout_used(const struct us_nn_layout *layout,
                                    const struct us_nn_arch *arch, bool *used);
/* NULL when there is no slice of that name. */
const struct us_nn_slice *us_nn_layout_find(const struct us_nn_layout *layout, const char *name);
/* The parameters a training with this seed starts from; the same on every machine. */
void us_nn_layout_initialise(const struct us_nn_layout *layout, uint64_t seed, float *parameters);

#endif
