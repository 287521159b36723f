#include "kernels/augment_cuda.h"
#include "kernels/augment_internal.h"
#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"

/* A block draws for a slot: parts of a draw begin at known numbers, so warps take the affine map,
 * light and colours, and the warp's nodes, a thread each. Then a block makes a row of a face, a
 * thread a pixel at a time. A pixel reads 16 or 32 taps of 8 bytes, which neighbours share in the
 * cache, and writes up to 52 bytes; the resident faces are read once. */
#define NODES (US_AUGMENT_NODES * US_AUGMENT_NODES)
#define COLOUR_THREAD 32
#define NODE_THREAD 64
#define DRAW_THREADS (NODE_THREAD + (NODES + 31) / 32 * 32)
#define THREADS 128
#define BLOCKS 7 /* a multiprocessor: registers for the 16 taps of a place */

namespace {
struct drawn {
    struct us_augment_draw draw;
    size_t face;
};
} // namespace

/* One node of the warp: the edge stays, as do those beyond the cells in use. */
static __device__ void draw_move(const struct us_augment_ranges *ranges, int size, unsigned node,
                                 struct numbers *n, struct us_augment_draw *draw) {
    const int x = (int)(node % US_AUGMENT_NODES), y = (int)(node / US_AUGMENT_NODES);
    skip_to(n, CELLS_WORD);
    const int cells = draw_cells(n), used = ranges->warp > 0 ? cells : 0;
    float move[2] = {0, 0};
    if (x > 0 && x < used && y > 0 && y < used) {
        skip_to(n, NODE_WORD + NODE_WORDS * (uint32_t)((y - 1) * (used - 1) + x - 1));
        draw_node(ranges, size, cells, n, move);
    }
    draw->moves[y][x][0] = move[0];
    draw->moves[y][x][1] = move[1];
    if (node == 0) {
        draw->cells = used;
    }
}

/* As draw_slot. */
static __global__ void __launch_bounds__(DRAW_THREADS)
    draw_slots(struct us_cuda_faces faces, const struct us_augment_turn *turn, uint64_t seed,
               uint32_t first_slot, int size, struct drawn *slots) {
    const uint32_t slot = first_slot + blockIdx.x;
    const struct us_augment_ranges *ranges = &turn->ranges;
    struct drawn *to = &slots[blockIdx.x];
    struct numbers n = numbers_of(seed, turn->stream, turn->step, slot);
    if (threadIdx.x == 0) {
        skip_to(&n, AFFINE_WORD);
        draw_affine(ranges, size, &n, to->draw.affine);
    } else if (threadIdx.x == COLOUR_THREAD) {
        skip_to(&n, LIGHT_WORD);
        draw_light(ranges, &n, to->draw.light);
        draw_colour(ranges, &n, &to->draw);
        to->face = faces.picked ? blockIdx.x
                                : pick_face(faces.count, seed, turn->stream, turn->step, slot);
    } else if (threadIdx.x >= NODE_THREAD && threadIdx.x < NODE_THREAD + NODES) {
        draw_move(ranges, size, threadIdx.x - NODE_THREAD, &n, &to->draw);
    }
}

/* The taps of a place, row by row, the first at (left, top); the edge repeats. All are under way
 * at once. Few places need the edge: for the others one address serves a row. */
static __device__ void load_taps(const uint2 *face, int size, int left, int top, uint2 taps[4][4]) {
    if (left >= 0 && left <= size - 4 && top >= 0 && top <= size - 4) {
        const uint2 *row = face + (unsigned)(top * size + left);
        US_UNROLL
        for (int j = 0; j < 4; j++, row += size) {
            US_UNROLL
            for (int i = 0; i < 4; i++) {
                taps[j][i] = row[i];
            }
        }
        return;
    }
    US_UNROLL
    for (int j = 0; j < 4; j++) {
        US_UNROLL
        for (int i = 0; i < 4; i++) {
            taps[j][i] = face[(unsigned)(within(top + j, size) * size + within(left + i, size))];
        }
    }
}

static __device__ float4 tap_of(uint2 t) {
    return make_float4(us_half_value((uint16_t)t.x), us_half_value((uint16_t)(t.x >> 16)),
                       us_half_value((uint16_t)t.y), us_half_value((uint16_t)(t.y >> 16)));
}

/* Keys' cubic at a place in face pixels; the edge repeats. */
static __device__ float4 sample(const uint2 *face, int size, float x, float y) {
    x = limited(x - 0.5f, -1.0f, (float)size) + 3;
    y = limited(y - 0.5f, -1.0f, (float)size) + 3;
    const int ix = (int)x, iy = (int)y;
    uint2 taps[4][4];
    load_taps(face, size, ix - 4, iy - 4, taps);
    float wx[4], wy[4];
    cubic_weights(x - (float)ix, wx);
    cubic_weights(y - (float)iy, wy);
    float4 sum = make_float4(0, 0, 0, 0);
    US_UNROLL
    for (int j = 0; j < 4; j++) {
        const float4 a = tap_of(taps[j][0]), b = tap_of(taps[j][1]);
        const float4 c = tap_of(taps[j][2]), d = tap_of(taps[j][3]);
        sum.x += wy[j] * (wx[0] * a.x + wx[1] * b.x + wx[2] * c.x + wx[3] * d.x);
        sum.y += wy[j] * (wx[0] * a.y + wx[1] * b.y + wx[2] * c.y + wx[3] * d.y);
        sum.z += wy[j] * (wx[0] * a.z + wx[1] * b.z + wx[2] * c.z + wx[3] * d.z);
        sum.w += wy[j] * (wx[0] * a.w + wx[1] * b.w + wx[2] * c.w + wx[3] * d.w);
    }
    return sum;
}

