#include "nodes/io/exr_file.h"

#include <stdlib.h>
#include <string.h>

#include "nodes/io/exr_pack.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

/* One part of a file on its way into an image. */
struct reading {
    const struct us_exr_file *file;
    const struct us_exr_part *part;
    struct us_image *image;
    struct us_exr_packer packer;
    struct us_exr_lane *lanes;
};

static struct us_error *no_part(const struct us_exr_file *file, const char *wanted) {
    struct us_str have = {0};
    for (size_t i = 0; i < file->part_count; i++) {
        const char *name = file->parts[i].name;
        us_str_printf(&have, "%s%zu%s%s%s", i ? ", " : "", i, name ? " ('" : "", name ? name : "",
                      name ? "')" : "");
    }
    struct us_error *error = us_error_hint(
        us_fail(US_FAILED, "it has no part '%s'; it has %s", wanted, us_str_text(&have)),
        "name one of these parts");
    us_str_finish(&have);
    return error;
}

static struct us_error *find_part(const struct us_exr_file *file, const char *wanted,
                                  const struct us_exr_part **part) {
    if (!wanted || !wanted[0]) {
        *part = &file->parts[0];
        return NULL;
    }
    for (size_t i = 0; i < file->part_count; i++) {
        if (file->parts[i].name && strcmp(file->parts[i].name, wanted) == 0) {
            *part = &file->parts[i];
            return NULL;
        }
    }
    char *end;
    unsigned long number = strtoul(wanted, &end, 10);
    if (wanted[0] < '0' || wanted[0] > '9' || *end || number >= file->part_count) {
        return no_part(file, wanted);
    }
    *part = &file->parts[number];
    return NULL;
}

static bool is_wanted(const char *channel, const char *wanted) {
    size_t length = strlen(wanted);
    return strncmp(channel, wanted, length) == 0 &&
           (channel[length] == '\0' || channel[length] == '.');
}

static bool any_wanted(const char *channel, const struct us_exr_read_options *options) {
    if (!options || !options->channel_count) {
        return true;
    }
    for (size_t i = 0; i < options->channel_count; i++) {
        if (is_wanted(channel, options->channels[i])) {
            return true;
        }
    }
    return false;
}

static struct us_error *check_wanted(const struct us_exr_part *part,
                                     const struct us_exr_read_options *options) {
    for (size_t i = 0; options && i < options->channel_count; i++) {
        bool found = false;
        for (size_t c = 0; c < part->channel_count; c++) {
            found |= is_wanted(part->channels[c].name, options->channels[i]);
        }
        if (found) {
            continue;
        }
        struct us_str have = {0};
        for (size_t c = 0; c < part->channel_count; c++) {
            us_str_printf(&have, "%s%s", c ? ", " : "", part->channels[c].name);
        }
        struct us_error *error =
            us_error_hint(us_fail(US_FAILED, "it has no channel or layer '%s'; it has %s",
                                  options->channels[i], have.length ? us_str_text(&have) : "none"),
                          "name channels that are there, or leave the list out for all");
        us_str_finish(&have);
        return error;
    }
    return NULL;
}

static struct us_error *make_image(const struct us_exr_part *part,
                                   const struct us_exr_read_options *options,
                                   struct us_image *image) {
    image->pixel_aspect = part->pixel_aspect;
    for (size_t i = 0; i < part->channel_count; i++) {
        const struct us_exr_channel *c = &part->channels[i];
        struct us_channel *made;
        if (any_wanted(c->name, options)) {
            US_TRY(us_image_add_sampled_channel(image, c->name, c->sample, c->x_sampling,
                                                c->y_sampling, &made));
            made->perceptual = c->perceptual;
        }
    }
    for (size_t i = 0; i < part->attribute_count; i++) {
        const struct us_attribute *a = &part->attributes[i];
        us_image_set_attribute(image, a->name, a->type, a->bytes, a->size);
    }
    char *made_up = us_image_get_string(image, US_EXR_MADE_UP);
    if (made_up && strstr(made_up, "screenWindowCenter ")) {
        us_image_remove_attribute(image, "screenWindowCenter");
    }
    if (made_up && strstr(made_up, "screenWindowWidth ")) {
        us_image_remove_attribute(image, "screenWindowWidth");
    }
    us_image_remove_attribute(image, US_EXR_MADE_UP);
    us_free(made_up);
    return NULL;
}

