/* What several ranks should reach: a model of the part of a step that waits for gradients.
 *
 * usage: bench_ddp_model STEP_SECONDS [option=value ...]
 *
 * The step's last two thirds are backward; gradients become final evenly over `parts`, the
 * decoders' first. A bucket of S bytes takes latency + 2 (n - 1) / n (S + half) / bandwidth once
 * the one before is through (a ring's traffic; `half` is the size at which half of the bandwidth is
 * reached). What is not through when backward ends is exposed: efficiency = step / (step +
 * exposed). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shares of backward's time and of the parameters, in the order they become final. */
struct part {
    const char *name;
    double time, gradients;
    int at_once; /* one large layer: one bucket */
};

static const struct part parts[] = {
    {"decoders", 0.91, 0.463, 0}, {"inter", 0.005, 0.485, 1}, {"encoder", 0.085, 0.052, 1}};
enum { PARTS = sizeof parts / sizeof *parts };

struct model {
    double step, gradient_bytes, bandwidth, half, latency, bucket;
};

static double exposed(const struct model *m, int ranks, double *busy) {
    const double backward = m->step * 2 / 3, traffic = 2.0 * (ranks - 1) / ranks;
    double now = 0, free_at = 0;
    *busy = 0;
    for (int p = 0; p < PARTS; p++) {
        const double bytes = parts[p].gradients * m->gradient_bytes;
        const int buckets = parts[p].at_once ? 1 : (int)fmax(1, ceil(bytes / m->bucket));
        for (int b = 0; b < buckets; b++) {
            now += backward * parts[p].time / buckets;
            const double takes = m->latency + traffic * (bytes / buckets + m->half) / m->bandwidth;
            free_at = fmax(now, free_at) + takes;
            *busy += takes;
        }
    }
    return fmax(0, free_at - backward);
}

static int set(struct model *m, const char *argument) {
    const struct {
        const char *name;
        double *value;
    } options[] = {{"gradient_bytes=", &m->gradient_bytes},
                   {"bandwidth=", &m->bandwidth},
                   {"half=", &m->half},
                   {"latency=", &m->latency},
                   {"bucket=", &m->bucket}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const size_t length = strlen(options[i].name);
        if (strncmp(argument, options[i].name, length) == 0) {
            *options[i].value = strtod(argument + length, NULL);
            return *options[i].value >= 0;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    static const int worlds[] = {2, 4, 8, 16, 32};
    struct model m = {.step = argc > 1 ? strtod(argv[1], NULL) : 0,
                      .gradient_bytes = 83e6 * 4,
                      .bandwidth = 360e9,
                      .half = 12e6,
                      .latency = 15e-6,
                      .bucket = 25 << 20};
    int fine = m.step > 0;
    for (int i = 2; i < argc; i++) {
        fine = fine && set(&m, argv[i]);
    }
    if (!fine || m.bandwidth <= 0 || m.bucket <= 0) {
        fprintf(stderr,
                "usage: %s STEP_SECONDS [gradient_bytes=N] [bandwidth=B/s] [half=BYTES] "
                "[latency=SECONDS] [bucket=BYTES]\n",
                argv[0]);
        return 2;
    }
    printf("step %.3f ms on one rank, gradients %.0f MB, %.2f GB/s, half of it at %.1f MB, latency "
           "%.0f us, buckets of %.0f MB\n",
           1e3 * m.step, m.gradient_bytes / 1e6, m.bandwidth / 1e9, m.half / 1e6, 1e6 * m.latency,
           m.bucket / 1e6);
    printf("%6s %16s %12s %12s %10s\n", "ranks", "communication", "exposed", "efficiency",
           "speed-up");
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        double busy;
        const double wait = exposed(&m, worlds[i], &busy);
        const double efficiency = m.step / (m.step + wait);
        printf("%6d %13.3f ms %9.3f ms %11.1f%% %9.2fx\n", worlds[i], 1e3 * busy, 1e3 * wait,
               100 * efficiency, worlds[i] * efficiency);
    }
    return 0;
}
