#include "nodes/io/synth/landmarks.h"

/* The place of the loft at (x, y) of the face's front. */
static struct synth_place at(const struct synth_face *face, float x, float y) {
    float length = face->identity->face_length;
    return (struct synth_place){synth_head_angle(face->identity, x, y), y < 0.0f ? y / length : y};
}

/* The jaw: points of the loft's lowest rows, ear to ear. */
static void jaw_points(struct synth_place *points) {
    for (int i = 0; i < 17; i++) {
        float t = (float)i / 8.0f - 1.0f, side = fabsf(t);
        float angle = 1.35f * t, height = -1.13f + 0.98f * square(ramp(0.15f, 1.25f, side));
        points[i] = (struct synth_place){angle, height};
    }
}

static void brow_points(const struct synth_face *face, struct synth_place *points) {
    const struct synth_identity *id = face->identity;
    float inner = 0.125f, outer = id->eye_spacing + id->eye_width + 0.04f;
    for (int i = 0; i < 5; i++) {
        float u = 1.0f - (float)i / 4.0f;
        float y =
            id->brow_height + id->brow_arch * sin_det(3.4f * pow_det(u, 1.25f) - 0.15f) - 0.01f * u;
        float x = mixf(inner, outer, u);
        points[i] = at(face, -x, y);
        points[9 - i] = at(face, x, y);
    }
}

/* Height of the point of the nose that stands out furthest. */
static float nose_point(const struct synth_face *face) {
    float best = face->nose_tip, depth = 0.0f;
    for (int i = 0; i <= 20; i++) {
        float y = mixf(face->nose_tip + 0.05f, face->nose_base, (float)i / 20.0f);
        float z = synth_face_point(face, 0.0f, y).z;
        best = z > depth ? y : best;
        depth = z > depth ? z : depth;
    }
    return best;
}

static void nose_points(const struct synth_face *face, struct synth_place *points) {
    float tip = nose_point(face);
    for (int i = 0; i < 4; i++) {
        points[i] = at(face, 0.0f, mixf(0.02f, tip, (float)i / 3.0f));
    }
    for (int i = 0; i < 5; i++) {
        float t = (float)i / 2.0f - 1.0f;
        points[4 + i] = at(face, 0.85f * face->identity->nose_width * t,
                           face->nose_base + 0.02f * (1.0f - fabsf(t)));
    }
}

/* Six points an eye: outer or inner corner first, over the upper lid, back under the lower. */
static void eye_points(const struct synth_face *face, struct synth_place *points) {
    const struct synth_identity *id = face->identity;
    static const float along[6] = {-1.0f, -0.36f, 0.36f, 1.0f, 0.36f, -0.36f};
    for (int eye = 0; eye < 2; eye++) {
        float centre = eye ? id->eye_spacing : -id->eye_spacing;
        for (int i = 0; i < 6; i++) {
            float x = centre + 0.985f * along[i] * id->eye_width, lower, upper;
            synth_eye_lids(face, x, &lower, &upper);
            points[6 * eye + i] = at(face, x, i < 3 ? upper : lower);
        }
    }
}

static void lip_points(const struct synth_face *face, struct synth_place *points) {
    static const float outer[7] = {-1.0f, -0.62f, -0.22f, 0.0f, 0.22f, 0.62f, 1.0f};
    static const float inner[5] = {-0.86f, -0.4f, 0.0f, 0.4f, 0.86f};
    float width = face->identity->mouth_width, up, down;
    for (int i = 0; i < 7; i++) {
        float x = width * outer[i], line = synth_lip_line(face, x);
        synth_lip_edges(face, x, &up, &down);
        points[i] = at(face, x, line + up);
        if (i > 0 && i < 6) {
            points[12 - i] = at(face, x, line - down);
        }
    }
    for (int i = 0; i < 5; i++) {
        float x = width * inner[i], line = synth_lip_line(face, x), half = 1.02f * face->lip_line;
        points[12 + i] = at(face, x, i == 0 || i == 4 ? line : line + half);
        if (i > 0 && i < 4) {
            points[20 - i] = at(face, x, line - half);
        }
    }
}

void synth_landmark_places(const struct synth_face *face,
                           struct synth_place places[SYNTH_LANDMARKS]) {
    jaw_points(places);
    brow_points(face, places + 17);
    nose_points(face, places + 27);
    eye_points(face, places + 36);
    lip_points(face, places + 48);
}

struct vec3 synth_place_position(const struct synth_face *face, struct synth_place place) {
    struct vec3 rest = synth_head_rest(face->identity, place.angle, place.height);
    return synth_head_pose(&face->motion, synth_head_shaped(face, rest, place.angle), 1.0f);
}
