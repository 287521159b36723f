#include "kernels/nn/peaks.h"

#include <omp.h>
#include <string.h>

#include "kernels/nn/dnnl_internal.h"
#include "kernels/nn/dnnl_library.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/trainer.h"

enum { SIDE = 1024, REPEATS = 6, BLOCK = 1 << 26 };

/* A product of two matrices of SIDE x SIDE. */
struct product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3];
    void *values[3];
};

static void product_finish(struct product *p) {
    for (int i = 0; i < 3; i++) {
        if (p->memory[i]) {
            dnnl_memory_destroy(p->memory[i]);
        }
        us_nn_free(p->values[i]);
    }
    if (p->primitive) {
        dnnl_primitive_destroy(p->primitive);
    }
    if (p->stream) {
        dnnl_stream_destroy(p->stream);
    }
    if (p->engine) {
        dnnl_engine_destroy(p->engine);
    }
}

/* Values near 1: the bytes 3F 3F are 0.75 in float and in bfloat16. */
static enum us_nn_status add_matrix(struct product *p, int i, const dnnl_memory_desc_t *desc) {
    const size_t bytes = dnnl_memory_desc_get_size(desc);
    p->values[i] = us_nn_alloc(bytes);
    if (!p->values[i]) {
        return US_NN_NO_MEMORY;
    }
    memset(p->values[i], 0x3F, bytes);
    return nn_dnnl(dnnl_memory_create(&p->memory[i], desc, p->engine, p->values[i]));
}

static enum us_nn_status describe(struct product *p, dnnl_data_type_t type) {
    const dnnl_dims_t dims = {SIDE, SIDE};
    dnnl_memory_desc_t desc;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_t primitive = NULL;
    enum us_nn_status status = nn_dnnl(dnnl_engine_create(&p->engine, dnnl_cpu, 0));
    status = status ? status
                    : nn_dnnl(dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags));
    status = status ? status : nn_dnnl(dnnl_memory_desc_init_by_tag(&desc, 2, dims, type, dnnl_ab));
    status = status ? status : nn_dnnl(dnnl_matmul_desc_init(&matmul, &desc, &desc, NULL, &desc));
    if (!status) {
        status = nn_dnnl(dnnl_primitive_desc_create(&primitive, &matmul, NULL, p->engine, NULL));
    }
    if (!status) {
        status = nn_dnnl(dnnl_primitive_create(&p->primitive, primitive));
        dnnl_primitive_desc_destroy(primitive);
    }
    for (int i = 0; i < 3 && !status; i++) {
        status = add_matrix(p, i, &desc);
    }
    return status;
}

static enum us_nn_status multiply(const struct product *p) {
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, p->memory[0]},
                                         {DNNL_ARG_WEIGHTS, p->memory[1]},
                                         {DNNL_ARG_DST, p->memory[2]}};
    const enum us_nn_status status =
        nn_dnnl(dnnl_primitive_execute(p->primitive, p->stream, 3, arguments));
    return status ? status : nn_dnnl(dnnl_stream_wait(p->stream));
}

/* The best of REPEATS. */
static enum us_nn_status measure_product(dnnl_data_type_t type, double *rate) {
    struct product p = {0};
    enum us_nn_status status = describe(&p, type);
    status = status ? status : multiply(&p); /* not counted: pages are touched */
    for (int i = 0; i < REPEATS && !status; i++) {
        const double begun = omp_get_wtime();
        status = multiply(&p);
        const double now = 2.0 * SIDE * SIDE * SIDE / (omp_get_wtime() - begun);
        *rate = now > *rate ? now : *rate;
    }
    product_finish(&p);
    return status;
}

static enum us_nn_status measure_copy(int threads, double *rate) {
    char *from = us_nn_alloc(BLOCK), *to = us_nn_alloc(BLOCK);
    const enum us_nn_status status = from && to ? US_NN_OK : US_NN_NO_MEMORY;
    for (int i = -1; i < REPEATS && !status; i++) { /* the first touches the pages */
        const double begun = omp_get_wtime();
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int part = 0; part < 64; part++) {
            memcpy(to + part * (BLOCK / 64), from + part * (BLOCK / 64), BLOCK / 64);
        }
        const double now = 2.0 * BLOCK / (omp_get_wtime() - begun);
        *rate = i >= 0 && now > *rate ? now : *rate;
    }
    us_nn_free(from);
    us_nn_free(to);
    return status;
}

enum us_nn_status us_nn_cpu_peaks(int threads, struct us_nn_peaks *peaks) {
    *peaks = (struct us_nn_peaks){0};
    omp_set_num_threads(threads);
    enum us_nn_status status = measure_product(dnnl_f32, &peaks->f32);
    if (!status && us_nn_has_bf16()) {
        status = measure_product(dnnl_bf16, &peaks->bf16);
    }
    return status ? status : measure_copy(threads, &peaks->memory);
}
