#include "nodes/face/override.h"
#include "tests/support/check.h"
#include "tests/support/face_fixture.h"
#include "tests/support/fake_task.h"

#include <string.h>

#include "nodes/face/mean_face.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

extern const struct us_node_type us_node_face_override;

#define HEAD "{\"understudy\":\"override\",\"version\":1,"

static struct us_faces two_faces(void) {
    const double a[6] = {80, 0, 170, 0, 80, 120}, b[6] = {60, 0, 400, 0, 60, 130};
    struct us_faces faces = {0};
    us_face_fit(us_test_face_add(&faces, a));
    us_face_fit(us_test_face_add(&faces, b));
    faces.items[0].track = 0;
    faces.items[1].track = 1;
    return faces;
}

static struct us_error *apply(const char *text, int32_t number, struct us_faces *faces) {
    return us_override_apply(text, strlen(text), number, faces);
}

static void fields_replace_and_are_marked(void **state) {
    (void)state;
    struct us_faces faces = two_faces();
    double matrix = faces.items[1].matrix[0];
    ASSERT_OK(apply(HEAD "\"faces\":[{\"track\":1,\"box\":[1,2,3,4]}]}", 1001, &faces));
    ASSERT_NEAR(faces.items[1].box[2], 3, 0);
    assert_string_equal(faces.items[1].source[US_PART_BOX], "artist");
    assert_string_equal(faces.items[1].source[US_PART_MATRIX], "");
    ASSERT_NEAR(faces.items[1].matrix[0], matrix, 0);
    assert_string_equal(faces.items[0].source[US_PART_BOX], "");
    ASSERT_OK(apply(HEAD "\"faces\":[{\"face\":0,\"matrix\":[0.01,0,-1,0,0.01,-2]}]}", 1, &faces));
    ASSERT_NEAR(faces.items[0].matrix[5], -2, 0);
    assert_string_equal(faces.items[0].source[US_PART_MATRIX], "artist");
    us_faces_finish(&faces);
}

static void moved_points_refit_the_matrix(void **state) {
    (void)state;
    struct us_faces faces = two_faces();
    double before = faces.items[0].matrix[2], y = faces.items[0].landmarks[33][1];
    ASSERT_OK(apply(HEAD "\"faces\":[{\"track\":0,\"points\":{\"33\":[150,170],\"263\":[260.5,"
                         "170,3]}}]}",
                    1, &faces));
    ASSERT_NEAR(faces.items[0].landmarks[33][0], 150, 0);
    ASSERT_NEAR(faces.items[0].landmarks[33][1], 170, 0);
    ASSERT_NEAR(faces.items[0].landmarks[263][2], 3, 0);
    assert_true(y != 170 && faces.items[0].matrix[2] != before);
    assert_string_equal(faces.items[0].source[US_PART_LANDMARKS], "artist");
    assert_string_equal(faces.items[0].source[US_PART_MATRIX], "artist");
    us_faces_finish(&faces);
}

static void frames_choose_the_entries(void **state) {
    (void)state;
    const char *text = HEAD "\"frames\":{\"1001\":[{\"track\":0,\"delete\":true}],"
                            "\"1010-1012\":[{\"add\":true,\"box\":[5,6,7,8]}]}}";
    static const struct {
        int32_t number;
        size_t count;
    } cases[] = {{1000, 2}, {1001, 1}, {1009, 2}, {1011, 3}};
    for (int i = 0; i < 4; i++) {
        struct us_faces faces = two_faces();
        ASSERT_OK(apply(text, cases[i].number, &faces));
        assert_int_equal(faces.count, cases[i].count);
        us_faces_finish(&faces);
    }
}

/* Written out, these ranges would be 200 billion frames: longer than a test may take. */
static void long_ranges_are_not_written_out(void **state) {
    (void)state;
    struct us_str text = {0};
    us_str_printf(&text, HEAD "\"frames\":{\"7\":[{\"track\":0,\"delete\":true}]");
    for (int i = 0; i < 20000; i++) {
        us_str_printf(&text, ",\"%d-9999999\":[]", i);
    }
    us_str_printf(&text, "}}");
    struct us_faces faces = two_faces();
    ASSERT_OK(apply(us_str_text(&text), 7, &faces));
    assert_int_equal(faces.count, 1);
    us_faces_finish(&faces);
    us_str_finish(&text);
}

