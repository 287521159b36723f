/* ONNX networks of a test's own on an image of 1 x 2 x 4 x 6. */
#ifndef US_TESTS_SUPPORT_SMALL_NET_H
#define US_TESTS_SUPPORT_SMALL_NET_H

#include "nodes/learn/onnx/net.h"
#include "tests/support/onnx_builder.h"

struct us_test_net_bound {
    uint8_t *bytes;
    struct us_onnx_file file;
    struct us_onnx_net *net;
};

/* A file to add nodes to: input "x" of 1 x 2 x any x any, output "y". */
struct us_test_onnx us_small_net(void);
/* The net of what was made so far. Whether it fails or not, finish it. */
struct us_error *us_small_net_bind(struct us_test_onnx *net, size_t memory,
                                   struct us_test_net_bound *bound);
void us_small_net_finish(struct us_test_net_bound *bound);
/* Asserts that binding it to 1 MiB fails with a message that has this. */
void us_small_net_refuses(struct us_test_onnx *net, const char *message);

#endif
