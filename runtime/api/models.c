#include "runtime/api/task.h"

static const char *models = "models";

const char *us_models_folder(void) {
    return models;
}

void us_set_models_folder(const char *folder) {
    models = folder;
}
