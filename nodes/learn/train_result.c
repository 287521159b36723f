#include "nodes/learn/train_result.h"

#include <stdio.h>
#include <string.h>

#include "kernels/nn/model.h"
#include "nodes/learn/face_score.h"
#include "nodes/learn/loss_curve.h"
#include "nodes/learn/model_file.h"
#include "nodes/learn/preview_sheet.h"
#include "nodes/learn/training_state.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

enum { FACES_MAX = 256, PREVIEW_FACES = 8, INFER_BATCH = 8 };

/* One side's faces that the model is measured with, and what it makes of them. */
struct measured {
    size_t indices[FACES_MAX], count;
    float *faces, *made; /* [count][3][R][R] */
    struct us_face_score score;
};

static size_t held_out_count(const struct us_dataset *d) {
    size_t count = 0;
    for (size_t i = 0; i < d->count; i++) {
        count += d->items[i].held_out;
    }
    return count;
}

/* At most FACES_MAX of the held-out faces, or of all when none is, evenly spread. */
static void choose(const struct us_dataset *d, struct measured *m) {
    const size_t held_out = held_out_count(d), total = held_out ? held_out : d->count;
    const size_t wanted = total < FACES_MAX ? total : FACES_MAX;
    size_t seen = 0;
    for (size_t i = 0; i < d->count; i++) {
        if (held_out && !d->items[i].held_out) {
            continue;
        }
        if (seen * wanted / total != (seen + 1) * wanted / total) {
            m->indices[m->count++] = i;
        }
        seen++;
    }
}

static struct us_error *load(const struct us_dataset *d, struct measured *m) {
    const size_t values = 3 * (size_t)d->size * (size_t)d->size;
    choose(d, m);
    m->faces = us_try_alloc_pixels(m->count * values * sizeof(float));
    m->made = us_try_alloc_pixels(m->count * values * sizeof(float));
    if (!m->faces || !m->made) {
        return us_fail(US_RETRY, "no memory to measure with %zu faces", m->count);
    }
    for (size_t i = 0; i < m->count; i++) {
        us_face_planes(d, m->indices[i], m->faces + i * values, NULL);
    }
    return NULL;
}

static struct us_error *measure(struct us_nn_model *model, const struct us_dataset *d,
                                enum us_nn_side side, struct measured *m) {
    US_TRY(load(d, m));
    US_TRY(us_nn_error(us_nn_model_infer(model, side, m->faces, (int)m->count, m->made, NULL),
                       "measure the model"));
    return us_face_score(d, m->indices, m->count, m->made, &m->score);
}

/* Moves PREVIEW_FACES evenly spread faces (and what was made of them) to the front. */
static size_t thin_out(struct measured *m, size_t values) {
    const size_t count = m->count < PREVIEW_FACES ? m->count : PREVIEW_FACES;
    for (size_t i = 0; i < count; i++) {
        const size_t from = i * m->count / count;
        memmove(m->faces + i * values, m->faces + from * values, values * sizeof(float));
        memmove(m->made + i * values, m->made + from * values, values * sizeof(float));
    }
    return count;
}

enum { ROWS_MAX = 2 * US_NN_IDENTITIES + 1 };

/* What there is of each identity and what was made of it, and the swap. */
static size_t preview_rows(const struct us_training *t, struct measured *sides, float *swaps,
                           struct us_preview_row rows[ROWS_MAX]) {
    static const char *const labels[US_NN_IDENTITIES][2] = {
        {"source", "source made"}, {"destination", "dest. made"}, {"other1", "other1 made"},
        {"other2", "other2 made"}, {"other3", "other3 made"},     {"other4", "other4 made"},
        {"other5", "other5 made"}, {"other6", "other6 made"}};
    const size_t values = 3 * (size_t)t->sides[0].dataset.size * (size_t)t->sides[0].dataset.size;
    size_t row = 0;
    for (int i = 0; i < t->identities; i++) {
        const size_t count = thin_out(&sides[i], values);
        rows[row++] = (struct us_preview_row){labels[i][0], sides[i].faces, count};
        rows[row++] = (struct us_preview_row){labels[i][1], sides[i].made, count};
        if (i == US_NN_DESTINATION) {
            rows[row++] = (struct us_preview_row){"swap", swaps, count};
        }
    }
    return row;
}

static struct us_error *make_preview(struct us_training *t, struct us_nn_model *model,
                                     struct measured *sides, struct us_value **preview) {
    const struct us_dataset *d = &t->sides[0].dataset;
    const size_t values = 3 * (size_t)d->size * (size_t)d->size;
    const size_t destination =
        sides[1].count < PREVIEW_FACES ? sides[1].count : (size_t)PREVIEW_FACES;
    float *swaps = us_try_alloc_pixels(destination * values * sizeof *swaps);
    if (!swaps) {
        return us_fail(US_RETRY, "no memory for a preview");
    }
    char title[160];
    snprintf(title, sizeof title, "step %llu  loss %.4f  SSIM source %.3f  destination %.3f",
             (unsigned long long)t->step, us_training_loss(t, t->step), sides[0].score.ssim,
             sides[1].score.ssim);
    struct us_preview_row rows[ROWS_MAX];
    const size_t row_count = preview_rows(t, sides, swaps, rows);
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct us_error *error = us_nn_error(
        us_nn_model_infer(model, US_NN_SOURCE, sides[1].faces, (int)destination, swaps, NULL),
        "make a preview");
    if (!error) {
        error = us_preview_sheet(title, d->encoding, d->size, rows, row_count, &bytes, &size);
    }
    if (!error) {
        *preview = us_value_from_bytes(US_FILE, bytes, size);
    }
    us_free(swaps);
    return error;
}

