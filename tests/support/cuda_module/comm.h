#ifndef US_TESTS_SUPPORT_CUDA_MODULE_COMM_H
#define US_TESTS_SUPPORT_CUDA_MODULE_COMM_H

#include "kernels/cuda/comm_api.h"

extern const struct us_cuda_comm_api emulated_comm_table;

#endif
