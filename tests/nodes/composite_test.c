#include "tests/support/check.h"

#include <math.h>
#include <string.h>

#include "kernels/encoding.h"
#include "nodes/registry.h"
#include "runtime/base/mem.h"
#include "tests/support/fake_task.h"
#include "tests/support/pictures.h"

extern const struct us_node_type us_node_composite;

enum { SIZE = 40 };

static const struct us_window data = {-8, 4, 111, 83}, display = {0, 0, 127, 95};
static const struct us_frame frame = {0, 1001};

static float plate_sample(int x, int y, int c) {
    return 0.2f + 0.1f * (float)c + 0.05f * sinf((float)x * 0.3f) + 0.002f * (float)y;
}

static float flat_plate(int x, int y, int c) {
    (void)x, (void)y;
    return 0.25f + 0.125f * (float)c;
}

static float encoded(float light) {
    float out;
    us_log_encode(&light, &out, 1);
    return out;
}

/* Light of 8, 4 and 2: above 1. The matte is the crop's inner part. */
static float swap_sample(int x, int y, int c) {
    if (c == 3) {
        return x >= 8 && x < 32 && y >= 8 && y < 32 ? 1.0f : 0.0f;
    }
    return encoded(8.0f / (float)(1 << c));
}

static float all_white(int x, int y, int c) {
    (void)x, (void)y, (void)c;
    return 1.0f;
}

static float nothing(int x, int y, int c) {
    (void)x, (void)y, (void)c;
    return 0.0f;
}

static float left_half(int x, int y, int c) {
    (void)y, (void)c;
    return x < 50 ? 1.0f : 0.0f;
}

static struct us_crop_info info_at(double scale, double x, double y) {
    struct us_crop_info info = {.found = true,
                                .matrix = {scale, 0, -scale * x, 0, scale, -scale * y},
                                .plate_data_window = data,
                                .plate_display_window = display};
    strcpy(info.encoding, "log");
    strcpy(info.coverage, "full");
    return info;
}

static struct us_image *make_plate(us_test_sample sample) {
    struct us_image *plate = us_test_image(data, display);
    us_test_channel(plate, "R", US_HALF, sample, 0);
    us_test_channel(plate, "G", US_HALF, sample, 1);
    us_test_channel(plate, "B", US_HALF, sample, 2);
    us_test_channel(plate, "A", US_HALF, all_white, 0);
    us_test_channel(plate, "id", US_UINT, plate_sample, 9);
    us_image_set_string(plate, "owner", "somebody");
    return plate;
}

struct shot {
    struct us_task *task;
    struct us_image *plate;
};

static struct shot begin(us_test_sample sample, const struct us_crop_info *info) {
    struct shot shot = {us_fake_create(&us_node_composite), make_plate(sample)};
    us_fake_input(shot.task, "plate", 0, frame, us_value_from_image(us_image_ref(shot.plate)));
    us_fake_input(shot.task, "faces", 0, frame,
                  us_value_from_image(us_test_crop(SIZE, info, swap_sample)));
    us_fake_input(shot.task, "swap", 0, frame,
                  us_value_from_image(us_test_crop(SIZE, info, swap_sample)));
    us_fake_number(shot.task, "grain", 0);
    return shot;
}

static void end(struct shot *shot) {
    us_fake_destroy(shot->task);
    us_image_unref(shot->plate);
}

static const struct us_image *result(const struct shot *shot) {
    return us_fake_output(shot->task, "image")->image;
}

/* Bits of every plate channel wherever matte.A is 0; returns how many pixels it is not. */
static int assert_untouched(const struct shot *shot) {
    const struct us_image *out = result(shot);
    int touched = 0;
    size_t count = (size_t)us_window_width(&data) * (size_t)us_window_height(&data);
    const uint16_t *matte = us_image_channel(out, "matte.A")->data;
    for (size_t c = 0; c < shot->plate->channel_count; c++) {
        const struct us_channel *from = &shot->plate->channels[c];
        const struct us_channel *to = us_image_channel(out, from->name);
        size_t size = us_sample_size(from->sample);
        assert_true(to && to->sample == from->sample);
        for (size_t i = 0; i < count; i++) {
            bool same = !memcmp((char *)from->data + i * size, (char *)to->data + i * size, size);
            assert_true(matte[i] || same);
            touched += c == 0 && matte[i];
        }
    }
    return touched;
}

