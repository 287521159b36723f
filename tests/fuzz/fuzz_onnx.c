/* libFuzzer target of ONNX files: parsing, and when that succeeds, preparing and running the
 * network on a small image. docs/fuzzing.md says how to run it; more of a
 * corpus than ours is what tests/integration/onnx_test.py leaves in its scratch folder. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nodes/learn/onnx/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void run(struct us_onnx_net *net) {
    float *input = us_onnx_net_input(net);
    for (size_t i = 0; i < (size_t)8 * 12 * 16; i++) {
        input[i] = (float)(i % 17) / 8 - 1;
    }
    struct us_error *error = us_onnx_net_run(net, NULL, NULL);
    for (size_t i = 0; i < us_onnx_net_outputs(net) && !error; i++) {
        const struct us_onnx_result result = us_onnx_net_output(net, i);
        volatile float last = result.values && result.count ? result.values[result.count - 1] : 0;
        (void)last;
    }
    us_error_free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    const struct us_onnx_binding binding = {
        .input = {4, {1, 8, 12, 16}}, .memory = 4 << 20, .threads = 1};
    struct us_onnx_file file = {0};
    struct us_onnx_net *net = NULL;
    struct us_error *error = us_onnx_file_parse(bytes, size, &file);
    if (!error) {
        error = us_onnx_net_create(&file, &binding, &net);
        if ((error == NULL) != (net != NULL)) {
            abort();
        }
    }
    if (net) {
        run(net);
    }
    us_error_free(error);
    us_onnx_net_destroy(net);
    us_onnx_file_finish(&file);
    return 0;
}