/* Points the lanes at the pixels of `block->window`. */
static void aim(const struct us_exr_part *part, const struct us_image *image,
                struct us_exr_block *block) {
    const struct us_window *all = &image->data_window, *w = &block->window;
    for (size_t i = 0; i < part->channel_count; i++) {
        const struct us_exr_channel *c = &part->channels[i];
        struct us_exr_lane *lane = &block->lanes[i];
        const struct us_channel *to = us_image_channel(image, c->name);
        *lane = (struct us_exr_lane){c->name,       c->sample,     c->perceptual,
                                     c->x_sampling, c->y_sampling, .width = 0};
        lane->width = us_exr_samples(w->x_min, w->x_max, c->x_sampling);
        lane->height = us_exr_samples(w->y_min, w->y_max, c->y_sampling);
        if (to && lane->width && lane->height) {
            int64_t x = us_exr_first_sample(w->x_min, c->x_sampling) -
                        (int64_t)us_exr_first_sample(all->x_min, c->x_sampling);
            int64_t y = us_exr_first_sample(w->y_min, c->y_sampling) -
                        (int64_t)us_exr_first_sample(all->y_min, c->y_sampling);
            lane->stride = (size_t)to->width * us_sample_size(c->sample);
            lane->rows = (uint8_t *)to->data + (size_t)(y / c->y_sampling) * lane->stride +
                         (size_t)(x / c->x_sampling) * us_sample_size(c->sample);
        }
    }
}

/* Finds chunk `index`'s packed bytes; `leader` is what the chunk must say about itself. */
static struct us_error *find_chunk(const struct us_exr_file *file, const struct us_exr_part *part,
                                   size_t index, const int32_t *leader, size_t leader_count,
                                   const uint8_t **packed, size_t *size) {
    uint64_t offset = us_exr_chunk_offset(file, part, index);
    size_t head = (leader_count + 1 + file->multipart) * 4;
    if (!offset) {
        return us_fail(US_CORRUPT, "chunk %zu is missing", index);
    }
    if (offset > file->size || file->size - offset < head) {
        return us_fail(US_CORRUPT,
                       "the file is cut short: chunk %zu would start at byte %llu of %zu", index,
                       (unsigned long long)offset, file->size);
    }
    int32_t words[6];
    memcpy(words, file->bytes + offset, head);
    const int32_t *said = words + file->multipart, bytes = said[leader_count];
    if ((file->multipart && words[0] != (int32_t)(part - file->parts)) ||
        memcmp(said, leader, leader_count * 4) != 0 || bytes < 0) {
        return us_fail(US_CORRUPT, "chunk %zu is corrupt: its leader does not fit its place",
                       index);
    }
    if ((size_t)bytes > file->size - offset - head) {
        return us_fail(US_CORRUPT, "the file is cut short: chunk %zu has %d bytes, %llu are left",
                       index, bytes, (unsigned long long)(file->size - offset - head));
    }
    *packed = file->bytes + offset + head;
    *size = (size_t)bytes;
    return NULL;
}

static struct us_error *read_block(struct reading *r, size_t index, const int32_t *leader,
                                   size_t leader_count, struct us_exr_block *block) {
    const uint8_t *packed = NULL;
    size_t size = 0;
    US_TRY(find_chunk(r->file, r->part, index, leader, leader_count, &packed, &size));
    block->lanes = r->lanes;
    block->lane_count = r->part->channel_count;
    block->compression = r->part->compression;
    block->tiled = r->part->tiled;
    aim(r->part, r->image, block);
    return us_error_wrap(us_exr_unpack(&r->packer, block, packed, size), "chunk %zu is corrupt",
                         index);
}

