#include "kernels/nn/multiply_internal.h"

#include <omp.h>

#include "kernels/nn/dnnl_internal.h"

enum { GRAIN = 16, PARTS = 64, ROUGH_WORK = 1 << 18 /* multiplications that a part is worth */ };

/* How many rows or columns of c, whichever are more, a part has. */
static int64_t part_size(const struct nn_product *p) {
    const int64_t whole = p->n >= p->m ? p->n : p->m, other = p->n >= p->m ? p->m : p->n;
    const int64_t least = ROUGH_WORK / (other * p->k + 1) + 1;
    const int64_t size = (whole + PARTS - 1) / PARTS;
    return ((size > least ? size : least) + GRAIN - 1) / GRAIN * GRAIN;
}

static dnnl_status_t multiply_part(const struct nn_product *p, int64_t first, int64_t count) {
    const int64_t lda = p->flip_a ? p->m : p->k, ldb = p->flip_b ? p->k : p->n;
    const bool by_columns = p->n >= p->m;
    const int64_t row = by_columns ? 0 : first, column = by_columns ? first : 0;
    return dnnl_sgemm(p->flip_a ? 'T' : 'N', p->flip_b ? 'T' : 'N', by_columns ? p->m : count,
                      by_columns ? count : p->n, p->k, p->alpha, p->a + row * (p->flip_a ? 1 : lda),
                      lda, p->b + column * (p->flip_b ? ldb : 1), ldb, p->beta,
                      p->c + row * p->n + column, p->n);
}

enum us_nn_status nn_multiply(const struct nn_product *p) {
    const int64_t whole = p->n >= p->m ? p->n : p->m, size = part_size(p);
    const int64_t parts = (whole + size - 1) / size;
    dnnl_status_t failed = dnnl_success;
#pragma omp parallel
    {
        omp_set_num_threads(1); /* the library's, which would share out k too */
#pragma omp for schedule(dynamic, 1)
        for (int64_t part = 0; part < parts; part++) {
            const int64_t left = whole - part * size;
            const dnnl_status_t status = multiply_part(p, part * size, left < size ? left : size);
            if (status != dnnl_success) {
#pragma omp critical
                failed = status;
            }
        }
    }
    return nn_dnnl(failed);
}
