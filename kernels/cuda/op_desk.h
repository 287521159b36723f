/* Device memory for one operation of the self-test: everything is poisoned when it is taken, and
 * freed together. The first failure stays in `status`, and later calls do nothing. */
#ifndef US_KERNELS_CUDA_OP_DESK_H
#define US_KERNELS_CUDA_OP_DESK_H

#include "kernels/nn/status.h"
#include "kernels/nn/types_cuda.h"

enum { US_DESK_BLOCKS = 48 };

struct us_desk {
    enum us_nn_status status;
    cudaStream_t stream;
    void *blocks[US_DESK_BLOCKS];
    int count;
};

/* A map in canonical order is [n][c][h][w]; on the device channels are padded to a multiple of 8.
 */
struct us_desk_map {
    int n, c, h, w;
};

void us_desk_open(struct us_desk *desk);
/* Waits for what is enqueued. */
enum us_nn_status us_desk_close(struct us_desk *desk);
/* Takes the error of a call over. */
void us_desk_check(struct us_desk *desk, cudaError_t error);

int us_desk_padded(int channels);
size_t us_desk_elements(const struct us_desk_map *map); /* with padding */

void *us_desk_block(struct us_desk *desk, size_t bytes);
void *us_desk_bytes(struct us_desk *desk, const void *from, size_t bytes);
/* Floats as `type`; the count is rounded up to a multiple of 8 with zeros. */
void *us_desk_values(struct us_desk *desk, enum nn_cuda_type type, const float *from, size_t count);
/* A map of canonical values, and room for one. */
void *us_desk_upload(struct us_desk *desk, enum nn_cuda_type type, const float *from,
                     const struct us_desk_map *map);
void *us_desk_room(struct us_desk *desk, enum nn_cuda_type type, const struct us_desk_map *map);

void us_desk_read(struct us_desk *desk, const void *from, void *to, size_t bytes);
/* `count` of `type` as floats. */
void us_desk_read_values(struct us_desk *desk, enum nn_cuda_type type, const void *from, float *to,
                         size_t count);
void us_desk_download(struct us_desk *desk, enum nn_cuda_type type, const void *from, float *to,
                      const struct us_desk_map *map);

#endif
