#include "nodes/learn/dataset_gather.h"

static struct us_error *add_value(struct us_task *task, int port, size_t index,
                                  struct us_dataset *dataset, bool *is_crop) {
    struct us_value *value;
    bool added;
    US_TRY(us_task_input(task, port, index, &value));
    *is_crop = value->data == US_IMAGE;
    struct us_error *error = *is_crop ? us_dataset_add_crop(dataset, value->image,
                                                            us_task_input_frame(task, port, index),
                                                            &value->digest, &added)
                                      : us_dataset_add_file(dataset, value->bytes, value->size);
    us_task_release(task, port, index);
    return us_error_wrap(error, "cannot use '%s'", us_task_input_name(task, port, index));
}

static bool ends_entry(struct us_task *task, int port, size_t index) {
    return index + 1 == us_task_input_count(task, port) ||
           us_task_input_entry(task, port, index + 1) != us_task_input_entry(task, port, index);
}

size_t us_dataset_entries(struct us_task *task, int port) {
    const size_t count = us_task_input_count(task, port);
    return count > 0 ? us_task_input_entry(task, port, count - 1) + 1 : 0;
}

/* How many inputs were of that entry. */
static struct us_error *add_all(struct us_task *task, int port, size_t entry, int64_t holdout,
                                struct us_dataset *dataset, size_t *used) {
    const size_t count = us_task_input_count(task, port);
    size_t first = 0; /* where the faces of this list entry begin */
    for (size_t i = 0; i < count; i++) {
        bool is_crop;
        if (entry != US_ALL_ENTRIES && us_task_input_entry(task, port, i) != entry) {
            continue;
        }
        ++*used;
        US_TRY(us_task_progress(task, -1));
        US_TRY(add_value(task, port, i, dataset, &is_crop));
        if (!ends_entry(task, port, i)) {
            continue;
        }
        if (is_crop) {
            us_dataset_split(dataset, first, holdout);
        }
        first = dataset->count;
    }
    return NULL;
}

struct us_error *us_dataset_gather(struct us_task *task, int port, int64_t holdout,
                                   struct us_dataset *dataset) {
    return us_dataset_gather_entry(task, port, US_ALL_ENTRIES, holdout, dataset);
}

struct us_error *us_dataset_gather_entry(struct us_task *task, int port, size_t entry,
                                         int64_t holdout, struct us_dataset *dataset) {
    size_t count = 0;
    US_TRY(add_all(task, port, entry, holdout, dataset, &count));
    if (dataset->count == 0) {
        return us_error_hint(
            us_fail(US_FAILED, "no face in any of the %zu crops", count),
            "look at the crops and at the result of face_detect; a lower min_score "
            "finds more faces");
    }
    if (dataset->count == 1) {
        return us_error_hint(
            us_fail(US_FAILED, "only one face in the %zu crops, needed are 2 or more", count),
            "give more frames of this person");
    }
    return NULL;
}
