#include <string.h>

#include "kernels/nn/comm_internal.h"
#include "kernels/nn/memory.h"

size_t comm_type_size(enum us_nn_comm_type type) {
    return type == US_NN_COMM_BF16 ? 2 : type == US_NN_COMM_F64 ? 8 : 4;
}

size_t comm_wire_size(enum us_nn_comm_type type) {
    return type == US_NN_COMM_F32_AS_BF16 ? 2 : comm_type_size(type);
}

/* Round to nearest, ties to even; NaN stays NaN. */
static uint16_t to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static float from_bf16(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void narrow(const float *in, uint16_t *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        out[i] = to_bf16(in[i]);
    }
}

static void widen(const uint16_t *in, float *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        out[i] = from_bf16(in[i]);
    }
}

static bool reserve(struct comm_processes *c, size_t bytes) {
    if (bytes <= c->scratch_bytes) {
        return true;
    }
    us_nn_free(c->scratch);
    c->scratch = us_nn_alloc(bytes);
    c->scratch_bytes = c->scratch ? bytes : 0;
    if (!c->scratch) {
        comm_fail(c, "rank %d has no memory for %zu bytes of gradients", c->comm.rank, bytes);
    }
    return c->scratch != NULL;
}

/* Where the share of a rank begins: whole lines of 16 values. */
static size_t share(size_t count, int rank, int world) {
    const size_t lines = (count + 15) / 16;
    const size_t at = lines * (size_t)rank / (size_t)world * 16;
    return at < count ? at : count;
}

/* parts[r] + at: what rank r has, as it travels. Sums into out, in the same form. */
static void sum_parts(const struct comm_processes *c, enum us_nn_comm_type type,
                      const char *const *parts, size_t values, char *out, float *wide) {
    const int world = c->comm.world;
    if (type == US_NN_COMM_F32) {
        us_nn_comm_tree((const float *const *)(const void *)parts, world, (float *)(void *)out,
                        values);
    } else if (type == US_NN_COMM_F64) {
        us_nn_comm_tree_f64((const double *const *)(const void *)parts, world,
                            (double *)(void *)out, values);
    } else {
        enum { SOME = 1024 };
        const float *wides[US_NN_COMM_RANKS];
        for (size_t at = 0; at < values; at += SOME) {
            const size_t some = values - at < SOME ? values - at : SOME;
            for (int r = 0; r < world; r++) {
                float *own = wide + (size_t)r * SOME;
                widen((const uint16_t *)(const void *)parts[r] + at, own, some);
                wides[r] = own;
            }
            us_nn_comm_tree(wides, world, wide, some);
            narrow(wide, (uint16_t *)(void *)out + at, some);
        }
    }
}

/* Everybody gets everything: one exchange, for what is small. */
static bool reduce_small(struct comm_processes *c, char *wire, size_t count,
                         enum us_nn_comm_type type, float *wide) {
    const int world = c->comm.world, rank = c->comm.rank;
    const size_t bytes = count * comm_wire_size(type);
    char all[US_NN_COMM_RANKS][COMM_SMALL] __attribute__((aligned(64)));
    const char *parts[US_NN_COMM_RANKS];
    struct comm_lane lanes[US_NN_COMM_RANKS] = {0};
    for (int r = 0; r < world; r++) {
        lanes[r] = (struct comm_lane){wire, bytes, all[r], bytes};
        parts[r] = all[r];
    }
    memcpy(all[rank], wire, bytes);
    if (!comm_exchange(c, lanes, false)) {
        return false;
    }
    sum_parts(c, type, parts, count, wire, wide);
    return true;
}

/* Each rank sums its share of the buffer, then the shares go round. scratch: room for the world's
 * parts of one share, then for `wide`. */
static bool reduce_shares(struct comm_processes *c, char *wire, size_t count,
                          enum us_nn_comm_type type, char *scratch, float *wide) {
    const int world = c->comm.world, rank = c->comm.rank;
    const size_t size = comm_wire_size(type), first = share(count, rank, world);
    const size_t mine = share(count, rank + 1, world) - first;
    const char *parts[US_NN_COMM_RANKS];
    struct comm_lane lanes[US_NN_COMM_RANKS] = {0};
    for (int r = 0; r < world; r++) {
        char *part = scratch + (size_t)r * mine * size;
        const size_t from = share(count, r, world), until = share(count, r + 1, world);
        lanes[r] = (struct comm_lane){wire + from * size, (until - from) * size, part, mine * size};
        parts[r] = r == rank ? wire + first * size : part;
    }
    if (!comm_exchange(c, lanes, false)) {
        return false;
    }
    sum_parts(c, type, parts, mine, wire + first * size, wide);
    for (int r = 0; r < world; r++) {
        const size_t from = share(count, r, world), until = share(count, r + 1, world);
        lanes[r] = (struct comm_lane){wire + first * size, mine * size, wire + from * size,
                                      (until - from) * size};
    }
    return comm_exchange(c, lanes, false);
}

static bool reduce(struct comm_processes *c, const struct comm_request *q) {
    const size_t size = comm_wire_size(q->type), world = (size_t)c->comm.world;
    const size_t parts = ((q->count / world + 32) * size * world + 63) / 64 * 64;
    const bool narrowed = q->type == US_NN_COMM_F32_AS_BF16;
    const size_t wide = world * 1024 * sizeof(float);
    const bool small = q->count * size <= COMM_SMALL;
    if (!reserve(c, (small ? 0 : parts) + wide + (narrowed ? q->count * size : 0) + 64)) {
        return false;
    }
    char *wire = narrowed ? c->scratch + (small ? 0 : parts) + wide : q->buffer;
    if (narrowed) {
        narrow(q->buffer, (uint16_t *)(void *)wire, q->count);
    }
    const bool done = small ? reduce_small(c, wire, q->count, q->type, (float *)(void *)c->scratch)
                            : reduce_shares(c, wire, q->count, q->type, c->scratch,
                                            (float *)(void *)(c->scratch + parts));
    if (done && narrowed) {
        widen((const uint16_t *)(const void *)wire, q->buffer, q->count);
    }
    return done;
}

static bool gather(struct comm_processes *c, const struct comm_request *q) {
    struct comm_lane lanes[US_NN_COMM_RANKS] = {0};
    char *whole = q->buffer, *own = whole + (size_t)c->comm.rank * q->count;
    memmove(own, q->part, q->count);
    for (int r = 0; r < c->comm.world; r++) {
        lanes[r] = (struct comm_lane){own, q->count, whole + (size_t)r * q->count, q->count};
    }
    return comm_exchange(c, lanes, false);
}

static bool spread_out(struct comm_processes *c, const struct comm_request *q) {
    struct comm_lane lanes[US_NN_COMM_RANKS] = {0};
    for (int r = 0; r < c->comm.world; r++) {
        if (c->comm.rank == q->root) {
            lanes[r] = (struct comm_lane){.send = q->buffer, .send_bytes = q->count};
        } else if (r == q->root) {
            lanes[r] = (struct comm_lane){.receive = q->buffer, .receive_bytes = q->count};
        }
    }
    return comm_exchange(c, lanes, true);
}

bool comm_run(struct comm_processes *c, const struct comm_request *request) {
    switch (request->kind) {
    case COMM_REDUCE:
        return reduce(c, request);
    case COMM_GATHER:
        return gather(c, request);
    case COMM_BROADCAST:
        return spread_out(c, request);
    }
    return false;
}
