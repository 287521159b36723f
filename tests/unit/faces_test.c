#include "nodes/face/faces.h"
#include "tests/support/check.h"
#include "tests/support/face_fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"

static struct us_faces two_faces(void) {
    const double to_plate[6] = {80, -6, 170, 6, 80, 120};
    struct us_faces faces = {0};
    struct us_face *face = us_test_face_add(&faces, to_plate);
    face->track = 3;
    face->keypoint_count = US_FACE_KEYPOINTS;
    face->keypoints[2][1] = -12.34567;
    face->has_matrix = face->has_pose = true;
    memcpy(face->matrix, (double[6]){.0123456789012, -1e-5, -2.5, 1e-5, .0123456789012, 31.25}, 48);
    face->pose[1] = -7.25;
    us_face_measure(face);
    snprintf(face->source[US_PART_LANDMARKS], 16, "facemesh");
    face = us_faces_add(&faces);
    memcpy(face->box, (double[4]){-5, 1.5, 6, 1e6}, sizeof face->box);
    face->score = 1.0 / 3;
    return faces;
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    struct us_faces faces = two_faces(), back;
    struct us_value *text = us_faces_write(&faces);
    ASSERT_OK(us_faces_read(text->bytes, text->size, &back));
    struct us_value *again = us_faces_write(&back);
    assert_int_equal(again->size, text->size);
    assert_memory_equal(again->bytes, text->bytes, text->size);
    assert_int_equal(back.count, 2);
    assert_int_equal(back.items[0].track, 3);
    assert_int_equal(back.items[1].track, -1);
    assert_int_equal(back.items[0].landmark_count, 468);
    assert_string_equal(back.items[0].source[US_PART_LANDMARKS], "facemesh");
    ASSERT_NEAR(back.items[0].keypoints[2][1], -12.3457, 1e-9);
    for (int i = 0; i < 6; i++) {
        ASSERT_NEAR(back.items[0].matrix[i], faces.items[0].matrix[i], 1e-12);
    }
    ASSERT_NEAR(back.items[1].score, .3333, 1e-9);
    assert_false(back.items[1].has_matrix || back.items[1].has_pose);
    us_value_unref(text);
    us_value_unref(again);
    us_faces_finish(&faces);
    us_faces_finish(&back);
}

static void numbers_have_one_text(void **state) {
    (void)state;
    struct us_faces faces = {0};
    struct us_face *face = us_faces_add(&faces);
    memcpy(face->box, (double[4]){-0.00001, -0.5, 1234.56785, NAN}, sizeof face->box);
    struct us_value *text = us_faces_write(&faces);
    char *copy = us_strndup((const char *)text->bytes, text->size);
    assert_non_null(strstr(copy, "\"box\":[0.0000,-0.5000,1234.5678,0.0000]"));
    us_free(copy);
    us_value_unref(text);
    us_faces_finish(&faces);
}

static void bad_files_say_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "the faces are no valid JSON because: line 1"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"[1]", "this is not a faces file"},
        {"{\"understudy\":\"faces\",\"version\":2,\"faces\":[]}", "another version"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[7]}", "face 0 has no 'box'"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[{\"box\":[1,2,3]}]}",
         "face 0 because: 'box' holds a list of another length, wanted a list of 4 numbers"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[{\"box\":[1,2,1,9]}]}", "is empty"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[{\"box\":[1,2,3,1e300]}]}",
         "'box' holds 1e+300, allowed -1e7 to 1e7"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[{\"box\":[1,2,3,\"x\"]}]}",
         "'box' holds a text, wanted a number"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[{\"box\":[1,2,3,4],"
         "\"landmarks\":[[1,2,3]]}]}",
         "'landmarks' holds 1 points, wanted 468 or 478"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[{\"box\":[1,2,3,4],"
         "\"matrix\":[1,1,0,1,1,0]}]}",
         "'matrix' cannot be inverted"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[{\"box\":[1,2,3,4],\"track\":-1}]}",
         "'track' is not a whole number"},
        {"{\"understudy\":\"faces\",\"version\":1,\"faces\":[{\"box\":[1,2,3,4],"
         "\"source\":{\"box\":\"a\\\"b\"}}]}",
         "wanted a short lower-case word"},
    };
    struct us_faces faces;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ASSERT_ERROR(us_faces_read(cases[i].text, strlen(cases[i].text), &faces), cases[i].part);
        assert_int_equal(faces.count, 0);
    }
}

static void deep_and_cut_files_do_no_harm(void **state) {
    (void)state;
    struct us_faces faces = two_faces(), back;
    struct us_value *text = us_faces_write(&faces);
    for (size_t cut = 0; cut < text->size - 2; cut += 1 + cut / 40) {
        ASSERT_ERROR(us_faces_read(text->bytes, cut, &back), "no valid JSON");
    }
    char *deep = us_malloc(200000);
    memset(deep, '[', 200000);
    ASSERT_ERROR(us_faces_read(deep, 200000, &back), "no valid JSON");
    us_free(deep);
    us_value_unref(text);
    us_faces_finish(&faces);
}

static void choosing_by_track_or_place(void **state) {
    (void)state;
    struct us_faces faces = two_faces();
    assert_ptr_equal(us_faces_choose(&faces, 3), &faces.items[0]);
    assert_null(us_faces_choose(&faces, 0));
    faces.items[0].track = -1;
    assert_ptr_equal(us_faces_choose(&faces, 1), &faces.items[1]);
    assert_null(us_faces_choose(&faces, 2));
    us_faces_finish(&faces);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(numbers_have_one_text),
        cmocka_unit_test(bad_files_say_what_is_wrong),
        cmocka_unit_test(deep_and_cut_files_do_no_harm),
        cmocka_unit_test(choosing_by_track_or_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
