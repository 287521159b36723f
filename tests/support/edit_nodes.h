/* Node types of the random edits (tests/exec/edits_test.c) and the functions they compute.
 *
 * Every value is a text that begins with a number in 16 hexadecimal digits; of some types a long
 * one, which is a file of its own in the cache. The number is a hash of all that the result may
 * depend on, so that whatever a key leaves out shows as a wrong number; the lossy types (load,
 * coarse, max, two.low) keep a few bits, so that results below them stand although something above
 * changed.
 *
 *     file    per frame  the bytes of a source file; its results are not stored (`reloads`)
 *     load    per frame  two bits of a source file
 *     gen     per frame  a hash of the frame's number
 *     mix     per frame  a list, and once or frames at `other`; a parameter of every kind
 *     pair    per frame  a and b, whose order matters
 *     window  per frame  neighbours
 *     coarse  per frame  two bits of a list
 *     two     per frame  outputs `full` and `low`
 *     gather  once       all frames
 *     max     once       three bits of the largest over all frames
 *     count   once       extends its work in a workspace (`steps`)
 *     train   once       volatile: another result each time
 *     write   per frame  writes its input to PATH.TAKE.FRAME
 *     sheet   once       writes a hash with the names of the nodes above to PATH */
#ifndef US_TESTS_SUPPORT_EDIT_NODES_H
#define US_TESTS_SUPPORT_EDIT_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/api/registry.h"

enum edit_kind {
    EDIT_FILE,
    EDIT_LOAD,
    EDIT_GEN,
    EDIT_MIX,
    EDIT_PAIR,
    EDIT_WINDOW,
    EDIT_COARSE,
    EDIT_TWO,
    EDIT_GATHER,
    EDIT_MAX,
    EDIT_COUNT,
    EDIT_TRAIN,
    EDIT_WRITE,
    EDIT_SHEET,
    EDIT_KINDS
};

enum { EDIT_PORTS = 2, EDIT_OUTPUTS = 2, EDIT_TEXT = 5008 };

/* Parameters of all the types; each has the rows it needs. */
struct edit_params {
    const char *path;
    struct us_frames frames;
    int64_t takes, i, late, radius, steps;
    double d;
    const char *choice, *text, *label;
    bool on;
    struct us_strings notes;
};

/* One value that a task reads. */
struct edit_input {
    uint64_t entry, number;
    int32_t take, frame; /* relative to the task's */
    const char *name;    /* of the node it comes from */
};

/* All that the result of a task depends on. */
struct edit_call {
    enum edit_kind kind;
    uint32_t version;
    const struct edit_params *params;
    struct us_frame frame;
    uint64_t source;
    struct edit_input inputs[EDIT_PORTS][128];
    size_t input_count[EDIT_PORTS];
};

uint64_t edit_mix(uint64_t hash, uint64_t value);
uint64_t edit_mix_bytes(uint64_t hash, const void *bytes, size_t size);
/* Numbers of the outputs of every type but train. */
void edit_numbers(const struct edit_call *call, uint64_t numbers[EDIT_OUTPUTS]);
/* What a training learns from; its number is edit_mix of it with the count of trainings. */
uint64_t edit_lesson(const struct edit_call *call);
/* The text of a number as a value of that type; returns its size. */
size_t edit_text(enum edit_kind kind, uint64_t number, char text[EDIT_TEXT]);

const char *edit_type_name(enum edit_kind kind);
bool edit_per_frame(enum edit_kind kind);
bool edit_has_source(enum edit_kind kind);
bool edit_writes(enum edit_kind kind);
/* The registry with these versions; static storage, valid until the next call. */
const struct us_registry *edit_registry(const uint32_t versions[EDIT_KINDS]);
uint32_t edit_version(enum edit_kind kind); /* of the last registry */
struct us_error *edit_run(struct us_task *task, enum edit_kind kind) US_NODISCARD;

/* The last training on a lesson. */
struct edit_training {
    uint64_t lesson, count;
};
struct edit_trainings {
    struct edit_training *items;
    size_t count, capacity;
    uint64_t total;
};
/* 0: never trained. */
uint64_t edit_trained(const struct edit_trainings *trainings, uint64_t lesson);

/* An input as a task got it. */
struct edit_sight {
    char label[32];
    uint64_t number;
};

/* What running tasks note down, and what they are told. */
struct edit_log {
    struct edit_trainings *trainings;
    struct edit_sight *sights;
    size_t sight_count, sight_capacity;
    int fail_after; /* so many tasks work, the next fails; -1: none does */
};
extern struct edit_log edit_log;

#endif
