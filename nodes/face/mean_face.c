#include "nodes/face/mean_face.h"

#include <math.h>
#include <string.h>

#include "nodes/face/similarity.h"

/* Residual from which a point counts less, in sides of the unit square. */
static const double reach = 0.05;

/* Brows move and are vaguely placed, lids blink, the lower lip talks; the corners of the eyes and
 * the root, tip and base of the nose hold still. The nose and the mouth's corners also keep the
 * vertical scale right when the head turns. */
const struct us_mean_point us_mean_face[US_MEAN_POINTS] = {
    {70, .000213256, .106454, .15}, {63, .0752622, .038915, .15},  {105, .18113, .0187482, .15},
    {66, .29077, .0344891, .15},    {107, .393397, .0773906, .15}, {336, .586856, .0773906, .15},
    {296, .689483, .0344891, .15},  {334, .799124, .0187482, .15}, {293, .904991, .038915, .15},
    {300, .98004, .106454, .15},    {168, .490127, .203352, .6},   {197, .490127, .307009, .6},
    {5, .490127, .409805, .6},      {4, .490127, .515625, .6},     {98, .36688, .587326, 1},
    {97, .426036, .609345, 1},      {2, .490127, .628106, 1},      {326, .554217, .609345, 1},
    {327, .613373, .587326, 1},     {33, .121737, .216423, 1},     {160, .187122, .178758, .3},
    {158, .265825, .179852, .3},    {133, .334606, .231733, 1},    {153, .260918, .245099, .3},
    {144, .182743, .244077, .3},    {362, .645647, .231733, 1},    {385, .714428, .179852, .3},
    {387, .793132, .178758, .3},    {263, .858516, .216423, 1},    {373, .79751, .244077, .3},
    {380, .719335, .245099, .3},    {61, .254149, .780233, .3},    {39, .340985, .745405, .3},
    {37, .428858, .727388, .3},     {0, .490127, .742578, .3},     {267, .551395, .727388, .3},
    {269, .639268, .745405, .3},    {291, .726104, .780233, .3},   {405, .642159, .864805, 0},
    {314, .556721, .902192, 0},     {17, .490127, .909281, 0},     {84, .423532, .902192, 0},
    {181, .338094, .864805, 0},     {78, .290379, .784792, .3},    {82, .428096, .778746, .1},
    {13, .490127, .785343, .1},     {312, .552157, .778746, .1},   {308, .689874, .784792, .3},
    {317, .553364, .824182, 0},     {14, .490127, .831803, 0},     {87, .42689, .824182, 0},
};

const int us_face_oval[US_OVAL_POINTS] = {
    10,  338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58,  132, 93,  234, 127, 162, 21,  54,  103, 67,  109,
};

static void subtract(const double a[3], const double b[3], double out[3]) {
    for (int i = 0; i < 3; i++) {
        out[i] = a[i] - b[i];
    }
}

static double dot(const double a[3], const double b[3]) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static bool normalize(double v[3]) {
    double length = sqrt(dot(v, v));
    for (int i = 0; i < 3; i++) {
        v[i] /= length;
    }
    return length > 0;
}

void us_face_pose(struct us_face *face) {
    double across[3], down[3];
    const double degrees = 180 / acos(-1.0);
    face->has_pose = false;
    if (face->landmark_count < 468) {
        return;
    }
    subtract(face->landmarks[263], face->landmarks[33], across);
    subtract(face->landmarks[2], face->landmarks[10], down);
    if (!normalize(across)) {
        return;
    }
    double along = dot(across, down);
    for (int i = 0; i < 3; i++) {
        down[i] -= along * across[i];
    }
    if (!normalize(down)) {
        return;
    }
    double ahead[3] = {-(across[1] * down[2] - across[2] * down[1]),
                       -(across[2] * down[0] - across[0] * down[2]),
                       -(across[0] * down[1] - across[1] * down[0])};
    face->has_pose = true;
    face->pose[0] = degrees * atan2(ahead[0], -ahead[2]);
    face->pose[1] = degrees * atan2(-ahead[1], hypot(ahead[0], ahead[2]));
    face->pose[2] = degrees * atan2(across[1], across[0]);
}

bool us_face_fit(struct us_face *face) {
    double from[US_MEAN_POINTS][2], to[US_MEAN_POINTS][2], weights[US_MEAN_POINTS];
    if (face->landmark_count < 468) {
        return false;
    }
    for (int i = 0; i < US_MEAN_POINTS; i++) {
        memcpy(from[i], face->landmarks[us_mean_face[i].mesh], sizeof from[i]);
        to[i][0] = us_mean_face[i].x;
        to[i][1] = us_mean_face[i].y;
        weights[i] = us_mean_face[i].weight;
    }
    us_face_pose(face);
    us_face_measure(face);
    face->has_matrix = us_similarity_fit_robust((const double(*)[2])from, (const double(*)[2])to,
                                                weights, US_MEAN_POINTS, reach, face->matrix);
    return face->has_matrix;
}
