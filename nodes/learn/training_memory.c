#include "nodes/learn/training_memory.h"

#include <stdio.h>
#include <unistd.h>

static const double gib = 1024.0 * 1024.0 * 1024.0;

size_t us_machine_memory(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t memory = (size_t)pages * (size_t)page, limit;
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
    if (file) {
        if (fscanf(file, "%zu", &limit) == 1 && limit < memory) {
            memory = limit;
        }
        fclose(file);
    }
    return memory;
}

struct us_error *us_training_fits(size_t need, size_t have) {
    if (need <= have) {
        return NULL;
    }
    return us_error_hint(
        us_fail(
            US_MISSING,
            "the training takes %.1f GiB of memory, this machine has %.1f GiB: %.1f GiB too much",
            (double)need / gib, (double)have / gib, (double)(need - have) / gib),
        "lower batch or pass, the dims, or the size of the crops, or set precision to bf16");
}
