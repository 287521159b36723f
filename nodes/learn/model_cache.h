/* Models made ready to infer, shared by the frames of a process: a small table by model digest. */
#ifndef US_NODES_LEARN_MODEL_CACHE_H
#define US_NODES_LEARN_MODEL_CACHE_H

#include "kernels/nn/trainer.h"
#include "nodes/learn/model_file.h"
#include "runtime/api/value.h"

struct us_prepared_model;

/* Gives a net for one thread at a time: one that is idle, or a new one. Any thread may call. The
 * table keeps idle nets, up to 1 GiB of them. `device` as in struct us_nn_model_config. */
struct us_error *us_prepared_model_get(const struct us_value *value, int device, int threads,
                                       struct us_prepared_model **model) US_NODISCARD;
void us_prepared_model_release(struct us_prepared_model *model);

/* What the file says; its weights are not kept. */
const struct us_swap_model *us_prepared_model_about(const struct us_prepared_model *model);

/* Faces that a net computes at once; fewer take as long. It is the same for every face, since how a
 * layer adds up depends on it: so a result does not depend on how many frames were at hand.
 * `device` as above. */
int us_prepared_model_batch(int device);

/* Faces one after the other: [3][R][R] in and out, masks [R][R]. */
struct us_error *us_prepared_model_infer(struct us_prepared_model *model, enum us_nn_side decoder,
                                         const float *faces, int count, float *images,
                                         float *masks) US_NODISCARD;

#endif
