/* The part of `doctor` about operations. */
#ifndef US_TOOLS_DOCTOR_OPS_H
#define US_TOOLS_DOCTOR_OPS_H

#include <stdbool.h>

/* The self-test of every operation on the processor and on every device, and the processor's
 * measured peaks. A line for each engine, with `verbose` one for each operation too, and one for
 * each that failed. How many failed. */
int us_doctor_ops(bool verbose);

#endif
