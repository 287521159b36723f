#include "nodes/learn/model_cache.h"

#include <pthread.h>

#include "kernels/nn/model.h"
#include "runtime/base/mem.h"

enum { IDLE_MAX = 16 };
static const size_t idle_bytes_max = (size_t)1 << 30;

struct us_prepared_model {
    struct us_digest digest;
    int device, threads;
    struct us_swap_model about;
    struct us_nn_model *net;
    size_t bytes; /* about what it holds */
};

/* Idle nets, the one released last at the end. */
static struct us_prepared_model *idle[IDLE_MAX];
static int idle_count;
static size_t idle_bytes;
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;

static struct us_prepared_model *take_out(int index) {
    struct us_prepared_model *taken = idle[index];
    idle_count--;
    idle_bytes -= taken->bytes;
    for (int i = index; i < idle_count; i++) {
        idle[i] = idle[i + 1];
    }
    return taken;
}

static struct us_prepared_model *find_idle(const struct us_digest *digest, int device,
                                           int threads) {
    struct us_prepared_model *found = NULL;
    pthread_mutex_lock(&idle_lock);
    for (int i = idle_count; i-- > 0 && !found;) {
        if (us_digest_equal(&idle[i]->digest, digest) && idle[i]->device == device &&
            idle[i]->threads == threads) {
            found = take_out(i);
        }
    }
    pthread_mutex_unlock(&idle_lock);
    return found;
}

static void destroy(struct us_prepared_model *model) {
    if (model) {
        us_nn_model_destroy(model->net);
        us_swap_model_finish(&model->about);
        us_free(model);
    }
}

static struct us_error *prepare(const struct us_value *value, struct us_prepared_model *model) {
    US_TRY(us_swap_model_parse(value->bytes, value->size, &model->about));
    const struct us_nn_model_config config = {.device = model->device,
                                              .arch = model->about.arch,
                                              .batch = us_prepared_model_batch(model->device),
                                              .threads = model->threads};
    US_TRY(us_nn_error(us_nn_model_create(&config, model->about.parameters, &model->net),
                       "build the net"));
    model->bytes = 2 * model->about.parameter_count * sizeof(float);
    us_free(model->about.parameters);
    model->about.parameters = NULL;
    return NULL;
}

struct us_error *us_prepared_model_get(const struct us_value *value, int device, int threads,
                                       struct us_prepared_model **model) {
    *model = find_idle(&value->digest, device, threads);
    if (*model) {
        return NULL;
    }
    struct us_prepared_model *made = us_calloc(1, sizeof *made);
    made->digest = value->digest;
    made->device = device;
    made->threads = threads;
    struct us_error *error = prepare(value, made);
    if (error) {
        destroy(made);
        return us_error_wrap(error, "cannot use the model");
    }
    *model = made;
    return NULL;
}

void us_prepared_model_release(struct us_prepared_model *model) {
    struct us_prepared_model *dropped[IDLE_MAX];
    int count = 0;
    pthread_mutex_lock(&idle_lock);
    while (idle_count > 0 &&
           (idle_count == IDLE_MAX || idle_bytes + model->bytes > idle_bytes_max)) {
        dropped[count++] = take_out(0);
    }
    idle[idle_count++] = model;
    idle_bytes += model->bytes;
    pthread_mutex_unlock(&idle_lock);
    for (int i = 0; i < count; i++) {
        destroy(dropped[i]);
    }
}

const struct us_swap_model *us_prepared_model_about(const struct us_prepared_model *model) {
    return &model->about;
}

int us_prepared_model_batch(int device) {
    return device == US_NN_CPU ? 4 : 8;
}

struct us_error *us_prepared_model_infer(struct us_prepared_model *model, enum us_nn_side decoder,
                                         const float *faces, int count, float *images,
                                         float *masks) {
    return us_nn_error(us_nn_model_infer(model->net, decoder, faces, count, images, masks),
                       "draw the face");
}
