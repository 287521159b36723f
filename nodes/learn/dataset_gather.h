/* Collects the faces at an input port: crops of all frames, data sets, or both in a list. */
#ifndef US_NODES_LEARN_DATASET_GATHER_H
#define US_NODES_LEARN_DATASET_GATHER_H

#include "nodes/learn/dataset_file.h"
#include "runtime/api/task.h"

/* Fills a zeroed data set in the order of the inputs. Each list entry of crops holds out every
 * `holdout`th face; data sets come with their own split. Fails when there is no face, or only one.
 * The data set is the caller's to finish, also after an error. */
struct us_error *us_dataset_gather(struct us_task *task, int port, int64_t holdout,
                                   struct us_dataset *dataset) US_NODISCARD;

#define US_ALL_ENTRIES SIZE_MAX
/* The same of one list entry. */
struct us_error *us_dataset_gather_entry(struct us_task *task, int port, size_t entry,
                                         int64_t holdout, struct us_dataset *dataset) US_NODISCARD;
/* How many list entries a port has. */
size_t us_dataset_entries(struct us_task *task, int port);

#endif
