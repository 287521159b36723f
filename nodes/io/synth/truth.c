#include "nodes/io/synth/truth.h"

#include "nodes/face/mean_face.h"

static void put_middle(const struct synth_point *points, int count, double out[2]) {
    for (int i = 0; i < count; i++) {
        out[0] += (double)points[i].x / count;
        out[1] += (double)points[i].y / count;
    }
}

static void put_keypoints(const struct synth_truth *truth, struct us_face *face) {
    face->keypoint_count = US_FACE_KEYPOINTS;
    put_middle(truth->points + 36, 6, face->keypoints[US_RIGHT_EYE]);
    put_middle(truth->points + 42, 6, face->keypoints[US_LEFT_EYE]);
    put_middle(truth->points + 30, 1, face->keypoints[US_NOSE]);
    put_middle(truth->points + 60, 8, face->keypoints[US_MOUTH]);
    put_middle(truth->points, 1, face->keypoints[US_RIGHT_EAR]);
    put_middle(truth->points + 16, 1, face->keypoints[US_LEFT_EAR]);
}

static void put_landmarks(const struct synth_truth *truth, struct us_face *face) {
    face->landmark_count = SYNTH_MESH_POINTS;
    for (int i = 0; i < SYNTH_MESH_POINTS; i++) {
        const struct synth_point *p = &truth->mesh[i];
        const double xyz[3] = {(double)p->x, (double)p->y, (double)p->z};
        for (int k = 0; k < 3; k++) {
            face->landmarks[i][k] = xyz[k];
        }
        for (int k = 0; k < 2; k++) {
            face->box[k] = i == 0 || xyz[k] < face->box[k] ? xyz[k] : face->box[k];
            face->box[k + 2] = i == 0 || xyz[k] > face->box[k + 2] ? xyz[k] : face->box[k + 2];
        }
    }
}

void synth_truth_face(const struct synth_shot *shot, int width, int height,
                      struct us_faces *faces) {
    const double degrees = 57.29577951308232;
    struct synth_truth truth;
    struct us_face *face = us_faces_add(faces);
    synth_project(shot, width, height, &truth);
    face->score = 1.0;
    put_keypoints(&truth, face);
    put_landmarks(&truth, face);
    us_face_fit(face);
    face->has_pose = true;
    face->pose[0] = degrees * (double)truth.motion.yaw;
    face->pose[1] = -degrees * (double)truth.motion.pitch;
    face->pose[2] = degrees * (double)truth.motion.roll;
    for (int i = 0; i < US_PART_COUNT; i++) {
        memcpy(face->source[i], "synth", sizeof "synth");
    }
}
