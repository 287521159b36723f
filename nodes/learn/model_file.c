#include "nodes/learn/model_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nodes/learn/safetensors.h"
#include "runtime/base/mem.h"

static const char format[] = "understudy-model-1";

void us_swap_model_finish(struct us_swap_model *model) {
    us_free(model->license);
    us_free(model->consent);
    us_free(model->parameters);
    *model = (struct us_swap_model){0};
}

struct us_error *us_nn_error(enum us_nn_status status, const char *doing) {
    if (status == US_NN_OK) {
        return NULL;
    }
    const enum us_code code = status == US_NN_NO_MEMORY ? US_RETRY : US_FAILED;
    return us_fail(code, "cannot %s: %s", doing, us_nn_status_text(status));
}

const char *us_swap_model_text(const struct us_swap_model *model) {
    static _Thread_local char text[160];
    const struct us_nn_arch *a = &model->arch;
    char comb[64] = "";
    if (a->family == US_NN_COMB) {
        snprintf(comb, sizeof comb, "%d identities, grown to %d px, ", a->identities,
                 us_nn_arch_size(a));
    }
    snprintf(text, sizeof text, "%s %d px, dims %d/%d/%d/%d, %s%s, %s", us_nn_arch_name(a),
             a->resolution, a->ae_dims, a->e_dims, a->d_dims, a->d_mask_dims, comb, model->coverage,
             model->encoding);
    return text;
}

static void print_metadata(const struct us_swap_model *model, struct us_arrays *file) {
    char hex[US_DIGEST_HEX];
    us_arrays_set_text(file, "format", format);
    us_arrays_set_text(file, "architecture", us_nn_arch_name(&model->arch));
    us_arrays_set_int(file, "resolution", model->arch.resolution);
    us_arrays_set_int(file, "ae_dims", model->arch.ae_dims);
    us_arrays_set_int(file, "e_dims", model->arch.e_dims);
    us_arrays_set_int(file, "d_dims", model->arch.d_dims);
    us_arrays_set_int(file, "mask_dims", model->arch.d_mask_dims);
    if (model->arch.family == US_NN_COMB) {
        us_arrays_set_int(file, "identities", model->arch.identities);
        us_arrays_set_int(file, "grown_to", us_nn_arch_size(&model->arch));
        us_arrays_set_number(file, "fade", model->arch.fading ? (double)model->arch.fade : 1);
    }
    us_arrays_set_text(file, "encoding", model->encoding);
    us_arrays_set_text(file, "coverage", model->coverage);
    us_arrays_set_int(file, "steps", (int64_t)model->steps);
    us_arrays_set_number(file, "loss", model->loss);
    us_arrays_set_text(file, "license", model->license ? model->license : "");
    us_arrays_set_text(file, "consent", model->consent ? model->consent : "");
    us_arrays_set_text(file, "source_dataset", us_digest_hex(&model->source, hex));
    us_arrays_set_text(file, "destination_dataset", us_digest_hex(&model->destination, hex));
}

struct us_error *us_swap_model_print(const struct us_swap_model *model, uint8_t **bytes,
                                     size_t *size) {
    struct us_nn_layout layout;
    US_TRY(us_nn_error(us_nn_layout_init(&layout, &model->arch), "lay out the model"));
    struct us_arrays *file = us_arrays_create();
    print_metadata(model, file);
    for (int i = 0; i < layout.slice_count; i++) {
        const struct us_nn_slice *slice = &layout.slices[i];
        us_arrays_add(file, slice->name, US_ARRAY_F32, slice->rank, slice->shape,
                      model->parameters + slice->offset);
    }
    struct us_error *error = us_arrays_print(file, bytes, size);
    us_arrays_destroy(file);
    us_nn_layout_finish(&layout);
    return error;
}

static struct us_error *need_int(const struct us_arrays *file, const char *key, int *value) {
    int64_t number;
    if (!us_arrays_int(file, key, &number) || number < 0 || number > 1 << 20) {
        return us_fail(US_CORRUPT, "its metadata has no usable '%s'", key);
    }
    *value = (int)number;
    return NULL;
}

static struct us_error *need_text(const struct us_arrays *file, const char *key, char *text,
                                  size_t size) {
    const char *found = us_arrays_text(file, key);
    if (!found || strlen(found) >= size) {
        return us_fail(US_CORRUPT, "its metadata has no usable '%s'", key);
    }
    snprintf(text, size, "%s", found);
    return NULL;
}

/* What only a comb has. */
static struct us_error *read_growth(const struct us_arrays *file, struct us_nn_arch *arch) {
    double fade;
    US_TRY(need_int(file, "identities", &arch->identities));
    US_TRY(need_int(file, "grown_to", &arch->size));
    if (!us_arrays_number(file, "fade", &fade) || !(fade >= 0 && fade <= 1)) {
        return us_fail(US_CORRUPT, "its metadata has no usable 'fade'");
    }
    arch->fading = fade < 1;
    arch->fade = arch->fading ? (float)fade : 0;
    return NULL;
}

