/* Small node types for tests of the graph language, the executor and the cache.
 *
 *     toy_number  per frame   {value, frames} -> metrics: the number value + frame, as decimal text
 *     toy_read    per frame   {path, frames} -> metrics: the bytes of a file of each frame
 *     toy_add     per frame   values: list of metrics, plus (animated) -> metrics: their sum + plus
 *     toy_window  per frame   value: metrics, frames radius around it -> metrics: their sum
 *     toy_sum     once        value: metrics of all frames, steps, until.* -> metrics: steps x sum
 *     toy_image   per frame   {size, level, frames} -> image (one channel Y) and faces ("face N")
 *     toy_grade   per frame   image, optional faces -> image: level x gain
 *     toy_write   per frame   value: metrics or faces or file, path -> the file
 *
 * toy_number and toy_add count how often they ran. */
#ifndef US_TESTS_SUPPORT_TOY_NODES_H
#define US_TESTS_SUPPORT_TOY_NODES_H

#include "runtime/api/registry.h"

/* The codec is NULL: give a copy one where images must be stored. */
extern const struct us_registry us_toys;

/* For types of a test's own: frames 1 to count; a number as the task's output 0, decimal text. */
void us_toy_frames(int32_t count, struct us_frames *frames);
void us_toy_number(struct us_task *task, int64_t number);

/* Times that any toy ran since the last call. */
int us_toys_ran(void);

#endif
