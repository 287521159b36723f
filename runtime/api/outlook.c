#include "runtime/api/outlook.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void us_memory_add(struct us_memory *memory, int place, const char *name, size_t bytes) {
    for (size_t i = 0; i < memory->count; i++) {
        struct us_memory_part *part = &memory->parts[i];
        if (part->place == place && strcmp(part->name, name) == 0) {
            part->bytes += bytes;
            return;
        }
    }
    if (bytes == 0) {
        return;
    }
    if (memory->count == memory->capacity) {
        const size_t capacity = memory->capacity ? 2 * memory->capacity : 16;
        struct us_memory_part *parts = us_arena_alloc(memory->arena, capacity * sizeof *parts);
        if (memory->count) {
            memcpy(parts, memory->parts, memory->count * sizeof *parts);
        }
        memory->parts = parts;
        memory->capacity = capacity;
    }
    memory->parts[memory->count++] = (struct us_memory_part){name, place, bytes};
}

size_t us_memory_sum(const struct us_memory *memory, int place) {
    size_t sum = 0;
    for (size_t i = 0; i < memory->count; i++) {
        sum += memory->parts[i].place == place ? memory->parts[i].bytes : 0;
    }
    return sum;
}

void us_memory_note(struct us_memory *memory, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memory->note = us_arena_strdup(memory->arena, text);
}
