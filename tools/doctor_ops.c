#include "tools/doctor_ops.h"

#include <math.h>
#include <stdio.h>

#include "kernels/cuda/load.h"
#include "kernels/cuda/ops_api.h"
#include "kernels/nn/op_test.h"
#include "kernels/nn/peaks.h"
#include "tools/machine.h"

/* What one engine's operations came to. */
struct tally {
    const char *device;
    bool verbose;
    int passed, missing, failed;
    double f32, bf16; /* worst errors */
};

static void count(void *context, const struct us_nn_op_test_result *r) {
    struct tally *t = context;
    const bool missing = r->status == US_NN_UNSUPPORTED;
    t->missing += missing;
    t->failed += !r->passed;
    t->passed += r->passed && !missing;
    if (!missing && r->status == US_NN_OK) {
        double *worst = r->type[0] == 'b' ? &t->bf16 : &t->f32;
        *worst = fmax(*worst, r->error);
    }
    if (r->status != US_NN_OK && (!r->passed || t->verbose)) {
        printf("%s  %s %s on %s: %s\n", r->passed ? "   " : "BAD", r->name, r->type, t->device,
               us_nn_status_text(r->status));
    } else if (!r->passed || t->verbose) {
        printf("%s  %s %s on %s: error %.1e, at most %.1e\n", r->passed ? "ok " : "BAD", r->name,
               r->type, t->device, r->error, r->tolerance);
    }
}

static int test_engine(const struct us_nn_op_engine *engine, const char *device, bool verbose) {
    struct tally t = {.device = device, .verbose = verbose};
    us_nn_op_test(engine, count, &t);
    printf("%s  operations on %s: %d of %d right, largest errors %.1e in f32, ",
           t.failed ? "BAD" : "ok ", device, t.passed, t.passed + t.failed, t.f32);
    if (t.missing) {
        printf("no bf16\n");
    } else {
        printf("%.1e in bf16\n", t.bf16);
    }
    return t.failed;
}

static int test_devices(bool verbose) {
    const struct us_cuda_module *module;
    const char *why_not;
    const int devices = us_cuda_device_count(&module, &why_not);
    int bad = 0;
    for (int i = 0; i < devices && module->ops; i++) {
        char name[32];
        struct us_nn_op_engine engine;
        snprintf(name, sizeof name, "cuda:%d", i);
        const enum us_nn_status status = module->ops->open(i, &engine);
        if (status) {
            printf("BAD  operations on %s: %s\n", name, us_nn_status_text(status));
            bad++;
            continue;
        }
        bad += test_engine(&engine, name, verbose);
        module->ops->close(&engine);
    }
    return bad;
}

static void show_peaks(int threads) {
    struct us_nn_peaks peaks;
    if (us_nn_cpu_peaks(threads, &peaks) != US_NN_OK) {
        return;
    }
    printf("     cpu peaks, %d threads: matrix products %.0f GFLOP/s in f32, ", threads,
           peaks.f32 * 1e-9);
    if (peaks.bf16 > 0) {
        printf("%.0f in bf16", peaks.bf16 * 1e-9);
    } else {
        printf("no bf16");
    }
    printf("; memory %.1f GB/s\n", peaks.memory * 1e-9);
}

int us_doctor_ops(bool verbose) {
    struct us_machine machine;
    us_machine_read(&machine);
    show_peaks(machine.cores > 0 ? machine.cores : 1);
    return test_engine(&us_nn_cpu_ops, "cpu", verbose) + test_devices(verbose);
}
