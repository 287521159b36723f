#include "nodes/learn/dataset_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/half.h"
#include "nodes/face/crop_info.h"
#include "nodes/learn/safetensors.h"
#include "runtime/base/mem.h"

static const char format[] = "understudy-dataset-1";

enum { SIDE_MIN = 16, SIDE_MAX = 2048, LANDMARKS_MAX = 4096 };

void us_dataset_finish(struct us_dataset *dataset) {
    us_free(dataset->faces);
    us_free(dataset->landmarks);
    us_free(dataset->items);
    *dataset = (struct us_dataset){0};
}

static size_t face_values(const struct us_dataset *d) {
    return (size_t)d->size * (size_t)d->size * 4;
}

const uint16_t *us_dataset_face(const struct us_dataset *dataset, size_t index) {
    return dataset->faces + index * face_values(dataset);
}

const float *us_dataset_mesh(const struct us_dataset *dataset, size_t index) {
    return dataset->landmark_count == 468 ? dataset->landmarks + index * 2 * 468 : NULL;
}

static struct us_error *differs(const char *what, const char *is, const char *was) {
    return us_error_hint(
        us_fail(US_FAILED, "its %s is %s, that of the faces before it %s", what, is, was),
        "make all crops with the same size, coverage and encoding");
}

/* The first faces decide; later ones must agree. */
static struct us_error *agree(struct us_dataset *d, int size, const char *encoding,
                              const char *coverage, int landmark_count) {
    char is[16], was[16];
    if (d->count == 0) {
        d->size = size;
        d->landmark_count = landmark_count;
        snprintf(d->encoding, sizeof d->encoding, "%s", encoding);
        snprintf(d->coverage, sizeof d->coverage, "%s", coverage);
        return NULL;
    }
    if (size != d->size) {
        snprintf(is, sizeof is, "%d px", size);
        snprintf(was, sizeof was, "%d px", d->size);
        return differs("size", is, was);
    }
    if (strcmp(encoding, d->encoding) != 0) {
        return differs("encoding", encoding, d->encoding);
    }
    if (strcmp(coverage, d->coverage) != 0) {
        return differs("coverage", coverage, d->coverage);
    }
    if (landmark_count != d->landmark_count) {
        snprintf(is, sizeof is, "%d", landmark_count);
        snprintf(was, sizeof was, "%d", d->landmark_count);
        return differs("number of landmarks", is, was);
    }
    return NULL;
}

/* Room for `more` faces: both arrays double together. */
static struct us_error *make_room(struct us_dataset *d, size_t more) {
    if (d->count + more <= d->capacity) {
        return NULL;
    }
    size_t capacity = d->capacity ? d->capacity : 16;
    while (capacity < d->count + more) {
        capacity *= 2;
    }
    const size_t values = face_values(d), points = 2 * (size_t)d->landmark_count;
    uint16_t *faces = us_try_alloc_pixels(capacity * values * sizeof *faces);
    if (!faces) {
        return us_fail(US_RETRY, "no memory for %zu faces of %d px", capacity, d->size);
    }
    if (d->count) {
        memcpy(faces, d->faces, d->count * values * sizeof *faces);
    }
    us_free(d->faces);
    d->faces = faces;
    d->landmarks = us_realloc(d->landmarks, capacity * points * sizeof(float) + 1);
    d->items = us_realloc(d->items, capacity * sizeof *d->items);
    d->capacity = capacity;
    return NULL;
}

static struct us_error *crop_size(const struct us_image *crop, int *size) {
    const int width = us_window_width(&crop->data_window);
    const int height = us_window_height(&crop->data_window);
    *size = width;
    if (width != height || width < SIDE_MIN || width > SIDE_MAX) {
        return us_fail(US_FAILED, "the crop is %d x %d, allowed is a square of %d to %d px", width,
                       height, SIDE_MIN, SIDE_MAX);
    }
    return NULL;
}

static float usable(float value) {
    return !isfinite(value)    ? 0.0f
           : value < -60000.0f ? -60000.0f
           : value > 60000.0f  ? 60000.0f
                               : value;
}

static struct us_error *read_face(const struct us_image *crop, int size, uint16_t *face) {
    static const char *const names[4] = {"R", "G", "B", "matte.A"};
    const size_t area = (size_t)size * (size_t)size;
    struct us_view planes[2];
    US_TRY(us_planes_create(size, size, 2, planes));
    float *packed = us_try_alloc_pixels(4 * area * sizeof *packed);
    struct us_error *error =
        packed ? NULL : us_fail(US_RETRY, "no memory for a face of %d px", size);
    for (int c = 0; c < 4 && !error; c++) {
        error = us_image_read_plane(crop, names[c], planes[0]);
        for (size_t i = 0; i < area && !error; i++) {
            const float value =
                *(us_view_row(planes[0], (int32_t)(i / (size_t)size)) + i % (size_t)size);
            packed[4 * i + (size_t)c] = usable(value);
        }
    }
    if (!error) {
        us_float_to_half(packed, face, 4 * area);
    }
    us_free(packed);
    us_free(planes[0].data);
    return error;
}

