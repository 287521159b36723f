/* What the machine offers for computing. */
#ifndef US_TOOLS_MACHINE_H
#define US_TOOLS_MACHINE_H

#include <stddef.h>

struct us_machine {
    char model[128];            /* of the CPU */
    char features[256];         /* of those we use: "avx2 fma avx512f" */
    int cores;                  /* this process may use */
    size_t memory, memory_free; /* bytes */
};

void us_machine_read(struct us_machine *machine);

#endif
