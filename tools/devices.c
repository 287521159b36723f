#include "tools/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/load.h"
#include "kernels/nn/self_test.h"
#include "runtime/api/node.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tools/command.h"
#include "tools/json_line.h"

static const char *const kinds[] = {[US_DEVICE_CUDA] = "cuda", [US_DEVICE_CPU] = "cpu"};

static bool wants_devices(const struct us_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct us_node *node = &graph->nodes[i];
        struct us_needs needs = {0};
        if (node->type->needs) {
            node->type->needs(node->params, &needs);
        }
        if (needs.device != US_DEVICE_NONE) {
            return true;
        }
    }
    return false;
}

static struct us_error *unknown(const char *text, size_t length) {
    return us_error_hint(us_fail(US_USAGE,
                                 "--devices names '%.*s', allowed auto, cpu, cuda:N, cpu:N",
                                 (int)length, text),
                         "understudy devices");
}

static struct us_error *absent(long ordinal, int count, const char *why_not) {
    struct us_error *error =
        count ? us_fail(US_MISSING, "there is no device 'cuda:%ld', allowed cuda:0 to cuda:%d",
                        ordinal, count - 1)
              : us_fail(US_MISSING, "there is no device 'cuda:%ld': %s", ordinal, why_not);
    return us_error_hint(error, "understudy devices; --devices auto goes on without");
}

/* "cuda:0", "cpu:1=2G". */
static struct us_error *parse_device(const char *text, size_t length,
                                     struct us_run_device *device) {
    char name[32], *end;
    *device = (struct us_run_device){.kind = US_DEVICE_CPU};
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    char *budget = strchr(name, '=');
    if (budget) {
        *budget++ = '\0';
    }
    if (strncmp(name, "cuda:", 5) == 0) {
        device->kind = US_DEVICE_CUDA;
    } else if (strncmp(name, "cpu:", 4) != 0) {
        return unknown(text, length);
    }
    const char *number = strchr(name, ':') + 1;
    const long ordinal = strtol(number, &end, 10);
    if (length >= sizeof name || number[0] < '0' || number[0] > '9' || *end || ordinal > 9999) {
        return unknown(text, length);
    }
    device->ordinal = (int)ordinal;
    if (budget && !us_size_parse(budget, &device->budget)) {
        return us_fail(US_USAGE, "--devices gives '%s' the memory '%s', wanted a size such as 8G",
                       name, budget);
    }
    return NULL;
}

/* Adds one name of the list. */
static struct us_error *add_named(const char *name, size_t length, struct us_devices *devices) {
    struct us_run_device device;
    US_TRY(parse_device(name, length, &device));
    for (size_t i = 0; i < devices->count; i++) {
        if (devices->list[i].kind == device.kind && devices->list[i].ordinal == device.ordinal) {
            return us_fail(US_USAGE, "--devices names '%s:%d' twice", kinds[device.kind],
                           device.ordinal);
        }
    }
    if (devices->count == US_DEVICES_MOST) {
        return us_fail(US_USAGE, "--devices names more than %d", US_DEVICES_MOST);
    }
    devices->list[devices->count++] = device;
    return NULL;
}

static void names(const struct us_devices *devices, struct us_str *out) {
    for (size_t i = 0; i < devices->count; i++) {
        us_str_printf(out, "%s%s:%d", i ? ", " : "", kinds[devices->list[i].kind],
                      devices->list[i].ordinal);
    }
    if (!devices->count) {
        us_str_append(out, "cpu");
    }
}

static void say(const struct us_devices *devices, const char *why_not, bool asked, bool json) {
    struct us_str text = {0};
    names(devices, &text);
    if (json) {
        json_t *line = us_json_begin("devices");
        us_json_text(line, "devices", us_str_text(&text));
        us_json_text(line, "because", why_not);
        us_json_end(line);
    } else if (devices->count || asked) {
        printf("devices: %s%s%s\n", us_str_text(&text), why_not ? ", because: " : "",
               why_not ? why_not : "");
        fflush(stdout);
    }
    us_str_finish(&text);
}

static void add_gpus(int count, struct us_devices *devices) {
    for (int i = 0; i < count && i < US_DEVICES_MOST; i++) {
        devices->list[devices->count++].ordinal = i;
    }
}

static struct us_error *check_there(const struct us_run_device *device) {
    const struct us_cuda_module *module;
    const char *why_not;
    if (device->kind != US_DEVICE_CUDA) {
        return NULL;
    }
    const int count = us_cuda_device_count(&module, &why_not);
    return device->ordinal < count ? NULL : absent(device->ordinal, count, why_not);
}

/* What is written wrong is told before what is not there. */
static struct us_error *add_list(const char *text, struct us_devices *devices) {
    for (const char *name = text; name;) {
        const size_t length = strcspn(name, ",");
        US_TRY(add_named(name, length, devices));
        name = name[length] ? name + length + 1 : NULL;
    }
    for (size_t i = 0; i < devices->count; i++) {
        US_TRY(check_there(&devices->list[i]));
    }
    return NULL;
}

struct us_error *us_devices_choose(const char *text, const struct us_graph *graph, bool json,
                                   struct us_devices *devices) {
    const struct us_cuda_module *module;
    const char *why_not = NULL;
    const bool wanted = wants_devices(graph);
    *devices = (struct us_devices){0};
    if (!text || strcmp(text, "auto") == 0) {
        add_gpus(wanted ? us_cuda_device_count(&module, &why_not) : 0, devices);
    } else if (strcmp(text, "cpu") != 0) {
        US_TRY(add_list(text, devices));
    }
    if (wanted) {
        say(devices, devices->count ? NULL : why_not, text != NULL, json);
    }
    return NULL;
}

