#include "nodes/face/crop_info.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"

void us_crop_info_write(struct us_image *crop, const struct us_crop_info *info) {
    const double *m = info->matrix;
    double matrix[9] = {m[0], m[1], m[2], m[3], m[4], m[5], 0, 0, 1};
    float pose[3] = {info->yaw, info->pitch, info->roll};
    us_image_set_matrix(crop, "understudy.plateToCrop", matrix);
    us_image_set_int(crop, "understudy.found", info->found);
    us_image_set_string(crop, "understudy.encoding", info->encoding);
    us_image_set_string(crop, "understudy.coverage", info->coverage);
    us_image_set_attribute(crop, "understudy.plateDataWindow", "box2i", &info->plate_data_window,
                           16);
    us_image_set_attribute(crop, "understudy.plateDisplayWindow", "box2i",
                           &info->plate_display_window, 16);
    us_image_set_floats(crop, "understudy.landmarks", info->landmarks,
                        2 * (size_t)info->landmark_count);
    us_image_set_floats(crop, "understudy.pose", pose, 3);
}

static bool read_window(const struct us_image *crop, const char *name, struct us_window *window) {
    const struct us_attribute *a = us_image_attribute(crop, name);
    if (!a || strcmp(a->type, "box2i") != 0 || a->size != sizeof *window) {
        return false;
    }
    memcpy(window, a->bytes, sizeof *window);
    return true;
}

static bool read_text(const struct us_image *crop, const char *name, char *text, size_t size) {
    char *value = us_image_get_string(crop, name);
    if (value) {
        snprintf(text, size, "%s", value);
    }
    us_free(value);
    return value != NULL;
}

struct us_error *us_crop_info_read(const struct us_image *crop, struct us_crop_info *info) {
    *info = (struct us_crop_info){0};
    double matrix[9];
    int32_t found = 0;
    size_t count = 0, pose_count = 0;
    if (!us_image_get_matrix(crop, "understudy.plateToCrop", matrix) ||
        !us_image_get_int(crop, "understudy.found", &found) ||
        !read_text(crop, "understudy.encoding", info->encoding, sizeof info->encoding) ||
        !read_text(crop, "understudy.coverage", info->coverage, sizeof info->coverage) ||
        !read_window(crop, "understudy.plateDataWindow", &info->plate_data_window) ||
        !read_window(crop, "understudy.plateDisplayWindow", &info->plate_display_window)) {
        return us_error_hint(us_fail(US_FAILED, "the image is not a face crop"),
                             "connect the output of a face_crop node");
    }
    memcpy(info->matrix, matrix, sizeof info->matrix);
    info->found = found != 0;
    info->landmarks = us_image_get_floats(crop, "understudy.landmarks", &count);
    info->landmark_count = (int)(count / 2);
    float *pose = us_image_get_floats(crop, "understudy.pose", &pose_count);
    if (pose && pose_count == 3) {
        info->yaw = pose[0];
        info->pitch = pose[1];
        info->roll = pose[2];
    }
    us_free(pose);
    return NULL;
}

void us_crop_info_finish(struct us_crop_info *info) {
    us_free(info->landmarks);
    info->landmarks = NULL;
    info->landmark_count = 0;
}

bool us_affine_invert(const double m[6], double inverse[6]) {
    double determinant = m[0] * m[4] - m[1] * m[3];
    if (!(fabs(determinant) > 1e-30)) {
        return false;
    }
    double a = m[4] / determinant, b = -m[1] / determinant;
    double d = -m[3] / determinant, e = m[0] / determinant;
    double c = -(a * m[2] + b * m[5]), f = -(d * m[2] + e * m[5]);
    memcpy(inverse, (double[6]){a, b, c, d, e, f}, 6 * sizeof *inverse);
    return true;
}

void us_affine_compose(const double a[6], const double b[6], double out[6]) {
    double made[6] = {a[0] * b[0] + a[1] * b[3],        a[0] * b[1] + a[1] * b[4],
                      a[0] * b[2] + a[1] * b[5] + a[2], a[3] * b[0] + a[4] * b[3],
                      a[3] * b[1] + a[4] * b[4],        a[3] * b[2] + a[4] * b[5] + a[5]};
    memcpy(out, made, sizeof made);
}

void us_affine_apply(const double m[6], double x, double y, double *out_x, double *out_y) {
    *out_x = m[0] * x + m[1] * y + m[2];
    *out_y = m[3] * x + m[4] * y + m[5];
}
