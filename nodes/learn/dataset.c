#include "nodes/learn/dataset_gather.h"
#include "runtime/api/task.h"

enum { IN_CROPS, OUT_DATASET = 0 };

struct dataset_params {
    int64_t holdout;
};

#define PARAMS struct dataset_params
static const struct us_param params[] = {
    US_INT(PARAMS, holdout, 10, 0, 1000000, "faces",
           "One face in so many is kept out of the training, to measure it with; 0: none."),
    US_PARAMS_END};

static const struct us_port inputs[] = {
    {.name = "crops",
     .doc = "Face crops of one person, all frames; several nodes may be listed, data sets too.",
     .data = US_IMAGE | US_DATASET,
     .reach = US_ALL_FRAMES,
     .list = true},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {.name = "dataset", .doc = "The faces in one safetensors file.", .data = US_DATASET},
    {.name = NULL}};

static struct us_error *run(struct us_task *task) {
    const struct dataset_params *p = us_task_params(task);
    struct us_dataset dataset = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct us_error *error = us_dataset_gather(task, IN_CROPS, p->holdout, &dataset);
    if (!error) {
        error = us_dataset_print(&dataset, &bytes, &size);
    }
    if (!error) {
        us_task_status(task, "%zu faces of %d px", dataset.count, dataset.size);
        us_task_output(task, OUT_DATASET, us_value_from_bytes(US_DATASET, bytes, size));
    }
    us_dataset_finish(&dataset);
    return error;
}

/* Of all crops; a frame may turn out to have no face. */
static void describe(const struct us_outlook *outlook, struct us_geometry *made) {
    const struct us_geometries *crops = &outlook->inputs[IN_CROPS];
    bool counted = true;
    for (size_t i = 0; i < crops->count; i++) {
        const struct us_geometry *from = &crops->items[i];
        made->size = made->size ? made->size : from->size;
        made->count += from->count;
        made->at_most |= from->at_most;
        counted &= from->count > 0;
    }
    made->count = counted ? made->count : 0;
}

const struct us_node_type us_node_dataset = {
    .name = "dataset",
    .group = "learn",
    .version = 1,
    .summary = "Packs the face crops of one person into one file for training.",
    .doc =
        "Takes the crops in which a face was found, checks that size, coverage and encoding agree, "
        "and writes images (half float, encoded as the crops are), mattes, landmarks, frame "
        "numbers, digests and the split into training and held-out faces as safetensors. "
        "train_swap takes crops as they are too; a data set can be kept, shared and given to "
        "several trainings.",
    .example = "faces: {type: dataset, crops: [take1.crop, take2.crop], holdout: 10}",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .describe = describe,
    .run = run,
};
