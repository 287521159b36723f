/* What a node may ask while it runs. A task is a node at one frame, or a node over its whole range.
 *
 *     static struct us_error *run(struct us_task *task) {
 *         const struct blur_params *p = us_task_params(task);
 *         struct us_value *in;
 *         US_TRY(us_task_input(task, IN_IMAGE, 0, &in));
 *         ...
 *         us_task_output(task, OUT_IMAGE, us_value_from_image(blurred));
 *         return NULL;
 *     }
 *
 * Everything is called from the thread that runs the task, unless said otherwise. Ports are given
 * by their index in the type's tables. Errors need no node, frame or place: the runtime adds them.
 */
#ifndef US_RUNTIME_API_TASK_H
#define US_RUNTIME_API_TASK_H

#include "runtime/api/node.h"

const void *us_task_params(const struct us_task *task);

/* A once-task has frame {0, 0}. */
struct us_frame us_task_frame(const struct us_task *task);

/* Values at an input port: 0 when an optional input is not connected; frames times list entries
 * (entry by entry) otherwise. */
size_t us_task_input_count(const struct us_task *task, int port);
/* Which list entry and frame value `index` is; for once-nodes above the frame is the task's own. */
struct us_frame us_task_input_frame(const struct us_task *task, int port, size_t index);
size_t us_task_input_entry(const struct us_task *task, int port, size_t index);
/* What to call it in a message: "plate.crop@1001"; valid while the task runs. */
const char *us_task_input_name(struct us_task *task, int port, size_t index);
/* The digest, without loading. */
struct us_digest us_task_input_digest(const struct us_task *task, int port, size_t index);
/* Loads (from memory, the cache, or by reading again). The value is borrowed until the task ends or
 * us_task_release. */
struct us_error *us_task_input(struct us_task *task, int port, size_t index,
                               struct us_value **value) US_NODISCARD;
void us_task_release(struct us_task *task, int port, size_t index);

/* Takes over the caller's reference. Every output must be set once, else the task fails. */
void us_task_output(struct us_task *task, int port, struct us_value *value);

/* Reports (0 to 1, or a negative value for "no news") and asks: returns US_CANCELLED when the run
 * should stop. Call it at least every second. */
struct us_error *us_task_progress(struct us_task *task, double fraction) US_NODISCARD;
/* Shown beside the progress ("step 1,200 loss 0.0312"); printf-like; cheap. */
void us_task_status(struct us_task *task, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A warning for the run's log; the run goes on. */
void us_task_warn(struct us_task *task, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* In a batch: this frame has failed; takes over the error. */
void us_task_fail(struct us_task *task, struct us_error *error);

/* CPU slots granted. */
int us_task_threads(const struct us_task *task);

/* The CUDA device granted (its ordinal; the first one of several), or -1: compute on the CPU, with
 * us_task_threads. A node asks for one in its type's `needs`. */
int us_task_device(const struct us_task *task);
/* All CUDA devices granted: their count, and their ordinals, valid while the task runs. */
size_t us_task_devices(const struct us_task *task, const int **ordinals);
/* The error of a device without memory for `wanted` bytes of which `free` are there (0: not known).
 * The run answers it: with fewer frames at a time, the device for the task alone, another device,
 * and at last the CPU, unless results depend on the kind of device (volatile_result). */
struct us_error *us_task_device_full(const struct us_task *task, size_t wanted,
                                     size_t free) US_NODISCARD;

/* A folder that outlives the task: the same for all tasks with this one's key but for US_EXTENDING
 * parameters. Made on the first call; the path is valid while the task runs. Long tasks keep
 * checkpoints there; the runtime removes nothing from it. */
struct us_error *us_task_workspace(struct us_task *task, const char **folder) US_NODISCARD;

/* Path of the `index`th source with that role (node.h `sources`), or NULL. */
const char *us_task_source(const struct us_task *task, const char *role, size_t index);

/* The file a `writes` node must make: write it (us_write_begin/finish) and call us_task_written. */
const char *us_task_destination(const struct us_task *task);
/* Reads the finished file back for its digest and sets output 0. */
struct us_error *us_task_written(struct us_task *task) US_NODISCARD;

/* The folder with detector and landmark weights (--models, $UNDERSTUDY_MODELS, beside the program).
 */
const char *us_models_folder(void);
void us_set_models_folder(const char *folder); /* once, at start */

#endif