static __device__ float4 lit(float4 c, const float light[3]) {
    return make_float4(c.x + light[0], c.y + light[1], c.z + light[2], c.w);
}

static __device__ float recoloured(const float m[4], float4 c) {
    return m[0] * c.x + m[1] * c.y + m[2] * c.z + m[3];
}

static __device__ void store_planes(float *planes, size_t area, float4 c) {
    planes[0] = c.x;
    planes[area] = c.y;
    planes[2 * area] = c.z;
}

static __device__ void store_input(const struct us_cuda_augmented &out, unsigned slot, size_t area,
                                   size_t at, float4 c) {
    if (out.inputs) {
        store_planes(out.inputs + slot * 3 * area + at, area, c);
    }
    if (out.packed) {
        const float v[8] = {c.x, c.y, c.z};
        const size_t to = (slot * area + at) * 8;
        if (out.type == NN_CUDA_BF16) {
            us_store8((us_bf16 *)out.packed + to, v);
        } else {
            us_store8((float *)out.packed + to, v);
        }
    }
}

static __global__ void __launch_bounds__(THREADS, BLOCKS)
    make_rows(struct us_cuda_faces faces, const struct drawn *slots, int size,
              struct us_cuda_augmented out) {
    __shared__ struct us_augment_draw draw;
    __shared__ float line[US_AUGMENT_NODES][2];
    const unsigned slot = blockIdx.y;
    const int y = (int)blockIdx.x;
    const size_t area = (size_t)size * (size_t)size, face = slots[slot].face;
    for (unsigned i = threadIdx.x; i < sizeof draw / 4; i += THREADS) {
        memcpy((char *)&draw + 4 * i, (const char *)&slots[slot].draw + 4 * i, 4);
    }
    __syncthreads();
    if (threadIdx.x < US_AUGMENT_NODES && draw.cells) {
        warp_node(&draw, size, y, (int)threadIdx.x, line[threadIdx.x]);
    }
    __syncthreads();
    const uint2 *pixels = (const uint2 *)faces.faces + face * area;
    const float *m = draw.affine;
    for (int x = (int)threadIdx.x; x < size; x += THREADS) {
        const size_t at = (size_t)y * (size_t)size + (size_t)x;
        const float px = (float)x + 0.5f, py = (float)y + 0.5f;
        const float fx = m[0] * px + m[1] * py + m[2], fy = m[3] * px + m[4] * py + m[5];
        const float4 target = lit(sample(pixels, size, fx, fy), draw.light);
        float4 input = target;
        if (draw.cells) {
            float move[2];
            warp_at(&draw, size, x, line, move);
            const float wx = px + move[0], wy = py + move[1];
            input = lit(
                sample(pixels, size, m[0] * wx + m[1] * wy + m[2], m[3] * wx + m[4] * wy + m[5]),
                draw.light);
        }
        if (draw.recolour) {
            input =
                make_float4(recoloured(draw.colour[0], input), recoloured(draw.colour[1], input),
                            recoloured(draw.colour[2], input), 0);
        }
        store_input(out, slot, area, at, input);
        store_planes(out.targets + slot * 3 * area + at, area, target);
        out.masks[slot * area + at] = limited(target.w, 0, 1);
        if (out.priorities) {
            out.priorities[slot * area + at] =
                faces.spots ? us_priority_at(faces.spots + face * US_PRIORITY_SPOTS, fx, fy) : 0;
        }
    }
}

size_t us_cuda_augment_scratch(int batch) {
    return (size_t)batch * sizeof(struct drawn);
}

cudaError_t us_cuda_augment(const struct us_cuda_faces *faces, const struct us_augment_turn *turn,
                            uint64_t seed, uint32_t first_slot, int batch, int size,
                            const struct us_cuda_augmented *out, void *scratch,
                            cudaStream_t stream) {
    if (batch < 1 || batch > 65535 || size < 1 ||
        faces->count < (faces->picked ? (size_t)batch : 1)) {
        return cudaErrorInvalidValue;
    }
    struct drawn *slots = (struct drawn *)scratch;
    US_CUDA_TRY(US_LAUNCH(draw_slots, (unsigned)batch, DRAW_THREADS, stream, *faces, turn, seed,
                          first_slot, size, slots));
    return US_LAUNCH(make_rows, dim3((unsigned)size, (unsigned)batch), THREADS, stream, *faces,
                     (const struct drawn *)slots, size, *out);
}
