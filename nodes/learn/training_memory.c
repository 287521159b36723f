#include "nodes/learn/training_memory.h"

#include "kernels/cuda/load.h"
#include "kernels/nn/comm.h"
#include "nodes/learn/growth.h"
#include "runtime/base/machine.h"
#include "runtime/base/str.h"

const char us_training_memory_hint[] =
    "lower batch or pass, the dims, or the size of the crops, or set precision to bf16";

/* A comb at its largest size, and while that size comes in. */
static enum us_nn_status memory_of_comb(const struct train_params *p,
                                        const struct us_nn_trainer_config *config,
                                        struct us_nn_memory *memory) {
    const uint64_t last = (uint64_t)p->steps - 1;
    const uint64_t steps[2] = {us_growth_since(p, &config->arch, last), last};
    enum us_nn_status status = US_NN_OK;
    *memory = (struct us_nn_memory){0};
    for (int i = 0; i < 2 && !status; i++) {
        struct us_nn_trainer_config there = *config;
        struct us_nn_memory taken;
        us_growth_at(p, steps[i], &there.arch);
        status = us_nn_trainer_memory_parts(&there, &taken);
        if (!status && us_nn_memory_sum(&taken) > us_nn_memory_sum(memory)) {
            *memory = taken;
        }
    }
    return status;
}

enum us_nn_status us_training_memory(const struct train_params *p,
                                     const struct us_nn_trainer_config *config, int ranks,
                                     struct us_nn_memory *memory) {
    struct us_nn_comm others = {.world = ranks}; /* described, not called */
    struct us_nn_trainer_config there = *config;
    there.comm = ranks > 1 ? &others : NULL;
    return there.arch.family == US_NN_COMB ? memory_of_comb(p, &there, memory)
                                           : us_nn_trainer_memory_parts(&there, memory);
}

size_t us_training_room(int device) {
    const struct us_cuda_module *module;
    const char *why_not;
    struct us_cuda_device about;
    if (device == US_NN_CPU) {
        return us_machine_memory();
    }
    const bool known = us_cuda_device_count(&module, &why_not) >= device &&
                       module->device(device - 1, &about) == US_NN_OK;
    return known ? about.memory_free : SIZE_MAX;
}

struct us_error *us_training_fits(int device, size_t need, size_t have) {
    if (need <= have) {
        return NULL;
    }
    struct us_str text = {0};
    us_str_append(&text, "the training takes ");
    us_str_size(&text, need);
    if (device == US_NN_CPU) {
        us_str_append(&text, " of memory, this machine has ");
    } else {
        us_str_printf(&text, " on cuda:%d, which has ", device - 1);
    }
    us_str_size(&text, have);
    us_str_append(&text, device == US_NN_CPU ? ": " : " free: ");
    us_str_size(&text, need - have);
    struct us_error *error = us_fail(US_MISSING, "%s too much", us_str_text(&text));
    us_str_finish(&text);
    return us_error_hint(error, "%s", us_training_memory_hint);
}
