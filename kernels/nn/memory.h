/* Memory of the neural-net library: 64-byte aligned and zeroed blocks, NULL when there is none.
 * Callers turn NULL into US_NN_NO_MEMORY. */
#ifndef US_KERNELS_NN_MEMORY_H
#define US_KERNELS_NN_MEMORY_H

#include <stddef.h>

void *us_nn_alloc(size_t bytes) __attribute__((malloc));
void us_nn_free(void *block);

#endif
