#include <limits.h>
#include <string.h>

#include "nodes/io/exr_format.h"
#include "runtime/base/mem.h"

enum { MAX_CHANNELS = 1024, MAX_PARTS = 256, MAX_ATTRIBUTES = 4096 };
static const int64_t max_samples = (int64_t)1 << 28;
/* How many times each compression can shrink pixels at most, generously: a run of RLE is 128 bytes
 * in 2, deflate reaches 1032 (of three bytes of four in PXR24), PIZ 256 samples in 9 bits, B44A 32
 * bytes in 3, DWA one flat colour about 33,000. The order is that of enum us_exr_compression. */
static const uint64_t max_ratio[] = {4, 64, 1040, 1040, 1040, 1400, 4, 16, 1 << 16, 1 << 16};

enum field { CHANNELS, COMPRESSION, DATA_WINDOW, DISPLAY_WINDOW, LINE_ORDER, ASPECT, REQUIRED };

struct cursor {
    const uint8_t *bytes;
    size_t size, at;
};

#define CUT_SHORT us_fail(US_CORRUPT, "the file is cut short in its header")

static struct us_error *take(struct cursor *in, void *out, size_t size) {
    if (size > in->size - in->at) {
        return CUT_SHORT;
    }
    memcpy(out, in->bytes + in->at, size);
    in->at += size;
    return NULL;
}

/* A NUL-terminated name of at most 255 bytes; empty at the end of a list. */
static struct us_error *take_name(struct cursor *in, const char **name) {
    size_t left = in->size - in->at, limit = left < 256 ? left : 256;
    const uint8_t *start = in->bytes + in->at, *end = memchr(start, 0, limit);
    if (!end) {
        return left < 256 ? CUT_SHORT
                          : us_fail(US_CORRUPT, "the header is damaged: a name has no end");
    }
    *name = (const char *)start;
    in->at += (size_t)(end - start) + 1;
    return NULL;
}

static struct us_error *parse_channel(struct cursor *in, struct us_exr_channel *channel) {
    static const enum us_sample samples[] = {US_UINT, US_HALF, US_FLOAT};
    int32_t values[4];
    US_TRY(take(in, values, sizeof values));
    if (values[0] < 0 || values[0] > 2 || values[2] < 1 || values[3] < 1 || values[2] > 4096 ||
        values[3] > 4096) {
        return us_fail(US_CORRUPT,
                       "the header is damaged: channel '%s' has type %d, sampling %d x %d",
                       channel->name, values[0], values[2], values[3]);
    }
    channel->sample = samples[values[0]];
    channel->perceptual = (values[1] & 0xff) != 0;
    channel->x_sampling = values[2];
    channel->y_sampling = values[3];
    return NULL;
}

static struct us_error *parse_channels(struct cursor in, struct us_exr_part *part) {
    for (;;) {
        const char *name = "";
        US_TRY(take_name(&in, &name));
        if (!name[0]) {
            return NULL;
        }
        if (part->channel_count == MAX_CHANNELS) {
            return us_fail(US_CORRUPT, "the header has more than %d channels", MAX_CHANNELS);
        }
        for (size_t i = 0; i < part->channel_count; i++) {
            if (strcmp(part->channels[i].name, name) == 0) {
                return us_fail(US_CORRUPT, "the header is damaged: channel '%s' stands twice",
                               name);
            }
        }
        part->channels =
            us_realloc(part->channels, (part->channel_count + 1) * sizeof *part->channels);
        struct us_exr_channel *channel = &part->channels[part->channel_count++];
        *channel = (struct us_exr_channel){.name = us_strdup(name)};
        US_TRY(parse_channel(&in, channel));
    }
}

