#include "nodes/learn/onnx/file.h"

#include <string.h>

#include "nodes/learn/onnx/file_internal.h"

enum { MOST_NODES = 20000, MOST_TENSORS = 20000 };

/* Fields of the messages, by the names of onnx.proto. */
enum { MODEL_PRODUCER = 2, MODEL_GRAPH = 7, MODEL_OPSET = 8, MODEL_METADATA = 14 };
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { PAIR_KEY = 1, PAIR_VALUE = 2 };
enum {
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    GRAPH_SPARSE = 15
};
enum {
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP = 4,
    NODE_ATTR = 5,
    NODE_DOMAIN = 7
};
enum {
    ATTR_NAME = 1,
    ATTR_F = 2,
    ATTR_I = 3,
    ATTR_S = 4,
    ATTR_T = 5,
    ATTR_FLOATS = 7,
    ATTR_INTS = 8
};
enum { VALUE_NAME = 1, VALUE_TYPE = 2 };
enum { TYPE_TENSOR = 1 };
enum { TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2 };
enum { SHAPE_DIM = 1 };
enum { DIM_VALUE = 1 };

bool us_onnx_sniff(const uint8_t *bytes, size_t size) {
    return size > 9 && bytes[0] == 0x08 && bytes[8] != '{';
}

struct us_error *us_onnx_text(struct us_arena *arena, const struct us_field *field,
                              const char **text) {
    const size_t length = (size_t)(field->body.end - field->body.at);
    if (field->wire != US_WIRE_BYTES || (length && memchr(field->body.at, 0, length))) {
        return us_fail(US_CORRUPT, "the file is damaged in a name");
    }
    *text = length ? us_arena_strndup(arena, (const char *)field->body.at, length) : "";
    return NULL;
}

static struct us_error *read_lists(struct us_arena *arena, struct us_proto message,
                                   struct us_onnx_attribute *attribute) {
    attribute->integer_count = us_onnx_count_numbers(message, ATTR_INTS, US_WIRE_VARINT);
    attribute->number_count = us_onnx_count_numbers(message, ATTR_FLOATS, US_WIRE_32);
    if (attribute->integer_count) {
        uint64_t *bits = us_arena_alloc(arena, attribute->integer_count * sizeof *bits);
        us_onnx_read_numbers(message, ATTR_INTS, US_WIRE_VARINT, bits);
        attribute->integers = (const int64_t *)bits;
    }
    if (attribute->number_count) {
        uint64_t *bits = us_arena_alloc(arena, attribute->number_count * sizeof *bits);
        float *numbers = us_arena_alloc(arena, attribute->number_count * sizeof *numbers);
        us_onnx_read_numbers(message, ATTR_FLOATS, US_WIRE_32, bits);
        for (size_t i = 0; i < attribute->number_count; i++) {
            const uint32_t low = (uint32_t)bits[i];
            memcpy(&numbers[i], &low, sizeof low);
        }
        attribute->numbers = numbers;
    }
    return NULL;
}

static struct us_error *read_attribute(struct us_arena *arena, struct us_proto message,
                                       struct us_onnx_attribute *attribute) {
    const struct us_proto whole = message;
    struct us_field field;
    attribute->name = attribute->text = "";
    while (us_proto_next(&message, &field)) {
        if (field.number == ATTR_NAME) {
            US_TRY(us_onnx_text(arena, &field, &attribute->name));
        } else if (field.number == ATTR_S) {
            US_TRY(us_onnx_text(arena, &field, &attribute->text));
        } else if (field.number == ATTR_I) {
            attribute->integer = (int64_t)field.value;
        } else if (field.number == ATTR_F) {
            const uint32_t low = (uint32_t)field.value;
            memcpy(&attribute->number, &low, sizeof low);
        } else if (field.number == ATTR_T) {
            struct us_onnx_tensor *tensor = us_arena_alloc(arena, sizeof *tensor);
            US_TRY(us_onnx_read_tensor(arena, field.body, tensor));
            attribute->tensor = tensor;
        }
    }
    US_TRY(us_proto_end(&message, "an attribute"));
    return read_lists(arena, whole, attribute);
}