void us_devices_measure(struct us_devices *devices) {
    const struct us_cuda_module *module;
    const char *why_not;
    bool any = false;
    for (size_t i = 0; i < devices->count; i++) {
        any |= devices->list[i].kind == US_DEVICE_CUDA;
    }
    const int count = any ? us_cuda_device_count(&module, &why_not) : 0;
    for (size_t i = 0; i < devices->count; i++) {
        struct us_run_device *device = &devices->list[i];
        struct us_cuda_device about;
        if (device->kind == US_DEVICE_CUDA && device->ordinal < count &&
            module->device(device->ordinal, &about) == US_NN_OK) {
            device->has = (struct us_device_memory){about.memory, about.memory_free};
        }
    }
}

static void list_one(const struct us_cuda_device *device, int ordinal, bool json) {
    char name[16], capability[16];
    snprintf(name, sizeof name, "cuda:%d", ordinal);
    snprintf(capability, sizeof capability, "%d.%d", device->major, device->minor);
    if (!json) {
        printf("%s  %s, %.1f GiB (%.1f free), compute capability %s, %d multiprocessors, %s\n",
               name, device->name, (double)device->memory / 0x1p30,
               (double)device->memory_free / 0x1p30, capability, device->multiprocessors,
               device->bus);
        return;
    }
    json_t *line = us_json_begin("device");
    us_json_text(line, "name", name);
    us_json_text(line, "model", device->name);
    us_json_text(line, "compute_capability", capability);
    us_json_int(line, "multiprocessors", device->multiprocessors);
    us_json_int(line, "memory", (int64_t)device->memory);
    us_json_int(line, "memory_free", (int64_t)device->memory_free);
    us_json_text(line, "bus", device->bus);
    us_json_end(line);
}

void us_devices_list(bool json) {
    const struct us_cuda_module *module;
    const char *why_not;
    const int count = us_cuda_device_count(&module, &why_not);
    for (int i = 0; i < count; i++) {
        struct us_cuda_device device;
        if (module->device(i, &device) == US_NN_OK) {
            list_one(&device, i, json);
        }
    }
    if (count == 0 && json) {
        json_t *line = us_json_begin("no_device");
        us_json_text(line, "name", "cuda");
        us_json_text(line, "because", why_not);
        us_json_end(line);
    } else if (count == 0) {
        printf("cuda  none: %s\n", why_not);
    }
}

/* The self-test of one device so far. */
struct tally {
    int ordinal, passed, failed;
};

static void count_result(void *context, const char *name, const char *error) {
    struct tally *tally = context;
    if (error) {
        printf("BAD  cuda:%d self-test, %s: %s\n", tally->ordinal, name, error);
    }
    tally->failed += error != NULL;
    tally->passed += error == NULL;
}

static void show_peaks(const struct us_cuda_module *module, int ordinal) {
    struct us_cuda_peaks peaks;
    if (module->peaks(ordinal, &peaks) == US_NN_OK) {
        printf("     cuda:%d peaks: matrix products %.0f TFLOP/s in bf16, %.1f in f32; memory %.0f "
               "GB/s, to the device %.1f, from it %.1f\n",
               ordinal, peaks.bf16 * 1e-12, peaks.f32 * 1e-12, peaks.memory * 1e-9, peaks.up * 1e-9,
               peaks.down * 1e-9);
    }
}

static int check_one(const struct us_cuda_module *module, int ordinal) {
    struct us_cuda_device device;
    if (module->device(ordinal, &device) != US_NN_OK) {
        printf("BAD  cuda:%d does not answer\n", ordinal);
        return 1;
    }
    struct tally tally = {.ordinal = ordinal};
    (void)module->self_test(ordinal, count_result, &tally);
    if (module->trainer) {
        (void)us_nn_self_test(1 + ordinal, count_result, &tally);
    }
    printf("%s  cuda:%d: %s, %.1f GiB (%.1f free), compute capability %d.%d; self-test: %d passed, "
           "%d failed\n",
           tally.failed ? "BAD" : "ok ", ordinal, device.name, (double)device.memory / 0x1p30,
           (double)device.memory_free / 0x1p30, device.major, device.minor, tally.passed,
           tally.failed);
    show_peaks(module, ordinal);
    return tally.failed;
}

static void show_versions(const struct us_cuda_module *module) {
    struct us_cuda_versions v;
    char driver[32] = "none";
    module->versions(&v);
    if (v.driver) {
        snprintf(driver, sizeof driver, "for CUDA %d.%d", v.driver / 1000, v.driver % 1000 / 10);
    }
    printf("ok   cuda module: CUDA %d.%d, cuDNN %d.%d.%d, NCCL %d.%d.%d; driver: %s\n",
           v.runtime / 1000, v.runtime % 1000 / 10, v.cudnn / 10000, v.cudnn / 100 % 100,
           v.cudnn % 100, v.nccl / 10000, v.nccl / 100 % 100, v.nccl % 100, driver);
}

int us_devices_check(void) {
    const char *why_not;
    const struct us_cuda_module *module = us_cuda_module_get(&why_not), *usable;
    if (!module) {
        printf("     cuda module: none, %s\n", why_not);
        return 0;
    }
    show_versions(module);
    const int count = us_cuda_device_count(&usable, &why_not);
    if (count == 0) {
        printf("     gpu: none, %s\n", why_not);
    }
    int bad = 0;
    for (int i = 0; i < count; i++) {
        bad += check_one(module, i);
    }
    return bad;
}
