#include "kernels/nn/optimizer.h"

#include <math.h>

#include "kernels/nn/philox.h"

#define CHUNK 8192u /* sums are taken in chunks, so that their bits do not depend on threads */
#define STREAM_DROPOUT 2u
#define DROPOUT_PERIOD 500.0

struct us_nn_optimizer us_nn_optimizer_usual(enum us_nn_optimizer_kind kind) {
    return (struct us_nn_optimizer){.kind = kind,
                                    .rate = 5e-5f,
                                    .beta1 = 0.9f,
                                    .beta2 = 0.999f,
                                    .epsilon = kind == US_NN_ADAM ? 1e-8f : 1e-6f};
}

static double chunk_sum(const float *v, size_t count) {
    float lanes[16] = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
#pragma omp simd
        for (size_t k = 0; k < 16; k++) {
            lanes[k] += v[i + k] * v[i + k];
        }
    }
    double sum = 0;
    for (size_t k = 0; k < 16; k++) {
        sum += (double)lanes[k];
    }
    for (; i < count; i++) {
        sum += (double)v[i] * (double)v[i];
    }
    return sum;
}

/* Groups of 64 chunks are summed apart and then in order. */
double us_nn_sum_of_squares(const float *values, size_t count) {
    const size_t group = (size_t)CHUNK * 64, groups = (count + group - 1) / group;
    double total = 0;
    for (size_t g = 0; g < groups; g++) {
        double sums[64] = {0};
        const size_t base = g * group;
#pragma omp parallel for schedule(static)
        for (size_t c = 0; c < 64; c++) {
            const size_t from = base + c * CHUNK;
            const size_t left = from < count ? count - from : 0;
            sums[c] = chunk_sum(values + (left ? from : 0), left < CHUNK ? left : CHUNK);
        }
        for (size_t c = 0; c < 64; c++) {
            total += sums[c];
        }
    }
    return total;
}

/* What one chunk needs; rates[] holds the rate of each weight when there is dropout. */
struct update {
    const struct us_nn_optimizer *o;
    float rate, gradient_scale, correct1, correct2;
    uint64_t step, seed;
};

static void chance_rates(const struct update *u, size_t base, size_t count, float *rates) {
    for (size_t i = 0; i < count; i += 4) {
        uint32_t words[4];
        us_philox(u->seed, STREAM_DROPOUT, u->step, (base + i) / 4, words);
        for (size_t k = 0; k < 4; k++) {
            rates[i + k] = us_philox_unit(words[k]) < u->o->rate_dropout ? u->rate : 0.0f;
        }
    }
}

static void adam(const struct update *u, const float *rates, const float *restrict g,
                 float *restrict w, float *restrict m, float *restrict v, size_t count) {
    const float b1 = u->o->beta1, b2 = u->o->beta2, epsilon = u->o->epsilon;
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        const float gradient = g[i] * u->gradient_scale;
        m[i] = b1 * m[i] + (1 - b1) * gradient;
        v[i] = b2 * v[i] + (1 - b2) * gradient * gradient;
        w[i] -= rates[i] * (m[i] * u->correct1) / (sqrtf(v[i] * u->correct2) + epsilon);
    }
}

static void adabelief(const struct update *u, const float *rates, const float *restrict g,
                      float *restrict w, float *restrict m, float *restrict v, size_t count) {
    const float b1 = u->o->beta1, b2 = u->o->beta2, epsilon = u->o->epsilon;
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        const float gradient = g[i] * u->gradient_scale;
        m[i] = b1 * m[i] + (1 - b1) * gradient;
        const float surprise = gradient - m[i];
        v[i] = b2 * v[i] + (1 - b2) * surprise * surprise;
        w[i] -= rates[i] * m[i] / (sqrtf(v[i]) + epsilon);
    }
}

static void update_chunk(const struct update *u, const struct us_nn_optimizer_state *s,
                         const float *same_rate, size_t from, size_t count) {
    float own[CHUNK];
    const float *rates = same_rate;
    if (u->o->rate_dropout > 0) {
        chance_rates(u, from, count, own);
        rates = own;
    }
    (u->o->kind == US_NN_ADAM ? adam : adabelief)(u, rates, s->gradients + from,
                                                  s->parameters + from, s->moment1 + from,
                                                  s->moment2 + from, count);
    const float keep = u->o->average_decay;
    float *restrict average = s->average ? s->average + from : NULL;
    const float *restrict now = s->parameters + from;
#pragma omp simd
    for (size_t i = 0; i < (average ? count : 0); i++) {
        average[i] = keep * average[i] + (1 - keep) * now[i];
    }
}

void us_nn_optimizer_step(const struct us_nn_optimizer *optimizer,
                          const struct us_nn_optimizer_state *state, uint64_t step,
                          double square_sum, uint64_t seed) {
    struct update u = {
        .o = optimizer, .rate = optimizer->rate, .gradient_scale = 1, .step = step, .seed = seed};
    const double norm = sqrt(square_sum), turn = 6.283185307179586 / DROPOUT_PERIOD;
    if (optimizer->clip_norm > 0 && norm > (double)optimizer->clip_norm) {
        u.gradient_scale = (float)((double)optimizer->clip_norm / norm);
    }
    if (optimizer->rate_dropout > 0) {
        u.rate *= (float)((cos(turn * (double)step) + 1) / 2);
    }
    u.correct1 = (float)(1 / (1 - pow((double)optimizer->beta1, (double)step)));
    u.correct2 = (float)(1 / (1 - pow((double)optimizer->beta2, (double)step)));
    float same[CHUNK];
    for (size_t i = 0; i < CHUNK; i++) {
        same[i] = u.rate;
    }
    const size_t chunks = (state->count + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < chunks; c++) {
        const size_t from = c * CHUNK, left = state->count - from;
        update_chunk(&u, state, same, from, left < CHUNK ? left : CHUNK);
    }
}
