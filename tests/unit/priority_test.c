#include "nodes/learn/priority.h"

#include "tests/support/check.h"

enum { SIZE = 64 };

static float landmarks[468 * 2];

static void place(int index, float x, float y) {
    landmarks[2 * index] = x;
    landmarks[2 * index + 1] = y;
}

static void test_spots(void **state) {
    (void)state;
    static float plane[SIZE * SIZE];
    const float same[6] = {1, 0, 0, 0, 1, 0};
    place(33, 16, 24);
    place(133, 24, 24);
    place(362, 40, 24);
    place(263, 48, 24);
    place(61, 24, 44);
    place(291, 40, 44);
    us_priority_draw(landmarks, same, SIZE, plane);
    assert_true(plane[24 * SIZE + 20] > 0.9f); /* in the eyes and in the mouth */
    assert_true(plane[24 * SIZE + 44] > 0.9f);
    assert_true(plane[44 * SIZE + 32] > 0.9f);
    assert_true(plane[29 * SIZE + 32] < 0.01f); /* not on the nose, nor at the edge */
    assert_true(plane[0] == 0.0f);
    /* It reaches further along the eye than across it. */
    assert_true(plane[24 * SIZE + 23] > plane[27 * SIZE + 20]);
}

static void test_map(void **state) {
    (void)state;
    static float plain[SIZE * SIZE], moved[SIZE * SIZE];
    const float same[6] = {1, 0, 0, 0, 1, 0}, shift[6] = {1, 0, 5, 0, 1, -3};
    us_priority_draw(landmarks, same, SIZE, plain);
    us_priority_draw(landmarks, shift, SIZE, moved);
    for (int y = 10; y < 50; y++) {
        for (int x = 10; x < 50; x++) {
            assert_true(moved[y * SIZE + x] == plain[(y - 3) * SIZE + x + 5]);
        }
    }
}

static void test_without_landmarks(void **state) {
    (void)state;
    static float plane[SIZE * SIZE];
    const float same[6] = {1, 0, 0, 0, 1, 0};
    plane[7] = 3;
    us_priority_draw(NULL, same, SIZE, plane);
    assert_true(plane[7] == 0.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spots), cmocka_unit_test(test_map),
                                       cmocka_unit_test(test_without_landmarks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
