/* Tells a loss that jumped up and stays there from one that is merely uneven.
 *
 * The loss of a step is judged by those of the `window` steps before the last US_GUARD_RECENT:
 * their median m and their median absolute deviation d, which single outliers do not move (Hampel
 * 1974; 1.4826 d estimates the standard deviation of normal noise). High is what exceeds m +
 * max(factor 1.4826 d, m / 2). One high loss among the last US_GUARD_RECENT is a suspicion; when
 * their median is high, the loss has jumped. Everything is a function of the losses, so a training
 * that was stopped and goes on judges as one that was not. */
#ifndef US_NODES_LEARN_LOSS_GUARD_H
#define US_NODES_LEARN_LOSS_GUARD_H

#include <stdbool.h>
#include <stdint.h>

enum { US_GUARD_RECENT = 10, US_GUARD_LEAST = 20, US_GUARD_WINDOW_MOST = 4096 };

struct us_loss_guard {
    const float *losses; /* `sides` a step, borrowed */
    int sides;
    uint64_t since; /* losses of steps before this one are of another kind: not looked at */
    int window;     /* US_GUARD_LEAST to US_GUARD_WINDOW_MOST */
    double factor;  /* 0: nothing is ever high */
};

enum us_guard_verdict { US_GUARD_CALM, US_GUARD_SUSPECT, US_GUARD_JUMPED };

struct us_guard_look {
    enum us_guard_verdict verdict;
    double usual, high, recent; /* m, the limit, the median of the last */
};

/* The state after `step` steps. Calm as long as there are fewer than US_GUARD_LEAST steps to judge
 * by. */
struct us_guard_look us_loss_guard_look(const struct us_loss_guard *guard, uint64_t step);

/* The newest step whose weights no suspicion touches that lasts until `step`: `step` itself when
 * calm, else US_GUARD_RECENT steps before the suspicion began (sought at most a window back). */
uint64_t us_loss_guard_good(const struct us_loss_guard *guard, uint64_t step);

#endif
