/* What a reconstruction is scored with. Images are planar, [count][3][R][R]; masks [count][R][R].
 *
 * Priorities, [count][R][R] from 0 to 1, say which pixels count more (eyes, mouth).
 *
 * Per side and pair: 10 DSSIM (from R = 256: 5 + 5 with two windows), 10 mean squared error,
 * 10 mean squared error of the mask; each is a mean over pixels, channels and the batch.
 * DSSIM = (1 - SSIM) / 2 (Wang et al. 2004) with a Gaussian window, sigma 1.5, int(R / 11.6) wide
 * (the second: int(R / 23.2); below 32 px: 3), only where it fits wholly, k1 = .01, k2 = .03, times
 * the range. */
#ifndef US_KERNELS_NN_LOSS_H
#define US_KERNELS_NN_LOSS_H

#include <stdbool.h>

struct us_nn_loss_weights {
    float dssim, square, absolute, mask;
    float priority; /* of the absolute error weighted by a priority plane; part of that term */
    float range;    /* of the values as DSSIM takes it, 0: 1; see above */
    bool masked;    /* image terms see both images times 2 min(0.5, blur(mask, max(1, R / 32))) */
};

/* 10, 10, 0, 10, masked. */
struct us_nn_loss_weights us_nn_loss_usual(void);

/* The weighted terms of one side. adversarial: what its discriminator says of it, and what goes
 * with that (trainer.h). total is the sum of all of these. judge is that discriminator's own loss
 * (a coin's is ln 2), no part of the total. */
struct us_nn_loss_terms {
    double dssim, square, absolute, mask, adversarial, total;
    double judge;
};

#endif
