#include "tests/support/edit_nodes.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

struct edit_log edit_log;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t edit_mix(uint64_t hash, uint64_t value) {
    hash =
        (hash << 23 | hash >> 41) * 0x9E3779B97F4A7C15u + value * 0xD6E8FEB86659FD93u + 0x2545F491u;
    hash ^= hash >> 29;
    hash *= 0xBF58476D1CE4E5B9u;
    return hash ^ hash >> 32;
}

uint64_t edit_mix_bytes(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    hash = edit_mix(hash, size);
    for (size_t i = 0; i < size; i++) {
        hash = edit_mix(hash, at[i]);
    }
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text) {
    return edit_mix_bytes(hash, text ? text : "", text ? strlen(text) : 0);
}

static uint64_t mix_double(uint64_t hash, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return edit_mix(hash, bits);
}

static uint64_t mix_inputs(uint64_t hash, const struct edit_call *call) {
    for (int port = 0; port < EDIT_PORTS; port++) {
        hash = edit_mix(hash, call->input_count[port]);
        for (size_t i = 0; i < call->input_count[port]; i++) {
            const struct edit_input *input = &call->inputs[port][i];
            hash = edit_mix(edit_mix(hash, input->entry), input->number);
            hash = edit_mix(edit_mix(hash, (uint64_t)input->take), (uint64_t)input->frame);
            hash = call->kind == EDIT_SHEET ? mix_text(hash, input->name) : hash;
        }
    }
    return hash;
}

uint64_t edit_lesson(const struct edit_call *call) {
    const struct edit_params *p = call->params;
    uint64_t hash = edit_mix(edit_mix((uint64_t)call->kind + 1, call->version), (uint64_t)p->i);
    hash = edit_mix(mix_double(hash, p->d), call->source);
    if (call->kind == EDIT_GEN) {
        hash = edit_mix(edit_mix(hash, (uint64_t)call->frame.take), (uint64_t)call->frame.number);
    }
    if (call->kind == EDIT_MIX) {
        hash = mix_text(mix_text(edit_mix(hash, p->on), p->choice), p->text);
        hash = edit_mix(edit_mix(hash, (uint64_t)p->late), p->notes.count);
        for (size_t i = 0; i < p->notes.count; i++) {
            hash = mix_text(hash, p->notes.items[i]);
        }
    }
    if (call->kind == EDIT_WINDOW) {
        hash = edit_mix(hash, (uint64_t)p->radius);
    }
    return mix_inputs(hash, call);
}

static uint64_t largest(const struct edit_call *call) {
    uint64_t most = 0;
    for (size_t i = 0; i < call->input_count[0]; i++) {
        uint64_t number = call->inputs[0][i].number >> 7 & 7;
        most = number > most ? number : most;
    }
    return most;
}

void edit_numbers(const struct edit_call *call, uint64_t numbers[EDIT_OUTPUTS]) {
    const uint64_t all = edit_lesson(call);
    numbers[0] = numbers[1] = all;
    switch (call->kind) {
    case EDIT_LOAD:
        numbers[0] = (call->source ^ (uint64_t)call->params->i) & 3;
        break;
    case EDIT_COARSE:
        numbers[0] = 0;
        for (size_t i = 0; i < call->input_count[0]; i++) {
            numbers[0] += call->inputs[0][i].number >> 5 & 3;
        }
        break;
    case EDIT_MAX:
        numbers[0] = largest(call);
        break;
    case EDIT_TWO:
        numbers[1] = all & 3;
        break;
    case EDIT_COUNT:
        for (int64_t i = 0; i < call->params->steps; i++) {
            numbers[0] = edit_mix(numbers[0], 77);
        }
        break;
    default:
        break;
    }
}

size_t edit_text(enum edit_kind kind, uint64_t number, char text[EDIT_TEXT]) {
    snprintf(text, EDIT_TEXT, "%016" PRIx64, number);
    /* Not of those whose numbers may be equal although their types differ. */
    const bool is_long = kind == EDIT_PAIR || kind == EDIT_WINDOW || kind == EDIT_MIX ||
                         kind == EDIT_GATHER || kind == EDIT_TRAIN;
    if (!is_long) {
        return 16;
    }
    memset(text + 16, '.', EDIT_TEXT - 16);
    return EDIT_TEXT;
}

uint64_t edit_trained(const struct edit_trainings *trainings, uint64_t lesson) {
    for (size_t i = trainings->count; i-- > 0;) {
        if (trainings->items[i].lesson == lesson) {
            return trainings->items[i].count;
        }
    }
    return 0;
}

static uint64_t train(uint64_t lesson) {
    pthread_mutex_lock(&lock);
    struct edit_trainings *all = edit_log.trainings;
    us_grow(&all->items, &all->capacity, all->count, sizeof *all->items);
    uint64_t count = ++all->total;
    all->items[all->count++] = (struct edit_training){lesson, count};
    pthread_mutex_unlock(&lock);
    return edit_mix(lesson, count);
}