static struct us_error *read_arch(const struct us_arrays *file, struct us_nn_arch *arch) {
    char name[32];
    US_TRY(need_text(file, "architecture", name, sizeof name));
    if (!us_nn_arch_parse(name, arch)) {
        return us_fail(
            US_CORRUPT,
            "its architecture is '%s', allowed are df and liae, with letters of udtc, and comb",
            name);
    }
    US_TRY(need_int(file, "resolution", &arch->resolution));
    US_TRY(need_int(file, "ae_dims", &arch->ae_dims));
    US_TRY(need_int(file, "e_dims", &arch->e_dims));
    US_TRY(need_int(file, "d_dims", &arch->d_dims));
    US_TRY(need_int(file, "mask_dims", &arch->d_mask_dims));
    if (arch->family == US_NN_COMB) {
        US_TRY(read_growth(file, arch));
    }
    const char *problem = us_nn_arch_problem(arch);
    return problem ? us_fail(US_CORRUPT, "its architecture cannot be built: %s", problem) : NULL;
}

static struct us_error *read_kind(const struct us_arrays *file, struct us_nn_arch *arch) {
    const char *kind = us_arrays_text(file, "format");
    if (!kind || strcmp(kind, format) != 0) {
        return us_error_hint(
            us_fail(US_CORRUPT, "its format is '%.40s', needed is '%s'", kind ? kind : "", format),
            "give a model that train_swap made");
    }
    return read_arch(file, arch);
}

struct us_error *us_swap_model_arch(const uint8_t *bytes, size_t size, struct us_nn_arch *arch) {
    struct us_arrays *file;
    *arch = (struct us_nn_arch){0};
    US_TRY(us_arrays_parse(bytes, size, &file));
    struct us_error *error = read_kind(file, arch);
    us_arrays_destroy(file);
    return error;
}

static struct us_error *read_metadata(const struct us_arrays *file, struct us_swap_model *model) {
    US_TRY(read_kind(file, &model->arch));
    US_TRY(need_text(file, "encoding", model->encoding, sizeof model->encoding));
    US_TRY(need_text(file, "coverage", model->coverage, sizeof model->coverage));
    int64_t steps = 0;
    if (us_arrays_int(file, "steps", &steps) && steps > 0) {
        model->steps = (uint64_t)steps;
    }
    if (!us_arrays_number(file, "loss", &model->loss)) {
        model->loss = 0;
    }
    const char *license = us_arrays_text(file, "license");
    const char *consent = us_arrays_text(file, "consent");
    const char *source = us_arrays_text(file, "source_dataset");
    const char *destination = us_arrays_text(file, "destination_dataset");
    model->license = us_strdup(license ? license : "");
    model->consent = us_strdup(consent ? consent : "");
    (void)(source && us_digest_parse(source, &model->source));
    (void)(destination && us_digest_parse(destination, &model->destination));
    return NULL;
}

/* All shapes are checked before memory is taken: the file's size bounds it. */
static struct us_error *read_weights(const struct us_arrays *file,
                                     const struct us_nn_layout *layout,
                                     struct us_swap_model *model) {
    const struct us_array *array;
    for (int i = 0; i < layout->slice_count; i++) {
        const struct us_nn_slice *slice = &layout->slices[i];
        US_TRY(us_arrays_need(file, slice->name, US_ARRAY_F32, slice->rank, slice->shape, &array));
    }
    model->parameters = us_try_alloc_pixels(layout->count * sizeof(float));
    if (!model->parameters) {
        return us_fail(US_RETRY, "no memory for %zu weights", layout->count);
    }
    model->parameter_count = layout->count;
    for (int i = 0; i < layout->slice_count; i++) {
        const struct us_nn_slice *slice = &layout->slices[i];
        float *weights = model->parameters + slice->offset;
        memcpy(weights, us_arrays_find(file, slice->name)->data, slice->count * sizeof(float));
        for (size_t k = 0; k < slice->count; k++) {
            if (!isfinite(weights[k])) {
                return us_fail(US_CORRUPT, "array '%s' has a weight that is not finite",
                               slice->name);
            }
        }
    }
    return NULL;
}

struct us_error *us_swap_model_parse(const uint8_t *bytes, size_t size,
                                     struct us_swap_model *model) {
    struct us_arrays *file;
    struct us_nn_layout layout = {0};
    US_TRY(us_arrays_parse(bytes, size, &file));
    struct us_error *error = read_metadata(file, model);
    if (!error) {
        error = us_nn_error(us_nn_layout_init(&layout, &model->arch), "lay out the model");
    }
    if (!error) {
        error = read_weights(file, &layout, model);
    }
    us_nn_layout_finish(&layout);
    us_arrays_destroy(file);
    return error;
}