static struct us_error *read_node(struct us_arena *arena, struct us_proto message,
                                  struct us_onnx_node *node) {
    const size_t attributes = us_proto_count(message, NODE_ATTR);
    const size_t inputs = us_proto_count(message, NODE_INPUT);
    const size_t outputs = us_proto_count(message, NODE_OUTPUT);
    struct us_onnx_attribute *attribute = us_arena_alloc(arena, attributes * sizeof *attribute + 1);
    node->attributes = attribute;
    node->inputs = us_arena_alloc(arena, inputs * sizeof *node->inputs + 1);
    node->outputs = us_arena_alloc(arena, outputs * sizeof *node->outputs + 1);
    node->name = node->op = node->domain = "";
    struct us_field field;
    while (us_proto_next(&message, &field)) {
        if (field.number == NODE_INPUT) {
            US_TRY(us_onnx_text(arena, &field, &node->inputs[node->input_count++]));
        } else if (field.number == NODE_OUTPUT) {
            US_TRY(us_onnx_text(arena, &field, &node->outputs[node->output_count++]));
        } else if (field.number == NODE_NAME) {
            US_TRY(us_onnx_text(arena, &field, &node->name));
        } else if (field.number == NODE_OP) {
            US_TRY(us_onnx_text(arena, &field, &node->op));
        } else if (field.number == NODE_DOMAIN) {
            US_TRY(us_onnx_text(arena, &field, &node->domain));
        } else if (field.number == NODE_ATTR) {
            US_TRY(read_attribute(arena, field.body, &attribute[node->attribute_count++]));
        }
    }
    if (strcmp(node->domain, "ai.onnx") == 0) {
        node->domain = "";
    }
    return us_proto_end(&message, "a node");
}

static struct us_error *read_dims(struct us_proto message, struct us_onnx_port *port) {
    struct us_field field, value;
    port->shaped = true;
    while (us_proto_next(&message, &field)) {
        if (field.number != SHAPE_DIM) {
            continue;
        }
        if (port->shape.rank == US_ONNX_RANK) {
            return us_fail(US_FAILED, "'%.80s' has more than %d dimensions", port->name,
                           US_ONNX_RANK);
        }
        int64_t *dim = &port->shape.dims[port->shape.rank++];
        *dim = -1;
        while (us_proto_next(&field.body, &value)) {
            if (value.number == DIM_VALUE && (int64_t)value.value > 0) {
                *dim = (int64_t)value.value;
            }
        }
        US_TRY(us_proto_end(&field.body, "a dimension"));
    }
    return us_proto_end(&message, "a shape");
}

static struct us_error *read_tensor_type(struct us_proto message, struct us_onnx_port *port) {
    struct us_field field;
    while (us_proto_next(&message, &field)) {
        if (field.number == TENSOR_ELEMENT) {
            port->type = field.value < 1000 ? (int)field.value : 1000;
        } else if (field.number == TENSOR_SHAPE) {
            US_TRY(read_dims(field.body, port));
        }
    }
    return us_proto_end(&message, "a type");
}

static struct us_error *read_port(struct us_arena *arena, struct us_proto message,
                                  struct us_onnx_port *port) {
    struct us_field field, inner;
    port->name = "";
    while (us_proto_next(&message, &field)) {
        if (field.number == VALUE_NAME) {
            US_TRY(us_onnx_text(arena, &field, &port->name));
        } else if (field.number == VALUE_TYPE) {
            while (us_proto_next(&field.body, &inner)) {
                if (inner.number == TYPE_TENSOR) {
                    US_TRY(read_tensor_type(inner.body, port));
                }
            }
            US_TRY(us_proto_end(&field.body, "a type"));
        }
    }
    return us_proto_end(&message, "an input or output");
}

static struct us_error *take_room(struct us_onnx_file *file, struct us_proto graph) {
    const size_t nodes = us_proto_count(graph, GRAPH_NODE);
    const size_t tensors = us_proto_count(graph, GRAPH_INITIALIZER);
    const size_t inputs = us_proto_count(graph, GRAPH_INPUT);
    const size_t outputs = us_proto_count(graph, GRAPH_OUTPUT);
    if (nodes > MOST_NODES || tensors > MOST_TENSORS || inputs > MOST_TENSORS ||
        outputs > MOST_TENSORS) {
        return us_fail(US_FAILED, "the model has %zu nodes and %zu stored tensors, allowed %d each",
                       nodes, tensors, MOST_NODES);
    }
    file->nodes = us_arena_alloc(&file->arena, nodes * sizeof *file->nodes + 1);
    file->tensors = us_arena_alloc(&file->arena, tensors * sizeof *file->tensors + 1);
    file->inputs = us_arena_alloc(&file->arena, inputs * sizeof *file->inputs + 1);
    file->outputs = us_arena_alloc(&file->arena, outputs * sizeof *file->outputs + 1);
    return NULL;
}

