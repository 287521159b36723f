/* safetensors files: named arrays behind a JSON header, readable by PyTorch, NumPy and others.
 *
 * Source: the format's specification (huggingface/safetensors README): 8 bytes little-endian header
 * length, that many bytes of JSON, then the arrays; "__metadata__" maps texts to texts. Arrays are
 * row-major and little-endian. Files are foreign bytes: the parser checks every count, product and
 * offset, that arrays neither overlap nor leave holes, and that no name comes twice. */
#ifndef US_NODES_LEARN_SAFETENSORS_H
#define US_NODES_LEARN_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

enum us_array_type {
    US_ARRAY_F16,
    US_ARRAY_F32,
    US_ARRAY_F64,
    US_ARRAY_I32,
    US_ARRAY_I64,
    US_ARRAY_U8
};

enum { US_ARRAY_RANK = 6 };

struct us_array {
    const char *name;
    enum us_array_type type;
    int rank;
    int64_t
        shape[US_ARRAY_RANK]; /* each 0 or more; their product times the type's size is `size` */
    const void *data;         /* aligned to its type only when the file was; use memcpy */
    size_t size;              /* bytes */
};

struct us_arrays;

/* Parses a file. The arrays point into `bytes`, which must outlive the result. */
struct us_error *us_arrays_parse(const uint8_t *bytes, size_t size,
                                 struct us_arrays **arrays) US_NODISCARD;
/* An empty file to add to. */
struct us_arrays *us_arrays_create(void);
void us_arrays_destroy(struct us_arrays *arrays); /* takes NULL */

size_t us_arrays_count(const struct us_arrays *arrays);
const struct us_array *us_arrays_at(const struct us_arrays *arrays, size_t index);
const struct us_array *us_arrays_find(const struct us_arrays *arrays,
                                      const char *name); /* or NULL */
/* The array, or an error that says what is missing or which type or shape it should have. A shape
 * of -1 takes any number. */
struct us_error *us_arrays_need(const struct us_arrays *arrays, const char *name,
                                enum us_array_type type, int rank, const int64_t *shape,
                                const struct us_array **array) US_NODISCARD;
/* A text of the metadata, or NULL; and a whole number or a real number from it: false when it is
 * missing or no such number. */
const char *us_arrays_text(const struct us_arrays *arrays, const char *key);
bool us_arrays_int(const struct us_arrays *arrays, const char *key, int64_t *value);
bool us_arrays_number(const struct us_arrays *arrays, const char *key, double *value);

/* Adds an array (the data stays the caller's and must outlive the printing) or a text (copied). */
void us_arrays_add(struct us_arrays *arrays, const char *name, enum us_array_type type, int rank,
                   const int64_t *shape, const void *data);
void us_arrays_set_text(struct us_arrays *arrays, const char *key, const char *text);
void us_arrays_set_int(struct us_arrays *arrays, const char *key, int64_t value);
void us_arrays_set_number(struct us_arrays *arrays, const char *key, double value);

/* The header with its length in front, padded so that arrays start at a multiple of 64 bytes;
 * us_malloc'ed. Same content, same bytes: metadata is sorted, arrays stand in the order added. */
void us_arrays_header(const struct us_arrays *arrays, uint8_t **bytes, size_t *size);
/* The whole file, us_malloc'ed. */
struct us_error *us_arrays_print(const struct us_arrays *arrays, uint8_t **bytes,
                                 size_t *size) US_NODISCARD;

#endif
