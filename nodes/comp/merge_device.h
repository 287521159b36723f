/* Putting a swapped crop back onto its plate, on a GPU: what us_merge_run does (merge.h). */
#ifndef US_NODES_COMP_MERGE_DEVICE_H
#define US_NODES_COMP_MERGE_DEVICE_H

#include "nodes/comp/merge.h"
#include "nodes/device/gpu.h"

/* The plate's R, G and B go up once, or are there already; of the result only the region comes
 * down. Pixels equal us_merge_run's but for the last bits of sines and exponentials in double
 * precision; where the mask is 0 the plate's bits stay. */
struct us_error *us_merge_run_on_device(struct us_merge *merge, struct us_gpu *gpu,
                                        struct us_image *out) US_NODISCARD;

#endif
