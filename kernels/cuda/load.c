#include "kernels/cuda/load.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "libunderstudy_cuda.so"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct us_cuda_module *loaded;
static char problem[1024];

/* Of the running program, without a slash at the end; false when the system does not say. */
static bool program_folder(char *folder, size_t size) {
    ssize_t length = readlink("/proc/self/exe", folder, size - 1);
    if (length <= 0) {
        return false;
    }
    folder[length] = '\0';
    *strrchr(folder, '/') = '\0';
    return true;
}

static bool find_module(char *path, size_t size) {
    const char *named = getenv("UNDERSTUDY_CUDA_MODULE");
    if (named) {
        snprintf(path, size, "%s", named);
        return access(path, R_OK) == 0;
    }
    char folder[4096];
    if (!program_folder(folder, sizeof folder)) {
        return false;
    }
    snprintf(path, size, "%s/" FILE_NAME, folder);
    if (access(path, R_OK) == 0) {
        return true;
    }
    snprintf(path, size, "%s/../lib/" FILE_NAME, folder);
    return access(path, R_OK) == 0;
}

static const struct us_cuda_module *check(void *library, const char *path) {
    us_cuda_module_function *get;
    *(void **)&get = dlsym(library, US_CUDA_SYMBOL);
    const struct us_cuda_module *module = get ? get() : NULL;
    if (!module) {
        snprintf(problem, sizeof problem, "'%s' is not a CUDA module", path);
    } else if (module->abi != US_CUDA_ABI || module->size != sizeof *module) {
        snprintf(problem, sizeof problem,
                 "'%s' is of another build (ABI %u.%u, this program's is %d.%zu)", path,
                 module->abi, module->size, US_CUDA_ABI, sizeof *module);
        return NULL;
    }
    return module;
}

static void load(void) {
    char path[4200] = "";
    if (!find_module(path, sizeof path)) {
        const char *named = getenv("UNDERSTUDY_CUDA_MODULE");
        snprintf(problem, sizeof problem,
                 named ? "the CUDA module '%s' is not there"
                       : "this build has no CUDA module (%s beside the program)",
                 named ? named : FILE_NAME);
        return;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        snprintf(problem, sizeof problem, "cannot load the CUDA module: %s", why ? why : path);
        return;
    }
    loaded = check(library, path);
}

const struct us_cuda_module *us_cuda_module_get(const char **why_not) {
    pthread_once(&once, load);
    *why_not = problem;
    return loaded;
}

int us_cuda_device_count(const struct us_cuda_module **module, const char **why_not) {
    *module = NULL;
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!driver) {
        *why_not = "no NVIDIA driver is installed";
        return 0;
    }
    dlclose(driver);
    const struct us_cuda_module *got = us_cuda_module_get(why_not);
    int count = got ? got->device_count(why_not) : 0;
    *module = count ? got : NULL;
    return count;
}
