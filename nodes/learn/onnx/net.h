/* Running the network of an ONNX file on our own engine: float images in, float tensors out.
 *
 * Making a net binds the input's shape, infers every other one, computes at once what does not
 * depend on the input (shape arithmetic, constants), checks every operator against its inputs and
 * plans the memory. What cannot run is refused there, never half way. Whole numbers and truth
 * values are constants only. The operators are listed in docs/models.md.
 * A net belongs to one thread at a time. Files are foreign bytes and may say anything. */
#ifndef US_NODES_LEARN_ONNX_NET_H
#define US_NODES_LEARN_ONNX_NET_H

#include "nodes/learn/onnx/file.h"

struct us_onnx_net;

/* The operator sets that are understood. */
enum { US_ONNX_OPSET_MIN = 7, US_ONNX_OPSET_MAX = 24 };

/* Whether the operator of a node is known. */
bool us_onnx_knows(const struct us_onnx_node *node);
/* Names every operator of the file that is missing, with a node and the operator set. */
struct us_error *us_onnx_check(const struct us_onnx_file *file) US_NODISCARD;
/* The one input that a caller must fill: floats, of rank 4. */
struct us_error *us_onnx_image_input(const struct us_onnx_file *file,
                                     const struct us_onnx_port **port) US_NODISCARD;

struct us_onnx_binding {
    struct us_onnx_shape input;
    size_t memory; /* bytes a run may take at most */
    int threads;
};

/* `file` and its bytes must outlive the net. Checks as us_onnx_check does. */
struct us_error *us_onnx_net_create(const struct us_onnx_file *file,
                                    const struct us_onnx_binding *binding,
                                    struct us_onnx_net **net) US_NODISCARD;
void us_onnx_net_destroy(struct us_onnx_net *net); /* takes NULL */

struct us_onnx_result {
    const char *name;
    const struct us_onnx_shape *shape;
    size_t count;
    const float *values; /* after a run; NULL when it is not of floats */
};

/* Where the input is to be put before each run; a run may write over it. */
float *us_onnx_net_input(struct us_onnx_net *net);
size_t us_onnx_net_outputs(const struct us_onnx_net *net);
struct us_onnx_result us_onnx_net_output(const struct us_onnx_net *net, size_t index);
/* `pause` (or NULL) is asked before each operator and ends the run with its error. */
struct us_error *us_onnx_net_run(struct us_onnx_net *net, struct us_error *(*pause)(void *context),
                                 void *context) US_NODISCARD;
/* "1 x 3 x 8 x 8"; static per thread. */
const char *us_onnx_shape_text(const struct us_onnx_shape *shape);
/* Bytes held: memory, constants and packed weights. */
size_t us_onnx_net_bytes(const struct us_onnx_net *net);

#endif
