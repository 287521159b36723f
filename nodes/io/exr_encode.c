#include <string.h>

#include "nodes/io/exr_file.h"
#include "nodes/io/exr_pack.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

struct writing {
    const struct us_image *image;
    const struct us_exr_write_options *options;
    struct us_exr_packer packer;
    struct us_exr_lane *lanes;
    struct us_str out;
    size_t table, index;
    float dwa_level;
};

static void aim(const struct us_image *image, struct us_exr_block *block) {
    const struct us_window *all = &image->data_window, *w = &block->window;
    for (size_t i = 0; i < image->channel_count; i++) {
        const struct us_channel *c = &image->channels[i];
        int64_t x = us_exr_first_sample(w->x_min, c->x_sampling) -
                    (int64_t)us_exr_first_sample(all->x_min, c->x_sampling);
        int64_t y = us_exr_first_sample(w->y_min, c->y_sampling) -
                    (int64_t)us_exr_first_sample(all->y_min, c->y_sampling);
        size_t sample = us_sample_size(c->sample), stride = (size_t)c->width * sample;
        block->lanes[i] = (struct us_exr_lane){
            .name = c->name,
            .sample = c->sample,
            .perceptual = c->perceptual,
            .x_sampling = c->x_sampling,
            .y_sampling = c->y_sampling,
            .rows = (uint8_t *)c->data + (size_t)(y / c->y_sampling) * stride +
                    (size_t)(x / c->x_sampling) * sample,
            .stride = stride,
            .width = us_exr_samples(w->x_min, w->x_max, c->x_sampling),
            .height = us_exr_samples(w->y_min, w->y_max, c->y_sampling),
        };
    }
}

static struct us_error *write_block(struct writing *w, struct us_window window,
                                    const int32_t *leader, size_t leader_count) {
    struct us_exr_block block = {.window = window,
                                 .compression = w->options->compression,
                                 .tiled = w->options->tile_width > 0,
                                 .lanes = w->lanes,
                                 .lane_count = w->image->channel_count,
                                 .dwa_level = w->dwa_level};
    uint64_t offset = w->out.length;
    memcpy(w->out.data + w->table + 8 * w->index++, &offset, sizeof offset);
    us_str_append_bytes(&w->out, leader, leader_count * sizeof *leader);
    us_str_append_bytes(&w->out, "\0\0\0", 4);
    aim(w->image, &block);
    if (us_exr_block_bytes(&block) > INT32_MAX) {
        return us_error_hint(us_fail(US_FAILED, "a chunk of %zu bytes is more than EXR can hold",
                                     us_exr_block_bytes(&block)),
                             "choose a compression with fewer lines in a chunk, e.g. zips");
    }
    size_t start = w->out.length;
    US_TRY(us_exr_pack(&w->packer, &block, &w->out));
    int32_t size = (int32_t)(w->out.length - start);
    memcpy(w->out.data + start - 4, &size, sizeof size);
    return NULL;
}

static void put_table(struct writing *w, size_t chunks) {
    w->table = w->out.length;
    char *zeros = us_calloc(chunks, 8);
    us_str_append_bytes(&w->out, zeros, chunks * 8);
    us_free(zeros);
}

static struct us_error *write_lines(struct writing *w) {
    const struct us_window *all = &w->image->data_window;
    int64_t lines = us_exr_chunk_lines(w->options->compression);
    put_table(w, (size_t)((us_window_height(all) + lines - 1) / lines));
    for (int64_t y = all->y_min; y <= all->y_max; y += lines) {
        int64_t end = y + lines - 1 < all->y_max ? y + lines - 1 : all->y_max;
        int32_t leader = (int32_t)y;
        struct us_window window = {all->x_min, (int32_t)y, all->x_max, (int32_t)end};
        US_TRY(write_block(w, window, &leader, 1));
    }
    return NULL;
}

