#include "kernels/nn/conv_parts_internal.h"

/* The costs of parts in floats that go to or come from memory; they and the work's were fitted to
 * measured times, and need only be about right. */
enum { CALL = 6000, MOST_SLICES = 32 };

static double work_of(const struct nn_conv_shape *s) {
    const double products = (double)s->n * s->out_area * s->in * s->out * s->taps;
    return products / (s->winograd ? 40 : s->bf16 ? 30 : 15);
}

/* Beyond what one part would take. */
static double cost_of(const struct nn_conv_shape *s, const struct nn_partition *p) {
    const double pairs = (double)s->in * s->out, more_slices = p->slices - 1;
    const double source = (double)s->n * s->in * s->in_area;
    const double output = (double)s->n * s->out * s->out_area;
    double cost = (double)CALL * p->ranges * p->slices;
    cost += p->ranges > 1 ? 2 * p->ranges * pairs * s->taps : 0;
    cost += p->slices > 1 && p->ranges < s->n ? 2 * output : 0;
    if (s->winograd) { /* the source is transformed for each slice, the weights back for each range
                        */
        cost += 4.5 * more_slices * source + 108 * (p->ranges - 1) * pairs;
    } else if (s->bf16) { /* the source is transposed for each slice */
        cost += more_slices * source / 2;
    }
    return cost;
}

static struct nn_partition cheapest(const struct nn_conv_shape *s, int parts, double *cost) {
    const int blocks = s->out / s->block, most = blocks < MOST_SLICES ? blocks : MOST_SLICES;
    struct nn_partition best = {1, 1};
    *cost = -1;
    for (int ranges = 1; ranges <= s->n; ranges++) {
        for (int slices = 1; slices <= most && s->n % ranges == 0; slices++) {
            const struct nn_partition p = {ranges, slices};
            const double now = cost_of(s, &p);
            if (ranges * slices >= parts && (*cost < 0 || now < *cost)) {
                best = p;
                *cost = now;
            }
        }
    }
    return best;
}

struct nn_partition nn_partition_of(const struct nn_conv_shape *shape) {
    static const struct {
        int parts;
        double share; /* of the work, that so many parts may cost */
    } wishes[] = {{32, 0.02}, {16, 0.05}, {8, 0.05}, {4, 0.25}, {2, 0.5}};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        double cost;
        const struct nn_partition p = cheapest(shape, wishes[i].parts, &cost);
        if (cost >= 0 && cost <= wishes[i].share * work_of(shape)) {
            return p;
        }
    }
    return (struct nn_partition){1, 1};
}
