/* What a finished training hands on: the model, how good it is, and pictures of it. */
#ifndef US_NODES_LEARN_TRAIN_RESULT_H
#define US_NODES_LEARN_TRAIN_RESULT_H

#include "nodes/learn/training.h"

struct us_train_ports {
    int model, metrics, curve, preview;
};

/* Measures the model on the faces that were held out (on those trained with when there are none)
 * and sets the four outputs. */
struct us_error *us_train_results(struct us_training *training,
                                  struct us_train_ports ports) US_NODISCARD;

/* Writes preview.png, curve.png and metrics.jsonl of the training so far into its folder, for who
 * wants to look before it ends. */
struct us_error *us_train_pictures(struct us_training *training) US_NODISCARD;

#endif
