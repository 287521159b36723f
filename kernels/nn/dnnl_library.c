#include "kernels/nn/dnnl_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct us_dnnl opened;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The names themselves, not what dnnl_library.h makes of them. */
#define X(name) {"dnnl_" #name, offsetof(struct us_dnnl, name)},
static const struct {
    const char *name;
    size_t offset;
} symbols[] = {US_DNNL_FUNCTIONS(X)};
#undef X

static void open_library(void) {
    void *library = dlopen("libdnnl.so.2", RTLD_LAZY | RTLD_LOCAL);
    bool whole = library != NULL;
    for (size_t i = 0; whole && i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        memcpy((char *)&opened + symbols[i].offset, &symbol, sizeof symbol);
        whole = symbol != NULL;
    }
    if (!whole) {
        const char *why = dlerror();
        fprintf(stderr, "understudy: error: cannot open oneDNN (%s)\n", why ? why : "libdnnl.so.2");
        exit(3);
    }
}

const struct us_dnnl *us_dnnl(void) {
    pthread_once(&once, open_library);
    return &opened;
}
