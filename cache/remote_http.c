#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cache/remote_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

#include <sodium.h>

enum { CONNECT_MS = 1000, POLL_MS = 50, ERROR_TEXT = 600 };
/* What one answer may hold; a header that says more is taken for damage. */
#define LARGEST ((uint64_t)1 << 36)

struct remote_line {
    CURL *easy;
    CURLM *multi;
    struct remote_line *next;
};

/* A request under way. */
struct transfer {
    struct remote *remote;
    struct remote_request *request;
    CURL *easy;
    struct curl_slist *headers;
    uint8_t header[REMOTE_HEADER];
    uint64_t length, got, sent; /* of the frame; with the header */
    const char *damage;
    char text[ERROR_TEXT]; /* the start of an answer that is no frame */
    size_t text_length;
};

void remote_url(const struct remote *remote, enum remote_kind kind, const struct us_digest *key,
                struct us_str *url) {
    char hex[US_DIGEST_HEX];
    us_digest_hex(key, hex);
    us_str_printf(url, "%s/%s/%.2s/%s", remote->target.base, kind == REMOTE_OBJECT ? "cas" : "ac",
                  hex, hex);
}

static struct remote_line *take_line(struct remote *remote) {
    pthread_mutex_lock(&remote->lock);
    struct remote_line *line = remote->lines;
    if (line) {
        remote->lines = line->next;
    }
    pthread_mutex_unlock(&remote->lock);
    if (!line) {
        line = us_calloc(1, sizeof *line);
        line->easy = remote->curl->easy_init();
        line->multi = remote->curl->multi_init();
    }
    return line;
}

static void give_line(struct remote *remote, struct remote_line *line) {
    pthread_mutex_lock(&remote->lock);
    line->next = remote->lines;
    remote->lines = line;
    pthread_mutex_unlock(&remote->lock);
}

void remote_lines_finish(struct remote *remote) {
    while (remote->lines) {
        struct remote_line *line = remote->lines;
        remote->lines = line->next;
        remote->curl->easy_cleanup(line->easy);
        remote->curl->multi_cleanup(line->multi);
        us_free(line);
    }
}

/* The header's worth of a frame is gathered, then its bytes get the memory that it asks for. */
static bool take_frame(struct transfer *transfer, const uint8_t *bytes, size_t size) {
    struct remote_request *request = transfer->request;
    if (transfer->got < REMOTE_HEADER) {
        size_t want = REMOTE_HEADER - (size_t)transfer->got, part = size < want ? size : want;
        memcpy(transfer->header + transfer->got, bytes, part);
        transfer->got += part;
        bytes += part;
        size -= part;
        if (transfer->got < REMOTE_HEADER) {
            return true;
        }
        transfer->damage =
            remote_frame_read(transfer->header, request->kind, &request->key, &transfer->length);
        curl_off_t whole = -1; /* as the server says, if it does */
        transfer->remote->curl->info(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &whole);
        if (!transfer->damage &&
            (transfer->length > LARGEST ||
             (whole >= 0 && (uint64_t)whole != REMOTE_HEADER + transfer->length))) {
            transfer->damage = "its length is wrong";
        }
        if (transfer->damage) {
            return false;
        }
        request->bytes = us_try_alloc_pixels((size_t)transfer->length + 1);
        if (!request->bytes) {
            snprintf(request->trouble, sizeof request->trouble, "no memory for %llu bytes of it",
                     (unsigned long long)transfer->length);
            return false;
        }
    }
    if (size > transfer->length + REMOTE_HEADER - transfer->got) {
        transfer->damage = "it is longer than it says";
        return false;
    }
    memcpy(request->bytes + (transfer->got - REMOTE_HEADER), bytes, size);
    transfer->got += size;
    return true;
}

