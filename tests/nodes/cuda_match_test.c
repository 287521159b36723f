/* color_match on a device (emulated): the processor's bits, and crops that go up once however many
 * frames' windows they are in. */
#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "kernels/cuda/frame_internal.h"
#include "nodes/device/gpu.h"
#include "tests/support/fake_task.h"
#include "tests/support/pictures.h"

extern const struct us_node_type us_node_color_match;

enum { SIZE = 33, FRAMES = 3 };

static const struct us_cuda_frame_api *const api = &us_cuda_frame_table;

static float noisy(int x, int y, int c) {
    uint32_t bits = (uint32_t)(x * 7919 + y * 104729 + c * 1299709) * 2654435761u;
    return x == 5 && y == 6 ? NAN : 0.2f + 0.1f * (float)c + (float)(bits >> 20) / 20480.0f;
}

static float other(int x, int y, int c) {
    return c == 3 ? fminf(1.0f, 0.1f * (float)x) - 0.05f : 0.8f * noisy(x + 50, y, c) + 0.03f;
}

static struct us_value *crop_of(us_test_sample sample, const char *encoding, bool found) {
    struct us_window window = {0, 0, 99, 99};
    struct us_crop_info info = {.found = found,
                                .matrix = {1, 0, 0, 0, 1, 0},
                                .plate_data_window = window,
                                .plate_display_window = window};
    strcpy(info.encoding, encoding);
    strcpy(info.coverage, "full");
    return us_value_from_image(us_test_crop(SIZE, &info, sample));
}

struct shot {
    struct us_value *swaps[FRAMES], *faces[FRAMES];
};

static struct us_value *match(const struct shot *shot, const char *method, int now, int device) {
    struct us_task *task = us_fake_create(&us_node_color_match);
    us_fake_device(task, device);
    us_fake_text(task, "method", method);
    us_fake_frame(task, (struct us_frame){0, 1001 + now});
    for (int i = 0; i < FRAMES; i++) {
        struct us_frame frame = {0, 1001 + i};
        us_fake_input(task, "swap", 0, frame, us_value_ref(shot->swaps[i]));
        us_fake_input(task, "faces", 0, frame, us_value_ref(shot->faces[i]));
    }
    ASSERT_OK(us_fake_run(task));
    assert_string_equal(us_fake_warnings(task), "");
    struct us_value *made = us_value_ref(us_fake_output(task, "image"));
    us_fake_destroy(task);
    return made;
}

static struct shot make_shot(const char *encoding) {
    struct shot shot;
    for (int i = 0; i < FRAMES; i++) {
        shot.swaps[i] = crop_of(noisy, encoding, true);
        shot.faces[i] = crop_of(other, encoding, i != 1);
    }
    return shot;
}

static void drop_shot(struct shot *shot) {
    for (int i = 0; i < FRAMES; i++) {
        us_value_unref(shot->swaps[i]);
        us_value_unref(shot->faces[i]);
    }
}

static void bits_are_the_processors(void **state) {
    (void)state;
    us_gpu_use(api);
    const char *const methods[] = {"mean", "reinhard", "mkl"};
    for (int i = 0; i < 6; i++) {
        struct shot shot = make_shot(i < 3 ? "log" : "linear");
        struct us_value *here = match(&shot, methods[i % 3], 0, -1);
        struct us_value *there = match(&shot, methods[i % 3], 0, 0);
        assert_true(us_digest_equal(&here->digest, &there->digest));
        assert_false(us_digest_equal(&here->digest, &shot.swaps[0]->digest));
        us_value_unref(here);
        us_value_unref(there);
        drop_shot(&shot);
    }
}

static void crops_go_up_once(void **state) {
    (void)state;
    us_gpu_use(api);
    struct us_cuda_frame_stats before, after;
    struct shot shot = make_shot("log");
    api->stats(0, &before);
    for (int i = 0; i < FRAMES; i++) {
        us_value_unref(match(&shot, "mean", i, 0));
    }
    api->stats(0, &after);
    size_t crops = 2 * 2 + 1; /* the middle frame's face was not found: only its swap goes up */
    size_t bytes = (4 * crops - 1) * SIZE * SIZE * sizeof(float);
    assert_int_equal(after.bytes_up - before.bytes_up, bytes);
    drop_shot(&shot);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_are_the_processors),
                                       cmocka_unit_test(crops_go_up_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
