#include "nodes/io/synth/truth.h"

struct point {
    float x, y;
};

/* Three decimals without printf's locale. */
static void print_number(struct us_str *out, float value) {
    long thousandths = (long)floorf(value * 1000.0f + 0.5f);
    long whole = thousandths < 0 ? -thousandths : thousandths;
    us_str_printf(out, "%s%ld.%03ld", thousandths < 0 ? "-" : "", whole / 1000, whole % 1000);
}

static void print_numbers(struct us_str *out, const char *name, const float *values, int count) {
    us_str_printf(out, ", \"%s\": [", name);
    for (int i = 0; i < count; i++) {
        us_str_append(out, i ? ", " : "");
        print_number(out, values[i]);
    }
    us_str_append(out, "]");
}

static void print_points(struct us_str *out, const char *name, const struct point *points,
                         int count) {
    us_str_printf(out, ", \"%s\": [", name);
    for (int i = 0; i < count; i++) {
        us_str_append(out, i ? ", [" : "[");
        print_number(out, points[i].x);
        us_str_append(out, ", ");
        print_number(out, points[i].y);
        us_str_append(out, "]");
    }
    us_str_append(out, "]");
}

static struct point middle(const struct point *points, int count) {
    struct point sum = {0.0f, 0.0f};
    for (int i = 0; i < count; i++) {
        sum.x += points[i].x / (float)count;
        sum.y += points[i].y / (float)count;
    }
    return sum;
}

static float between(const struct point *p, int a, int b) {
    float dx = p[a].x - p[b].x, dy = p[a].y - p[b].y;
    return sqrtf(dx * dx + dy * dy);
}

static float eye_open(const struct point *p, int first) {
    return 0.5f * (between(p, first + 1, first + 5) + between(p, first + 2, first + 4)) /
           between(p, first, first + 3);
}

static void bounds(const struct point *points, float box[4]) {
    box[0] = box[2] = points[0].x;
    box[1] = box[3] = points[0].y;
    for (int i = 1; i < SYNTH_LANDMARKS; i++) {
        box[0] = points[i].x < box[0] ? points[i].x : box[0];
        box[1] = points[i].y < box[1] ? points[i].y : box[1];
        box[2] = points[i].x > box[2] ? points[i].x : box[2];
        box[3] = points[i].y > box[3] ? points[i].y : box[3];
    }
}

void synth_truth_print(const struct synth_shot *shot, int width, int height, struct us_str *out) {
    const float degrees = 57.2957795f;
    struct synth_motion motion;
    float xy[2 * SYNTH_LANDMARKS], box[4];
    struct point p[SYNTH_LANDMARKS];
    synth_motion_at(&shot->motion, &motion);
    synth_project_landmarks(shot, width, height, xy);
    for (int i = 0; i < SYNTH_LANDMARKS; i++) {
        p[i] = (struct point){xy[2 * i], xy[2 * i + 1]};
    }
    bounds(p, box);
    const struct point keys[6] = {
        middle(p + 36, 6), middle(p + 42, 6), p[30], middle(p + 60, 8), p[0], p[16]};
    const float pose[3] = {degrees * motion.yaw, -degrees * motion.pitch, degrees * motion.roll};
    us_str_append(out, "{\"understudy\": \"faces\", \"version\": 1, \"faces\": [{\"score\": 1");
    print_numbers(out, "box", box, 4);
    print_points(out, "keypoints", keys, 6);
    print_numbers(out, "pose", pose, 3);
    us_str_append(out, ", \"mouth_open\": ");
    print_number(out, between(p, 62, 66) / between(p, 48, 54));
    us_str_append(out, ", \"eye_open_left\": ");
    print_number(out, eye_open(p, 42));
    us_str_append(out, ", \"eye_open_right\": ");
    print_number(out, eye_open(p, 36));
    us_str_append(out, ", \"source\": {\"box\": \"synth\"}");
    print_points(out, "points68", p, SYNTH_LANDMARKS);
    us_str_append(out, "}]}\n");
}
