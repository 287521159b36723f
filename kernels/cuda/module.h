/* What the loadable CUDA module offers: one struct of function pointers, got through one exported
 * symbol. The program is built without anything of NVIDIA's and loads the module when a device is
 * asked for (load.h).
 *
 * Module and program are built together: the first members stay as they are, so that a module of
 * another build is recognised and refused. `build` follows from the contents of every header that
 * both sides see. */
#ifndef US_KERNELS_CUDA_MODULE_H
#define US_KERNELS_CUDA_MODULE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/nn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define US_CUDA_ABI 1
#define US_CUDA_SYMBOL "us_cuda_module"

struct us_cuda_device {
    char name[256];
    char bus[32];     /* PCI address, "0000:1b:00.0" */
    int major, minor; /* compute capability */
    int multiprocessors;
    size_t memory, memory_free; /* bytes */
};

/* As the libraries write them: 13000 is CUDA 13.0, 91900 cuDNN 9.19.0, 22809 NCCL 2.28.9; 0 when
 * there is none (a driver of 0: not installed). */
struct us_cuda_versions {
    int runtime, driver, cudnn, nccl;
};

/* One result of the self-test: `error` is NULL when the operation gave what its reference gives,
 * else one clause. `name` and `error` live during the call. */
typedef void us_cuda_report(void *context, const char *name, const char *error);

/* Measured: multiply-adds count twice and bytes moved within the device count read and written; a
 * second; 0: not measured. */
struct us_cuda_peaks {
    double bf16, f32;        /* of a matrix product, in f32 without TF32 */
    double memory, up, down; /* bytes: device memory, from and to pinned host memory */
};

struct us_cuda_trainer_api; /* training and inference of the neural nets */
struct us_cuda_frame_api;   /* image kernels */
struct us_cuda_comm_api;    /* collectives between devices */
struct us_cuda_ops_api;     /* single operations, for the self-test */

struct us_cuda_module {
    uint32_t abi;   /* US_CUDA_ABI */
    uint32_t size;  /* of this struct */
    uint64_t build; /* US_CUDA_BUILD (kernels/cuda/build_number.h, made by the build) */
    void (*versions)(struct us_cuda_versions *versions);
    /* Devices of this machine that the module has code for. 0: `why_not` is one clause; it stays
     * valid. */
    int (*device_count)(const char **why_not);
    enum us_nn_status (*device)(int ordinal, struct us_cuda_device *device);
    /* Runs every operation once on a device against a reference; the number that failed. */
    int (*self_test)(int ordinal, us_cuda_report *report, void *context);
    /* Takes seconds. */
    enum us_nn_status (*peaks)(int ordinal, struct us_cuda_peaks *peaks);
    /* Each may be NULL in a module that was built without it. */
    const struct us_cuda_trainer_api *trainer;
    const struct us_cuda_frame_api *frame;
    const struct us_cuda_comm_api *comm;
    const struct us_cuda_ops_api *ops;
};

/* The exported symbol. */
typedef const struct us_cuda_module *us_cuda_module_function(void);

#ifdef __cplusplus
}
#endif

#endif
