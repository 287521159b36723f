#include <stdlib.h>
#include <string.h>

#include "runtime/graph/loader.h"

static struct us_error *read_ease(struct us_loader *loader, const struct us_yaml *value,
                                  bool *linear) {
    const char *text = value->kind == US_YAML_SCALAR ? value->text : "";
    *linear = strcmp(text, "linear") == 0;
    if (!*linear && strcmp(text, "hold") != 0) {
        return us_error_at(
            us_fail(US_GRAPH, "ease is %s, allowed linear, hold", us_quoted(loader->arena, text)),
            value->pos);
    }
    return NULL;
}

static int compare_keyframes(const void *a, const void *b) {
    int32_t i = ((const struct us_keyframe *)a)->frame, j = ((const struct us_keyframe *)b)->frame;
    return (i > j) - (i < j);
}

static struct us_error *sort_keys(const struct us_yaml *map, struct us_animation *animation) {
    if (!animation->count) {
        return us_error_at(us_fail(US_GRAPH, "an animation wants a value at some frame"), map->pos);
    }
    qsort(animation->keys, animation->count, sizeof *animation->keys, compare_keyframes);
    for (size_t i = 1; i < animation->count; i++) {
        if (animation->keys[i].frame == animation->keys[i - 1].frame) {
            return us_error_at(
                us_fail(US_GRAPH, "frame %d has two values", animation->keys[i].frame), map->pos);
        }
    }
    return NULL;
}

struct us_error *us_animation_read(struct us_loader *loader, const struct us_draft *draft,
                                   const struct us_param *param, const struct us_yaml *map,
                                   struct us_animation *animation) {
    animation->linear = true;
    animation->keys = us_arena_alloc(loader->arena, map->count * sizeof *animation->keys);
    for (size_t i = 0; i < map->count; i++) {
        const struct us_yaml *key = map->keys[i];
        if (strcmp(key->text, "ease") == 0) {
            US_TRY(read_ease(loader, map->items[i], &animation->linear));
            continue;
        }
        int64_t frame;
        if (!us_parse_int(key->text, &frame) || frame > INT32_MAX || frame < INT32_MIN) {
            struct us_error *error =
                us_fail(US_GRAPH, "%s is no frame", us_quoted(loader->arena, key->text));
            error = us_error_hint(error, "animate as {1001: 4, 1040: 8, ease: linear}");
            return us_error_at(error, key->pos);
        }
        struct us_keyframe *made = &animation->keys[animation->count++];
        made->frame = (int32_t)frame;
        US_TRY(us_number_read(loader, draft, param, map->items[i], &made->value));
    }
    return sort_keys(map, animation);
}

static double value_at(const struct us_animation *animation, int32_t frame) {
    const struct us_keyframe *keys = animation->keys;
    size_t after = 0;
    while (after < animation->count && keys[after].frame <= frame) {
        after++;
    }
    if (after == 0) {
        return keys[0].value;
    }
    const struct us_keyframe *a = &keys[after - 1];
    if (after == animation->count || !animation->linear) {
        return a->value;
    }
    const struct us_keyframe *b = &keys[after];
    double part = (double)((int64_t)frame - a->frame) / (double)((int64_t)b->frame - a->frame);
    return a->value + (b->value - a->value) * part;
}

void us_node_params_at(const struct us_node *node, struct us_frame frame, void *params) {
    if (node->type->params_size) {
        memcpy(params, node->params, node->type->params_size);
    }
    for (size_t i = 0; i < node->animation_count; i++) {
        const struct us_animation *animation = &node->animations[i];
        size_t offset = node->type->params[animation->param].offset;
        double value = value_at(animation, frame.number);
        memcpy((char *)params + offset, &value, sizeof value);
    }
}
