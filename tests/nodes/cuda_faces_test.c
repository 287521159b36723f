/* Detection and landmarks on a device (emulated): the networks give the processor's bits, whole
 * batches too, and the nodes find the same faces. */
#include "nodes/face/tflite_device.h"
#include "nodes/face/weights.h"
#include "tests/support/check.h"
#include "tests/support/face_fixture.h"
#include "tests/support/fake_task.h"

#include <math.h>
#include <string.h>

#include "kernels/cuda/frame_internal.h"
#include "runtime/base/mem.h"

extern const struct us_node_type us_node_face_detect, us_node_face_align;

static const struct us_frame frame = {0, 1001};
static const struct us_cuda_frame_api *const api = &us_cuda_frame_table;

static void fill(float *input, size_t count, uint32_t seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        input[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
}

static void compare_network(enum us_weights which) {
    enum { IMAGES = 3 };
    const struct us_tflite *model;
    const struct us_cuda_net *net;
    struct us_gpu gpu;
    int32_t shape[3];
    ASSERT_OK(us_weights_load(which, &model));
    us_tflite_input_shape(model, shape);
    size_t floats = us_tflite_memory(model), inputs = (size_t)(shape[0] * shape[1] * shape[2]);
    float *memory = us_calloc(IMAGES * floats, sizeof *memory);
    float *back = us_malloc(IMAGES * floats * sizeof *back);
    void *there;
    for (uint32_t i = 0; i < IMAGES; i++) {
        fill(us_tflite_input(model, memory + i * floats), inputs, 7 + i);
    }
    ASSERT_OK(us_gpu_open(0, &gpu));
    ASSERT_OK(us_gpu_take(&gpu, IMAGES * floats * sizeof *memory, &there));
    api->up(gpu.frame, there, memory, IMAGES * floats * sizeof *memory);
    ASSERT_OK(us_tflite_on_device(model, &gpu, &net));
    api->net_run(gpu.frame, net, there, IMAGES);
    struct us_cuda_piece piece = {there, back, IMAGES * floats * sizeof *back};
    ASSERT_OK(us_gpu_down(&gpu, &piece, 1));
    ASSERT_OK(us_gpu_close(&gpu, NULL));
    for (size_t i = 0; i < IMAGES; i++) {
        us_tflite_run(model, memory + i * floats);
        for (size_t k = 0; k < us_tflite_output_count(model); k++) {
            assert_memory_equal(us_tflite_output(model, back + i * floats, k),
                                us_tflite_output(model, memory + i * floats, k),
                                us_tflite_output_size(model, k) * sizeof(float));
        }
    }
    us_free(memory);
    us_free(back);
}

static void networks_give_the_same_bits(void **state) {
    (void)state;
    us_test_need_weights();
    us_gpu_use(api);
    for (enum us_weights which = 0; which < US_WEIGHTS_COUNT; which++) {
        compare_network(which);
    }
}

static struct us_value *run_node(const struct us_node_type *type, struct us_value *image,
                                 struct us_value *found, int device) {
    struct us_task *task = us_fake_create(type);
    us_fake_device(task, device);
    us_fake_input(task, "image", 0, frame, us_value_ref(image));
    if (found) {
        us_fake_input(task, "faces", 0, frame, us_value_ref(found));
    } else {
        us_fake_number(task, "levels", 2);
        us_fake_number(task, "search_all", 1);
    }
    ASSERT_OK(us_fake_run(task));
    struct us_value *value = us_value_ref(us_fake_output(task, "faces"));
    us_fake_destroy(task);
    return value;
}

static void assert_same_text(const struct us_value *a, const struct us_value *b) {
    struct us_faces faces;
    ASSERT_OK(us_faces_read(b->bytes, b->size, &faces));
    assert_int_equal(faces.count, 1);
    us_faces_finish(&faces);
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->bytes, b->bytes, b->size);
}

/* The plate goes up once for both nodes. */
static void nodes_find_the_same_faces(void **state) {
    (void)state;
    us_test_need_weights();
    us_gpu_use(api);
    struct us_window window = {310, -126, 669, 161};
    struct us_image *image = us_test_face_image(window, 480, -6, 55, 3);
    struct us_value *value = us_value_from_image(image);
    struct us_cuda_frame_stats before, after;
    struct us_value *here = run_node(&us_node_face_detect, value, NULL, -1);
    api->stats(0, &before);
    struct us_value *there = run_node(&us_node_face_detect, value, NULL, 0);
    assert_same_text(there, here);
    struct us_value *posed_here = run_node(&us_node_face_align, value, here, -1);
    struct us_value *posed_there = run_node(&us_node_face_align, value, here, 0);
    assert_same_text(posed_there, posed_here);
    api->stats(0, &after);
    assert_int_equal(after.bytes_up - before.bytes_up, 360 * 288 * 3 * sizeof(float));
    us_value_unref(here);
    us_value_unref(there);
    us_value_unref(posed_here);
    us_value_unref(posed_there);
    us_value_unref(value);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(networks_give_the_same_bits),
                                       cmocka_unit_test(nodes_find_the_same_faces)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
