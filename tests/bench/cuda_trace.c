/* Every kernel, copy and fill of a process, by CUDA's own tracing interface (CUPTI's activities),
 * those inside of captured graphs too. The driver loads this library into a program:
 *
 *   CUDA_INJECTION64_PATH=libbench_cuda_trace.so CUDA_TRACE=trace.tsv program ...
 *
 * One line each: begin and end in nanoseconds, stream, grid, block, registers, name.
 * tests/bench/cuda_trace.py adds them up. */
#include <cupti.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER = 8 << 20 };

static FILE *out;

static void CUPTIAPI request(uint8_t **buffer, size_t *size, size_t *most_records) {
    *buffer = aligned_alloc(64, BUFFER);
    *size = *buffer ? BUFFER : 0;
    *most_records = 0;
}

static void write_kernel(const CUpti_ActivityKernel10 *k) {
    fprintf(out, "%llu\t%llu\t%u\t%dx%dx%d\t%dx%dx%d\t%u\t%s\n", (unsigned long long)k->start,
            (unsigned long long)k->end, k->streamId, k->gridX, k->gridY, k->gridZ, k->blockX,
            k->blockY, k->blockZ, k->registersPerThread, k->name);
}

static void write_record(const CUpti_Activity *record) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
        write_kernel((const CUpti_ActivityKernel10 *)record);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
        const CUpti_ActivityMemcpy6 *m = (const CUpti_ActivityMemcpy6 *)record;
        fprintf(out, "%llu\t%llu\t%u\t-\t-\t0\tcopy of %llu bytes\n", (unsigned long long)m->start,
                (unsigned long long)m->end, m->streamId, (unsigned long long)m->bytes);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
        const CUpti_ActivityMemset4 *m = (const CUpti_ActivityMemset4 *)record;
        fprintf(out, "%llu\t%llu\t%u\t-\t-\t0\tfill of %llu bytes\n", (unsigned long long)m->start,
                (unsigned long long)m->end, m->streamId, (unsigned long long)m->bytes);
    }
}

static void CUPTIAPI complete(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size,
                              size_t valid) {
    CUpti_Activity *record = NULL;
    (void)context;
    (void)stream;
    (void)size;
    while (valid && cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
        write_record(record);
    }
    free(buffer);
}

static void finish(void) {
    (void)cuptiActivityFlushAll(1);
    fclose(out);
}

/* The name that the driver looks for. */
int InitializeInjection(void);

int InitializeInjection(void) {
    static const CUpti_ActivityKind kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                               CUPTI_ACTIVITY_KIND_MEMCPY,
                                               CUPTI_ACTIVITY_KIND_MEMSET};
    const char *path = getenv("CUDA_TRACE");
    out = fopen(path ? path : "trace.tsv", "w");
    CUptiResult result =
        out ? cuptiActivityRegisterCallbacks(request, complete) : CUPTI_ERROR_UNKNOWN;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && result == CUPTI_SUCCESS; i++) {
        result = cuptiActivityEnable(kinds[i]);
    }
    if (result != CUPTI_SUCCESS) {
        fprintf(stderr, "cuda_trace: CUPTI does not trace (%d)\n", (int)result);
        return 1;
    }
    return atexit(finish) == 0;
}
