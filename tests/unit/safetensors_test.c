#include "nodes/learn/safetensors.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/support/check.h"

static uint8_t *file_of(const char *json, size_t data, size_t *size) {
    const size_t length = strlen(json);
    *size = 8 + length + data;
    uint8_t *bytes = us_calloc(1, *size + 1);
    for (size_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)((uint64_t)length >> 8 * i);
    }
    memcpy(bytes + 8, json, length);
    return bytes;
}

static void refused(const char *json, size_t data, const char *message) {
    size_t size;
    uint8_t *bytes = file_of(json, data, &size);
    struct us_arrays *arrays;
    ASSERT_ERROR(us_arrays_parse(bytes, size, &arrays), message);
    assert_null(arrays);
    us_free(bytes);
}

static void what_is_printed_is_parsed_back(void **state) {
    (void)state;
    const float weights[6] = {1, 2, 3, 4, 5, 6};
    const int64_t numbers[2] = {-7, 9};
    struct us_arrays *made = us_arrays_create(), *read;
    us_arrays_add(made, "a \"b\"", US_ARRAY_F32, 2, (int64_t[]){2, 3}, weights);
    us_arrays_add(made, "n", US_ARRAY_I64, 1, (int64_t[]){2}, numbers);
    us_arrays_set_text(made, "name", "J\xc3\xbcrgen");
    us_arrays_set_int(made, "steps", 20000);
    us_arrays_set_number(made, "loss", 0.125);
    uint8_t *bytes, *again;
    size_t size, again_size;
    ASSERT_OK(us_arrays_print(made, &bytes, &size));
    ASSERT_OK(us_arrays_parse(bytes, size, &read));
    assert_int_equal(us_arrays_count(read), 2);
    const struct us_array *array;
    ASSERT_OK(us_arrays_need(read, "a \"b\"", US_ARRAY_F32, 2, (int64_t[]){2, -1}, &array));
    assert_memory_equal(array->data, weights, sizeof weights);
    assert_int_equal((uintptr_t)array->data % 64, (uintptr_t)bytes % 64);
    assert_string_equal(us_arrays_text(read, "name"), "J\xc3\xbcrgen");
    int64_t steps;
    double loss;
    assert_true(us_arrays_int(read, "steps", &steps) && steps == 20000);
    assert_true(us_arrays_number(read, "loss", &loss) && loss == 0.125);
    assert_false(us_arrays_int(read, "name", &steps));
    ASSERT_OK(us_arrays_print(read, &again, &again_size));
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    us_arrays_destroy(made);
    us_arrays_destroy(read);
    us_free(bytes);
    us_free(again);
}

static void a_wrong_array_is_named(void **state) {
    (void)state;
    const uint8_t byte = 0;
    const struct us_array *array;
    struct us_arrays *arrays = us_arrays_create();
    us_arrays_add(arrays, "x", US_ARRAY_U8, 1, (int64_t[]){1}, &byte);
    ASSERT_ERROR(us_arrays_need(arrays, "y", US_ARRAY_U8, 1, (int64_t[]){1}, &array),
                 "the file has no array 'y'");
    ASSERT_ERROR(us_arrays_need(arrays, "x", US_ARRAY_F16, 2, (int64_t[]){4, -1}, &array),
                 "array 'x' is U8 [1], needed is F16 [4, any]");
    us_arrays_destroy(arrays);
}

#define ENTRY(name, shape, from, to) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void hostile_files_are_refused(void **state) {
    (void)state;
    refused("[]", 0, "its header is no mapping");
    refused("{", 0, "its header is no JSON");
    refused("{" ENTRY("a", "[4]", "0", "4") "}", 2, "array 'a' lies outside the file");
    refused("{" ENTRY("a", "[4]", "0", "2") "}", 4, "has another size than its shape says");
    refused("{" ENTRY("a", "[4]", "-4", "0") "}", 4, "lies outside the file");
    refused("{" ENTRY("a", "[-4]", "0", "4") "}", 4, "has an impossible shape");
    refused("{" ENTRY("a", "[4294967296,4294967296]", "0", "0") "}", 0, "has an impossible shape");
    refused("{" ENTRY("a", "[1,1,1,1,1,1,4]", "0", "4") "}", 4, "at most 6 numbers");
    refused("{" ENTRY("a", "[4]", "0", "4") "," ENTRY("b", "[4]", "2", "6") "}", 6, "overlaps");
    refused("{" ENTRY("a", "[4]", "0", "4") "," ENTRY("b", "[4]", "5", "9") "}", 9, "hole");
    refused("{" ENTRY("a", "[4]", "0", "4") "," ENTRY("a", "[4]", "4", "8") "}", 8, "duplicate");
    refused("{" ENTRY("a", "[4]", "0", "4") "}", 5, "bytes follow its last array");
    refused("{\"a\":3}", 0, "array 'a' has no dtype");
    refused("{\"a\":{\"dtype\":\"F8\"}}", 0, "has dtype 'F8', allowed F16");
    refused("{\"__metadata__\":{\"a\":1}}", 0, "a value that is no text");
    refused("{\"__metadata__\":[]}", 0, "its __metadata__ is no mapping");
    struct us_arrays *arrays;
    const uint8_t huge[9] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, '{'};
    ASSERT_ERROR(us_arrays_parse(huge, sizeof huge, &arrays), "its header is cut off");
    ASSERT_ERROR(us_arrays_parse(huge, 3, &arrays), "its header is cut off");
}

/* Every cut and every flipped byte of a small file ends in a result or an error, never a crash. */
static void no_damage_crashes(void **state) {
    (void)state;
    const float weights[4] = {1, 2, 3, 4};
    struct us_arrays *made = us_arrays_create(), *read;
    us_arrays_add(made, "w", US_ARRAY_F32, 2, (int64_t[]){2, 2}, weights);
    us_arrays_set_text(made, "k", "v");
    uint8_t *bytes;
    size_t size, refusals = 0;
    ASSERT_OK(us_arrays_print(made, &bytes, &size));
    us_arrays_destroy(made);
    for (size_t i = 0; i < size; i++) {
        for (int flip = 0; flip < 8; flip++) {
            uint8_t *copy = us_malloc(size); /* its own block: a sanitizer sees a read beyond */
            memcpy(copy, bytes, size);
            copy[i] ^= (uint8_t)(1 << flip);
            struct us_error *error = us_arrays_parse(copy, size, &read);
            refusals += error != NULL;
            us_error_free(error);
            us_arrays_destroy(read);
            us_free(copy);
        }
        ASSERT_ERROR(us_arrays_parse(bytes, i, &read), "damaged");
    }
    assert_true(refusals > size);
    us_free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_is_parsed_back),
        cmocka_unit_test(a_wrong_array_is_named),
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(no_damage_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
