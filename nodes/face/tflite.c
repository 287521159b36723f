#include "nodes/face/tflite.h"

#include <string.h>

#include "kernels/half.h"
#include "nodes/face/tflite_model.h"
#include "runtime/base/mem.h"

enum { MAX_TENSORS = 65536, MAX_OPS = 65536 };
static const size_t max_elements = (size_t)1 << 26;

/* Fields of the schema's tables. */
enum { MODEL_VERSION, MODEL_CODES, MODEL_SUBGRAPHS, MODEL_DESCRIPTION, MODEL_BUFFERS };
enum { CODE_DEPRECATED, CODE_CUSTOM, CODE_VERSION, CODE_BUILTIN };
enum { GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_OUTPUTS, GRAPH_OPERATORS };
enum { TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER };
enum { OPERATOR_CODE, OPERATOR_INPUTS, OPERATOR_OUTPUTS, OPERATOR_OPTIONS_TYPE, OPERATOR_OPTIONS };

static struct us_error *read_shape(struct us_flat *flat, size_t table,
                                   struct us_tflite_tensor *tensor) {
    struct us_flat_vector shape = us_flat_vector(flat, table, TENSOR_SHAPE, 4);
    if (shape.count > US_TFLITE_RANK) {
        return us_fail(US_FAILED, "a tensor has %u dimensions, at most %d are known", shape.count,
                       US_TFLITE_RANK);
    }
    tensor->rank = (int32_t)shape.count;
    tensor->elements = 1;
    for (uint32_t i = 0; i < shape.count; i++) {
        int32_t size = (int32_t)us_flat_u32(flat, shape.at + 4 * (size_t)i);
        if (size < 1 || (size_t)size > max_elements ||
            tensor->elements > max_elements / (size_t)size) {
            return us_fail(US_FAILED, "a tensor has a dimension of %d", size);
        }
        tensor->shape[i] = size;
        tensor->elements *= (size_t)size;
    }
    return NULL;
}

struct us_error *us_tflite_store(struct us_tflite *model, size_t floats, float **values) {
    model->stored += floats;
    if (floats > max_elements || model->stored > max_elements) {
        return us_fail(US_FAILED, "the model stores more than %zu values", max_elements);
    }
    *values = us_arena_alloc(&model->arena, floats * sizeof **values);
    return NULL;
}

/* Stored float values, aligned and as floats; also of DEQUANTIZE's input. */
static struct us_error *store_floats(struct us_tflite *model, struct us_tflite_tensor *tensor) {
    float *values = NULL;
    US_TRY(us_tflite_store(model, tensor->elements, &values));
    tensor->constant = values;
    if (tensor->type == US_TFLITE_FLOAT32) {
        memcpy(values, tensor->data, tensor->elements * sizeof *values);
        return NULL;
    }
    for (size_t i = 0; i < tensor->elements; i++) {
        uint16_t half;
        memcpy(&half, tensor->data + 2 * i, sizeof half);
        us_half_to_float(&half, &values[i], 1);
    }
    return NULL;
}

static struct us_error *read_tensor(struct us_tflite *model, struct us_flat *flat, size_t table,
                                    struct us_flat_vector buffers,
                                    struct us_tflite_tensor *tensor) {
    US_TRY(read_shape(flat, table, tensor));
    tensor->type = us_flat_byte(flat, table, TENSOR_TYPE, 0);
    uint32_t buffer = (uint32_t)us_flat_int(flat, table, TENSOR_BUFFER, 0);
    if (buffer == 0) {
        return NULL;
    }
    struct us_flat_vector data = us_flat_vector(flat, us_flat_item(flat, buffers, buffer), 0, 1);
    if (data.count == 0) {
        return NULL;
    }
    size_t wanted = tensor->elements * (tensor->type == US_TFLITE_FLOAT16 ? 2 : 4);
    if (tensor->type < US_TFLITE_FLOAT32 || tensor->type > US_TFLITE_INT32) {
        return us_fail(US_FAILED, "a stored tensor has type %d, known are float32, float16, int32",
                       tensor->type);
    }
    if (data.count != wanted) {
        return us_fail(US_FAILED, "a tensor stores %u bytes, its shape wants %zu", data.count,
                       wanted);
    }
    tensor->data = flat->bytes + data.at;
    return tensor->type == US_TFLITE_INT32 ? NULL : store_floats(model, tensor);
}

