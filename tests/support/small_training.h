/* A training so small that a step takes milliseconds, for tests of train_swap. The tests that use
 * it include fake_task.h too. */
#ifndef US_TESTS_SUPPORT_SMALL_TRAINING_H
#define US_TESTS_SUPPORT_SMALL_TRAINING_H

#include <jansson.h>

#include "tests/support/fake_crops.h"
#include "tests/support/fake_task.h"

/* Adds `count` faces in as many poses. */
void us_small_faces(struct us_task *task, const char *port, int person, int count,
                    struct us_fake_crop crop);
/* The node with its parameters set small, one thread, checkpoints only at the end, and no faces
 * (bare) or six of each side. `workspace` must outlive it. */
struct us_task *us_small_bare(const char *workspace, int steps);
struct us_task *us_small_training(const char *workspace, int steps);

char *us_small_folder(void);            /* a new one, us_malloc'ed name */
int us_small_files(const char *folder); /* how many files are in it */
void us_small_same(const struct us_task *a, const struct us_task *b); /* the models' bytes */
json_t *us_small_last_line(const struct us_task *task);               /* of the metrics */
double us_small_number(const json_t *object, const char *key);

#endif