static struct us_error *read_graph_field(struct us_onnx_file *file, const struct us_field *field) {
    struct us_arena *arena = &file->arena;
    switch (field->number) {
    case GRAPH_NODE:
        return read_node(arena, field->body, &file->nodes[file->node_count++]);
    case GRAPH_INITIALIZER:
        return us_onnx_read_tensor(arena, field->body, &file->tensors[file->tensor_count++]);
    case GRAPH_INPUT:
        return read_port(arena, field->body, &file->inputs[file->input_count++]);
    case GRAPH_OUTPUT:
        return read_port(arena, field->body, &file->outputs[file->output_count++]);
    case GRAPH_SPARSE:
        return us_fail(US_FAILED, "the model stores sparse tensors");
    default:
        return NULL;
    }
}

static struct us_error *read_graph(struct us_onnx_file *file, struct us_proto graph) {
    struct us_field field;
    if (file->nodes) {
        return us_fail(US_CORRUPT, "the file has two graphs");
    }
    US_TRY(take_room(file, graph));
    while (us_proto_next(&graph, &field)) {
        US_TRY(read_graph_field(file, &field));
    }
    return us_proto_end(&graph, "its graph");
}

static struct us_error *read_opset(struct us_onnx_file *file, struct us_proto message) {
    struct us_field field;
    const char *domain = "";
    int64_t version = 0;
    while (us_proto_next(&message, &field)) {
        if (field.number == OPSET_DOMAIN) {
            US_TRY(us_onnx_text(&file->arena, &field, &domain));
        } else if (field.number == OPSET_VERSION) {
            version = (int64_t)field.value;
        }
    }
    if (!*domain || strcmp(domain, "ai.onnx") == 0) {
        file->opset = version;
    }
    return us_proto_end(&message, "its operator sets");
}

static struct us_error *read_note(struct us_onnx_file *file, struct us_proto message) {
    struct us_onnx_note *note = &file->notes[file->note_count++];
    struct us_field field;
    note->key = note->value = "";
    while (us_proto_next(&message, &field)) {
        if (field.number == PAIR_KEY) {
            US_TRY(us_onnx_text(&file->arena, &field, &note->key));
        } else if (field.number == PAIR_VALUE) {
            US_TRY(us_onnx_text(&file->arena, &field, &note->value));
        }
    }
    return us_proto_end(&message, "its metadata");
}

static struct us_error *read_model(struct us_onnx_file *file, struct us_proto model) {
    struct us_field field;
    const size_t notes = us_proto_count(model, MODEL_METADATA);
    file->notes = us_arena_alloc(&file->arena, notes * sizeof *file->notes + 1);
    while (us_proto_next(&model, &field)) {
        if (field.number == MODEL_PRODUCER) {
            US_TRY(us_onnx_text(&file->arena, &field, &file->producer));
        } else if (field.number == MODEL_GRAPH) {
            US_TRY(read_graph(file, field.body));
        } else if (field.number == MODEL_OPSET) {
            US_TRY(read_opset(file, field.body));
        } else if (field.number == MODEL_METADATA) {
            US_TRY(read_note(file, field.body));
        }
    }
    return us_proto_end(&model, "its outermost level");
}

struct us_error *us_onnx_file_parse(const uint8_t *bytes, size_t size, struct us_onnx_file *file) {
    file->producer = "";
    US_TRY(read_model(file, us_proto_over(bytes, size)));
    if (!file->nodes || file->opset == 0) {
        return us_error_hint(us_fail(US_CORRUPT, "the file is no ONNX model"),
                             "give a file with a graph and an operator set");
    }
    return NULL;
}

void us_onnx_file_finish(struct us_onnx_file *file) {
    us_arena_finish(&file->arena);
    *file = (struct us_onnx_file){0};
}

const struct us_onnx_attribute *us_onnx_attribute(const struct us_onnx_node *node,
                                                  const char *name) {
    for (size_t i = 0; i < node->attribute_count; i++) {
        if (strcmp(node->attributes[i].name, name) == 0) {
            return &node->attributes[i];
        }
    }
    return NULL;
}

const char *us_onnx_note(const struct us_onnx_file *file, const char *key) {
    for (size_t i = 0; i < file->note_count; i++) {
        if (strcmp(file->notes[i].key, key) == 0) {
            return file->notes[i].value;
        }
    }
    return NULL;
}
