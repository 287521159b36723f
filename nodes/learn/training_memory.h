/* Whether a training fits before it starts. */
#ifndef US_NODES_LEARN_TRAINING_MEMORY_H
#define US_NODES_LEARN_TRAINING_MEMORY_H

#include <stddef.h>

#include "runtime/base/error.h"

/* Bytes this process may take: the machine's memory, or less where its control group says so. */
size_t us_machine_memory(void);

/* Fails (US_MISSING) with both sizes and the difference when `need` is more than `have`. */
struct us_error *us_training_fits(size_t need, size_t have) US_NODISCARD;

#endif
