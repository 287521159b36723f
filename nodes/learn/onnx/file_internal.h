/* Parts of the ONNX parser; for nodes/learn/onnx/file*.c only. */
#ifndef US_NODES_LEARN_ONNX_FILE_INTERNAL_H
#define US_NODES_LEARN_ONNX_FILE_INTERNAL_H

#include "nodes/learn/onnx/file.h"
#include "nodes/learn/onnx/protobuf.h"

/* A string field, copied; fails when it is none or holds a NUL. */
struct us_error *us_onnx_text(struct us_arena *arena, const struct us_field *field,
                              const char **text) US_NODISCARD;
struct us_error *us_onnx_read_tensor(struct us_arena *arena, struct us_proto message,
                                     struct us_onnx_tensor *tensor) US_NODISCARD;
/* Numbers of a field that may stand packed or one by one: how many there are, then the bits of
 * each. `wire` is a single one's. */
size_t us_onnx_count_numbers(struct us_proto message, uint32_t number, enum us_wire wire);
void us_onnx_read_numbers(struct us_proto message, uint32_t number, enum us_wire wire,
                          uint64_t *bits);

#endif
