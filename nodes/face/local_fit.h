/* Smoothing in time: local polynomial regression at one moment.
 *
 * Sources: Savitzky and Golay 1964 (polynomials fitted in a moving window neither lag nor flatten
 * what the polynomial can follow); Cleveland 1979 (tricube weights, gaps and ends allowed). */
#ifndef US_NODES_FACE_LOCAL_FIT_H
#define US_NODES_FACE_LOCAL_FIT_H

enum { US_LOCAL_FIT_MOST = 64 };

/* `shares[i]` is what the sample at `times[i]` (all different, |time| < `reach`) contributes to the
 * value at time 0 of the weighted least-squares polynomial of that degree (0 to 2, lower when there
 * are too few samples). The shares add up to 1. `count` is 1 to US_LOCAL_FIT_MOST. */
void us_local_fit(const double *times, int count, double reach, int degree, double *shares);

#endif