static struct us_error *make_model(const struct us_training *t, struct us_value **model) {
    const struct us_dataset *d = &t->sides[0].dataset;
    struct us_swap_model file = {.arch = t->config.arch,
                                 .steps = t->step,
                                 .loss = us_training_loss(t, t->step),
                                 .license = (char *)(uintptr_t)t->params->license,
                                 .consent = (char *)(uintptr_t)t->params->consent,
                                 .source = us_dataset_digest(d),
                                 .destination = us_dataset_digest(&t->sides[1].dataset),
                                 .parameters = t->parameters};
    snprintf(file.encoding, sizeof file.encoding, "%s", d->encoding);
    snprintf(file.coverage, sizeof file.coverage, "%s", d->coverage);
    uint8_t *bytes;
    size_t size;
    US_TRY(us_swap_model_print(&file, &bytes, &size));
    *model = us_value_from_bytes(US_MODEL, bytes, size);
    return NULL;
}

static struct us_value *make_metrics(const struct us_training *t, const struct measured *sides) {
    struct us_str out = {0};
    us_str_append(&out, us_str_text(&t->lines));
    us_str_printf(&out,
                  "{\"event\":\"final\",\"step\":%llu,\"loss\":%.6g,\"seconds\":%.3f,"
                  "\"images_per_second\":%.2f,\"data_wait\":%.4f",
                  (unsigned long long)t->step, us_training_loss(t, t->step), t->seconds,
                  t->seconds > 0 ? (double)t->identities * (double)t->params->batch *
                                       (double)t->step / t->seconds
                                 : 0.0,
                  t->seconds > 0 ? t->wait_seconds / t->seconds : 0.0);
    for (int side = 0; side < t->identities; side++) {
        us_str_printf(&out, ",\"%s\":{\"faces\":%zu,\"held_out\":%s,\"ssim\":%.5f,\"psnr\":%.3f}",
                      us_identity_name(side), sides[side].score.faces,
                      held_out_count(&t->sides[side].dataset) ? "true" : "false",
                      sides[side].score.ssim, sides[side].score.psnr);
    }
    us_str_append(&out, "}\n");
    const size_t size = out.length;
    return us_value_from_bytes(US_METRICS, (uint8_t *)us_str_take(&out), size);
}

static struct us_error *make_curve(const struct us_training *t, struct us_value **curve) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_loss_curve(t->losses, t->step, &bytes, &size));
    *curve = us_value_from_bytes(US_FILE, bytes, size);
    return NULL;
}

/* What is known of a model: owns the faces of all sides and the net. */
struct results {
    struct us_nn_model *net;
    struct measured sides[US_NN_IDENTITIES];
};

static void results_destroy(struct results *r) {
    us_nn_model_destroy(r->net);
    for (int side = 0; side < US_NN_IDENTITIES; side++) {
        us_free(r->sides[side].faces);
        us_free(r->sides[side].made);
    }
    us_free(r);
}

static struct us_error *measure_both(struct us_training *t, struct results *r) {
    const struct us_nn_model_config config = {.device = t->config.device,
                                              .arch = t->config.arch,
                                              .batch = INFER_BATCH,
                                              .threads = t->config.threads};
    US_TRY(us_nn_error(us_nn_model_create(&config, t->parameters, &r->net), "measure the model"));
    for (int side = 0; side < t->identities; side++) {
        US_TRY(measure(r->net, &t->sides[side].dataset, (enum us_nn_side)side, &r->sides[side]));
    }
    return NULL;
}

static struct us_error *set_outputs(struct us_training *t, struct us_train_ports ports,
                                    struct results *r) {
    struct us_value *value;
    us_task_output(t->task, ports.metrics, make_metrics(t, r->sides));
    US_TRY(make_model(t, &value));
    us_task_output(t->task, ports.model, value);
    US_TRY(make_curve(t, &value));
    us_task_output(t->task, ports.curve, value);
    US_TRY(make_preview(t, r->net, r->sides, &value));
    us_task_output(t->task, ports.preview, value);
    us_task_status(t->task, "step %llu, loss %.4f, %s SSIM source %.3f destination %.3f",
                   (unsigned long long)t->step, us_training_loss(t, t->step),
                   held_out_count(&t->sides[0].dataset) ? "held-out" : "trained",
                   r->sides[0].score.ssim, r->sides[1].score.ssim);
    return NULL;
}

struct us_error *us_train_results(struct us_training *t, struct us_train_ports ports) {
    struct results *r = us_calloc(1, sizeof *r);
    struct us_error *error = measure_both(t, r);
    if (!error) {
        error = set_outputs(t, ports, r);
    }
    results_destroy(r);
    return error;
}

/* Takes the value over. */
static struct us_error *write_value(const char *folder, const char *name, struct us_value *value) {
    char *path = us_path_join(folder, name);
    struct us_error *error = us_write_file(path, value->bytes, value->size);
    us_free(path);
    us_value_unref(value);
    return error;
}

static struct us_error *write_pictures(struct us_training *t, struct results *r) {
    struct us_value *value;
    US_TRY(measure_both(t, r));
    US_TRY(write_value(t->folder, "metrics.jsonl", make_metrics(t, r->sides)));
    US_TRY(make_curve(t, &value));
    US_TRY(write_value(t->folder, "curve.png", value));
    US_TRY(make_preview(t, r->net, r->sides, &value));
    return write_value(t->folder, "preview.png", value);
}

struct us_error *us_train_pictures(struct us_training *t) {
    struct results *r = us_calloc(1, sizeof *r);
    struct us_error *error = us_training_parameters(t);
    if (!error) {
        error = write_pictures(t, r);
    }
    results_destroy(r);
    return error;
}
