#include "cache/curl_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

static const char library[] = "libcurl.so.4";
static struct us_curl loaded;
static const char *missing; /* static text or dlerror's, which is kept */
static char reason[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
    {"curl_global_init", offsetof(struct us_curl, global_init)},
    {"curl_easy_init", offsetof(struct us_curl, easy_init)},
    {"curl_easy_reset", offsetof(struct us_curl, easy_reset)},
    {"curl_easy_cleanup", offsetof(struct us_curl, easy_cleanup)},
    {"curl_easy_setopt", offsetof(struct us_curl, set)},
    {"curl_easy_getinfo", offsetof(struct us_curl, info)},
    {"curl_easy_strerror", offsetof(struct us_curl, text)},
    {"curl_multi_init", offsetof(struct us_curl, multi_init)},
    {"curl_multi_cleanup", offsetof(struct us_curl, multi_cleanup)},
    {"curl_multi_add_handle", offsetof(struct us_curl, multi_add)},
    {"curl_multi_remove_handle", offsetof(struct us_curl, multi_remove)},
    {"curl_multi_perform", offsetof(struct us_curl, multi_perform)},
    {"curl_multi_poll", offsetof(struct us_curl, multi_poll)},
    {"curl_multi_info_read", offsetof(struct us_curl, multi_read)},
    {"curl_slist_append", offsetof(struct us_curl, list_append)},
    {"curl_slist_free_all", offsetof(struct us_curl, list_free)},
};

static void load(void) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; handle && i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = dlsym(handle, symbols[i].name);
        if (!symbol) {
            handle = NULL;
            break;
        }
        memcpy((char *)&loaded + symbols[i].offset, &symbol, sizeof symbol);
    }
    if (!handle) {
        const char *why = dlerror();
        strncpy(reason, why ? why : "it lacks a function", sizeof reason - 1);
        missing = reason;
    } else if (loaded.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        missing = "it does not start";
    }
}

struct us_error *us_curl_load(const struct us_curl **curl) {
    pthread_once(&once, load);
    *curl = &loaded;
    return missing
               ? us_error_hint(us_fail(US_MISSING, "a remote cache needs %s: %s", library, missing),
                               "install libcurl4, or leave out --remote")
               : NULL;
}
