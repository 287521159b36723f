#include "kernels/cuda/load.h"

#include <dlfcn.h>
#include <glob.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/build_number.h"

#define FILE_NAME "libunderstudy_cuda.so"
enum { MOST_PATH = 4096 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct us_cuda_module *loaded;
static char problem[1024];

/* Of the running program, without a slash at the end; false when the system does not say. */
static bool program_folder(char folder[MOST_PATH]) {
    ssize_t length = readlink("/proc/self/exe", folder, MOST_PATH - 1);
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
    char folder[MOST_PATH];
    if (!program_folder(folder)) {
        return false;
    }
    snprintf(path, size, "%s/" FILE_NAME, folder);
    if (access(path, R_OK) == 0) {
        return true;
    }
    snprintf(path, size, "%s/../lib/" FILE_NAME, folder);
    return access(path, R_OK) == 0;
}

/* What the module is linked with, and what cuDNN opens by name when it compiles or multiplies. A
 * library that is open already serves whoever asks for its name, wherever it came from. */
static const char *const libraries[] = {
    "libcudnn.so.9",     "libnccl.so.2",   "libnvrtc-builtins.so.13.0", "libnvrtc.so.13",
    "libcublasLt.so.13", "libnvrtc.so.12", "libcublasLt.so.12"};

/* Opens what of the libraries lies in folders of that pattern. */
static void open_libraries(const char *pattern) {
    glob_t folders = {0};
    if (glob(pattern, 0, NULL, &folders) != 0) {
        return;
    }
    for (size_t f = 0; f < folders.gl_pathc; f++) {
        for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
            char path[MOST_PATH];
            int length = snprintf(path, sizeof path, "%s/%s", folders.gl_pathv[f], libraries[i]);
            if (length < MOST_PATH && access(path, R_OK) == 0) {
                (void)dlopen(path, RTLD_LAZY | RTLD_LOCAL);
            }
        }
    }
    globfree(&folders);
}

static void open_listed(const char *list) {
    while (*list) {
        char folder[MOST_PATH];
        const size_t length = strcspn(list, ":");
        if (length && length < sizeof folder) {
            snprintf(folder, sizeof folder, "%.*s", (int)length, list);
            open_libraries(folder);
        }
        list += length + (list[length] == ':');
    }
}

/* Python packages bring these libraries: nvidia/cudnn/lib, nvidia/nccl/lib, nvidia/cu13/lib, ... */
static void open_pythons(void) {
    static const struct {
        const char *variable, *below; /* a variable that is not set leaves the place out */
    } places[] = {
        {"VIRTUAL_ENV", "lib/python3*/site-packages"},
        {"CONDA_PREFIX", "lib/python3*/site-packages"},
        {"HOME", ".local/lib/python3*/site-packages"},
        {NULL, "usr/local/lib/python3*/dist-packages"},
        {NULL, "usr/local/lib/python3*/site-packages"},
        {NULL, "usr/lib/python3*/site-packages"},
        {NULL, "opt/conda/lib/python3*/site-packages"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *root = places[i].variable ? getenv(places[i].variable) : "";
        char pattern[MOST_PATH];
        if (root && snprintf(pattern, sizeof pattern, "%s/%s/nvidia/*/lib", root, places[i].below) <
                        MOST_PATH) {
            open_libraries(pattern);
        }
    }
}

static void *open_module(const char *path) {
    const char *listed = getenv("UNDERSTUDY_CUDA_LIBS");
    open_listed(listed ? listed : "");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        snprintf(problem, sizeof problem, "cannot load the CUDA module: %s", why ? why : path);
        open_pythons();
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

static const struct us_cuda_module *check(void *library, const char *path) {
    us_cuda_module_function *get;
    *(void **)&get = dlsym(library, US_CUDA_SYMBOL);
    const struct us_cuda_module *module = get ? get() : NULL;
    if (!module) {
        snprintf(problem, sizeof problem, "'%s' is not a CUDA module", path);
    } else if (module->abi != US_CUDA_ABI || module->size != sizeof *module ||
               module->build != US_CUDA_BUILD) {
        const bool old = module->abi != US_CUDA_ABI || module->size != sizeof *module;
        snprintf(problem, sizeof problem,
                 "'%s' is of another build (%u.%u.%016" PRIx64
                 ", this program's is %d.%zu.%016" PRIx64 ")",
                 path, module->abi, module->size, old ? 0 : module->build, US_CUDA_ABI,
                 sizeof *module, (uint64_t)US_CUDA_BUILD);
        return NULL;
    }
    return module;
}

static void load(void) {
    char path[MOST_PATH + 64] = "";
    if (!find_module(path, sizeof path)) {
        const char *named = getenv("UNDERSTUDY_CUDA_MODULE");
        snprintf(problem, sizeof problem,
                 named ? "the CUDA module '%s' is not there"
                       : "this build has no CUDA module (%s beside the program)",
                 named ? named : FILE_NAME);
        return;
    }
    void *library = open_module(path);
    loaded = library ? check(library, path) : NULL;
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
