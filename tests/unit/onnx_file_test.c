#include "nodes/learn/onnx/file.h"

#include <string.h>

#include "nodes/learn/onnx/file_internal.h"
#include "nodes/learn/onnx/net.h"
#include "nodes/learn/onnx/protobuf.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"
#include "tests/support/onnx_builder.h"

static void numbers_of_every_length_come_back(void **state) {
    (void)state;
    static const int64_t numbers[] = {0, 1, 127, 128, 300, 1 << 20, INT64_MAX, -1, INT64_MIN};
    struct us_str out = {0};
    struct us_field field;
    for (size_t i = 0; i < 9; i++) {
        us_proto_put_int(&out, (uint32_t)i + 1, numbers[i]);
    }
    us_proto_put_float(&out, 20, 1.5f);
    struct us_proto message = us_proto_over((const uint8_t *)out.data, out.length);
    for (size_t i = 0; i < 9; i++) {
        assert_true(us_proto_next(&message, &field));
        assert_int_equal(field.number, i + 1);
        assert_true((int64_t)field.value == numbers[i]);
    }
    assert_true(us_proto_next(&message, &field) && field.value == 0x3fc00000);
    assert_false(us_proto_next(&message, &field));
    ASSERT_OK(us_proto_end(&message, "it"));
    us_str_finish(&out);
}

static void breaks(const char *bytes, size_t size) {
    struct us_proto message = us_proto_over((const uint8_t *)bytes, size);
    struct us_field field;
    while (us_proto_next(&message, &field)) {
    }
    ASSERT_ERROR(us_proto_end(&message, "the test"), "the file is damaged in the test");
}

