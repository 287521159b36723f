/* What is known before a run of models that train_swap makes and infer_swap draws with. */
#ifndef US_NODES_LEARN_SWAP_OUTLOOK_H
#define US_NODES_LEARN_SWAP_OUTLOOK_H

#include "kernels/nn/trainer.h"
#include "nodes/learn/train_params.h"
#include "runtime/api/outlook.h"

/* The `about` of a US_MODEL's geometry; another kind of model has none. */
struct us_swap_outlook {
    struct us_nn_arch arch;
};

/* Where train_swap has its ports; -1 is none. */
struct us_swap_ports {
    int source, destination, init, others;
};

/* The model that a training makes of the faces that come in; false when their size is not known. */
bool us_swap_outlook_of_training(const struct us_outlook *outlook, struct us_swap_ports ports,
                                 struct us_geometry *model);

/* What a training takes, with all ranks of this machine. */
struct us_error *us_train_memory(const struct us_outlook *outlook, struct us_swap_ports ports,
                                 struct us_memory *memory) US_NODISCARD;

#endif
