#include "kernels/colour.h"

#include <math.h>
#include <string.h>

#include "kernels/colour_internal.h"

static const double largest_gain = 16.0;

static void add_sums(struct us_colour_sums *sums, const struct us_colour_sums *more) {
    sums->weight += more->weight;
    for (int i = 0; i < 3; i++) {
        sums->value[i] += more->value[i];
        for (int j = 0; j < 3; j++) {
            sums->product[i][j] += more->product[i][j];
        }
    }
}

/* Rows are summed first, as a device does it. */
void us_colour_gather(const struct us_view rgb[3], struct us_view weight,
                      struct us_colour_sums *sums) {
    for (int32_t y = 0; y < weight.height; y++) {
        const float *rows[3] = {us_view_row(rgb[0], y), us_view_row(rgb[1], y),
                                us_view_row(rgb[2], y)};
        const float *share = us_view_row(weight, y);
        struct us_colour_sums row = {0};
        for (int32_t x = 0; x < weight.width; x++) {
            colour_take(rows[0][x], rows[1][x], rows[2][x], share[x], &row);
        }
        add_sums(sums, &row);
    }
}

void us_colour_blend(struct us_colour_sums *sums, const struct us_colour_sums *more, double share) {
    if (!(more->weight > 0.0)) {
        return;
    }
    double scale = share / more->weight;
    sums->weight += share;
    for (int i = 0; i < 3; i++) {
        sums->value[i] += scale * more->value[i];
        for (int j = 0; j < 3; j++) {
            sums->product[i][j] += scale * more->product[i][j];
        }
    }
}

static void moments(const struct us_colour_sums *sums, double mean[3], double covariance[3][3]) {
    for (int i = 0; i < 3; i++) {
        mean[i] = sums->value[i] / sums->weight;
    }
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            covariance[i][j] = sums->product[i][j] / sums->weight - mean[i] * mean[j];
        }
    }
}

static double bounded(double gain) {
    return fmin(fmax(gain, 1.0 / largest_gain), largest_gain);
}

static void multiply(double a[3][3], double b[3][3], double out[3][3]) {
    double made[3][3];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            made[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
        }
    }
    memcpy(out, made, sizeof made);
}

static void rotate(double a[3][3], double vectors[3][3], int p, int q) {
    double angle = 0.5 * atan2(2.0 * a[p][q], a[p][p] - a[q][q]);
    double c = cos(angle), s = sin(angle);
    double turn[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, back[3][3];
    turn[p][p] = turn[q][q] = c;
    turn[p][q] = -s;
    turn[q][p] = s;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            back[i][j] = turn[j][i];
        }
    }
    multiply(a, turn, a);
    multiply(back, a, a);
    multiply(vectors, turn, vectors);
}

/* out = symmetric^power by Jacobi's method (1846); eigenvalues are held above a floor. */
static void symmetric_power(double symmetric[3][3], double power, double out[3][3]) {
    double a[3][3], v[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    memcpy(a, symmetric, sizeof a);
    for (int sweep = 0; sweep < 12; sweep++) {
        rotate(a, v, 0, 1);
        rotate(a, v, 0, 2);
        rotate(a, v, 1, 2);
    }
    double floor_value = 1e-8 * fmax(a[0][0] + a[1][1] + a[2][2], 1e-12);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            out[i][j] = 0.0;
            for (int k = 0; k < 3; k++) {
                out[i][j] += v[i][k] * pow(fmax(a[k][k], floor_value), power) * v[j][k];
            }
        }
    }
}

static void solve_mkl(double from[3][3], double to[3][3], struct us_colour_map *map) {
    double root[3][3], inverse[3][3], middle[3][3], m[3][3];
    symmetric_power(from, 0.5, root);
    symmetric_power(from, -0.5, inverse);
    multiply(root, to, middle);
    multiply(middle, root, middle);
    symmetric_power(middle, 0.5, middle);
    multiply(inverse, middle, m);
    multiply(m, inverse, m);
    memcpy(map->m, m, sizeof m);
}

static void solve_channels(const double from_mean[3], const double to_mean[3], double from[3][3],
                           double to[3][3], enum us_colour_method method, double m[3][3]) {
    for (int i = 0; i < 3; i++) {
        double gain = to_mean[i] / from_mean[i];
        if (method == US_COLOUR_REINHARD) {
            gain = sqrt(fmax(to[i][i], 0.0) / from[i][i]);
        }
        m[i][i] = isfinite(gain) ? bounded(gain) : 1.0;
    }
}

void us_colour_solve(const struct us_colour_sums *from, const struct us_colour_sums *to,
                     enum us_colour_method method, double strength, struct us_colour_map *map) {
    *map = (struct us_colour_map){.m = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
    if (method == US_COLOUR_NONE || !(from->weight > 0.0) || !(to->weight > 0.0)) {
        return;
    }
    double mean_a[3], mean_b[3], spread_a[3][3], spread_b[3][3];
    moments(from, mean_a, spread_a);
    moments(to, mean_b, spread_b);
    double trace = spread_a[0][0] + spread_a[1][1] + spread_a[2][2];
    if (method == US_COLOUR_MKL && trace > 1e-12) {
        solve_mkl(spread_a, spread_b, map);
    } else {
        solve_channels(mean_a, mean_b, spread_a, spread_b, method, map->m);
    }
    for (int i = 0; i < 3; i++) {
        double moved =
            map->m[i][0] * mean_a[0] + map->m[i][1] * mean_a[1] + map->m[i][2] * mean_a[2];
        map->offset[i] = method == US_COLOUR_MEAN ? 0.0 : strength * (mean_b[i] - moved);
        for (int j = 0; j < 3; j++) {
            map->m[i][j] = strength * map->m[i][j] + (1.0 - strength) * (i == j);
        }
    }
}

void us_colour_apply(const struct us_colour_map *map, const struct us_view rgb[3]) {
    for (int32_t y = 0; y < rgb[0].height; y++) {
        float *r = us_view_row(rgb[0], y), *g = us_view_row(rgb[1], y), *b = us_view_row(rgb[2], y);
        for (int32_t x = 0; x < rgb[0].width; x++) {
            colour_move(map, &r[x], &g[x], &b[x]);
        }
    }
}
