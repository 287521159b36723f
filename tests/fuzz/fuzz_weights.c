/* libFuzzer target of weights: TensorFlow Lite models (told by their mark), which also run when
 * they are small, and safetensors, which are also read as trained models and as data sets. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/face/tflite.h"
#include "nodes/learn/dataset_file.h"
#include "nodes/learn/model_file.h"
#include "nodes/learn/safetensors.h"
#include "runtime/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void try_tflite(const uint8_t *bytes, size_t size) {
    enum { MOST = 1 << 16 };
    struct us_tflite *model = NULL;
    struct us_error *error = us_tflite_parse(bytes, size, &model);
    if ((error == NULL) != (model != NULL)) {
        abort();
    }
    if (model && us_tflite_memory(model) <= MOST) {
        float *memory = us_try_alloc_pixels(us_tflite_memory(model) * sizeof *memory);
        memset(memory, 0, us_tflite_memory(model) * sizeof *memory);
        us_tflite_run(model, memory);
        us_free(memory);
    }
    us_error_free(error);
    us_tflite_destroy(model);
}

static void try_safetensors(const uint8_t *bytes, size_t size) {
    struct us_arrays *arrays = NULL;
    struct us_error *error = us_arrays_parse(bytes, size, &arrays);
    volatile unsigned sum = 0;
    for (size_t i = 0; !error && i < us_arrays_count(arrays); i++) {
        const struct us_array *array = us_arrays_at(arrays, i);
        const uint8_t *data = array->data;
        for (size_t k = 0; k < array->size; k++) {
            sum = sum + data[k];
        }
    }
    us_error_free(error);
    us_arrays_destroy(arrays);
}

static void try_model(const uint8_t *bytes, size_t size) {
    struct us_swap_model model = {0};
    struct us_error *error = us_swap_model_parse(bytes, size, &model);
    if (!error && (!us_swap_model_text(&model)[0] || model.parameter_count > size)) {
        abort();
    }
    us_error_free(error);
    us_swap_model_finish(&model);
}

/* A second time after itself: what one file says must agree with the other. */
static void try_dataset(const uint8_t *bytes, size_t size) {
    struct us_dataset dataset = {0};
    struct us_error *error = us_dataset_add_file(&dataset, bytes, size);
    if (!error && dataset.count) {
        const size_t count = dataset.count;
        error = us_dataset_add_file(&dataset, bytes, size);
        if (error || dataset.count != 2 * count) {
            abort();
        }
        us_dataset_mesh(&dataset, 2 * count - 1);
    }
    us_error_free(error);
    us_dataset_finish(&dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size >= 8 && memcmp(bytes + 4, "TFL3", 4) == 0) {
        try_tflite(bytes, size);
    } else {
        try_safetensors(bytes, size);
        try_model(bytes, size);
        try_dataset(bytes, size);
    }
    return 0;
}
