/* Copies of channels on devices: made once, found by all, ended with their channel or when there
 * are too many. The "device" is a counter. */
#include "runtime/image/device.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static int released;

static void release(int device, void *data, size_t bytes) {
    assert_int_equal(bytes, 64);
    assert_int_equal(*(int *)data, device);
    __atomic_add_fetch(&released, 1, __ATOMIC_SEQ_CST);
    free(data);
}

static struct us_device_block block_on(int device) {
    int *data = malloc(64);
    *data = device;
    return (struct us_device_block){device, data, 64, release};
}

static struct us_image *image_with(const char *const *names, int count) {
    struct us_window window = {0, 0, 3, 3};
    struct us_image *image = us_image_create(window, window);
    for (int i = 0; i < count; i++) {
        ASSERT_OK(us_image_add_channel(image, names[i], US_FLOAT, NULL));
    }
    return image;
}

static void make_copy(const struct us_channel *channel, int device) {
    struct us_device_block block = block_on(device);
    assert_null(us_device_pin(channel, device));
    us_device_put(channel, &block);
}

static void a_copy_lives_with_its_image(void **state) {
    (void)state;
    const char *const names[] = {"R", "Z"};
    struct us_image *image = image_with(names, 2);
    released = 0;
    make_copy(us_image_channel(image, "Z"), 0);
    make_copy(us_image_channel(image, "Z"), 1);
    ASSERT_OK(us_image_add_channel(image, "A", US_HALF, NULL)); /* moves Z */
    const struct us_channel *z = us_image_channel(image, "Z");
    void *found = us_device_pin(z, 1);
    assert_int_equal(*(int *)found, 1);
    assert_int_equal(us_device_used(0), 64);
    us_device_unpin(z, 1);
    us_device_unpin(z, 1);
    us_device_unpin(z, 0);
    assert_int_equal(released, 0);
    us_image_unref(image);
    assert_int_equal(released, 2);
    assert_int_equal(us_device_used(1), 0);
}

static void the_one_longest_unused_goes(void **state) {
    (void)state;
    const char *const names[] = {"R", "G", "B"};
    struct us_image *image = image_with(names, 3);
    const struct us_channel *b = &image->channels[0], *g = &image->channels[1];
    const struct us_channel *r = &image->channels[2];
    released = 0;
    us_device_set_limit(130);
    make_copy(b, 0);
    make_copy(g, 0);
    us_device_unpin(b, 0);
    us_device_unpin(g, 0);
    assert_non_null(us_device_pin(b, 0)); /* now g is the older, and b pinned */
    make_copy(r, 0);
    assert_int_equal(released, 1);
    assert_null(us_device_pin(g, 0));
    us_device_give_up(g, 0);
    us_device_set_limit(10);
    us_device_unpin(r, 0);
    assert_int_equal(us_device_used(0), 64); /* the pinned one stays */
    us_device_unpin(b, 0);
    assert_int_equal(us_device_used(0), 0);
    us_device_set_limit((size_t)8 << 30);
    us_image_unref(image);
    assert_int_equal(released, 3);
}

static void *ask(void *context) {
    const struct us_channel *channel = context;
    void *data = us_device_pin(channel, 0);
    if (data) {
        us_device_unpin(channel, 0);
    } else {
        us_device_give_up(channel, 0);
    }
    return data;
}

static void who_asks_meanwhile_waits(void **state) {
    (void)state;
    const char *const names[] = {"R"};
    struct us_image *image = image_with(names, 1);
    struct us_device_block block = block_on(0);
    pthread_t thread;
    void *got;
    assert_null(us_device_pin(image->channels, 0));
    pthread_create(&thread, NULL, ask, image->channels);
    usleep(20000);
    us_device_put(image->channels, &block);
    pthread_join(thread, &got);
    assert_ptr_equal(got, block.data);
    us_device_unpin(image->channels, 0);
    us_image_unref(image);
    image = image_with(names, 1);
    assert_null(us_device_pin(image->channels, 0));
    pthread_create(&thread, NULL, ask, image->channels);
    usleep(20000);
    us_device_give_up(image->channels, 0);
    pthread_join(thread, &got);
    assert_null(got); /* it was its turn to make the copy */
    us_image_unref(image);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_copy_lives_with_its_image),
                                       cmocka_unit_test(the_one_longest_unused_goes),
                                       cmocka_unit_test(who_asks_meanwhile_waits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
