#include "nodes/face/crop_geometry.h"

#include <string.h>

#include "nodes/face/crop_info.h"

/* The mean face's line of symmetry. */
static const double center_x = 0.490127, center_y = 0.5;

static const struct {
    double factor, up;
} sizes[] = {{1.000, 0}, {1.597, 0}, {2.131, 0.07}, {2.980, 0.50}};

const char *const us_coverages[] = {"half", "full", "whole", "head", NULL};

void us_crop_map(const double face_matrix[6], const char *coverage, int32_t size, double map[6]) {
    int which = 0;
    while (us_coverages[which + 1] && strcmp(us_coverages[which], coverage) != 0) {
        which++;
    }
    double scale = size / sizes[which].factor;
    double left = center_x - sizes[which].factor / 2;
    double top = center_y - sizes[which].up - sizes[which].factor / 2;
    double from_unit[6] = {scale, 0, -scale * left, 0, scale, -scale * top};
    us_affine_compose(from_unit, face_matrix, map);
}
