/* A small HTTP/1.1 server in a thread of a test: keeps what is PUT, one request at a time, and
 * misbehaves as it is told. Addresses are http://127.0.0.1:<port>/... */
#ifndef US_TESTS_SUPPORT_HTTP_SERVER_H
#define US_TESTS_SUPPORT_HTTP_SERVER_H

#include <stdatomic.h>
#include <stddef.h>

enum http_manner {
    HTTP_HONEST,
    HTTP_ERRORS,   /* 500 to everything */
    HTTP_GARBAGE,  /* 200 and something else to every GET */
    HTTP_HALF,     /* the length of all, but half of it */
    HTTP_FLIPPED,  /* bit `flip_at` of the body is wrong */
    HTTP_SWAPPED,  /* the file of another name */
    HTTP_LONGER,   /* more bytes than there should be */
    HTTP_MUTE,     /* takes the request and says nothing */
    HTTP_DRIP,     /* a byte now and then */
    HTTP_FORBIDS,  /* 401, to PUT 405 */
    HTTP_NO_PUT,   /* 405 to PUT */
    HTTP_LIES,     /* yes to HEAD, no to GET */
    HTTP_REDIRECTS /* 301 */
};

enum { HTTP_FILES = 64 };

struct http_file {
    char path[256];
    char *bytes;
    size_t size;
    int order; /* of the PUT, from 0 */
};

extern struct http_server {
    int port;
    atomic_int flip_at, puts, requests;
    struct http_file files[HTTP_FILES];
    int count;
} http_server;

/* Group and test fixtures of cmocka. */
int http_server_start(void **state);
int http_server_stop(void **state);
int http_server_forget(void **state); /* its files; it is honest again */

void http_server_behave(enum http_manner manner);
/* NULL when there is none. */
struct http_file *http_server_file(const char *path);

#endif