static void bad_encodings_end_the_walk(void **state) {
    (void)state;
    breaks("\x08", 1);                                              /* no value */
    breaks("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12); /* eleven bytes */
    breaks("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11);     /* 65 bits */
    breaks("\x12\x05xyz", 5);                                       /* too short */
    breaks("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xyz", 14);  /* 2^64 - 1 bytes */
    breaks("\x0d\x01\x02\x03", 4);                                  /* three of four bytes */
    breaks("\x0b\x0c", 2);                                          /* a group */
    breaks("\x0e\x01", 2);                                          /* wire type 6 */
    breaks("\x00\x01", 2);                                          /* field 0 */
    breaks("\xf8\xff\xff\xff\xff\xff\x01\x01", 8);                  /* field above 2^29 */
}

static struct us_error *parse(uint8_t *bytes, size_t size) {
    struct us_onnx_file file = {0};
    struct us_error *error = us_onnx_file_parse(bytes, size, &file);
    us_onnx_file_finish(&file);
    us_free(bytes);
    return error;
}

static void a_model_is_read_whole(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = us_test_onnx_small(&size);
    struct us_onnx_file file = {0};
    assert_true(us_onnx_sniff(bytes, size));
    ASSERT_OK(us_onnx_file_parse(bytes, size, &file));
    assert_int_equal(file.opset, 13);
    assert_int_equal(file.node_count, 8);
    assert_int_equal(file.tensor_count, 7);
    assert_string_equal(file.producer, "test");
    assert_string_equal(file.nodes[0].op, "Conv");
    assert_int_equal(file.nodes[6].input_count, 4);
    assert_string_equal(file.nodes[6].inputs[1], "");
    const struct us_onnx_attribute *pads = us_onnx_attribute(&file.nodes[0], "pads");
    assert_true(pads && pads->integer_count == 4 && pads->integers[3] == 1);
    assert_true(file.inputs[0].shape.dims[0] == -1 && file.inputs[0].shape.dims[1] == 2);
    assert_true(!file.tensors[0].integer && file.tensors[0].count == 54);
    ASSERT_NEAR((double)((const float *)file.tensors[0].data)[3], 0, 0);
    ASSERT_NEAR((double)((const float *)file.tensors[0].data)[5], 0.25, 0);
    us_onnx_file_finish(&file);
    us_free(bytes);
}

/* One graph with one stored tensor made of the given fields. */
static struct us_error *tensor_of(struct us_str *tensor) {
    struct us_test_onnx net = {0};
    size_t size;
    us_proto_put_message(&net.graph, 5, tensor);
    us_str_finish(tensor);
    uint8_t *bytes = us_test_onnx_file(&net, 13, &size);
    return parse(bytes, size);
}

static struct us_str tensor(int64_t type, int64_t a, int64_t b, const char *raw, size_t size) {
    struct us_str out = {0};
    us_proto_put_int(&out, 1, a);
    us_proto_put_int(&out, 1, b);
    us_proto_put_int(&out, 2, type);
    us_proto_put_text(&out, 8, "t");
    us_proto_put_bytes(&out, 9, raw, size);
    return out;
}

static void stored_tensors_must_hold_what_they_say(void **state) {
    (void)state;
    struct us_str t = tensor(1, 2, 1, "12345678", 8);
    ASSERT_OK(tensor_of(&t));
    t = tensor(1, 2, 2, "12345678", 8);
    ASSERT_ERROR(tensor_of(&t), "stored tensor 't' because: it stores 2 values, its shape wants 4");
    t = tensor(1, 2, 1, "1234567", 7);
    ASSERT_ERROR(tensor_of(&t), "it stores 7 bytes in values of 4");
    t = tensor(1, INT64_MAX, INT64_MAX, "12345678", 8);
    ASSERT_ERROR(tensor_of(&t), "its shape is impossible");
    t = tensor(1, (int64_t)1 << 39, (int64_t)1 << 39, "12345678", 8);
    ASSERT_ERROR(tensor_of(&t), "its shape is impossible");
    t = tensor(1, -2, -1, "12345678", 8);
    ASSERT_ERROR(tensor_of(&t), "its shape is impossible");
    t = tensor(1, (int64_t)1 << 39, 1, "12345678", 8);
    ASSERT_ERROR(tensor_of(&t), "its shape wants 549755813888");
    t = tensor(8, 1, 1, "12345678", 8);
    ASSERT_ERROR(tensor_of(&t), "its values have type 8, known are float");
    t = tensor(1, 2, 1, "12345678", 8);
    us_proto_put_int(&t, 14, 1);
    ASSERT_ERROR(tensor_of(&t), "its values lie in another file");
    t = tensor(1, 2, 1, "12345678", 8);
    for (int i = 0; i < 9; i++) {
        us_proto_put_int(&t, 1, 1);
    }
    ASSERT_ERROR(tensor_of(&t), "it has 11 dimensions, at most 8 are known");
    t = tensor(1, 2, 1, "12345678", 8);
    us_proto_put_bytes(&t, 8, "a\0b", 3);
    ASSERT_ERROR(tensor_of(&t), "damaged in a name");
}

/* Eight dimensions fill the room there is; a ninth that breaks off must not be stored. */
static void a_list_that_breaks_off_stays_in_its_room(void **state) {
    (void)state;
    struct us_str t = {0};
    us_proto_put_bytes(&t, 1, "\1\1\1\1\1\1\1\2\xff", 9);
    us_proto_put_int(&t, 2, 1);
    us_proto_put_bytes(&t, 9, "12345678", 8);
    uint64_t dims[9];
    dims[8] = 77;
    struct us_proto message = us_proto_over((const uint8_t *)t.data, t.length);
    assert_int_equal(us_onnx_count_numbers(message, 1, US_WIRE_VARINT), 8);
    us_onnx_read_numbers(message, 1, US_WIRE_VARINT, dims);
    assert_true(dims[7] == 2 && dims[8] == 77);
    ASSERT_OK(tensor_of(&t));
}

static void what_is_no_model_is_refused(void **state) {
    (void)state;
    ASSERT_ERROR(parse((uint8_t *)us_strdup(""), 0), "the file is no ONNX model");
    ASSERT_ERROR(parse((uint8_t *)us_strdup("PK\3\4zip!"), 8), "the file is damaged in its outer");
    struct us_str twice = {0}, graph = {0};
    for (int i = 0; i < 2; i++) {
        us_proto_put_text(&graph, 2, "g");
        us_proto_put_message(&twice, 7, &graph);
    }
    us_str_finish(&graph);
    const size_t size = twice.length;
    ASSERT_ERROR(parse((uint8_t *)us_str_take(&twice), size), "the file has two graphs");
}

static const struct us_onnx_binding binding = {
    .input = {4, {1, 2, 6, 8}}, .memory = 16 << 20, .threads = 1};

/* Whatever the bytes say, reading, preparing and running end and stay inside their memory. */
static bool use(const uint8_t *bytes, size_t size) {
    struct us_onnx_file file = {0};
    struct us_onnx_net *net = NULL;
    uint8_t *copy = us_malloc(size + 1); /* of its own size, so that a checker sees the end */
    memcpy(copy, bytes, size);
    struct us_error *error = us_onnx_file_parse(copy, size, &file);
    error = error ? error : us_onnx_net_create(&file, &binding, &net);
    const bool ran = error == NULL;
    if (net) {
        memset(us_onnx_net_input(net), 0, 2 * 6 * 8 * sizeof(float));
        error = us_onnx_net_run(net, NULL, NULL);
    }
    us_error_free(error);
    us_onnx_net_destroy(net);
    us_onnx_file_finish(&file);
    us_free(copy);
    return ran;
}

static void damaged_files_do_no_harm(void **state) {
    (void)state;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0xff};
    size_t size, refused = 0;
    uint8_t *bytes = us_test_onnx_small(&size);
    assert_true(use(bytes, size));
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(use(bytes, cut));
    }
    for (size_t at = 0; at < size; at++) {
        const uint8_t kept = bytes[at];
        for (size_t v = 0; v < sizeof values; v++) {
            bytes[at] = values[v];
            refused += !use(bytes, size);
        }
        bytes[at] = kept;
    }
    assert_true(refused > size);
    us_free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_length_come_back),
        cmocka_unit_test(bad_encodings_end_the_walk),
        cmocka_unit_test(a_model_is_read_whole),
        cmocka_unit_test(stored_tensors_must_hold_what_they_say),
        cmocka_unit_test(a_list_that_breaks_off_stays_in_its_room),
        cmocka_unit_test(what_is_no_model_is_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
