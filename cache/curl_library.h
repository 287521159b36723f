/* libcurl, loaded when a remote cache is first opened: linked, its own libraries would cost every
 * start of the program several milliseconds. */
#ifndef US_CACHE_CURL_LIBRARY_H
#define US_CACHE_CURL_LIBRARY_H

#include <curl/curl.h>

#include "runtime/base/error.h"

struct us_curl {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    void (*easy_reset)(CURL *easy);
    void (*easy_cleanup)(CURL *easy);
    CURLcode (*set)(CURL *easy, CURLoption option, ...);
    CURLcode (*info)(CURL *easy, CURLINFO info, ...);
    const char *(*text)(CURLcode code);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    CURLMcode (*multi_add)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_perform)(CURLM *multi, int *running);
    CURLMcode (*multi_poll)(CURLM *multi, struct curl_waitfd *extra, unsigned count, int ms,
                            int *ready);
    CURLMsg *(*multi_read)(CURLM *multi, int *left);
    struct curl_slist *(*list_append)(struct curl_slist *list, const char *text);
    void (*list_free)(struct curl_slist *list);
};

/* Loads and initialises it once a process; US_MISSING with what to install when it is not there. */
struct us_error *us_curl_load(const struct us_curl **curl) US_NODISCARD;

#endif