static void face_comes_back_where_it_was(void **state) {
    (void)state;
    struct us_crop_info info = info_at(1.0, 30, 20);
    struct shot shot = begin(plate_sample, &info);
    us_fake_number(shot.task, "erode_px", 0);
    us_fake_number(shot.task, "feather_px", 0);
    ASSERT_OK(us_fake_run(shot.task));
    const struct us_image *out = result(&shot);
    assert_int_equal(assert_untouched(&shot), 24 * 24);
    for (int c = 0; c < 3; c++) {
        const char *name = c == 0 ? "R" : c == 1 ? "G" : "B";
        float light = 8.0f / (float)(1 << c);
        ASSERT_NEAR((double)us_test_at(out, name, 40, 30), (double)light, 0.004);
        ASSERT_NEAR((double)us_test_at(out, name, 38, 28), (double)light, 0.004);
        float plate = us_test_at(shot.plate, name, 37, 28);
        assert_true(us_test_at(out, name, 37, 28) == plate);
    }
    ASSERT_NEAR((double)us_test_at(out, "swap.R", 31, 21), 8.0, 0.01);
    assert_true(us_test_at(out, "swap.R", 29, 21) == 0.0f);
    char *owner = us_image_get_string(out, "owner");
    assert_string_equal(owner, "somebody");
    us_free(owner);
    assert_true(us_window_equal(&out->data_window, &data));
    end(&shot);
}

/* A NaN's payload, minus zero and infinity lie in the footprint but not under the matte. */
static void odd_bits_stay(void **state) {
    (void)state;
    static const uint16_t odd[] = {0xfd55, 0x8000, 0x7c00, 0x0001};
    struct us_crop_info info = info_at(1.0, 30, 20);
    struct shot shot = {us_fake_create(&us_node_composite), make_plate(plate_sample)};
    uint16_t *red = us_image_channel(shot.plate, "R")->data;
    for (int i = 0; i < 4; i++) {
        red[(22 - data.y_min) * us_window_width(&data) + 33 + i - data.x_min] = odd[i];
    }
    us_fake_input(shot.task, "plate", 0, frame, us_value_from_image(us_image_ref(shot.plate)));
    for (int i = 0; i < 2; i++) {
        us_fake_input(shot.task, i ? "faces" : "swap", 0, frame,
                      us_value_from_image(us_test_crop(SIZE, &info, swap_sample)));
    }
    ASSERT_OK(us_fake_run(shot.task));
    assert_true(assert_untouched(&shot) > 0);
    end(&shot);
}

static void sub_pixel_turned_and_soft(void **state) {
    (void)state;
    struct us_crop_info info = info_at(0.7, 41.3, 17.8);
    double turn[6] = {0.8, -0.6, 3, 0.6, 0.8, -21};
    us_affine_compose(info.matrix, turn, info.matrix);
    struct shot shot = begin(flat_plate, &info);
    us_fake_text(shot.task, "aovs", "all");
    ASSERT_OK(us_fake_run(shot.task));
    const struct us_image *out = result(&shot);
    assert_true(assert_untouched(&shot) > 500);
    int checked = 0;
    for (int y = data.y_min; y <= data.y_max; y += 3) {
        for (int x = data.x_min; x <= data.x_max; x += 3) {
            float m = us_test_at(out, "matte.A", x, y);
            float wanted = 0.25f + m * (8.0f - 0.25f);
            ASSERT_NEAR((double)us_test_at(out, "R", x, y), (double)wanted, 0.01);
            double u, v;
            us_affine_apply(info.matrix, x + 0.5, y + 0.5, &u, &v);
            if (m > 0.0f) {
                ASSERT_NEAR((double)us_test_at(out, "st.x", x, y), u / SIZE, 1e-6);
                ASSERT_NEAR((double)us_test_at(out, "st.y", x, y), 1.0 - v / SIZE, 1e-6);
                checked += m < 1.0f;
            }
        }
    }
    assert_true(checked > 10);
    end(&shot);
}

static int area_with(const char *param, double value, const char *text) {
    struct us_crop_info info = info_at(1.0, 30, 20);
    struct shot shot = begin(plate_sample, &info);
    us_fake_number(shot.task, "erode_px", 0);
    us_fake_number(shot.task, "feather_px", 0);
    if (text) {
        us_fake_text(shot.task, param, text);
    } else {
        us_fake_number(shot.task, param, value);
    }
    ASSERT_OK(us_fake_run(shot.task));
    int area = assert_untouched(&shot);
    end(&shot);
    return area;
}

