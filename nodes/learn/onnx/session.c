#include "nodes/learn/onnx/session.h"

#include <pthread.h>

#include "runtime/base/mem.h"

enum { IDLE_MAX = 8 };
static const size_t idle_bytes_max = (size_t)2 << 30;

struct us_onnx_session {
    struct us_value *model;
    struct us_onnx_wish wish;
    struct us_onnx_file file;
    struct us_onnx_net *net;
    int32_t height, width;
};

/* Idle sessions, the one released last at the end. */
static struct us_onnx_session *idle[IDLE_MAX];
static int idle_count;
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;

static bool same_wish(const struct us_onnx_wish *a, const struct us_onnx_wish *b) {
    return a->channels == b->channels && a->height == b->height && a->width == b->width &&
           a->channels_last == b->channels_last && a->memory == b->memory &&
           a->threads == b->threads;
}

static struct us_onnx_session *take_out(int index) {
    struct us_onnx_session *taken = idle[index];
    idle_count--;
    for (int i = index; i < idle_count; i++) {
        idle[i] = idle[i + 1];
    }
    return taken;
}

static struct us_onnx_session *find_idle(const struct us_digest *digest,
                                         const struct us_onnx_wish *wish) {
    struct us_onnx_session *found = NULL;
    pthread_mutex_lock(&idle_lock);
    for (int i = idle_count; i-- > 0 && !found;) {
        if (us_digest_equal(&idle[i]->model->digest, digest) && same_wish(&idle[i]->wish, wish)) {
            found = take_out(i);
        }
    }
    pthread_mutex_unlock(&idle_lock);
    return found;
}

static void destroy(struct us_onnx_session *session) {
    us_onnx_net_destroy(session->net);
    us_onnx_file_finish(&session->file);
    us_value_unref(session->model);
    us_free(session);
}

static struct us_error *prepare(struct us_onnx_session *session) {
    const struct us_onnx_wish *wish = &session->wish;
    const struct us_onnx_port *port;
    const int c = wish->channels_last ? 3 : 1, h = wish->channels_last ? 1 : 2;
    struct us_onnx_binding binding = {
        .input = {.rank = 4}, .memory = wish->memory, .threads = wish->threads};
    US_TRY(us_onnx_file_parse(session->model->bytes, session->model->size, &session->file));
    US_TRY(us_onnx_check(&session->file));
    US_TRY(us_onnx_image_input(&session->file, &port));
    const bool fixed = port->shaped && port->shape.dims[h] > 0 && port->shape.dims[h + 1] > 0 &&
                       port->shape.dims[h] < 1 << 20 && port->shape.dims[h + 1] < 1 << 20;
    session->height = fixed ? (int32_t)port->shape.dims[h] : wish->height;
    session->width = fixed ? (int32_t)port->shape.dims[h + 1] : wish->width;
    binding.input.dims[0] = 1;
    binding.input.dims[c] = wish->channels;
    binding.input.dims[h] = session->height;
    binding.input.dims[h + 1] = session->width;
    return us_onnx_net_create(&session->file, &binding, &session->net);
}

struct us_error *us_onnx_session_get(struct us_value *model, const struct us_onnx_wish *wish,
                                     struct us_onnx_session **session) {
    *session = find_idle(&model->digest, wish);
    if (*session) {
        return NULL;
    }
    struct us_onnx_session *made = us_calloc(1, sizeof *made);
    made->model = us_value_ref(model);
    made->wish = *wish;
    struct us_error *error = prepare(made);
    if (error) {
        destroy(made);
        return us_error_wrap(error, "cannot use the model");
    }
    *session = made;
    return NULL;
}

static size_t bytes_of(const struct us_onnx_session *session) {
    return us_onnx_net_bytes(session->net);
}

void us_onnx_session_release(struct us_onnx_session *session) {
    struct us_onnx_session *dropped[IDLE_MAX];
    int count = 0;
    pthread_mutex_lock(&idle_lock);
    size_t bytes = bytes_of(session);
    for (int i = 0; i < idle_count; i++) {
        bytes += bytes_of(idle[i]);
    }
    while (idle_count > 0 && (idle_count == IDLE_MAX || bytes > idle_bytes_max)) {
        bytes -= bytes_of(idle[0]);
        dropped[count++] = take_out(0);
    }
    idle[idle_count++] = session;
    pthread_mutex_unlock(&idle_lock);
    for (int i = 0; i < count; i++) {
        destroy(dropped[i]);
    }
}

struct us_onnx_net *us_onnx_session_net(const struct us_onnx_session *session) {
    return session->net;
}

const struct us_onnx_file *us_onnx_session_file(const struct us_onnx_session *session) {
    return &session->file;
}

int32_t us_onnx_session_height(const struct us_onnx_session *session) {
    return session->height;
}

int32_t us_onnx_session_width(const struct us_onnx_session *session) {
    return session->width;
}