static size_t on_bytes(char *bytes, size_t unit, size_t count, void *context) {
    struct transfer *transfer = context;
    size_t size = unit * count;
    long status = 0;
    transfer->remote->curl->info(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->request->verb == REMOTE_GET && status == 200) {
        return take_frame(transfer, (const uint8_t *)bytes, size) ? size : 0;
    }
    size_t room = sizeof transfer->text - 1 - transfer->text_length;
    size_t part = size < room ? size : room;
    memcpy(transfer->text + transfer->text_length, bytes, part);
    transfer->text_length += part;
    transfer->got += size;
    return transfer->got > LARGEST ? 0 : size;
}

static size_t on_upload(char *to, size_t unit, size_t count, void *context) {
    struct transfer *transfer = context;
    size_t room = unit * count, filled = 0;
    uint64_t start = 0;
    for (size_t i = 0; i < transfer->request->part_count && filled < room; i++) {
        const struct remote_part *part = &transfer->request->parts[i];
        if (transfer->sent < start + part->size) {
            size_t at = (size_t)(transfer->sent - start), left = part->size - at;
            size_t piece = left < room - filled ? left : room - filled;
            memcpy(to + filled, (const uint8_t *)part->bytes + at, piece);
            filled += piece;
            transfer->sent += piece;
        }
        start += part->size;
    }
    return filled;
}

/* A connection that the server had closed meanwhile: once more from the start. */
static int on_seek(void *context, curl_off_t offset, int origin) {
    struct transfer *transfer = context;
    if (origin != SEEK_SET || offset < 0) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    transfer->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_socket(void *context, curl_socket_t socket, curlsocktype purpose) {
    (void)context;
    (void)purpose;
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    return CURL_SOCKOPT_OK;
}

static void add_header(struct transfer *transfer, const char *name, const char *value) {
    struct us_str line = {0};
    us_str_printf(&line, "%s:%s", name, value);
    transfer->headers = transfer->remote->curl->list_append(transfer->headers, us_str_text(&line));
    us_str_finish(&line);
}

/* libcurl signs the headers that are given to it, but does not hash what is sent. */
static void sign(struct transfer *transfer) {
    const struct remote_target *target = &transfer->remote->target;
    const struct us_curl *curl = transfer->remote->curl;
    crypto_hash_sha256_state state;
    uint8_t sum[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof sum + 1];
    crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < transfer->request->part_count; i++) {
        const struct remote_part *part = &transfer->request->parts[i];
        crypto_hash_sha256_update(&state, part->bytes, part->size);
    }
    crypto_hash_sha256_final(&state, sum);
    sodium_bin2hex(hex, sizeof hex, sum, sizeof sum);
    add_header(transfer, "x-amz-content-sha256", hex);
    if (target->session_token) {
        add_header(transfer, "x-amz-security-token", target->session_token);
    }
    curl->set(transfer->easy, CURLOPT_AWS_SIGV4, target->signing);
    curl->set(transfer->easy, CURLOPT_USERPWD, target->keys);
}