static struct us_error *write_tiles(struct writing *w) {
    const struct us_window *all = &w->image->data_window;
    int64_t width = w->options->tile_width, height = w->options->tile_height;
    int64_t columns = (us_window_width(all) + width - 1) / width;
    int64_t rows = (us_window_height(all) + height - 1) / height;
    put_table(w, (size_t)(columns * rows));
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t column = 0; column < columns; column++) {
            int64_t x = all->x_min + column * width, y = all->y_min + row * height;
            int64_t x_end = x + width - 1, y_end = y + height - 1;
            struct us_window window = {(int32_t)x, (int32_t)y,
                                       (int32_t)(x_end < all->x_max ? x_end : all->x_max),
                                       (int32_t)(y_end < all->y_max ? y_end : all->y_max)};
            int32_t leader[4] = {(int32_t)column, (int32_t)row, 0, 0};
            US_TRY(write_block(w, window, leader, 4));
        }
    }
    return NULL;
}

/* Files that other tools read must keep to EXR's rules on subsampling. */
static struct us_error *check_sampling(const struct us_image *image,
                                       const struct us_exr_write_options *options) {
    const struct us_window *w = &image->data_window;
    for (size_t i = 0; i < image->channel_count; i++) {
        const struct us_channel *c = &image->channels[i];
        bool fits = w->x_min % c->x_sampling == 0 && w->y_min % c->y_sampling == 0 &&
                    us_window_width(w) % c->x_sampling == 0 &&
                    us_window_height(w) % c->y_sampling == 0;
        bool sampled = c->x_sampling != 1 || c->y_sampling != 1;
        if (sampled && (options->tile_width > 0 || (!options->mark && !fits))) {
            return us_error_hint(us_fail(US_FAILED,
                                         "channel '%s' is sampled every %d x %d pixels, which %s",
                                         c->name, c->x_sampling, c->y_sampling,
                                         options->tile_width > 0 ? "tiles do not allow"
                                                                 : "must divide the data window"),
                                 "write R, G and B instead of subsampled channels");
        }
    }
    return NULL;
}

static void reserve(struct writing *w) {
    size_t bytes = 65536;
    for (size_t i = 0; i < w->image->channel_count; i++) {
        bytes += us_channel_bytes(&w->image->channels[i]);
    }
    bool stored = w->options->compression == US_EXR_NONE;
    bytes += (size_t)us_window_height(&w->image->data_window) * 16;
    w->out.capacity = stored ? bytes : bytes / 2;
    w->out.data = us_malloc(w->out.capacity);
    w->out.data[0] = '\0';
}

struct us_error *us_exr_encode(const struct us_image *image,
                               const struct us_exr_write_options *options, uint8_t **bytes,
                               size_t *size) {
    US_TRY(check_sampling(image, options));
    struct writing w = {.image = image, .options = options, .dwa_level = 45.0f};
    const struct us_attribute *level = us_image_attribute(image, "dwaCompressionLevel");
    if (level && level->size == 4 && strcmp(level->type, "float") == 0) {
        memcpy(&w.dwa_level, level->bytes, 4);
        w.dwa_level = w.dwa_level >= 0.0f && w.dwa_level <= 1e5f ? w.dwa_level : 45.0f;
    }
    reserve(&w);
    w.lanes = us_calloc(image->channel_count + 1, sizeof *w.lanes);
    const struct us_exr_header header = {options->compression, options->tile_width,
                                         options->tile_height, options->mark};
    struct us_error *error = us_exr_header_write(image, &header, &w.out);
    if (!error) {
        error = options->tile_width > 0 ? write_tiles(&w) : write_lines(&w);
    }
    us_exr_packer_finish(&w.packer);
    us_free(w.lanes);
    if (error) {
        us_str_finish(&w.out);
        return error;
    }
    *size = w.out.length;
    *bytes = (uint8_t *)us_str_take(&w.out);
    return NULL;
}

struct us_error *us_exr_write(const char *path, const struct us_image *image,
                              const struct us_exr_write_options *options) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_error_wrap(us_exr_encode(image, options, &bytes, &size), "cannot write '%s'", path));
    struct us_error *error = us_write_file(path, bytes, size);
    us_free(bytes);
    return error;
}
