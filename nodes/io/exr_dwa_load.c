#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nodes/io/exr_dwa_module.h"

#ifdef US_DWA_LINKED
static const struct us_dwa_module *module(char *message, size_t message_size) {
    (void)message;
    (void)message_size;
    return &us_dwa_module;
}
#else
enum { MOST_PATH = 4096 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct us_dwa_module *opened;
static char problem[512] = "it is not beside the program";

static void open_at(const char *folder, const char *below) {
    char path[MOST_PATH + 64];
    snprintf(path, sizeof path, "%s/%slibunderstudy_exr.so", folder, below);
    if (opened || access(path, R_OK) != 0) {
        return;
    }
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "us_dwa_module") : NULL;
    if (!symbol) {
        const char *why = dlerror();
        snprintf(problem, sizeof problem, "%.400s", why ? why : path);
    } else if (((const struct us_dwa_module *)symbol)->number != US_DWA_NUMBER) {
        snprintf(problem, sizeof problem, "'%.400s' is another version's", path);
    } else {
        opened = symbol;
    }
}

/* As it is built, as it is installed, and for tests, which lie one folder below the program. */
static void open_module(void) {
    char folder[MOST_PATH];
    const ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (length > 0) {
        folder[length] = '\0';
        *strrchr(folder, '/') = '\0';
        open_at(folder, "");
        open_at(folder, "../lib/");
        open_at(folder, "../");
    }
}

static const struct us_dwa_module *module(char *message, size_t message_size) {
    pthread_once(&once, open_module);
    if (!opened) {
        snprintf(message, message_size, "cannot open libunderstudy_exr.so: %s", problem);
    }
    return opened;
}
#endif

int us_dwa_open(char *message, size_t message_size) {
    return module(message, message_size) ? 0 : -1;
}

int us_dwa_read(const uint8_t *file, size_t size, const struct us_dwa_image *image, char *message,
                size_t message_size) {
    const struct us_dwa_module *dwa = module(message, message_size);
    return dwa ? dwa->read(file, size, image, message, message_size) : -1;
}

int us_dwa_write(const struct us_dwa_image *image, uint8_t **file, size_t *size, char *message,
                 size_t message_size) {
    const struct us_dwa_module *dwa = module(message, message_size);
    return dwa ? dwa->write(image, file, size, message, message_size) : -1;
}

void us_dwa_free(uint8_t *file) {
    if (file) {
        module(NULL, 0)->free(file);
    }
}
