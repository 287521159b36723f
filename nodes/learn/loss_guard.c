#include "nodes/learn/loss_guard.h"

#include <math.h>

static double loss_at(const struct us_loss_guard *g, uint64_t step) {
    double sum = 0;
    for (int side = 0; side < g->sides; side++) {
        sum += (double)g->losses[(uint64_t)g->sides * step + (uint64_t)side];
    }
    return sum;
}

/* The lower median; orders the values on the way (Hoare's selection). */
static float median(float *values, int count) {
    const int wanted = (count - 1) / 2;
    int low = 0, high = count - 1;
    while (low < high) {
        const float pivot = values[low + (high - low) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i <= j) {
                const float held = values[i];
                values[i++] = values[j];
                values[j--] = held;
            }
        }
        if (wanted <= j) {
            high = j;
        } else if (wanted >= i) {
            low = i;
        } else {
            break;
        }
    }
    return values[wanted];
}

static int gather(const struct us_loss_guard *g, uint64_t from, uint64_t to, float *values) {
    int count = 0;
    for (uint64_t i = from; i < to; i++) {
        values[count++] = (float)loss_at(g, i);
    }
    return count;
}

struct us_guard_look us_loss_guard_look(const struct us_loss_guard *g, uint64_t step) {
    struct us_guard_look look = {.verdict = US_GUARD_CALM};
    if (g->factor <= 0 || step < g->since + US_GUARD_RECENT + US_GUARD_LEAST) {
        return look;
    }
    const uint64_t to = step - US_GUARD_RECENT, window = (uint64_t)g->window;
    float values[US_GUARD_WINDOW_MOST];
    const int count = gather(g, to > g->since + window ? to - window : g->since, to, values);
    look.usual = (double)median(values, count);
    for (int i = 0; i < count; i++) {
        values[i] = fabsf(values[i] - (float)look.usual);
    }
    const double deviation = 1.4826 * (double)median(values, count);
    look.high = look.usual + fmax(g->factor * deviation, look.usual / 2);
    for (uint64_t i = to; i < step; i++) {
        look.verdict = loss_at(g, i) > look.high ? US_GUARD_SUSPECT : look.verdict;
    }
    look.recent = (double)median(values, gather(g, to, step, values));
    look.verdict = look.recent > look.high ? US_GUARD_JUMPED : look.verdict;
    return look;
}

uint64_t us_loss_guard_good(const struct us_loss_guard *g, uint64_t step) {
    uint64_t at = step;
    while (at > 0 && step - at < (uint64_t)g->window &&
           us_loss_guard_look(g, at).verdict != US_GUARD_CALM) {
        at--;
    }
    if (at == step) {
        return step;
    }
    return at > US_GUARD_RECENT ? at - US_GUARD_RECENT : 0;
}
