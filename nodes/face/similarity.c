#include "nodes/face/similarity.h"

#include <math.h>
#include <string.h>

#include "nodes/face/crop_info.h"

enum { MOST_POINTS = 128, ROUNDS = 8 };

static bool weighted_mean(const double (*points)[2], const double *weights, size_t count,
                          double mean[2]) {
    double total = 0;
    mean[0] = mean[1] = 0;
    for (size_t i = 0; i < count; i++) {
        mean[0] += weights[i] * points[i][0];
        mean[1] += weights[i] * points[i][1];
        total += weights[i];
    }
    if (!(total > 0)) {
        return false;
    }
    mean[0] /= total;
    mean[1] /= total;
    return true;
}

bool us_similarity_fit(const double (*from)[2], const double (*to)[2], const double *weights,
                       size_t count, double map[6]) {
    double p[2], q[2], spread = 0, along = 0, across = 0;
    if (!weighted_mean(from, weights, count, p) || !weighted_mean(to, weights, count, q)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        double px = from[i][0] - p[0], py = from[i][1] - p[1];
        double qx = to[i][0] - q[0], qy = to[i][1] - q[1];
        spread += weights[i] * (px * px + py * py);
        along += weights[i] * (px * qx + py * qy);
        across += weights[i] * (px * qy - py * qx);
    }
    if (!(spread > 0) || !(along * along + across * across > 0)) {
        return false;
    }
    double a = along / spread, b = across / spread;
    double made[6] = {a, -b, q[0] - a * p[0] + b * p[1], b, a, q[1] - b * p[0] - a * p[1]};
    memcpy(map, made, sizeof made);
    return true;
}

bool us_similarity_fit_robust(const double (*from)[2], const double (*to)[2], const double *weights,
                              size_t count, double reach, double map[6]) {
    double lowered[MOST_POINTS];
    if (count > MOST_POINTS || !us_similarity_fit(from, to, weights, count, map)) {
        return false;
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < count; i++) {
            double x, y;
            us_affine_apply(map, from[i][0], from[i][1], &x, &y);
            double distance = hypot(x - to[i][0], y - to[i][1]);
            lowered[i] = weights[i] * (distance > reach ? reach / distance : 1.0);
        }
        if (!us_similarity_fit(from, to, lowered, count, map)) {
            return false;
        }
    }
    return true;
}