static struct us_error *parse_tiles(struct cursor in, struct us_exr_part *part) {
    uint8_t mode = 0;
    US_TRY(take(&in, &part->tile_width, 4));
    US_TRY(take(&in, &part->tile_height, 4));
    US_TRY(take(&in, &mode, 1));
    part->level_mode = mode & 15;
    part->level_rounding = mode >> 4;
    if (part->tile_width < 1 || part->tile_height < 1 || part->level_mode > 2 ||
        part->level_rounding > 1) {
        return us_fail(US_CORRUPT, "the header is damaged: tiles of %d x %d pixels, mode %d",
                       part->tile_width, part->tile_height, mode);
    }
    return NULL;
}

static struct us_error *parse_compression(struct cursor in, struct us_exr_part *part) {
    uint8_t number = 0;
    US_TRY(take(&in, &number, 1));
    if (number >= US_EXR_COMPRESSIONS) {
        return us_error_hint(us_fail(US_CORRUPT,
                                     "compression %d is unknown; known are 0 (none) to 9 (dwab)",
                                     number),
                             "write the file again with one of the known compressions, e.g. zip");
    }
    part->compression = number;
    return NULL;
}

static void parse_string(struct cursor in, char **text) {
    us_free(*text);
    *text = us_strndup((const char *)in.bytes, in.size);
}

static struct us_error *keep_attribute(struct us_exr_part *part, const char *name, const char *type,
                                       struct cursor in) {
    if (part->attribute_count == MAX_ATTRIBUTES) {
        return us_fail(US_CORRUPT, "the header has more than %d attributes", MAX_ATTRIBUTES);
    }
    part->attributes =
        us_realloc(part->attributes, (part->attribute_count + 1) * sizeof *part->attributes);
    struct us_attribute *a = &part->attributes[part->attribute_count++];
    *a = (struct us_attribute){us_strdup(name), us_strdup(type), us_malloc(in.size), in.size};
    memcpy(a->bytes, in.bytes, in.size);
    return NULL;
}

static struct us_error *parse_attribute(struct us_exr_part *part, const char *name,
                                        const char *type, struct cursor in) {
    static const struct {
        const char *name, *type;
    } fields[] = {{"channels", "chlist"},     {"compression", "compression"},
                  {"dataWindow", "box2i"},    {"displayWindow", "box2i"},
                  {"lineOrder", "lineOrder"}, {"pixelAspectRatio", "float"},
                  {"tiles", "tiledesc"},      {"type", "string"},
                  {"chunkCount", "int"}};
    size_t i = 0, count = sizeof fields / sizeof *fields;
    while (i < count && strcmp(fields[i].name, name) != 0) {
        i++;
    }
    if (i < count && (strcmp(fields[i].type, type) != 0 || part->seen & (1u << i))) {
        return us_fail(US_CORRUPT, "the header is damaged: attribute '%s' %s", name,
                       part->seen & (1u << i) ? "stands twice" : "has the wrong type");
    }
    part->seen |= i < count ? 1u << i : 0;
    switch (i) {
    case CHANNELS:
        return parse_channels(in, part);
    case COMPRESSION:
        return parse_compression(in, part);
    case DATA_WINDOW:
        return take(&in, &part->data_window, 16);
    case DISPLAY_WINDOW:
        return take(&in, &part->display_window, 16);
    case ASPECT:
        return take(&in, &part->pixel_aspect, 4);
    case LINE_ORDER:
    case 8:
        return NULL;
    case 6:
        return parse_tiles(in, part);
    case 7:
        parse_string(in, &part->type);
        return NULL;
    default:
        if (strcmp(name, "name") == 0 && strcmp(type, "string") == 0) {
            parse_string(in, &part->name);
        }
        return keep_attribute(part, name, type, in);
    }
}

static struct us_error *parse_part(struct cursor *in, struct us_exr_part *part, bool *empty) {
    *empty = true;
    for (;; *empty = false) {
        const char *name = "", *type = "";
        int32_t size = 0;
        US_TRY(take_name(in, &name));
        if (!name[0]) {
            return NULL;
        }
        US_TRY(take_name(in, &type));
        US_TRY(take(in, &size, sizeof size));
        if (size < 0 || (size_t)size > in->size - in->at || size > 64 << 20) {
            return us_fail(US_CORRUPT,
                           "the header is damaged or the file cut short: attribute '%s' has %d "
                           "bytes, %zu are left",
                           name, size, in->size - in->at);
        }
        struct cursor value = {in->bytes + in->at, (size_t)size, 0};
        in->at += (size_t)size;
        US_TRY(us_error_wrap(parse_attribute(part, name, type, value), "attribute '%s'", name));
    }
}