static void bad_files_say_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"{", "line 1"},
        {"{\"understudy\":\"faces\"}", "this is not an override file of version 1"},
        {HEAD "\"face\":[]}", "unknown key 'face' try: did you mean 'faces'?"},
        {HEAD "\"note\":1}", "neither a list 'faces' nor an object 'frames'"},
        {HEAD "\"faces\":[{\"track\":0,\"bx\":[1,2,3,4]}]}",
         "entry 0 of 'faces' because: unknown key 'bx' try: did you mean 'box'?"},
        {HEAD "\"faces\":[{\"box\":[1,2,3,4]}]}", "wanted one of 'track', 'face' and 'add'"},
        {HEAD "\"faces\":[{\"track\":9,\"delete\":true}]}", "there is no face with track 9"},
        {HEAD "\"faces\":[{\"track\":0,\"box\":[1,2,3]}]}", "'box' holds a list of another length"},
        {HEAD "\"faces\":[{\"add\":true}]}", "an added face wants a 'box' or 'landmarks'"},
        {HEAD "\"faces\":[{\"track\":0,\"points\":{\"468\":[1,2]}}]}", "wanted 0 to 467"},
        {HEAD "\"faces\":[{\"track\":0,\"points\":{\"3\":[1]}}]}", "point 3 is not [x, y]"},
        {HEAD "\"faces\":[{\"track\":0,\"points\":{\"3\":[1,1e99]}}]}", "point 3 is not numbers"},
        {HEAD "\"frames\":{\"10x\":[]}}", "frames '10x'"},
        {HEAD "\"frames\":{\"1\":{}}}", "'1' is not a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct us_faces faces = two_faces();
        ASSERT_ERROR(apply(cases[i].text, 1, &faces), cases[i].part);
        us_faces_finish(&faces);
    }
}

static struct us_task *override_task(const char *path, int32_t number) {
    struct us_task *task = us_fake_create(&us_node_face_override);
    struct us_faces faces = two_faces();
    us_fake_text(task, "path", path);
    us_fake_frame(task, (struct us_frame){0, number});
    us_fake_input(task, "faces", 0, (struct us_frame){0, number}, us_faces_write(&faces));
    us_faces_finish(&faces);
    return task;
}

static void a_file_a_frame_where_there_is_one(void **state) {
    (void)state;
    char *pattern = us_path_join(us_test_folder(), "fix.####.json");
    char *path = us_path_join(us_test_folder(), "fix.1001.json");
    const char *text = HEAD "\"faces\":[{\"track\":0,\"delete\":true}]}";
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    for (int32_t number = 1001; number <= 1002; number++) {
        struct us_task *task = override_task(pattern, number);
        struct us_faces faces;
        ASSERT_OK(us_fake_run(task));
        struct us_value *value = us_fake_output(task, "faces");
        ASSERT_OK(us_faces_read(value->bytes, value->size, &faces));
        assert_int_equal(faces.count, number == 1001 ? 1 : 2);
        us_faces_finish(&faces);
        us_fake_destroy(task);
    }
    us_free(path);
    us_free(pattern);
}

static void a_missing_folder_or_bad_file_is_named(void **state) {
    (void)state;
    char *path = us_path_join(us_test_folder(), "none/fix.####.json");
    struct us_task *task = override_task(path, 1001);
    ASSERT_ERROR(us_fake_run(task), "there is no folder '");
    us_fake_destroy(task);
    us_free(path);
    path = us_path_join(us_test_folder(), "bad.json");
    ASSERT_OK(us_write_file(path, "[", 1));
    task = override_task(path, 1001);
    ASSERT_ERROR(us_fake_run(task), "bad.json' because: line 1");
    us_fake_destroy(task);
    us_free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_replace_and_are_marked),
        cmocka_unit_test(moved_points_refit_the_matrix),
        cmocka_unit_test(frames_choose_the_entries),
        cmocka_unit_test(long_ranges_are_not_written_out),
        cmocka_unit_test(bad_files_say_what_is_wrong),
        cmocka_unit_test(a_file_a_frame_where_there_is_one),
        cmocka_unit_test(a_missing_folder_or_bad_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
