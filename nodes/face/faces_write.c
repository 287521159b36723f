#include <math.h>
#include <stdio.h>

#include "nodes/face/faces.h"
#include "runtime/base/str.h"

/* Decimals: pixels, ratios and degrees; entries of a matrix. */
enum { FINE = 4, MATRIX = 12 };

/* Fixed point by integers: no locale, no "-0", one text for one value. */
static void put_number(struct us_str *out, double value, int decimals) {
    static const double scales[] = {[FINE] = 1e4, [MATRIX] = 1e12};
    double scaled = isfinite(value) ? nearbyint(value * scales[decimals]) : 0;
    long long units = (long long)fmax(-9e18, fmin(9e18, scaled));
    long long whole = units / (long long)scales[decimals];
    long long rest = units % (long long)scales[decimals];
    us_str_printf(out, "%s%lld.%0*lld", units < 0 ? "-" : "", whole < 0 ? -whole : whole, decimals,
                  rest < 0 ? -rest : rest);
}

static void put_list(struct us_str *out, const double *values, int count, int decimals) {
    us_str_append(out, "[");
    for (int i = 0; i < count; i++) {
        us_str_append(out, i ? "," : "");
        put_number(out, values[i], decimals);
    }
    us_str_append(out, "]");
}

static void put_points(struct us_str *out, const char *name, const double *points, int count,
                       int size) {
    us_str_printf(out, ",\n \"%s\":[", name);
    for (int i = 0; i < count; i++) {
        us_str_append(out, i ? "," : "");
        put_list(out, points + (ptrdiff_t)i * size, size, FINE);
    }
    us_str_append(out, "]");
}

static void put_ratio(struct us_str *out, const char *name, double value) {
    us_str_printf(out, ",\"%s\":", name);
    put_number(out, value, FINE);
}

static void put_sources(struct us_str *out, const struct us_face *face) {
    static const char *const parts[] = {"box", "landmarks", "matrix"};
    const char *comma = "";
    us_str_append(out, ",\n \"source\":{");
    for (int i = 0; i < US_PART_COUNT; i++) {
        if (face->source[i][0]) {
            us_str_printf(out, "%s\"%s\":\"%s\"", comma, parts[i], face->source[i]);
            comma = ",";
        }
    }
    us_str_append(out, "}");
}

static void put_face(struct us_str *out, const struct us_face *face) {
    us_str_append(out, "{");
    if (face->track >= 0) {
        us_str_printf(out, "\"track\":%d,", face->track);
    }
    us_str_append(out, "\"score\":");
    put_number(out, face->score, FINE);
    us_str_append(out, ",\"box\":");
    put_list(out, face->box, 4, FINE);
    if (face->keypoint_count) {
        put_points(out, "keypoints", face->keypoints[0], face->keypoint_count, 2);
    }
    if (face->landmark_count) {
        put_points(out, "landmarks", face->landmarks[0], face->landmark_count, 3);
    }
    if (face->has_matrix) {
        us_str_append(out, ",\n \"matrix\":");
        put_list(out, face->matrix, 6, MATRIX);
    }
    if (face->has_pose) {
        us_str_append(out, ",\n \"pose\":");
        put_list(out, face->pose, 3, FINE);
    }
    if (face->landmark_count) {
        us_str_append(out, ",\n \"mouth_open\":");
        put_number(out, face->mouth_open, FINE);
        put_ratio(out, "eye_open_left", face->eye_open_left);
        put_ratio(out, "eye_open_right", face->eye_open_right);
    }
    put_sources(out, face);
    us_str_append(out, "}");
}

struct us_value *us_faces_write(const struct us_faces *faces) {
    struct us_str out = {0};
    us_str_append(&out, "{\"understudy\":\"faces\",\"version\":1,\"faces\":[");
    for (size_t i = 0; i < faces->count; i++) {
        us_str_append(&out, i ? ",\n" : "\n");
        put_face(&out, &faces->items[i]);
    }
    us_str_append(&out, faces->count ? "\n]}\n" : "]}\n");
    size_t size = out.length;
    return us_value_from_bytes(US_FACES, (uint8_t *)us_str_take(&out), size);
}