static struct us_error *check_window(const char *name, const struct us_window *w) {
    const int32_t far = INT_MAX / 2;
    if (w->x_max < w->x_min || w->y_max < w->y_min || w->x_min < -far || w->y_min < -far ||
        w->x_max > far || w->y_max > far) {
        return us_fail(US_CORRUPT, "the header is damaged: the %s is (%d, %d) to (%d, %d)", name,
                       w->x_min, w->y_min, w->x_max, w->y_max);
    }
    return NULL;
}

static struct us_error *check_size(const struct us_exr_part *part, size_t file_size) {
    const struct us_window *w = &part->data_window;
    int64_t width = (int64_t)w->x_max - w->x_min + 1, height = (int64_t)w->y_max - w->y_min + 1;
    if (width > max_samples || height > max_samples || width * height > max_samples) {
        return us_fail(US_CORRUPT,
                       "the data window of %lld x %lld pixels is over the limit of 2^28",
                       (long long)width, (long long)height);
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < part->channel_count; i++) {
        const struct us_exr_channel *c = &part->channels[i];
        bytes += (uint64_t)us_exr_samples(w->x_min, w->x_max, c->x_sampling) *
                 (uint64_t)us_exr_samples(w->y_min, w->y_max, c->y_sampling) *
                 us_sample_size(c->sample);
        if (part->tiled && (c->x_sampling != 1 || c->y_sampling != 1)) {
            return us_fail(US_CORRUPT,
                           "the header is damaged: channel '%s' of a tiled image is "
                           "subsampled",
                           c->name);
        }
    }
    if (bytes / max_ratio[part->compression] > file_size) {
        return us_fail(US_CORRUPT,
                       "the file is cut short: its %zu bytes cannot hold %lld x %lld pixels",
                       file_size, (long long)width, (long long)height);
    }
    return NULL;
}

static struct us_error *check_part(struct us_exr_part *part, size_t file_size) {
    static const char *const names[] = {"channels",      "compression", "dataWindow",
                                        "displayWindow", "lineOrder",   "pixelAspectRatio"};
    for (int i = 0; i < REQUIRED; i++) {
        if (!(part->seen & (1u << i))) {
            return us_fail(US_CORRUPT, "the header is damaged: attribute '%s' is missing",
                           names[i]);
        }
    }
    US_TRY(check_window("data window", &part->data_window));
    US_TRY(check_window("display window", &part->display_window));
    if (part->tiled && !part->tile_width) {
        return us_fail(US_CORRUPT, "the header is damaged: attribute 'tiles' is missing");
    }
    return check_size(part, file_size);
}

static int level_count(int64_t size, int rounding) {
    int levels = 1;
    while (size > 1) {
        size = (size + (rounding ? 1 : 0)) / 2;
        levels++;
    }
    return levels;
}

static int64_t tiles_at(int64_t size, int level, int rounding, int32_t tile) {
    int64_t shrunk = (size + (rounding ? ((int64_t)1 << level) - 1 : 0)) >> level;
    shrunk = shrunk > 0 ? shrunk : 1;
    return (shrunk + tile - 1) / tile;
}

static size_t count_tiles(const struct us_exr_part *part, int64_t width, int64_t height) {
    int rounding = part->level_rounding;
    int columns = level_count(width, rounding), rows = level_count(height, rounding);
    int square = columns > rows ? columns : rows;
    size_t total = 0;
    for (int ly = 0; ly < (part->level_mode == 2 ? rows : 1); ly++) {
        for (int lx = 0; lx < (part->level_mode == 2   ? columns
                               : part->level_mode == 1 ? square
                                                       : 1);
             lx++) {
            int level_y = part->level_mode == 2 ? ly : lx;
            total += (size_t)(tiles_at(width, lx, rounding, part->tile_width) *
                              tiles_at(height, level_y, rounding, part->tile_height));
        }
    }
    return total;
}

