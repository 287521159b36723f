#include <pthread.h>
#include <stdbool.h>

#include "kernels/cuda/frame_internal.h"
#include "kernels/nn/memory.h"

static const size_t most_kept = (size_t)2 << 30; /* bytes of free blocks, all devices together */

struct spare {
    struct spare *next;
    void *block;
    size_t bytes;
    int device;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct spare *spares;
static size_t kept;

/* Few sizes, so that blocks fit again: powers of two and what lies a quarter between them. */
static size_t rounded(size_t bytes) {
    size_t step = 256;
    while (4 * step < bytes && step < (size_t)1 << 40) {
        step *= 2;
    }
    return (bytes + step - 1) / step * step;
}

/* Any spare of the device (bytes 0), or one of that size; taken out of the list. */
static void *take_spare(int device, size_t bytes) {
    void *block = NULL;
    pthread_mutex_lock(&lock);
    for (struct spare **at = &spares; *at && !block; at = *at ? &(*at)->next : at) {
        struct spare *spare = *at;
        if (spare->device == device && (bytes == 0 || spare->bytes == bytes)) {
            block = spare->block;
            kept -= spare->bytes;
            *at = spare->next;
            us_nn_free(spare);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return block;
}

void *cuda_block_take(int device, size_t bytes) {
    void *block = take_spare(device, rounded(bytes ? bytes : 1));
    while (!block && cudaMalloc(&block, rounded(bytes ? bytes : 1)) != cudaSuccess) {
        (void)cudaGetLastError();
        void *spare = take_spare(device, 0);
        if (!spare) {
            return NULL;
        }
        (void)cudaFree(spare);
        block = NULL;
    }
    return block;
}

void cuda_block_give(int device, void *block, size_t bytes) {
    bytes = rounded(bytes ? bytes : 1);
    struct spare *spare = block ? us_nn_alloc(sizeof *spare) : NULL;
    bool keep = false;
    if (spare) {
        *spare = (struct spare){spares, block, bytes, device};
        pthread_mutex_lock(&lock);
        keep = kept + bytes <= most_kept;
        if (keep) {
            spare->next = spares;
            spares = spare;
            kept += bytes;
        }
        pthread_mutex_unlock(&lock);
    }
    if (!keep) {
        us_nn_free(spare);
        (void)cudaFree(block);
    }
}
