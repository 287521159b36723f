/* Runs one node without graph, cache or executor: inputs are given as values, outputs are read
 * back. fake_task.c defines every us_task_* function, so a program that uses it must not use
 * runtime/exec.
 *
 *     struct us_task *task = us_fake_create(&us_node_blur);
 *     us_fake_number(task, "size", 4);
 *     us_fake_input(task, "image", 0, (struct us_frame){0, 1001}, us_value_from_image(image));
 *     ASSERT_OK(us_fake_run(task));
 *     struct us_value *blurred = us_fake_output(task, "image");
 *     us_fake_destroy(task);
 *
 * Wrong names abort. */
#ifndef US_TESTS_SUPPORT_FAKE_TASK_H
#define US_TESTS_SUPPORT_FAKE_TASK_H

#include "runtime/api/task.h"

/* Parameters stand at the table's defaults, the frame at {0, 1001} (per frame) or {0, 0}. */
struct us_task *us_fake_create(const struct us_node_type *type);
void us_fake_destroy(struct us_task *task); /* takes NULL */

/* Sets a bool, int or double. */
void us_fake_number(struct us_task *task, const char *param, double value);
/* Sets a string, path or choice; NULL means not set. The text must outlive the task. */
void us_fake_text(struct us_task *task, const char *param, const char *text);
/* Appends to a list of strings or paths. The text must outlive the task. */
void us_fake_append(struct us_task *task, const char *param, const char *text);
/* Sets a frames parameter to first..last of take 0. */
void us_fake_frames(struct us_task *task, const char *param, int32_t first, int32_t last);

void us_fake_frame(struct us_task *task, struct us_frame frame);
void us_fake_threads(struct us_task *task, int threads); /* what us_task_threads says; 2 */
void us_fake_device(struct us_task *task, int device);   /* what us_task_device says; -1 */
/* Appends a value to a port; takes over the caller's reference. `entry` is the list entry. */
void us_fake_input(struct us_task *task, const char *port, size_t entry, struct us_frame frame,
                   struct us_value *value);
/* Folder of us_task_workspace (default: a fresh one under us_test_folder()); must outlive. */
void us_fake_workspace(struct us_task *task, const char *folder);
/* The `count`th us_task_progress call from now, and all later ones, return US_CANCELLED. */
void us_fake_cancel_after(struct us_task *task, int count);

/* Checks parameters (type->check), collects sources and the destination, runs, and fails when an
 * output was not set. */
struct us_error *us_fake_run(struct us_task *task) US_NODISCARD;
/* Runs several of one type at once; the first error of any. */
struct us_error *us_fake_run_batch(struct us_task **tasks, size_t count) US_NODISCARD;

/* NULL when it was not set; borrowed. */
struct us_value *us_fake_output(const struct us_task *task, const char *port);
const char *us_fake_status(const struct us_task *task);   /* the last status, "" for none */
const char *us_fake_warnings(const struct us_task *task); /* one a line, "" for none */

#endif
