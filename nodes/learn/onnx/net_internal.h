/* Inside of a network made from an ONNX file; for nodes/learn/onnx/ only. */
#ifndef US_NODES_LEARN_ONNX_NET_INTERNAL_H
#define US_NODES_LEARN_ONNX_NET_INTERNAL_H

#include "kernels/nn/onnx_linear.h"
#include "nodes/learn/onnx/net.h"

/* A tensor of the graph. */
struct us_onnx_value {
    const char *name;
    bool integer;
    bool made; /* the input, stored, or the output of an operator prepared so far */
    struct us_onnx_shape shape;
    size_t count;
    const void *constant; /* float or int64_t values, or NULL: known only in a run */
    int32_t home;         /* the value whose memory it has: itself, or what it is a view of */
    int32_t uses;         /* readers not yet prepared; of a home also those of its views */
    int32_t first, last;  /* operators between which a home's memory is in use */
    size_t offset;        /* of a home, in the net's memory, bytes */
};

struct us_onnx_kind;

struct us_onnx_op {
    const struct us_onnx_kind *kind;
    const struct us_onnx_node *node;
    int32_t *inputs, *outputs; /* values; -1 for one left out */
    int input_count, output_count;
    void *plan; /* what prepare leaves for run, in the net's arena */
    struct us_onnx_conv *conv;
};

/* What the net knows of an operator. prepare sets the outputs' shapes (or makes them views or
 * constants) and fails for what run could not do; run computes. */
struct us_onnx_kind {
    const char *name;
    int least_inputs, most_inputs, most_outputs;
    bool integers; /* inputs and outputs may be whole numbers */
    struct us_error *(*prepare)(struct us_onnx_net *net, struct us_onnx_op *op);
    struct us_error *(*run)(struct us_onnx_net *net, struct us_onnx_op *op);
};

/* Tables that end with a NULL name. */
extern const struct us_onnx_kind us_onnx_point_kinds[], us_onnx_move_kinds[], us_onnx_shape_kinds[],
    us_onnx_window_kinds[], us_onnx_linear_kinds[], us_onnx_reduce_kinds[], us_onnx_join_kinds[];
const struct us_onnx_kind *us_onnx_find_kind(const struct us_onnx_node *node);

struct us_onnx_name;

struct us_onnx_net {
    struct us_arena arena;
    const struct us_onnx_file *file;
    struct us_onnx_binding binding;
    struct us_onnx_value *values;
    struct us_onnx_name *names; /* sorted */
    struct us_onnx_op *ops;
    int32_t *outputs;
    int32_t value_count, op_count, input;
    size_t output_count;
    size_t kept;   /* bytes of constants, maps and packed weights so far */
    size_t folded; /* elements computed while preparing */
    char *memory;
    size_t memory_bytes, scratch, scratch_bytes; /* scratch: an offset */
};

/* Zeroed memory for as long as the net; fails when the file asks for unreasonably much. */
struct us_error *us_onnx_keep(struct us_onnx_net *net, size_t bytes,
                              void *block_address) US_NODISCARD;

/* NULL for an input or output that is left out. */
struct us_onnx_value *us_onnx_in(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                 int index);
struct us_onnx_value *us_onnx_out(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                  int index);
/* The values of an input or output: constant, or in the net's memory. */
void *us_onnx_data(const struct us_onnx_net *net, const struct us_onnx_value *value);

/* Sets an output's shape (one left out is ignored); fails when it is impossible or too large. */
struct us_error *us_onnx_shape_out(struct us_onnx_net *net, struct us_onnx_op *op, int index,
                                   bool integer, const struct us_onnx_shape *shape) US_NODISCARD;
/* Output 0 is input 0 under another shape of as many elements. */
struct us_error *us_onnx_view(struct us_onnx_net *net, struct us_onnx_op *op,
                              const struct us_onnx_shape *shape) US_NODISCARD;
/* Output 0, of input 0's shape, takes its memory over when nothing else reads it. */
struct us_error *us_onnx_in_place(struct us_onnx_net *net, struct us_onnx_op *op) US_NODISCARD;

/* Attributes with defaults. */
int64_t us_onnx_int(const struct us_onnx_op *op, const char *name, int64_t missing);
float us_onnx_float(const struct us_onnx_op *op, const char *name, float missing);
const char *us_onnx_word(const struct us_onnx_op *op, const char *name, const char *missing);

/* Whole numbers that stand in an attribute or, in later operator sets, a constant input; found is
 * false when they are in neither. */
struct us_onnx_list {
    const int64_t *items;
    size_t count;
    bool found;
};
struct us_error *us_onnx_ints(struct us_onnx_net *net, const struct us_onnx_op *op,
                              const char *attribute, int input,
                              struct us_onnx_list *list) US_NODISCARD;
/* A constant input of one float; *value stays when it is left out. */
struct us_error *us_onnx_scalar(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                int input, float *value) US_NODISCARD;
/* Fails unless the input is a constant. */
struct us_error *us_onnx_need_constant(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                       int input, const char *what) US_NODISCARD;
/* A constant input of floats, of `count` (0: any number of) them; NULL when it is left out. */
struct us_error *us_onnx_floats(const struct us_onnx_net *net, const struct us_onnx_op *op,
                                int input, const char *what, size_t count,
                                const float **values) US_NODISCARD;
/* -rank..rank-1 to 0..rank-1. */
struct us_error *us_onnx_axis(int64_t axis, int rank, int *index) US_NODISCARD;
/* Numpy's broadcasting of b into shape. */
struct us_error *us_onnx_broadcast(struct us_onnx_shape *shape,
                                   const struct us_onnx_shape *b) US_NODISCARD;
/* Elements from one index of an axis to the next. */
void us_onnx_steps(const struct us_onnx_shape *shape, int64_t steps[US_ONNX_RANK]);
struct us_error *us_onnx_status(enum us_nn_status status) US_NODISCARD;

/* Places homes in the net's memory and takes it. */
struct us_error *us_onnx_place(struct us_onnx_net *net) US_NODISCARD;

#endif