static struct us_error *add_found(struct us_dataset *d, const struct us_image *crop,
                                  const struct us_crop_info *info, struct us_frame frame,
                                  const struct us_digest *digest) {
    int size;
    US_TRY(crop_size(crop, &size));
    if (info->landmark_count > LANDMARKS_MAX) {
        return us_fail(US_FAILED, "the crop has %d landmarks, allowed are 0 to %d",
                       info->landmark_count, LANDMARKS_MAX);
    }
    US_TRY(agree(d, size, info->encoding, info->coverage, info->landmark_count));
    US_TRY(make_room(d, 1));
    US_TRY(read_face(crop, size, d->faces + d->count * face_values(d)));
    const size_t points = 2 * (size_t)d->landmark_count;
    if (points) {
        memcpy(d->landmarks + d->count * points, info->landmarks, points * sizeof(float));
    }
    d->items[d->count++] = (struct us_dataset_item){.frame = frame, .digest = *digest};
    return NULL;
}

struct us_error *us_dataset_add_crop(struct us_dataset *dataset, const struct us_image *crop,
                                     struct us_frame frame, const struct us_digest *digest,
                                     bool *added) {
    struct us_crop_info info;
    *added = false;
    US_TRY(us_crop_info_read(crop, &info));
    struct us_error *error = NULL;
    if (info.found) {
        error = add_found(dataset, crop, &info, frame, digest);
        *added = !error;
    }
    us_crop_info_finish(&info);
    return error;
}

struct parts {
    const struct us_array *images, *masks, *landmarks, *frames, *digests, *held_out;
};

static struct us_error *read_parts(const struct us_arrays *arrays, struct parts *p) {
    const char *kind = us_arrays_text(arrays, "format");
    if (!kind || strcmp(kind, format) != 0) {
        return us_error_hint(
            us_fail(US_CORRUPT, "its format is '%.40s', needed is '%s'", kind ? kind : "", format),
            "connect the output of a dataset node");
    }
    US_TRY(
        us_arrays_need(arrays, "images", US_ARRAY_F16, 4, (int64_t[]){-1, -1, -1, 3}, &p->images));
    const int64_t n = p->images->shape[0], h = p->images->shape[1];
    US_TRY(us_arrays_need(arrays, "images", US_ARRAY_F16, 4, (int64_t[]){n, h, h, 3}, &p->images));
    US_TRY(us_arrays_need(arrays, "masks", US_ARRAY_F16, 3, (int64_t[]){n, h, h}, &p->masks));
    US_TRY(
        us_arrays_need(arrays, "landmarks", US_ARRAY_F32, 3, (int64_t[]){n, -1, 2}, &p->landmarks));
    US_TRY(us_arrays_need(arrays, "frames", US_ARRAY_I32, 2, (int64_t[]){n, 2}, &p->frames));
    US_TRY(us_arrays_need(arrays, "digests", US_ARRAY_U8, 2, (int64_t[]){n, 16}, &p->digests));
    US_TRY(us_arrays_need(arrays, "held_out", US_ARRAY_U8, 1, (int64_t[]){n}, &p->held_out));
    if (h < SIDE_MIN || h > SIDE_MAX || p->landmarks->shape[1] > LANDMARKS_MAX) {
        return us_fail(US_CORRUPT, "its faces are %lld px, allowed are %d to %d", (long long)h,
                       SIDE_MIN, SIDE_MAX);
    }
    return NULL;
}

/* Files of other makers may hold anything: NaN and infinity become 0 as in crops. */
static uint16_t usable_half(const uint8_t *bytes) {
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return (half & 0x7c00) == 0x7c00 ? 0 : half;
}

static void copy_item(struct us_dataset *d, const struct parts *p, size_t from) {
    const size_t area = (size_t)d->size * (size_t)d->size, points = 2 * (size_t)d->landmark_count;
    const uint8_t *rgb = (const uint8_t *)p->images->data + from * area * 6;
    const uint8_t *matte = (const uint8_t *)p->masks->data + from * area * 2;
    uint16_t *face = d->faces + d->count * face_values(d);
    for (size_t i = 0; i < area; i++) {
        for (size_t c = 0; c < 3; c++) {
            face[4 * i + c] = usable_half(rgb + 6 * i + 2 * c);
        }
        face[4 * i + 3] = usable_half(matte + 2 * i);
    }
    if (points) {
        memcpy(d->landmarks + d->count * points,
               (const uint8_t *)p->landmarks->data + from * points * sizeof(float),
               points * sizeof(float));
    }
    struct us_dataset_item *item = &d->items[d->count++];
    int32_t frame[2];
    memcpy(frame, (const uint8_t *)p->frames->data + from * sizeof frame, sizeof frame);
    item->frame = (struct us_frame){frame[0], frame[1]};
    memcpy(item->digest.bytes, (const uint8_t *)p->digests->data + from * 16, 16);
    item->held_out = ((const uint8_t *)p->held_out->data)[from] != 0;
}

