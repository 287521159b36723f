/* What this processor's fused multiply-adds reach, float, all threads: prints GFLOP/s.
 * usage: bench_fma_peak THREADS. Compiled for the machine it is built on, with contraction. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

typedef float lanes __attribute__((vector_size(64)));
enum { CHAINS = 12, ROUNDS = 4000000, LANES = 16 };

/* Independent chains, as many as two units of latency 4 can take and more. */
static float chains(float factor) {
    lanes sums[CHAINS], all = {0};
    for (int c = 0; c < CHAINS; c++) {
        sums[c] = (lanes){0} + (float)c;
    }
    const lanes f = (lanes){0} + factor, add = (lanes){0} + 1e-3f;
    for (int i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) {
            sums[c] = sums[c] * f + add;
        }
    }
    for (int c = 0; c < CHAINS; c++) {
        all += sums[c];
    }
    return all[0];
}

int main(int argc, char **argv) {
    const int threads = argc > 1 ? atoi(argv[1]) : omp_get_max_threads();
    double best = 0;
    float kept = 0;
    omp_set_num_threads(threads);
    for (int round = 0; round < 5; round++) {
        const double begun = omp_get_wtime();
#pragma omp parallel reduction(+ : kept)
        kept += chains(0.5f);
        const double rate =
            2.0 * LANES * CHAINS * ROUNDS * threads / (omp_get_wtime() - begun) / 1e9;
        best = rate > best ? rate : best;
    }
    printf("%.1f\n", kept > -1 ? best : 0);
    return 0;
}