static struct us_error *read_lines(struct reading *r) {
    const struct us_window *all = &r->image->data_window;
    int32_t lines = us_exr_chunk_lines(r->part->compression);
    for (size_t i = 0; i < r->part->chunk_count; i++) {
        int32_t y = (int32_t)(all->y_min + (int64_t)i * lines);
        struct us_exr_block block = {.window = *all};
        block.window.y_min = y;
        if (all->y_max - y >= lines) {
            block.window.y_max = y + lines - 1;
        }
        US_TRY(read_block(r, i, &y, 1, &block));
    }
    return NULL;
}

static struct us_window tile_window(const struct us_window *all, int32_t width, int32_t height,
                                    int32_t column, int32_t row) {
    int64_t x = all->x_min + (int64_t)column * width, y = all->y_min + (int64_t)row * height;
    int64_t x_end = x + width - 1, y_end = y + height - 1;
    return (struct us_window){(int32_t)x, (int32_t)y,
                              (int32_t)(x_end < all->x_max ? x_end : all->x_max),
                              (int32_t)(y_end < all->y_max ? y_end : all->y_max)};
}

static int32_t tiles_across(int32_t size, int32_t tile) {
    return (int32_t)(((int64_t)size + tile - 1) / tile);
}

static struct us_error *read_tiles(struct reading *r) {
    const struct us_window *all = &r->image->data_window;
    int32_t width = r->part->tile_width, height = r->part->tile_height;
    int32_t columns = tiles_across(us_window_width(all), width);
    int32_t rows = tiles_across(us_window_height(all), height);
    for (int32_t row = 0; row < rows; row++) {
        for (int32_t column = 0; column < columns; column++) {
            struct us_exr_block block = {.window = tile_window(all, width, height, column, row)};
            size_t index = (size_t)row * (size_t)columns + (size_t)column;
            US_TRY(read_block(r, index, (int32_t[]){column, row, 0, 0}, 4, &block));
        }
    }
    return NULL;
}

static struct us_error *decode_part(const struct us_exr_file *file, const struct us_exr_part *part,
                                    const struct us_exr_read_options *options,
                                    struct us_image **image) {
    if (part->deep) {
        return us_error_hint(us_fail(US_FAILED, "it holds deep pixels, which cannot be read"),
                             "flatten the image, or name a part that is not deep");
    }
    US_TRY(check_wanted(part, options));
    struct reading r = {.file = file, .part = part};
    r.image = us_image_create(part->data_window, part->display_window);
    r.lanes = us_calloc(part->channel_count + 1, sizeof *r.lanes);
    struct us_error *error = make_image(part, options, r.image);
    if (!error) {
        error = part->tiled ? read_tiles(&r) : read_lines(&r);
    }
    us_exr_packer_finish(&r.packer);
    us_free(r.lanes);
    if (error) {
        us_image_unref(r.image);
        return error;
    }
    *image = r.image;
    return NULL;
}

struct us_error *us_exr_decode(const uint8_t *bytes, size_t size,
                               const struct us_exr_read_options *options, struct us_image **image) {
    struct us_exr_file file;
    const struct us_exr_part *part = NULL;
    struct us_error *error = us_exr_file_parse(bytes, size, &file);
    if (!error) {
        error = find_part(&file, options ? options->part : NULL, &part);
    }
    if (!error) {
        error = decode_part(&file, part, options, image);
    }
    us_exr_file_finish(&file);
    return error;
}

struct us_error *us_exr_read(const char *path, const struct us_exr_read_options *options,
                             struct us_image **image) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(path, 0, &bytes, &size));
    struct us_error *error =
        us_error_wrap(us_exr_decode(bytes, size, options, image), "cannot read '%s'", path);
    us_free(bytes);
    if (error && error->code == US_CORRUPT) {
        error = us_error_hint(error, "copy or render the file again");
    }
    return error;
}