static struct us_error *add_arrays(struct us_dataset *d, const struct us_arrays *arrays) {
    struct parts p;
    US_TRY(read_parts(arrays, &p));
    const char *encoding = us_arrays_text(arrays, "encoding");
    const char *coverage = us_arrays_text(arrays, "coverage");
    const size_t count = (size_t)p.images->shape[0];
    if (!encoding || !coverage) {
        return us_fail(US_CORRUPT, "it does not say its encoding and coverage");
    }
    if (count == 0) {
        return NULL;
    }
    US_TRY(agree(d, (int)p.images->shape[1], encoding, coverage, (int)p.landmarks->shape[1]));
    US_TRY(make_room(d, count));
    for (size_t i = 0; i < count; i++) {
        copy_item(d, &p, i);
    }
    return NULL;
}

struct us_error *us_dataset_add_file(struct us_dataset *dataset, const uint8_t *bytes,
                                     size_t size) {
    struct us_arrays *arrays;
    US_TRY(us_arrays_parse(bytes, size, &arrays));
    struct us_error *error = add_arrays(dataset, arrays);
    us_arrays_destroy(arrays);
    return error;
}

void us_dataset_split(struct us_dataset *dataset, size_t first, int64_t every) {
    for (size_t i = first; i < dataset->count; i++) {
        dataset->items[i].held_out = every > 0 && (int64_t)(i - first) % every == every / 2;
    }
}

struct columns {
    uint16_t *images, *masks;
    int32_t *frames;
    uint8_t *digests, *held_out;
};

static void fill_columns(const struct us_dataset *d, struct columns *columns) {
    const size_t area = (size_t)d->size * (size_t)d->size;
    for (size_t i = 0; i < d->count; i++) {
        const uint16_t *face = us_dataset_face(d, i);
        for (size_t p = 0; p < area; p++) {
            memcpy(columns->images + (i * area + p) * 3, face + 4 * p, 3 * sizeof *face);
            columns->masks[i * area + p] = face[4 * p + 3];
        }
        columns->frames[2 * i] = d->items[i].frame.take;
        columns->frames[2 * i + 1] = d->items[i].frame.number;
        memcpy(columns->digests + 16 * i, d->items[i].digest.bytes, 16);
        columns->held_out[i] = d->items[i].held_out;
    }
}

static struct us_error *print_columns(const struct us_dataset *d, const struct columns *columns,
                                      uint8_t **bytes, size_t *size) {
    const int64_t n = (int64_t)d->count, s = d->size;
    struct us_arrays *file = us_arrays_create();
    us_arrays_set_text(file, "format", format);
    us_arrays_set_text(file, "encoding", d->encoding);
    us_arrays_set_text(file, "coverage", d->coverage);
    us_arrays_set_int(file, "size", s);
    us_arrays_add(file, "images", US_ARRAY_F16, 4, (int64_t[]){n, s, s, 3}, columns->images);
    us_arrays_add(file, "masks", US_ARRAY_F16, 3, (int64_t[]){n, s, s}, columns->masks);
    us_arrays_add(file, "landmarks", US_ARRAY_F32, 3, (int64_t[]){n, d->landmark_count, 2},
                  d->landmarks);
    us_arrays_add(file, "frames", US_ARRAY_I32, 2, (int64_t[]){n, 2}, columns->frames);
    us_arrays_add(file, "digests", US_ARRAY_U8, 2, (int64_t[]){n, 16}, columns->digests);
    us_arrays_add(file, "held_out", US_ARRAY_U8, 1, (int64_t[]){n}, columns->held_out);
    struct us_error *error = us_arrays_print(file, bytes, size);
    us_arrays_destroy(file);
    return error;
}

struct us_error *us_dataset_print(const struct us_dataset *d, uint8_t **bytes, size_t *size) {
    const size_t values = d->count * (size_t)d->size * (size_t)d->size;
    uint8_t *block = us_try_alloc_pixels(values * 8 + d->count * 25 + 1);
    if (!block) {
        return us_fail(US_RETRY, "no memory for a data set of %zu faces", d->count);
    }
    struct columns columns = {.images = (uint16_t *)(void *)block};
    columns.masks = columns.images + 3 * values;
    columns.frames = (int32_t *)(void *)(columns.masks + values);
    columns.digests = (uint8_t *)(columns.frames + 2 * d->count);
    columns.held_out = columns.digests + 16 * d->count;
    fill_columns(d, &columns);
    struct us_error *error = print_columns(d, &columns, bytes, size);
    us_free(block);
    return error;
}

struct us_digest us_dataset_digest(const struct us_dataset *dataset) {
    struct us_hasher *hasher = us_hasher_create();
    for (size_t i = 0; i < dataset->count; i++) {
        us_hasher_digest(hasher, &dataset->items[i].digest);
    }
    struct us_digest digest = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    return digest;
}
