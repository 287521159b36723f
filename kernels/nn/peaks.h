/* How fast this machine's processor is, measured. */
#ifndef US_KERNELS_NN_PEAKS_H
#define US_KERNELS_NN_PEAKS_H

#include "kernels/nn/status.h"

/* A second; multiply-adds count twice, bytes count read and written; 0: could not be measured. */
struct us_nn_peaks {
    double f32, bf16; /* of a matrix product by the compute library */
    double memory;
};

/* Takes about a second. */
enum us_nn_status us_nn_cpu_peaks(int threads, struct us_nn_peaks *peaks);

#endif
