#include "tests/support/small_training.h"

#include <dirent.h>
#include <stdio.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

extern const struct us_node_type us_node_train_swap;

void us_small_faces(struct us_task *task, const char *port, int person, int count,
                    struct us_fake_crop crop) {
    crop.person = person;
    for (int i = 0; i < count; i++) {
        crop.pose = count > 1 ? 2.0 * i / (count - 1) - 1 : 0;
        us_fake_input(task, port, 0, (struct us_frame){0, 1001 + i}, us_fake_crop_value(&crop));
    }
}

struct us_task *us_small_bare(const char *workspace, int steps) {
    struct us_task *task = us_fake_create(&us_node_train_swap);
    us_fake_number(task, "ae_dims", 8);
    us_fake_number(task, "e_dims", 4);
    us_fake_number(task, "d_dims", 4);
    us_fake_number(task, "mask_dims", 4);
    us_fake_number(task, "batch", 2);
    us_fake_number(task, "lr", 1e-3);
    us_fake_number(task, "holdout", 3);
    us_fake_number(task, "steps", steps);
    us_fake_number(task, "checkpoint.minutes", 0);
    us_fake_workspace(task, workspace);
    us_fake_threads(task, 1);
    return task;
}

struct us_task *us_small_training(const char *workspace, int steps) {
    struct us_task *task = us_small_bare(workspace, steps);
    us_small_faces(task, "source", 0, 6, (struct us_fake_crop){0});
    us_small_faces(task, "destination", 1, 6, (struct us_fake_crop){0});
    return task;
}

char *us_small_folder(void) {
    static int count;
    char name[32];
    snprintf(name, sizeof name, "training%d", count++);
    return us_path_join(us_test_folder(), name);
}

int us_small_files(const char *folder) {
    int count = 0;
    DIR *dir = opendir(folder);
    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count - 2;
}

void us_small_same(const struct us_task *a, const struct us_task *b) {
    struct us_value *left = us_fake_output(a, "model"), *right = us_fake_output(b, "model");
    assert_int_equal(left->size, right->size);
    assert_memory_equal(left->bytes, right->bytes, left->size);
}

json_t *us_small_last_line(const struct us_task *task) {
    struct us_value *metrics = us_fake_output(task, "metrics");
    const char *text = (const char *)metrics->bytes, *from = text + metrics->size - 1;
    while (from > text && from[-1] != '\n') {
        from--;
    }
    json_t *line = json_loadb(from, metrics->size - (size_t)(from - text), 0, NULL);
    assert_non_null(line);
    return line;
}

double us_small_number(const json_t *object, const char *key) {
    assert_true(json_is_number(json_object_get(object, key)));
    return json_number_value(json_object_get(object, key));
}
