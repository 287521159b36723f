#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"

struct http_server http_server;
static int listener;
static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int manner;
static atomic_bool ends;

struct http_file *http_server_file(const char *path) {
    for (int i = 0; i < http_server.count; i++) {
        if (strcmp(http_server.files[i].path, path) == 0) {
            return &http_server.files[i];
        }
    }
    return NULL;
}

static void say(int to, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = send(to, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
}

static void answer(int to, int status, const char *more, size_t length) {
    char head[512];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n",
                        status, length, more);
    say(to, head, (size_t)size);
}

static void answer_get(int to, const char *path) {
    int how = atomic_load(&manner);
    struct http_file *file = http_server_file(path);
    if (how == HTTP_GARBAGE) {
        answer(to, 200, "", 100);
        say(to,
            "<html><body>The page you are looking for is elsewhere, and this text has hundred "
            "bytes</body></html>",
            100);
        return;
    }
    if (!file || how == HTTP_LIES) {
        answer(to, 404, "", 0);
        return;
    }
    if (how == HTTP_SWAPPED) {
        file = &http_server.files[(file - http_server.files + 1) % http_server.count];
    }
    char *copy = us_calloc(1, file->size + 9);
    memcpy(copy, file->bytes, file->size);
    size_t size = file->size + (how == HTTP_LONGER ? 8 : 0);
    size_t at = (size_t)atomic_load(&http_server.flip_at);
    if (how == HTTP_FLIPPED && at / 8 < size) {
        copy[at / 8] = (char)(copy[at / 8] ^ 1 << at % 8);
    }
    answer(to, 200, "", size);
    say(to, copy, how == HTTP_HALF ? size / 2 : size);
    us_free(copy);
}

static void keep(const char *path, char *bytes, size_t size) {
    struct http_file *file = http_server_file(path);
    if (!file) {
        assert_true(http_server.count < HTTP_FILES);
        file = &http_server.files[http_server.count++];
        snprintf(file->path, sizeof file->path, "%s", path);
    }
    us_free(file->bytes);
    file->bytes = bytes;
    file->size = size;
    file->order = atomic_fetch_add(&http_server.puts, 1);
}

static void hold(int to, bool drips) {
    char byte;
    while (!atomic_load(&ends) && recv(to, &byte, 1, MSG_DONTWAIT) != 0) {
        if (drips) {
            say(to, "U", 1);
        }
        usleep(100000);
    }
}

static void handle(int to, const char *verb, const char *path, char *body, size_t size) {
    int how = atomic_load(&manner);
    bool get = strcmp(verb, "GET") == 0, put = strcmp(verb, "PUT") == 0;
    struct http_file *file = http_server_file(path);
    atomic_fetch_add(&http_server.requests, 1);
    if (how == HTTP_MUTE) {
        hold(to, false);
    } else if (how == HTTP_DRIP && get) {
        answer(to, 200, "", 1000000);
        hold(to, true);
    } else if (how == HTTP_ERRORS) {
        answer(to, 500, "", 0);
    } else if (how == HTTP_FORBIDS || (how == HTTP_NO_PUT && put)) {
        answer(to, put ? 405 : 401, "", 0);
    } else if (how == HTTP_REDIRECTS) {
        answer(to, 301, "Location: /elsewhere\r\n", 0);
    } else if (get) {
        answer_get(to, path);
    } else if (put) {
        keep(path, body, size);
        answer(to, 201, "", 0);
        return;
    } else {
        answer(to, file || how == HTTP_LIES ? 200 : 404, "", file ? file->size : 0);
    }
    us_free(body);
}

static void serve(int to) {
    struct us_str head = {0};
    char byte;
    while (!strstr(us_str_text(&head), "\r\n\r\n") && recv(to, &byte, 1, 0) == 1) {
        us_str_append_bytes(&head, &byte, 1);
    }
    char verb[8] = "", path[256] = "";
    sscanf(us_str_text(&head), "%7s %255s", verb, path);
    const char *length = strstr(us_str_text(&head), "Content-Length:");
    size_t size = length ? strtoul(length + 15, NULL, 10) : 0, got = 0;
    if (strstr(us_str_text(&head), "100-continue")) {
        say(to, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    char *body = us_malloc(size + 1);
    for (ssize_t part; got < size && (part = recv(to, body + got, size - got, 0)) > 0;) {
        got += (size_t)part;
    }
    pthread_mutex_lock(&lock);
    handle(to, verb, path, body, got);
    pthread_mutex_unlock(&lock);
    us_str_finish(&head);
    close(to);
}

static void *serve_all(void *context) {
    (void)context;
    for (int to; (to = accept(listener, NULL, NULL)) >= 0;) {
        serve(to);
    }
    return NULL;
}

int http_server_start(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(listen(listener, 64), 0);
    http_server.port = ntohs(address.sin_port);
    return pthread_create(&thread, NULL, serve_all, NULL);
}

int http_server_stop(void **state) {
    (void)state;
    atomic_store(&ends, true);
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    for (int i = 0; i < http_server.count; i++) {
        us_free(http_server.files[i].bytes);
    }
    return 0;
}

void http_server_behave(enum http_manner how) {
    pthread_mutex_lock(&lock);
    atomic_store(&manner, (int)how);
    pthread_mutex_unlock(&lock);
}

int http_server_forget(void **state) {
    (void)state;
    http_server_behave(HTTP_HONEST);
    for (int i = 0; i < http_server.count; i++) {
        us_free(http_server.files[i].bytes);
        http_server.files[i] = (struct http_file){0};
    }
    http_server.count = 0;
    atomic_store(&http_server.puts, 0);
    return 0;
}
