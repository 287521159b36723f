#include "tests/support/small_net.h"

#include "runtime/base/mem.h"
#include "tests/support/check.h"

struct us_test_onnx us_small_net(void) {
    static const int64_t image[4] = {1, 2, -1, -1};
    struct us_test_onnx net = {0};
    us_test_onnx_input(&net, "x", 4, image);
    us_test_onnx_output(&net, "y");
    return net;
}

struct us_error *us_small_net_bind(struct us_test_onnx *net, size_t memory,
                                   struct us_test_net_bound *bound) {
    const struct us_onnx_binding binding = {
        .input = {4, {1, 2, 4, 6}}, .memory = memory, .threads = 1};
    size_t size;
    *bound = (struct us_test_net_bound){.bytes = us_test_onnx_file(net, 13, &size)};
    US_TRY(us_onnx_file_parse(bound->bytes, size, &bound->file));
    return us_onnx_net_create(&bound->file, &binding, &bound->net);
}

void us_small_net_finish(struct us_test_net_bound *bound) {
    us_onnx_net_destroy(bound->net);
    us_onnx_file_finish(&bound->file);
    us_free(bound->bytes);
}

void us_small_net_refuses(struct us_test_onnx *net, const char *message) {
    struct us_test_net_bound bound;
    ASSERT_ERROR(us_small_net_bind(net, 1 << 20, &bound), message);
    us_small_net_finish(&bound);
}
