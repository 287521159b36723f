/* Opens the CUDA module (module.h), once a process and only when somebody asks. */
#ifndef US_KERNELS_CUDA_LOAD_H
#define US_KERNELS_CUDA_LOAD_H

#include "kernels/cuda/module.h"

/* The module, or NULL with one clause in `why_not` (stays valid): the file is missing, a library
 * that it needs is missing, or it is of another build. It is looked for at
 * $UNDERSTUDY_CUDA_MODULE, else beside the program, else in ../lib from there. cuDNN and NCCL are
 * looked for in the folders of $UNDERSTUDY_CUDA_LIBS (separated by colons), then where the module
 * was linked or bundled, where the system's loader looks, and in the nvidia/ packages of Python
 * installations. Safe from any thread. */
const struct us_cuda_module *us_cuda_module_get(const char **why_not);

/* How many CUDA devices can be used, and the module; 0 with a clause in `why_not`. Where there is
 * no driver the module is not even loaded, so asking costs next to nothing. */
int us_cuda_device_count(const struct us_cuda_module **module, const char **why_not);

#endif
