#include "nodes/face/local_fit.h"

#include <math.h>

/* Solves the symmetric system `m` x = (1, 0, 0) of size n by Gauss-Jordan with row exchange. */
static void solve(double m[3][4], int n) {
    for (int c = 0; c < n; c++) {
        int best = c;
        for (int r = c + 1; r < n; r++) {
            best = fabs(m[r][c]) > fabs(m[best][c]) ? r : best;
        }
        for (int k = 0; k < 4; k++) {
            double swapped = m[c][k];
            m[c][k] = m[best][k];
            m[best][k] = swapped;
        }
        for (int r = 0; r < n; r++) {
            double factor = r == c ? 0 : m[r][c] / m[c][c];
            for (int k = 0; k < 4; k++) {
                m[r][k] -= factor * m[c][k];
            }
        }
    }
    for (int c = 0; c < n; c++) {
        m[c][3] /= m[c][c];
    }
}

static double tricube(double time, double reach) {
    double t = fabs(time) / reach, w = 1 - t * t * t;
    return w > 0 ? w * w * w : 0;
}

void us_local_fit(const double *times, int count, double reach, int degree, double *shares) {
    double m[3][4] = {{0, 0, 0, 1}, {0}, {0}};
    int size = (degree < count ? degree : count - 1) + 1;
    for (int i = 0; i < count; i++) {
        double weight = tricube(times[i], reach), powers[5] = {1};
        for (int p = 1; p < 5; p++) {
            powers[p] = powers[p - 1] * times[i];
        }
        for (int r = 0; r < size; r++) {
            for (int c = 0; c < size; c++) {
                m[r][c] += weight * powers[r + c];
            }
        }
    }
    solve(m, size);
    for (int i = 0; i < count; i++) {
        double value = 0, power = 1;
        for (int r = 0; r < size; r++, power *= times[i]) {
            value += m[r][3] * power;
        }
        shares[i] = value * tricube(times[i], reach);
    }
}
