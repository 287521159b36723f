/* oneDNN's C API (2.x), as far as it is used here: the library is opened when the first of its
 * functions is called, since opening it takes longer than most commands do. A program without it
 * ends there, with status 3 and one line, as it would at its start if it were linked. */
#ifndef US_KERNELS_NN_DNNL_LIBRARY_H
#define US_KERNELS_NN_DNNL_LIBRARY_H

#include <oneapi/dnnl/dnnl.h>

#define US_DNNL_FUNCTIONS(X)                   \
    X(convolution_backward_data_desc_init)     \
    X(convolution_backward_weights_desc_init)  \
    X(convolution_forward_desc_init)           \
    X(dilated_convolution_forward_desc_init)   \
    X(dilated_deconvolution_forward_desc_init) \
    X(engine_create)                           \
    X(engine_destroy)                          \
    X(get_effective_cpu_isa)                   \
    X(matmul_desc_init)                        \
    X(memory_create)                           \
    X(memory_desc_equal)                       \
    X(memory_desc_get_size)                    \
    X(memory_desc_init_by_strides)             \
    X(memory_desc_init_by_tag)                 \
    X(memory_destroy)                          \
    X(memory_set_data_handle)                  \
    X(post_ops_append_binary)                  \
    X(post_ops_append_eltwise)                 \
    X(post_ops_create)                         \
    X(post_ops_destroy)                        \
    X(primitive_attr_create)                   \
    X(primitive_attr_destroy)                  \
    X(primitive_attr_set_post_ops)             \
    X(primitive_attr_set_scratchpad_mode)      \
    X(primitive_create)                        \
    X(primitive_desc_create)                   \
    X(primitive_desc_destroy)                  \
    X(primitive_desc_query)                    \
    X(primitive_desc_query_md)                 \
    X(primitive_destroy)                       \
    X(primitive_execute)                       \
    X(reorder_primitive_desc_create)           \
    X(sgemm)                                   \
    X(stream_create)                           \
    X(stream_destroy)                          \
    X(stream_wait)

struct us_dnnl {
#define X(name) __typeof__(dnnl_##name) *name;
    US_DNNL_FUNCTIONS(X)
#undef X
};

/* Any thread. */
const struct us_dnnl *us_dnnl(void);

#define dnnl_convolution_backward_data_desc_init us_dnnl()->convolution_backward_data_desc_init
#define dnnl_convolution_backward_weights_desc_init \
    us_dnnl()->convolution_backward_weights_desc_init
#define dnnl_convolution_forward_desc_init us_dnnl()->convolution_forward_desc_init
#define dnnl_dilated_convolution_forward_desc_init us_dnnl()->dilated_convolution_forward_desc_init
#define dnnl_dilated_deconvolution_forward_desc_init \
    us_dnnl()->dilated_deconvolution_forward_desc_init
#define dnnl_engine_create us_dnnl()->engine_create
#define dnnl_engine_destroy us_dnnl()->engine_destroy
#define dnnl_get_effective_cpu_isa us_dnnl()->get_effective_cpu_isa
#define dnnl_matmul_desc_init us_dnnl()->matmul_desc_init
#define dnnl_memory_create us_dnnl()->memory_create
#define dnnl_memory_desc_equal us_dnnl()->memory_desc_equal
#define dnnl_memory_desc_get_size us_dnnl()->memory_desc_get_size
#define dnnl_memory_desc_init_by_strides us_dnnl()->memory_desc_init_by_strides
#define dnnl_memory_desc_init_by_tag us_dnnl()->memory_desc_init_by_tag
#define dnnl_memory_destroy us_dnnl()->memory_destroy
#define dnnl_memory_set_data_handle us_dnnl()->memory_set_data_handle
#define dnnl_post_ops_append_binary us_dnnl()->post_ops_append_binary
#define dnnl_post_ops_append_eltwise us_dnnl()->post_ops_append_eltwise
#define dnnl_post_ops_create us_dnnl()->post_ops_create
#define dnnl_post_ops_destroy us_dnnl()->post_ops_destroy
#define dnnl_primitive_attr_create us_dnnl()->primitive_attr_create
#define dnnl_primitive_attr_destroy us_dnnl()->primitive_attr_destroy
#define dnnl_primitive_attr_set_post_ops us_dnnl()->primitive_attr_set_post_ops
#define dnnl_primitive_attr_set_scratchpad_mode us_dnnl()->primitive_attr_set_scratchpad_mode
#define dnnl_primitive_create us_dnnl()->primitive_create
#define dnnl_primitive_desc_create us_dnnl()->primitive_desc_create
#define dnnl_primitive_desc_destroy us_dnnl()->primitive_desc_destroy
#define dnnl_primitive_desc_query us_dnnl()->primitive_desc_query
#define dnnl_primitive_desc_query_md us_dnnl()->primitive_desc_query_md
#define dnnl_primitive_destroy us_dnnl()->primitive_destroy
#define dnnl_primitive_execute us_dnnl()->primitive_execute
#define dnnl_reorder_primitive_desc_create us_dnnl()->reorder_primitive_desc_create
#define dnnl_sgemm us_dnnl()->sgemm
#define dnnl_stream_create us_dnnl()->stream_create
#define dnnl_stream_destroy us_dnnl()->stream_destroy
#define dnnl_stream_wait us_dnnl()->stream_wait

#endif
