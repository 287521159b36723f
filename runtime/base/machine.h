/* What this process may take of the machine. */
#ifndef US_RUNTIME_BASE_MACHINE_H
#define US_RUNTIME_BASE_MACHINE_H

#include <stddef.h>

/* Bytes of memory: the machine's, or less where a control group of this process (or one around it)
 * says so. */
size_t us_machine_memory(void);

#endif
