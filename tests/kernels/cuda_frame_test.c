/* A line of work on a device: what goes up comes down, memory is found again, trouble is told. */
#include "tests/kernels/cuda_image_check.h"

#include "kernels/cuda/frame_internal.h"
#include "kernels/cuda/self_test_internal.h"
#include "kernels/encoding.h"

static const struct us_cuda_frame_api *const api = &us_cuda_frame_table;

static struct us_cuda_frame *opened(void) {
    struct us_cuda_frame *frame;
    assert_int_equal(api->open(0, &frame), US_NN_OK);
    return frame;
}

static void pixels_go_up_and_come_down(void **state) {
    (void)state;
    const size_t count = 3500001; /* more than two stages, and no multiple of one */
    float *in = malloc(count * sizeof *in), *out = calloc(count, sizeof *out), small[3];
    uint32_t seed = 3;
    for (size_t i = 0; i < count; i++) {
        in[i] = noise_of(&seed);
    }
    struct us_cuda_frame_stats before, after;
    api->stats(0, &before);
    struct us_cuda_frame *frame = opened();
    float *there = api->take(frame, count * sizeof *in), *copy = api->take(frame, sizeof small);
    api->up(frame, there, in, count * sizeof *in);
    api->log_encode(there + 5, copy, 3, api->stream(frame));
    struct us_cuda_piece pieces[] = {{there, out, count * sizeof *in}, {copy, small, sizeof small}};
    assert_int_equal(api->down(frame, pieces, 2), US_NN_OK);
    assert_memory_equal(in, out, count * sizeof *in);
    us_log_encode(in + 5, out, 3);
    assert_memory_equal(small, out, sizeof small);
    assert_int_equal(api->close(frame), US_NN_OK);
    api->stats(0, &after);
    assert_int_equal(after.bytes_up - before.bytes_up, count * sizeof *in);
    assert_int_equal(after.bytes_down - before.bytes_down, count * sizeof *in + sizeof small);
    assert_int_equal(after.transfers_up - before.transfers_up, 1);
    assert_int_equal(after.transfers_down - before.transfers_down, 2);
    free(in);
    free(out);
}

static void blocks_are_found_again(void **state) {
    (void)state;
    struct us_cuda_frame *frame = opened();
    void *mine = api->take(frame, 5000), *other = api->take(frame, 5000);
    assert_ptr_not_equal(mine, other);
    api->keep(frame, mine);
    assert_int_equal(api->close(frame), US_NN_OK);
    frame = opened();
    assert_ptr_equal(api->take(frame, 4999), other);
    assert_ptr_not_equal(api->take(frame, 5000), mine);
    api->release(0, mine, 5000);
    assert_ptr_equal(api->take(frame, 5000), mine);
    assert_int_equal(api->close(frame), US_NN_OK);
}

/* Memory that is full of spares is emptied before a block is refused. */
static void full_memory_is_told(void **state) {
    (void)state;
    struct us_cuda_frame *frame = opened();
    assert_non_null(api->take(frame, (size_t)3 << 20));
    assert_int_equal(api->close(frame), US_NN_OK);
    us_emulation_set_memory(us_emulation_used() + ((size_t)1 << 20));
    frame = opened();
    assert_non_null(api->take(frame, (size_t)4 << 20));
    assert_null(api->take(frame, (size_t)64 << 20));
    assert_non_null(strstr(api->problem(), "memory"));
    assert_int_equal(api->close(frame), US_NN_OK);
    us_emulation_set_memory(0);
}

static void what_is_no_device_is_refused(void **state) {
    (void)state;
    struct us_cuda_frame *frame;
    assert_int_equal(api->open(-1, &frame), US_NN_FAILED);
    assert_int_equal(api->open(63, &frame), US_NN_FAILED);
    assert_non_null(strstr(api->problem(), "device"));
}

static void errors_are_kept_until_asked(void **state) {
    (void)state;
    struct us_cuda_frame *frame = opened();
    float value = 1, *there = api->take(frame, sizeof value);
    api->up(frame, NULL, &value, sizeof value);
    api->up(frame, there, &value, sizeof value);
    struct us_cuda_piece piece = {there, &value, sizeof value};
    assert_int_equal(api->down(frame, &piece, 1), US_NN_FAILED);
    assert_int_equal(api->down(frame, NULL, 0), US_NN_OK);
    assert_int_equal(api->close(frame), US_NN_OK);
}

static void count_report(void *context, const char *name, const char *error) {
    int *counts = context;
    counts[error != NULL]++;
    if (error) {
        print_error("%s: %s\n", name, error);
    }
}

static void the_self_test_passes_here(void **state) {
    (void)state;
    int counts[2] = {0};
    assert_int_equal(frame_self_test(0, count_report, counts), 0);
    assert_int_equal(counts[0], 12);
    assert_int_equal(counts[1], 0);
    assert_int_equal(frame_self_test(9, count_report, counts), 1);
    assert_int_equal(counts[1], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pixels_go_up_and_come_down),
                                       cmocka_unit_test(blocks_are_found_again),
                                       cmocka_unit_test(full_memory_is_told),
                                       cmocka_unit_test(what_is_no_device_is_refused),
                                       cmocka_unit_test(errors_are_kept_until_asked),
                                       cmocka_unit_test(the_self_test_passes_here)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