static void parameters_shape_the_mask(void **state) {
    (void)state;
    assert_int_equal(area_with("erode_px", 3, NULL), 18 * 18);
    assert_true(area_with("erode_px", -2, NULL) > 24 * 24);
    assert_true(area_with("feather_px", 8, NULL) > 28 * 28);
    assert_int_equal(area_with("opacity", 0, NULL), 0);
    assert_int_equal(area_with("mask", 0, "landmarks"), 24 * 24);
    assert_int_equal(area_with("mask", 0, "product"), 24 * 24);
    assert_int_equal(area_with("mask", 0, "none"), SIZE * SIZE);
}

static struct us_value *artist(us_test_sample sample) {
    struct us_image *image = us_test_image((struct us_window){0, 0, 127, 95}, display);
    us_test_channel(image, "A", US_FLOAT, sample, 0);
    return us_value_from_image(image);
}

static int area_with_artist(const char *port, const char *use) {
    struct us_crop_info info = info_at(1.0, 30, 20);
    struct shot shot = begin(plate_sample, &info);
    us_fake_number(shot.task, "erode_px", 0);
    us_fake_number(shot.task, "feather_px", 0);
    us_fake_text(shot.task, "matte_use", use);
    us_fake_input(shot.task, port, 0, frame, artist(left_half));
    ASSERT_OK(us_fake_run(shot.task));
    int area = assert_untouched(&shot);
    end(&shot);
    return area;
}

static void artist_mattes_count(void **state) {
    (void)state;
    assert_int_equal(area_with_artist("matte", "multiply"), 12 * 24);
    assert_int_equal(area_with_artist("matte", "replace"), 20 * SIZE);
    assert_int_equal(area_with_artist("holdout", "multiply"), 12 * 24);
}

static void missing_face_follows_the_policy(void **state) {
    (void)state;
    struct us_crop_info info = info_at(1.0, 30, 20);
    info.found = false;
    struct shot shot = begin(plate_sample, &info);
    ASSERT_ERROR(us_fake_run(shot.task), "there is no face in this frame try: set on_missing");
    us_fake_text(shot.task, "on_missing", "plate");
    ASSERT_OK(us_fake_run(shot.task));
    assert_int_equal(assert_untouched(&shot), 0);
    assert_non_null(us_image_channel(result(&shot), "swap.G"));
    end(&shot);
}

static void bad_inputs_are_named(void **state) {
    (void)state;
    struct us_crop_info info = info_at(1.0, 30, 20);
    info.plate_data_window.x_max = 99;
    struct shot shot = begin(plate_sample, &info);
    ASSERT_ERROR(us_fake_run(shot.task), "the plate's data window is (-8, 4)-(111, 83), but its "
                                         "face was cropped from (-8, 4)-(99, 83)");
    end(&shot);
    info = info_at(0.0, 30, 20);
    shot = begin(plate_sample, &info);
    ASSERT_ERROR(us_fake_run(shot.task), "matrix has no inverse");
    end(&shot);
    info = info_at(NAN, 30, 20);
    shot = begin(plate_sample, &info);
    ASSERT_ERROR(us_fake_run(shot.task), "matrix has no inverse");
    end(&shot);
    info = info_at(1.0, 1e7, 20);
    shot = begin(plate_sample, &info);
    ASSERT_OK(us_fake_run(shot.task));
    assert_non_null(strstr(us_fake_warnings(shot.task), "outside the plate"));
    assert_int_equal(assert_untouched(&shot), 0);
    end(&shot);
    shot = (struct shot){us_fake_create(&us_node_composite), make_plate(plate_sample)};
    us_fake_input(shot.task, "plate", 0, frame, us_value_from_image(us_image_ref(shot.plate)));
    for (int i = 0; i < 2; i++) {
        info = info_at(1.0, 30 + i, 20);
        us_fake_input(shot.task, i ? "faces" : "swap", 0, frame,
                      us_value_from_image(us_test_crop(SIZE, &info, swap_sample)));
    }
    ASSERT_ERROR(us_fake_run(shot.task), "the swap lies elsewhere than the crop of 'faces'");
    end(&shot);
    info = info_at(1.0, 30, 20);
    strcpy(info.encoding, "gamma");
    shot = begin(plate_sample, &info);
    ASSERT_ERROR(us_fake_run(shot.task), "unknown encoding 'gamma'; known are log and linear");
    end(&shot);
}

static void plates_without_colour_are_refused(void **state) {
    (void)state;
    struct us_crop_info info = info_at(1.0, 30, 20);
    struct us_task *task = us_fake_create(&us_node_composite);
    struct us_image *plate = us_test_image(data, display);
    us_test_channel(plate, "Y", US_HALF, plate_sample, 0);
    us_fake_input(task, "plate", 0, frame, us_value_from_image(plate));
    for (int i = 0; i < 2; i++) {
        us_fake_input(task, i ? "faces" : "swap", 0, frame,
                      us_value_from_image(us_test_crop(SIZE, &info, swap_sample)));
    }
    ASSERT_ERROR(us_fake_run(task), "no full-resolution R, G and B of type half or float");
    us_fake_destroy(task);
}