static void note_sight(const char *label, uint64_t number) {
    pthread_mutex_lock(&lock);
    us_grow(&edit_log.sights, &edit_log.sight_capacity, edit_log.sight_count,
            sizeof *edit_log.sights);
    struct edit_sight *sight = &edit_log.sights[edit_log.sight_count++];
    snprintf(sight->label, sizeof sight->label, "%s", label);
    sight->number = number;
    pthread_mutex_unlock(&lock);
}

static struct us_error *maybe_fail(void) {
    pthread_mutex_lock(&lock);
    bool fails = edit_log.fail_after == 0;
    edit_log.fail_after -= edit_log.fail_after > 0;
    pthread_mutex_unlock(&lock);
    return fails ? us_fail(US_RETRY, "a fault that the test planned") : NULL;
}

/* The names of the nodes above are kept in `names`. */
static struct us_error *see(struct us_task *task, int port, struct edit_call *call,
                            char names[][32]) {
    const struct us_frame own = us_task_frame(task);
    const size_t count = us_task_input_count(task, port);
    for (size_t i = 0; i < count && i < 128; i++) {
        struct us_value *value;
        US_TRY(us_task_input(task, port, i, &value));
        const struct us_frame frame = us_task_input_frame(task, port, i);
        const char *label = us_task_input_name(task, port, i);
        char digits[17] = "";
        memcpy(digits, value->bytes, 16);
        struct edit_input *input = &call->inputs[port][call->input_count[port]++];
        *input = (struct edit_input){us_task_input_entry(task, port, i), strtoull(digits, NULL, 16),
                                     frame.take - own.take, frame.number - own.number, names[i]};
        snprintf(names[i], 32, "%.*s", (int)strcspn(label, "@"), label);
        note_sight(label, input->number);
    }
    return NULL;
}

/* A number for each step done so far: work under fewer steps is gone on with. */
static struct us_error *count_on(struct us_task *task, const struct edit_call *call,
                                 uint64_t *number) {
    const char *folder;
    US_TRY(us_task_workspace(task, &folder));
    char *path = us_path_join(folder, "done"), line[64];
    uint8_t *bytes;
    size_t size;
    int64_t done = 0;
    *number = edit_lesson(call);
    struct us_error *error = us_read_file(path, 64, &bytes, &size);
    if (!error) {
        int64_t before;
        uint64_t reached;
        if (sscanf((const char *)bytes, "%" SCNd64 " %" SCNx64, &before, &reached) == 2 &&
            before <= call->params->steps) {
            done = before;
            *number = reached;
        }
        us_free(bytes);
    }
    us_error_free(error);
    for (; done < call->params->steps; done++) {
        *number = edit_mix(*number, 77);
    }
    int length = snprintf(line, sizeof line, "%" PRId64 " %" PRIx64, done, *number);
    error = us_write_file(path, line, (size_t)length);
    us_free(path);
    return error;
}

static struct us_error *put(struct us_task *task, int port, enum edit_kind kind, uint64_t number) {
    char *text = us_malloc(EDIT_TEXT);
    size_t size = edit_text(kind, number, text);
    if (edit_writes(kind)) {
        struct us_error *error = us_write_file(us_task_destination(task), text, size);
        us_free(text);
        return error ? error : us_task_written(task);
    }
    us_task_output(task, port, us_value_from_bytes(US_METRICS, (uint8_t *)text, size));
    return NULL;
}

static struct us_error *work(struct us_task *task, struct edit_call *call, char names[][32]) {
    if (edit_has_source(call->kind)) {
        uint8_t *bytes;
        size_t size;
        US_TRY(us_read_file(us_task_source(task, "file", 0), 0, &bytes, &size));
        call->source = edit_mix_bytes(1, bytes, size);
        us_free(bytes);
    }
    for (int port = 0; port < EDIT_PORTS && call->kind >= EDIT_MIX; port++) {
        bool there = port == 0 || call->kind == EDIT_MIX || call->kind == EDIT_PAIR;
        if (there) {
            US_TRY(see(task, port, call, names + 128 * port));
        }
    }
    uint64_t numbers[EDIT_OUTPUTS];
    edit_numbers(call, numbers);
    if (call->kind == EDIT_TRAIN) {
        numbers[0] = train(edit_lesson(call));
    } else if (call->kind == EDIT_COUNT) {
        US_TRY(count_on(task, call, &numbers[0]));
    }
    US_TRY(put(task, 0, call->kind, numbers[0]));
    return call->kind == EDIT_TWO ? put(task, 1, call->kind, numbers[1]) : NULL;
}

struct us_error *edit_run(struct us_task *task, enum edit_kind kind) {
    US_TRY(maybe_fail());
    struct edit_call *call = us_calloc(1, sizeof *call);
    char(*names)[32] = us_calloc(EDIT_PORTS * 128, 32);
    call->kind = kind;
    call->version = edit_version(kind);
    call->params = us_task_params(task);
    call->frame = us_task_frame(task);
    struct us_error *error = work(task, call, names);
    us_free(names);
    us_free(call);
    return error;
}