static void set_target(struct transfer *transfer) {
    const struct remote_target *target = &transfer->remote->target;
    const struct us_curl *curl = transfer->remote->curl;
    CURL *easy = transfer->easy;
    struct us_str url = {0};
    remote_url(transfer->remote, transfer->request->kind, &transfer->request->key, &url);
    curl->set(easy, CURLOPT_URL, us_str_text(&url));
    us_str_finish(&url);
    curl->set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->set(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl->set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl->set(easy, CURLOPT_PROXY, target->proxy);
    curl->set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl->set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl->set(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (target->certificates) {
        curl->set(easy, CURLOPT_CAINFO, target->certificates);
    }
    curl->set(easy, CURLOPT_USERAGENT, "understudy/" UNDERSTUDY_VERSION);
    if (target->s3) {
        sign(transfer);
    } else {
        curl->set(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl->set(easy, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
        if (target->netrc) {
            curl->set(easy, CURLOPT_NETRC_FILE, target->netrc);
        }
    }
}

static void prepare(struct transfer *transfer) {
    const struct us_curl *curl = transfer->remote->curl;
    struct remote_request *request = transfer->request;
    CURL *easy = transfer->easy;
    curl->easy_reset(easy);
    curl->set(easy, CURLOPT_NOSIGNAL, 1L);
    curl->set(easy, CURLOPT_QUICK_EXIT, 1L);
    curl->set(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl->set(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl->set(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl->set(easy, CURLOPT_WRITEDATA, transfer);
    curl->set(easy, CURLOPT_BUFFERSIZE, 262144L);
    if (request->verb == REMOTE_HEAD) {
        curl->set(easy, CURLOPT_NOBODY, 1L);
    } else if (request->verb == REMOTE_PUT) {
        curl_off_t size = 0;
        for (size_t i = 0; i < request->part_count; i++) {
            size += (curl_off_t)request->parts[i].size;
        }
        request->size = (size_t)size;
        curl->set(easy, CURLOPT_UPLOAD, 1L);
        curl->set(easy, CURLOPT_UPLOAD_BUFFERSIZE, 524288L);
        curl->set(easy, CURLOPT_INFILESIZE_LARGE, size);
        curl->set(easy, CURLOPT_READFUNCTION, on_upload);
        curl->set(easy, CURLOPT_READDATA, transfer);
        curl->set(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl->set(easy, CURLOPT_SEEKDATA, transfer);
        curl->set(easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 300L);
        if (request->if_absent) {
            add_header(transfer, "If-None-Match", "*");
        }
    }
    set_target(transfer);
    curl->set(easy, CURLOPT_HTTPHEADER, transfer->headers);
}

/* Drives it to its end; false when it was given up: `trouble` says why. */
static bool drive(struct transfer *transfer, CURLM *multi, CURLcode *code) {
    struct remote *remote = transfer->remote;
    const struct us_curl *curl = remote->curl;
    double begun = remote_now(), moved = begun;
    uint64_t bytes = 0;
    for (int running = 1, left;;) {
        curl->multi_perform(multi, &running);
        CURLMsg *message = curl->multi_read(multi, &left);
        double now = remote_now();
        transfer->request->seconds = now - begun;
        if (message && message->msg == CURLMSG_DONE) {
            *code = message->data.result;
            return true;
        }
        if (transfer->got + transfer->sent != bytes) {
            bytes = transfer->got + transfer->sent;
            moved = now;
        }
        if (remote_overdue(remote, now - begun, now - moved, bytes)) {
            snprintf(transfer->request->trouble, sizeof transfer->request->trouble,
                     "%llu bytes in %.1f s", (unsigned long long)bytes, now - begun);
            return false;
        }
        if (atomic_load(&remote->off)) {
            return false;
        }
        curl->multi_poll(multi, NULL, 0, POLL_MS, NULL);
    }
}

static enum remote_answer damaged(struct transfer *transfer, const char *why) {
    struct remote *remote = transfer->remote;
    struct remote_request *request = transfer->request;
    pthread_mutex_lock(&remote->lock);
    struct remote_fact *fact = remote_fact_at(&remote->facts, request->kind, &request->key);
    bool said = fact->flags & REMOTE_DAMAGED;
    fact->flags |= REMOTE_DAMAGED;
    pthread_mutex_unlock(&remote->lock);
    struct us_str url = {0};
    remote_url(remote, request->kind, &request->key, &url);
    if (!said) {
        remote_warn(remote, "%s is damaged (%s); going on as if it were not there",
                    us_str_text(&url), why);
    }
    us_str_finish(&url);
    snprintf(request->trouble, sizeof request->trouble, "a damaged answer");
    return REMOTE_BAD;
}

static enum remote_answer refused(struct transfer *transfer) {
    struct remote_request *request = transfer->request;
    long status = request->status;
    const char *hint = "";
    if (status >= 300 && status < 400) {
        hint = " (redirects are not followed)";
    } else if (transfer->remote->target.s3) {
        hint = " (see $AWS_ACCESS_KEY_ID, $AWS_SECRET_ACCESS_KEY, $AWS_SESSION_TOKEN, $AWS_REGION)";
    } else if (status == 401 || status == 403) {
        hint = " (see ~/.netrc or $UNDERSTUDY_REMOTE_NETRC)";
    } else if (status == 413) {
        hint = " (nginx: client_max_body_size)";
    } else if (status == 405 || status == 409) {
        hint = " (nginx: dav_methods PUT, create_full_put_path on)";
    }
    char code[64] = "";
    char *name = strstr(transfer->text, "<Code>");
    if (name) {
        int length = (int)strcspn(name + 6, "<");
        snprintf(code, sizeof code, " %.*s", length < 48 ? length : 48, name + 6);
    }
    snprintf(request->trouble, sizeof request->trouble, "it answers %ld%s%s", status, code, hint);
    return REMOTE_REFUSED;
}

static enum remote_answer judge_status(struct transfer *transfer) {
    struct remote_request *request = transfer->request;
    long status = request->status;
    bool put = request->verb == REMOTE_PUT;
    if (status == 200 || (put && (status == 201 || status == 204))) {
        return REMOTE_OK;
    }
    if (put && status == 412) {
        return REMOTE_EXISTS;
    }
    if (!put && (status == 404 || status == 410)) {
        return REMOTE_MISSING;
    }
    /* S3 says so of what is not there to those who may not list the bucket; of wrong keys it says
     * more, but not in answer to HEAD. */
    if (!put && status == 403 && transfer->remote->target.s3 &&
        (request->verb == REMOTE_HEAD || strstr(transfer->text, "<Code>AccessDenied<"))) {
        return REMOTE_MISSING;
    }
    if (status == 413 || (status >= 300 && status < 412 && status != 408)) {
        return refused(transfer);
    }
    snprintf(request->trouble, sizeof request->trouble, "it answers %ld", status);
    return REMOTE_FAILED;
}

static enum remote_answer judge(struct transfer *transfer, CURLcode code) {
    struct remote_request *request = transfer->request;
    if (transfer->damage) {
        return damaged(transfer, transfer->damage);
    }
    if (code == CURLE_PARTIAL_FILE && request->verb == REMOTE_GET) {
        return damaged(transfer, "it is cut short");
    }
    if (code != CURLE_OK) {
        if (!request->trouble[0]) {
            snprintf(request->trouble, sizeof request->trouble, "%s",
                     transfer->remote->curl->text(code));
        }
        return REMOTE_FAILED;
    }
    transfer->remote->curl->info(transfer->easy, CURLINFO_RESPONSE_CODE, &request->status);
    enum remote_answer answer = judge_status(transfer);
    if (answer != REMOTE_OK || request->verb != REMOTE_GET) {
        return answer;
    }
    if (transfer->got < REMOTE_HEADER || transfer->got < REMOTE_HEADER + transfer->length) {
        return damaged(transfer, "it is cut short");
    }
    request->size = (size_t)transfer->length;
    request->bytes[request->size] = '\0';
    const char *why = remote_frame_check(transfer->header, request->kind, &request->key,
                                         request->bytes, request->size);
    return why ? damaged(transfer, why) : REMOTE_OK;
}

enum remote_answer remote_ask(struct remote *remote, struct remote_request *request) {
    if (atomic_load(&remote->off)) {
        return REMOTE_FAILED;
    }
    const struct us_curl *curl = remote->curl;
    struct remote_line *line = take_line(remote);
    struct transfer transfer = {.remote = remote, .request = request, .easy = line->easy};
    CURLcode code = CURLE_OK;
    atomic_fetch_add(&remote->active, 1);
    prepare(&transfer);
    curl->multi_add(line->multi, line->easy);
    bool ended = drive(&transfer, line->multi, &code);
    enum remote_answer answer = ended ? judge(&transfer, code) : REMOTE_FAILED;
    curl->multi_remove(line->multi, line->easy);
    curl->list_free(transfer.headers);
    give_line(remote, line);
    if (answer != REMOTE_OK && request->bytes) {
        us_free(request->bytes);
        request->bytes = NULL;
    }
    /* Given up because it is off: not its fault. */
    if (ended || request->trouble[0]) {
        remote_account(remote, request, answer);
    }
    atomic_fetch_sub(&remote->active, 1);
    return answer;
}
