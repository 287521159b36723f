/* Colours out of luminance and chroma. */
#include "runtime/base/mem.h"
#include "runtime/image/image.h"
#include "tests/support/check.h"

static struct us_image *chroma(struct us_window window) {
    struct us_image *image = us_image_create(window, window);
    struct us_channel *channel;
    ASSERT_OK(us_image_add_channel(image, "Y", US_FLOAT, &channel));
    for (int32_t i = 0; i < channel->width * channel->height; i++) {
        ((float *)channel->data)[i] = 0.5f;
    }
    for (int c = 0; c < 2; c++) {
        ASSERT_OK(us_image_add_sampled_channel(image, c ? "BY" : "RY", US_FLOAT, 2, 2, &channel));
        for (int32_t i = 0; i < channel->width * channel->height; i++) {
            ((float *)channel->data)[i] = c ? 1 : -1;
        }
    }
    return image;
}

static void expect(struct us_window window, float r, float b) {
    struct us_image *image = chroma(window);
    struct us_view planes[3];
    ASSERT_OK(us_image_rgb(image, "", planes));
    for (int32_t y = 0; y < planes[0].height; y++) {
        for (int32_t x = 0; x < planes[0].width; x++) {
            assert_true(us_view_row(planes[0], y)[x] == r);
            assert_true(us_view_row(planes[2], y)[x] == b);
        }
    }
    us_free(planes[0].data);
    us_image_unref(image);
}

static void chroma_is_spread_over_its_pixels(void **state) {
    (void)state;
    expect((struct us_window){0, 0, 3, 3}, 0, 1);
    expect((struct us_window){-3, -5, 2, 1}, 0, 1);
}

/* Samples lie at even coordinates only. */
static void windows_without_a_chroma_sample_are_gray(void **state) {
    (void)state;
    expect((struct us_window){0, 1, 3, 1}, 0.5f, 0.5f);
    expect((struct us_window){1, 0, 1, 3}, 0.5f, 0.5f);
    expect((struct us_window){-1, -1, -1, -1}, 0.5f, 0.5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chroma_is_spread_over_its_pixels),
        cmocka_unit_test(windows_without_a_chroma_sample_are_gray),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
