#include "kernels/cuda/resize_planes.h"

#include "kernels/cuda/launch.h"

#define THREADS 256

static __global__ void reduce(const float *planes, size_t pixels, int size, int to, float *out) {
    const size_t i = US_THREAD_INDEX;
    if (i >= pixels) {
        return;
    }
    const size_t n = (size_t)to, row = (size_t)size, x = i % n, y = i / n % n;
    const int step = size / to;
    const float *from = planes + i / (n * n) * row * row + (y * row + x) * (size_t)step;
    float sum = 0;
    for (int dy = 0; dy < step; dy++) {
        for (int dx = 0; dx < step; dx++) {
            sum += from[(size_t)dy * row + (size_t)dx];
        }
    }
    out[i] = sum * (1 / (float)(step * step));
}

static __device__ float place_of(int at, float scale, int size) {
    const float place = ((float)at + 0.5f) * scale - 0.5f, most = (float)(size - 1);
    return place < 0 ? 0 : place > most ? most : place;
}

static __global__ void enlarge(const float *planes, size_t pixels, int size, int to, float *out) {
    const size_t i = US_THREAD_INDEX;
    if (i >= pixels) {
        return;
    }
    const size_t n = (size_t)to, row = (size_t)size;
    const float scale = (float)size / (float)to;
    const float y = place_of((int)(i / n % n), scale, size),
                x = place_of((int)(i % n), scale, size);
    const size_t y0 = (size_t)y, x0 = (size_t)x;
    const size_t down = y0 + 1 < row ? row : 0, x1 = x0 + 1 < row ? x0 + 1 : x0;
    const float *top = planes + i / (n * n) * row * row + y0 * row, *bottom = top + down;
    const float a = top[x0] + (x - (float)x0) * (top[x1] - top[x0]);
    const float b = bottom[x0] + (x - (float)x0) * (bottom[x1] - bottom[x0]);
    out[i] = a + (y - (float)y0) * (b - a);
}

extern "C" cudaError_t cu_reduce_planes(const float *planes, size_t count, int size, int to,
                                        float *out, cudaStream_t stream) {
    const size_t pixels = count * (size_t)to * (size_t)to;
    return US_LAUNCH(reduce, us_blocks(pixels, THREADS), THREADS, stream, planes, pixels, size, to,
                     out);
}

extern "C" cudaError_t cu_enlarge_planes(const float *planes, size_t count, int size, int to,
                                         float *out, cudaStream_t stream) {
    const size_t pixels = count * (size_t)to * (size_t)to;
    return US_LAUNCH(enlarge, us_blocks(pixels, THREADS), THREADS, stream, planes, pixels, size, to,
                     out);
}