static struct us_error *read_tensors(struct us_tflite *model, struct us_flat *flat, size_t root,
                                     size_t graph) {
    struct us_flat_vector buffers = us_flat_vector(flat, root, MODEL_BUFFERS, 4);
    struct us_flat_vector tensors = us_flat_vector(flat, graph, GRAPH_TENSORS, 4);
    if (tensors.count == 0 || tensors.count > MAX_TENSORS) {
        return us_fail(US_FAILED, "the model has %u tensors, allowed 1 to %d", tensors.count,
                       MAX_TENSORS);
    }
    model->tensor_count = tensors.count;
    model->tensors = us_arena_alloc(&model->arena, tensors.count * sizeof *model->tensors);
    for (uint32_t i = 0; i < tensors.count; i++) {
        struct us_error *error =
            read_tensor(model, flat, us_flat_item(flat, tensors, i), buffers, &model->tensors[i]);
        US_TRY(us_error_wrap(error, "tensor %u", i));
    }
    return NULL;
}

static struct us_error *read_index(const struct us_tflite *model, struct us_flat *flat,
                                   struct us_flat_vector list, uint32_t i, int32_t *index) {
    *index = (int32_t)us_flat_u32(flat, list.at + 4 * (size_t)i);
    if (*index < 0 || (uint32_t)*index >= model->tensor_count) {
        return us_fail(US_FAILED, "tensor %d does not exist", *index);
    }
    return NULL;
}

static struct us_error *read_ends(struct us_tflite *model, struct us_flat *flat, size_t graph) {
    struct us_flat_vector inputs = us_flat_vector(flat, graph, GRAPH_INPUTS, 4);
    struct us_flat_vector outputs = us_flat_vector(flat, graph, GRAPH_OUTPUTS, 4);
    if (inputs.count != 1 || outputs.count < 1 || outputs.count > US_TFLITE_INPUTS) {
        return us_fail(US_FAILED, "the model has %u inputs and %u outputs, wanted 1 and 1 to %d",
                       inputs.count, outputs.count, US_TFLITE_INPUTS);
    }
    US_TRY(read_index(model, flat, inputs, 0, &model->input));
    struct us_tflite_tensor *input = &model->tensors[model->input];
    if (input->rank != 4 || input->shape[0] != 1 || input->type != US_TFLITE_FLOAT32 ||
        input->constant) {
        return us_fail(US_FAILED, "the model's input is not one float image");
    }
    input->made = true;
    input->first = input->last = -1;
    model->output_count = outputs.count;
    model->outputs = us_arena_alloc(&model->arena, outputs.count * sizeof *model->outputs);
    for (uint32_t i = 0; i < outputs.count; i++) {
        US_TRY(read_index(model, flat, outputs, i, &model->outputs[i]));
    }
    return NULL;
}

static struct us_error *read_code(struct us_flat *flat, size_t root, size_t table,
                                  struct us_tflite_op *op) {
    struct us_flat_vector codes = us_flat_vector(flat, root, MODEL_CODES, 4);
    uint32_t index = (uint32_t)us_flat_int(flat, table, OPERATOR_CODE, 0);
    size_t code = us_flat_item(flat, codes, index);
    int32_t old = us_flat_byte(flat, code, CODE_DEPRECATED, 0);
    int32_t builtin = us_flat_int(flat, code, CODE_BUILTIN, 0);
    op->kind = (enum us_tflite_kind)(builtin > old ? builtin : old);
    return code ? NULL : us_fail(US_FAILED, "operator code %u does not exist", index);
}

