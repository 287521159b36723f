#include "nodes/learn/face_score.h"

#include <math.h>
#include <string.h>

#include "kernels/encoding.h"
#include "kernels/half.h"
#include "runtime/base/mem.h"

enum { TAPS_MAX = 256 };

void us_face_planes(const struct us_dataset *dataset, size_t index, float *planes, float *matte) {
    const size_t area = (size_t)dataset->size * (size_t)dataset->size;
    const uint16_t *face = us_dataset_face(dataset, index);
    for (size_t i = 0; i < area; i++) {
        float values[4];
        us_half_to_float(face + 4 * i, values, 4);
        for (size_t c = 0; c < 3; c++) {
            planes[c * area + i] = values[c];
        }
        if (matte) {
            matte[i] = values[3];
        }
    }
}

void us_display_values(const char *encoding, const float *encoded, float *shown, size_t count) {
    if (strcmp(encoding, "log") == 0) {
        us_log_decode(encoded, shown, count);
        us_srgb_encode(shown, shown, count);
    } else {
        us_srgb_encode(encoded, shown, count);
    }
    for (size_t i = 0; i < count; i++) {
        shown[i] = shown[i] < 0 ? 0 : shown[i] > 1 ? 1 : shown[i];
    }
}

struct window {
    int taps, size, inside; /* of the image's side; of what is left where the window fits */
    double weights[TAPS_MAX];
    double *rows; /* scratch, inside * size */
};

static void window_init(struct window *w, int size) {
    double sum = 0;
    w->size = size;
    w->taps = (int)(size / 11.6);
    w->taps = w->taps < 1 ? 1 : w->taps > TAPS_MAX ? TAPS_MAX : w->taps;
    w->inside = size - w->taps + 1;
    for (int i = 0; i < w->taps; i++) {
        const double x = i - (w->taps - 1) / 2.0;
        w->weights[i] = exp(-x * x / 4.5);
        sum += w->weights[i];
    }
    for (int i = 0; i < w->taps; i++) {
        w->weights[i] /= sum;
    }
    w->rows = us_calloc((size_t)w->inside * (size_t)size, sizeof *w->rows);
}

/* The windowed mean of a * b, `inside` x `inside`; b may be NULL for the mean of a. */
static void mean_of(const struct window *w, const float *a, const float *b, double *mean) {
    for (int y = 0; y < w->size; y++) {
        for (int x = 0; x < w->inside; x++) {
            double sum = 0;
            for (int k = 0; k < w->taps; k++) {
                const int at = y * w->size + x + k;
                sum += w->weights[k] * (double)a[at] * (b ? (double)b[at] : 1.0);
            }
            w->rows[y * w->inside + x] = sum;
        }
    }
    for (int y = 0; y < w->inside; y++) {
        for (int x = 0; x < w->inside; x++) {
            double sum = 0;
            for (int k = 0; k < w->taps; k++) {
                sum += w->weights[k] * w->rows[(y + k) * w->inside + x];
            }
            mean[y * w->inside + x] = sum;
        }
    }
}

struct sums {
    double similarity, matte_inside, square, matte;
};

static void add_similarity(const struct window *w, const float *a, const float *b,
                           const float *matte, double *means, struct sums *sums) {
    const int area = w->inside * w->inside, shift = (w->taps - 1) / 2;
    double *ma = means, *mb = ma + area, *aa = mb + area, *bb = aa + area, *ab = bb + area;
    mean_of(w, a, NULL, ma);
    mean_of(w, b, NULL, mb);
    mean_of(w, a, a, aa);
    mean_of(w, b, b, bb);
    mean_of(w, a, b, ab);
    for (int i = 0; i < area; i++) {
        const double product = ma[i] * mb[i], power = ma[i] * ma[i] + mb[i] * mb[i];
        const double light = (2 * product + 1e-4) / (power + 1e-4);
        const double structure = (2 * (ab[i] - product) + 9e-4) / (aa[i] + bb[i] - power + 9e-4);
        const int x = i % w->inside + shift, y = i / w->inside + shift;
        const double m = (double)matte[y * w->size + x];
        sums->similarity += m * light * structure;
        sums->matte_inside += m;
    }
}

static void add_face(const struct window *w, const float *shown, const float *made,
                     const float *matte, double *means, struct sums *sums) {
    const size_t area = (size_t)w->size * (size_t)w->size;
    for (size_t c = 0; c < 3; c++) {
        const float *a = shown + c * area, *b = made + c * area;
        add_similarity(w, a, b, matte, means, sums);
        for (size_t i = 0; i < area; i++) {
            const double d = (double)a[i] - (double)b[i];
            sums->square += (double)matte[i] * d * d;
            sums->matte += (double)matte[i];
        }
    }
}

struct us_error *us_face_score(const struct us_dataset *dataset, const size_t *indices,
                               size_t count, const float *predicted, struct us_face_score *score) {
    const size_t area = (size_t)dataset->size * (size_t)dataset->size;
    struct sums sums = {0};
    struct window w;
    *score = (struct us_face_score){.faces = count};
    float *planes = us_try_alloc_pixels(7 * area * sizeof *planes);
    double *means = us_try_alloc_pixels(5 * area * sizeof *means);
    if (!planes || !means) {
        us_free(planes);
        us_free(means);
        return us_fail(US_RETRY, "no memory to measure faces of %d px", dataset->size);
    }
    window_init(&w, dataset->size);
    float *made = planes + 3 * area, *matte = planes + 6 * area;
    for (size_t i = 0; i < count; i++) {
        us_face_planes(dataset, indices[i], planes, matte);
        us_display_values(dataset->encoding, planes, planes, 3 * area);
        us_display_values(dataset->encoding, predicted + i * 3 * area, made, 3 * area);
        add_face(&w, planes, made, matte, means, &sums);
    }
    if (sums.matte > 0 && sums.matte_inside > 0) {
        score->ssim = sums.similarity / sums.matte_inside;
        score->psnr = -10 * log10(fmax(sums.square / sums.matte, 1e-12));
    }
    us_free(w.rows);
    us_free(planes);
    us_free(means);
    return NULL;
}