static void taken_names_are_prefixed(void **state) {
    (void)state;
    struct us_crop_info info = info_at(1.0, 30, 20);
    struct shot shot = begin(plate_sample, &info);
    us_test_channel(shot.plate, "matte.A", US_FLOAT, nothing, 0);
    ASSERT_OK(us_fake_run(shot.task));
    const struct us_image *out = result(&shot);
    assert_true(us_test_at(out, "matte.A", 50, 40) == 0.0f);
    assert_true(us_test_at(out, "understudy.matte.A", 50, 40) == 1.0f);
    assert_null(us_image_channel(out, "swap.R"));
    end(&shot);
}

static float noisy_plate(int x, int y, int c) {
    uint32_t h = (uint32_t)x * 73856093u ^ (uint32_t)y * 19349663u ^ (uint32_t)c * 83492791u;
    h = (h ^ (h >> 15)) * 2246822519u;
    h = (h ^ (h >> 13)) * 3266489917u;
    float n = (float)((h ^ (h >> 16)) & 0xffffff) / 16777216.0f - 0.5f;
    return 0.25f * expf(n * 0.4f);
}

/* Mean square difference of neighbours inside the face, in stops. */
static double roughness(const struct us_image *image) {
    double sum = 0;
    for (int y = 35; y < 45; y++) {
        for (int x = 45; x < 55; x++) {
            double d = log2((double)us_test_at(image, "R", x, y)) -
                       log2((double)us_test_at(image, "R", x + 1, y));
            sum += d * d / 100;
        }
    }
    return sum;
}

static void grain_is_brought_back(void **state) {
    (void)state;
    struct us_crop_info info = info_at(1.0, 30, 20);
    struct us_digest digest = {{0}};
    double rough[3];
    for (int pass = 0; pass < 3; pass++) {
        struct shot shot = begin(noisy_plate, &info);
        us_fake_number(shot.task, "grain", pass ? 1 : 0);
        ASSERT_OK(us_fake_run(shot.task));
        rough[pass] = roughness(result(&shot));
        struct us_digest now = us_image_digest(result(&shot));
        assert_true(pass < 2 || us_digest_equal(&now, &digest));
        digest = now;
        assert_true(assert_untouched(&shot) > 0);
        if (pass == 1) {
            double plate = roughness(shot.plate);
            assert_true(rough[1] > 0.5 * plate && rough[1] < 1.6 * plate);
        }
        end(&shot);
    }
    assert_true(rough[0] < 1e-6 && rough[1] == rough[2]);
}

/* Float plates keep light above half's range, half plates saturate; broken samples do no harm. */
static float broken_swap(int x, int y, int c) {
    return c == 3 ? 1.0f : x == 20 && y == 20 ? NAN : x < 10 ? 1e30f : encoded(1.0f);
}

static void broken_swaps_keep_the_plate(void **state) {
    (void)state;
    struct us_crop_info info = info_at(1.0, 30, 20);
    struct shot shot = {us_fake_create(&us_node_composite), make_plate(plate_sample)};
    us_fake_input(shot.task, "plate", 0, frame, us_value_from_image(us_image_ref(shot.plate)));
    for (int i = 0; i < 2; i++) {
        us_fake_input(shot.task, i ? "faces" : "swap", 0, frame,
                      us_value_from_image(us_test_crop(SIZE, &info, broken_swap)));
    }
    ASSERT_OK(us_fake_run(shot.task));
    for (int y = data.y_min; y <= data.y_max; y++) {
        for (int x = data.x_min; x <= data.x_max; x += 7) {
            assert_true(isfinite(us_test_at(result(&shot), "G", x, y)));
        }
    }
    end(&shot);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(face_comes_back_where_it_was),
        cmocka_unit_test(odd_bits_stay),
        cmocka_unit_test(sub_pixel_turned_and_soft),
        cmocka_unit_test(parameters_shape_the_mask),
        cmocka_unit_test(artist_mattes_count),
        cmocka_unit_test(missing_face_follows_the_policy),
        cmocka_unit_test(bad_inputs_are_named),
        cmocka_unit_test(plates_without_colour_are_refused),
        cmocka_unit_test(taken_names_are_prefixed),
        cmocka_unit_test(grain_is_brought_back),
        cmocka_unit_test(broken_swaps_keep_the_plate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