static size_t count_chunks(const struct us_exr_part *part) {
    const struct us_window *w = &part->data_window;
    int64_t width = (int64_t)w->x_max - w->x_min + 1, height = (int64_t)w->y_max - w->y_min + 1;
    int32_t lines = us_exr_chunk_lines(part->compression);
    return part->tiled ? count_tiles(part, width, height) : (size_t)((height + lines - 1) / lines);
}

static struct us_error *parse_parts(struct cursor *in, struct us_exr_file *file, uint32_t version) {
    for (;;) {
        file->parts = us_realloc(file->parts, (file->part_count + 1) * sizeof *file->parts);
        struct us_exr_part *part = &file->parts[file->part_count++];
        *part = (struct us_exr_part){.pixel_aspect = 1.0f};
        bool empty;
        US_TRY(parse_part(in, part, &empty));
        if (file->multipart && empty) {
            file->part_count--;
            return NULL;
        }
        part->deep = part->type ? us_str_starts(part->type, "deep") : (version & 0x800) != 0;
        part->tiled = part->type ? us_str_ends(part->type, "tiledimage") ||
                                       us_str_ends(part->type, "deeptile")
                                 : (version & 0x200) != 0;
        part->tiled |= !file->multipart && (version & 0x200);
        US_TRY(check_part(part, in->size));
        if (!file->multipart) {
            return NULL;
        }
        if (file->part_count > MAX_PARTS) {
            return us_fail(US_CORRUPT, "the header has more than %d parts", MAX_PARTS);
        }
    }
}

struct us_error *us_exr_file_parse(const uint8_t *bytes, size_t size, struct us_exr_file *file) {
    *file = (struct us_exr_file){.bytes = bytes, .size = size};
    struct cursor in = {bytes, size, 0};
    uint32_t start[2] = {0, 0};
    if (size < 4 || memcmp(bytes, "\x76\x2f\x31\x01", 4) != 0) {
        return us_fail(US_CORRUPT, size ? "this is no EXR: it does not start with the EXR signature"
                                        : "the file is empty");
    }
    US_TRY(take(&in, start, sizeof start));
    if ((start[1] & 0xff) != 2 || (start[1] & ~0x1effu)) {
        return us_fail(US_CORRUPT, "EXR version %u with flags %#x is unknown; known is 2",
                       start[1] & 0xff, start[1] >> 8);
    }
    file->multipart = (start[1] & 0x1000) != 0;
    US_TRY(parse_parts(&in, file, start[1]));
    if (!file->part_count) {
        return us_fail(US_CORRUPT, "the header is damaged: it has no part");
    }
    file->table = in.at;
    size_t total = 0;
    for (size_t i = 0; i < file->part_count; i++) {
        file->parts[i].first_chunk = total;
        file->parts[i].chunk_count = count_chunks(&file->parts[i]);
        total += file->parts[i].chunk_count;
    }
    if (total > (size - in.at) / 8) {
        return us_fail(US_CORRUPT, "the file is cut short in its table of %zu chunks", total);
    }
    return NULL;
}

void us_exr_file_finish(struct us_exr_file *file) {
    for (size_t i = 0; i < file->part_count; i++) {
        struct us_exr_part *part = &file->parts[i];
        for (size_t c = 0; c < part->channel_count; c++) {
            us_free(part->channels[c].name);
        }
        for (size_t a = 0; a < part->attribute_count; a++) {
            us_free(part->attributes[a].name);
            us_free(part->attributes[a].type);
            us_free(part->attributes[a].bytes);
        }
        us_free(part->channels);
        us_free(part->attributes);
        us_free(part->name);
        us_free(part->type);
    }
    us_free(file->parts);
    *file = (struct us_exr_file){0};
}
