#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nodes/learn/model_file.h"
#include "nodes/learn/onnx/export.h"
#include "nodes/learn/onnx/file.h"
#include "nodes/learn/safetensors.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tools/command.h"
#include "tools/json_line.h"
#include "tools/show_error.h"
#include "tools/show_onnx.h"

static const char *const types[] = {
    [US_ARRAY_F16] = "F16", [US_ARRAY_F32] = "F32", [US_ARRAY_F64] = "F64",
    [US_ARRAY_I32] = "I32", [US_ARRAY_I64] = "I64", [US_ARRAY_U8] = "U8",
};

/* The texts of the header, which was checked before. */
static json_t *read_metadata(const uint8_t *bytes) {
    size_t length = 0;
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | bytes[i];
    }
    json_t *header = json_loadb((const char *)bytes + 8, length, 0, NULL);
    json_t *metadata = json_incref(json_object_get(header, "__metadata__"));
    json_decref(header);
    return metadata;
}

static json_t *shape_of(const struct us_array *array) {
    json_t *shape = json_array();
    for (int i = 0; i < array->rank; i++) {
        json_array_append_new(shape, json_integer(array->shape[i]));
    }
    return shape;
}

static void print_json(const struct us_arrays *arrays, json_t *metadata, size_t size) {
    json_t *line = us_json_begin("model");
    us_json_int(line, "bytes", (int64_t)size);
    json_object_set(line, "metadata", metadata ? metadata : json_object());
    json_t *list = json_array();
    for (size_t i = 0; i < us_arrays_count(arrays); i++) {
        const struct us_array *array = us_arrays_at(arrays, i);
        json_t *member = json_object();
        us_json_text(member, "name", array->name);
        us_json_text(member, "type", types[array->type]);
        json_object_set_new(member, "shape", shape_of(array));
        json_array_append_new(list, member);
    }
    json_object_set_new(line, "arrays", list);
    us_json_end(line);
}

static void print_metadata(json_t *metadata, struct us_str *out) {
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        const char *text = json_string_value(value);
        size_t length = text ? strlen(text) : 0;
        us_str_append(out, "  ");
        us_plain_text(key, strlen(key), out);
        us_str_append(out, ": ");
        us_plain_text(text ? text : "", length > 200 ? 200 : length, out);
        us_str_append(out, length > 200 ? " ...\n" : "\n");
    }
}

static void print_text(const struct us_arrays *arrays, json_t *metadata, const char *path,
                       size_t size) {
    struct us_str out = {0};
    size_t values = 0;
    us_plain_text(path, strlen(path), &out);
    us_str_printf(&out, ": %.1f MiB, %zu arrays\n", (double)size / 0x1p20, us_arrays_count(arrays));
    print_metadata(metadata, &out);
    for (size_t i = 0; i < us_arrays_count(arrays); i++) {
        const struct us_array *array = us_arrays_at(arrays, i);
        size_t count = 1;
        us_str_printf(&out, "  %-4s", types[array->type]);
        struct us_str shape = {0};
        for (int k = 0; k < array->rank; k++) {
            us_str_printf(&shape, "%s%lld", k ? " x " : "", (long long)array->shape[k]);
            count *= (size_t)array->shape[k];
        }
        us_str_printf(&out, "%-24s ", us_str_text(&shape));
        us_plain_text(array->name, strlen(array->name), &out);
        us_str_append(&out, "\n");
        us_str_finish(&shape);
        values += count;
    }
    us_str_printf(&out, "%zu values\n", values);
    fputs(us_str_text(&out), stdout);
    us_str_finish(&out);
}

static struct us_error *show_model(const char *path, bool json) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(path, 0, &bytes, &size));
    if (us_onnx_sniff(bytes, size)) {
        struct us_error *problem = us_show_onnx(path, bytes, size, json);
        us_free(bytes);
        return problem;
    }
    struct us_arrays *arrays;
    struct us_error *error =
        us_error_wrap(us_arrays_parse(bytes, size, &arrays), "cannot read model '%s'", path);
    if (!error) {
        json_t *metadata = read_metadata(bytes);
        if (json) {
            print_json(arrays, metadata, size);
        } else {
            print_text(arrays, metadata, path, size);
        }
        json_decref(metadata);
        us_arrays_destroy(arrays);
    }
    us_free(bytes);
    return error;
}

static struct us_error *read_identity(const char *as, int *identity) {
    static const char *const people[] = {"source", "destination"};
    for (int i = 0; i < 2; i++) {
        if (!as || strcmp(as, people[i]) == 0) {
            *identity = i;
            return NULL;
        }
    }
    char *end;
    const long number = strtol(as, &end, 10);
    if (*end || end == as || number < 0 || number >= US_NN_IDENTITIES) {
        return us_fail(
            US_USAGE, "--as is '%s', allowed are source, destination and the number of an identity",
            as);
    }
    *identity = (int)number;
    return NULL;
}

static void say_exported(const char *path, const struct us_swap_model *model, size_t size,
                         bool json) {
    if (json) {
        json_t *line = us_json_begin("exported");
        us_json_text(line, "path", path);
        us_json_text(line, "model", us_swap_model_text(model));
        us_json_int(line, "bytes", (int64_t)size);
        us_json_end(line);
    } else {
        printf("%s: %s, %.1f MiB\n", path, us_swap_model_text(model), (double)size / 0x1p20);
    }
}

static struct us_error *write_onnx(const uint8_t *file, size_t file_size, int identity,
                                   const char *path, bool json) {
    const struct us_digest digest = us_digest_of(file, file_size);
    struct us_swap_model model = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct us_error *error = us_swap_model_parse(file, file_size, &model);
    error = error ? error : us_onnx_export(&model, &digest, identity, &bytes, &size);
    error = error ? error : us_write_file(path, bytes, size);
    if (!error) {
        say_exported(path, &model, size, json);
    }
    us_free(bytes);
    us_swap_model_finish(&model);
    return error;
}

static bool is_same_file(const char *a, const char *b) {
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static struct us_error *export_model(const char *path, const char *to, const char *as, bool json) {
    uint8_t *bytes;
    size_t size;
    int identity = 0;
    US_TRY(read_identity(as, &identity));
    if (is_same_file(path, to)) {
        return us_error_hint(us_fail(US_USAGE, "'%s' would be written over itself", path),
                             "understudy model export MODEL OUT.onnx");
    }
    US_TRY(us_read_file(path, 0, &bytes, &size));
    struct us_error *error = write_onnx(bytes, size, identity, to, json);
    us_free(bytes);
    return us_error_wrap(error, "cannot export the model '%s'", path);
}

int us_command_model(const struct us_arguments *arguments) {
    const char *const *words = arguments->words;
    struct us_error *error;
    if (strcmp(words[0], "info") == 0 && arguments->word_count == 2) {
        error = arguments->as ? us_fail(US_USAGE, "model info takes no --as")
                              : show_model(words[1], arguments->json);
    } else if (strcmp(words[0], "export") == 0 && arguments->word_count == 3) {
        error = export_model(words[1], words[2], arguments->as, arguments->json);
    } else {
        error = us_error_hint(us_fail(US_USAGE,
                                      "model: '%s' is neither info FILE nor export MODEL "
                                      "OUT.onnx",
                                      words[0]),
                              "understudy model --help");
    }
    return error ? us_show_error(error) : 0;
}
