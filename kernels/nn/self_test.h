/* Checks a device against the CPU with small trainings. */
#ifndef US_KERNELS_NN_SELF_TEST_H
#define US_KERNELS_NN_SELF_TEST_H

/* `error` is NULL when the device did what the CPU did, else one clause; both live during the call.
 */
typedef void us_nn_report(void *context, const char *name, const char *error);

/* Trains one net of each family (df, liae, comb), and one against discriminators, for two steps in
 * f32, on the CPU and on `device` (1 + a CUDA ordinal), from the same weights with the same faces,
 * then lets both draw a face. Losses and pictures must agree, and the device must give the same
 * bits once more. Every operation of the nets, losses and optimizer takes part. The number of
 * trainings that differ; takes a second or two. */
int us_nn_self_test(int device, us_nn_report *report, void *context);

#endif