static struct us_error *read_op(struct us_tflite *model, struct us_flat *flat, size_t root,
                                size_t table, int32_t number) {
    struct us_tflite_op *op = &model->ops[number];
    struct us_flat_vector inputs = us_flat_vector(flat, table, OPERATOR_INPUTS, 4);
    struct us_flat_vector outputs = us_flat_vector(flat, table, OPERATOR_OUTPUTS, 4);
    if (inputs.count < 1 || inputs.count > US_TFLITE_INPUTS || outputs.count != 1) {
        return us_fail(US_FAILED, "%u inputs and %u outputs, wanted 1 to %d and 1", inputs.count,
                       outputs.count, US_TFLITE_INPUTS);
    }
    US_TRY(read_code(flat, root, table, op));
    op->input_count = (int32_t)inputs.count;
    for (uint32_t i = 0; i < inputs.count; i++) {
        US_TRY(read_index(model, flat, inputs, i, &op->inputs[i]));
        struct us_tflite_tensor *input = &model->tensors[op->inputs[i]];
        if (!input->made && !input->data) {
            return us_fail(US_FAILED, "reads tensor %d before it is made", op->inputs[i]);
        }
        input->last = number;
    }
    US_TRY(read_index(model, flat, outputs, 0, &op->output));
    struct us_tflite_tensor *output = &model->tensors[op->output];
    if (output->made || output->data || output->type != US_TFLITE_FLOAT32) {
        return us_fail(US_FAILED, "tensor %d cannot be its output", op->output);
    }
    output->made = true;
    output->first = output->last = number;
    return us_tflite_prepare(model, op, flat, us_flat_table(flat, table, OPERATOR_OPTIONS));
}

static struct us_error *read_ops(struct us_tflite *model, struct us_flat *flat, size_t root,
                                 size_t graph) {
    struct us_flat_vector ops = us_flat_vector(flat, graph, GRAPH_OPERATORS, 4);
    if (ops.count == 0 || ops.count > MAX_OPS) {
        return us_fail(US_FAILED, "the model has %u operators, allowed 1 to %d", ops.count,
                       MAX_OPS);
    }
    model->op_count = ops.count;
    model->ops = us_arena_alloc(&model->arena, ops.count * sizeof *model->ops);
    for (uint32_t i = 0; i < ops.count; i++) {
        struct us_error *error = read_op(model, flat, root, us_flat_item(flat, ops, i), (int32_t)i);
        US_TRY(us_error_wrap(error, "operator %u", i));
    }
    return NULL;
}

static struct us_error *read_model(struct us_tflite *model, struct us_flat *flat) {
    if (flat->size < 8 || memcmp(flat->bytes + 4, "TFL3", 4) != 0) {
        return us_fail(US_FAILED, "this is not a TensorFlow Lite file (no 'TFL3' at byte 4)");
    }
    size_t root = us_flat_root(flat);
    size_t graph = us_flat_item(flat, us_flat_vector(flat, root, MODEL_SUBGRAPHS, 4), 0);
    if (flat->broken) {
        return us_fail(US_FAILED, "the file is damaged: an offset leads out of it");
    }
    US_TRY(read_tensors(model, flat, root, graph));
    US_TRY(read_ends(model, flat, graph));
    US_TRY(read_ops(model, flat, root, graph));
    if (flat->broken) {
        return us_fail(US_FAILED, "the file is damaged: an offset leads out of it");
    }
    for (uint32_t i = 0; i < model->output_count; i++) {
        struct us_tflite_tensor *output = &model->tensors[model->outputs[i]];
        if (!output->made || output->constant) {
            return us_fail(US_FAILED, "output %u is not computed", i);
        }
        output->last = (int32_t)model->op_count;
    }
    return NULL;
}

struct us_error *us_tflite_parse(const uint8_t *bytes, size_t size, struct us_tflite **model) {
    struct us_tflite *made = us_calloc(1, sizeof *made);
    struct us_flat flat = {.bytes = bytes, .size = size};
    *model = NULL;
    struct us_error *error = read_model(made, &flat);
    if (error) {
        us_tflite_destroy(made);
        return error;
    }
    for (uint32_t i = 0; i < made->tensor_count; i++) {
        made->tensors[i].data = NULL;
    }
    us_tflite_place(made);
    *model = made;
    return NULL;
}

void us_tflite_destroy(struct us_tflite *model) {
    if (model) {
        us_tflite_forget(model);
        us_arena_finish(&model->arena);
        us_free(model);
    }
}
