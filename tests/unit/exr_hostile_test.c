/* Files that other tools may write and files that are damaged, made byte by byte. */
#include <stdlib.h>
#include <string.h>

#include "nodes/io/exr_file.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"

struct file {
    uint8_t *bytes;
    size_t size, table; /* where the chunk table starts */
};

static struct file make(enum us_exr_compression compression, int tile, float value) {
    const struct us_window window = {0, 0, 19, 19};
    struct us_image *image = us_image_create(window, window);
    for (int c = 0; c < 2; c++) {
        struct us_channel *channel;
        ASSERT_OK(us_image_add_channel(image, c ? "R" : "Z", US_FLOAT, &channel));
        for (int i = 0; i < 400; i++) {
            ((float *)channel->data)[i] = value + (float)(i / 20);
        }
    }
    struct file file;
    const struct us_exr_write_options options = {
        .compression = compression, .tile_width = tile, .tile_height = tile};
    ASSERT_OK(us_exr_encode(image, &options, &file.bytes, &file.size));
    us_image_unref(image);
    struct us_exr_file parsed;
    ASSERT_OK(us_exr_file_parse(file.bytes, file.size, &parsed));
    file.table = parsed.table;
    us_exr_file_finish(&parsed);
    return file;
}

static struct us_error *decode(const uint8_t *bytes, size_t size) {
    struct us_image *image = NULL;
    /* An exact copy, so that a sanitizer sees the first byte too many. */
    uint8_t *copy = us_malloc(size);
    memcpy(copy, bytes, size);
    struct us_error *error = us_exr_decode(copy, size, NULL, &image);
    us_free(copy);
    if (!error) {
        us_image_unref(image);
    }
    return error;
}

/* Position of an attribute's value. */
static uint8_t *value_of(struct file *file, const char *name) {
    size_t length = strlen(name) + 1;
    for (size_t i = 8; i + length < file->table; i++) {
        if (memcmp(file->bytes + i, name, length) == 0) {
            i += length;
            return file->bytes + i + strlen((char *)file->bytes + i) + 1 + 4;
        }
    }
    fail_msg("no attribute %s", name);
    return NULL;
}

static void set_int(uint8_t *at, int value) {
    memcpy(at, &value, 4);
}

static void cut_files_are_errors(void **state) {
    (void)state;
    for (enum us_exr_compression k = US_EXR_NONE; k < US_EXR_COMPRESSIONS; k++) {
        struct file file = make(k, 0, 1);
        for (size_t size = 0; size < file.size; size += size < file.table + 200 ? 1 : 37) {
            struct us_error *error = decode(file.bytes, size);
            assert_non_null(error);
            assert_int_equal(error->code, US_CORRUPT);
            us_error_free(error);
        }
        us_free(file.bytes);
    }
    struct file file = make(US_EXR_NONE, 0, 1);
    ASSERT_ERROR(decode(file.bytes, 0), "the file is empty");
    ASSERT_ERROR(decode(file.bytes, file.table - 30), "cut short");
    ASSERT_ERROR(decode(file.bytes, file.table + 50), "cut short: its");
    ASSERT_ERROR(decode(file.bytes, file.size - 1), "cut short: chunk 19 has 160 bytes");
    us_free(file.bytes);
}

static void damage_never_crashes(void **state) {
    (void)state;
    for (enum us_exr_compression k = US_EXR_NONE; k < US_EXR_COMPRESSIONS; k++) {
        for (int tile = 0; tile <= 8; tile += 8) {
            struct file file = make(k, tile, 1);
            uint8_t *copy = us_malloc(file.size);
            srand(7);
            for (int run = 0; run < 150; run++) {
                memcpy(copy, file.bytes, file.size);
                for (int hits = 1 + rand() % 5; hits > 0; hits--) {
                    size_t range = rand() % 3 ? file.size : file.table;
                    copy[(size_t)rand() % range] = (uint8_t)rand();
                }
                us_error_free(decode(copy, file.size));
            }
            us_free(copy);
            us_free(file.bytes);
        }
    }
}

static void chunks_are_named(void **state) {
    (void)state;
    struct file file = make(US_EXR_ZIPS, 0, 1);
    uint64_t zero = 0, offset;
    memcpy(&offset, file.bytes + file.table + 7 * 8, 8);
    file.bytes[offset + 12] ^= 0xff;
    ASSERT_ERROR(decode(file.bytes, file.size), "chunk 7 is corrupt because: its compressed bytes");
    memcpy(file.bytes + file.table + 4 * 8, &zero, 8);
    ASSERT_ERROR(decode(file.bytes, file.size), "chunk 4 is missing");
    memcpy(file.bytes + file.table + 2 * 8, file.bytes + file.table + 3 * 8, 8);
    ASSERT_ERROR(decode(file.bytes, file.size), "chunk 2 is corrupt: its leader");
    us_free(file.bytes);
    file = make(US_EXR_RLE, 0, 1);
    memcpy(&offset, file.bytes + file.table, 8);
    memset(file.bytes + offset + 8, 127, 8);
    ASSERT_ERROR(decode(file.bytes, file.size), "chunk 0 is corrupt because: its run lengths");
    us_free(file.bytes);
}

static void absurd_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *attribute;
        int word, value;
        const char *message;
    } cases[] = {
        {"dataWindow", 2, 0x7fffffff, "the data window is (0, 0)"},
        {"dataWindow", 2, 0x3fffffff, "over the limit of 2^28"},
        {"dataWindow", 0, 20, "the data window is (20, 0)"},
        {"dataWindow", 2, 0x0fffff, "cut short"},
        {"dataWindow", 3, 300, "cut short: its 3815 bytes cannot hold 20 x 301"},
        {"displayWindow", 1, -0x7fffffff, "the display window is"},
        {"compression", 0, 77, "compression 77 is unknown; known are 0 (none) to 9 (dwab)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct file file = make(US_EXR_NONE, 0, 1);
        uint8_t *at = value_of(&file, cases[i].attribute) + 4 * cases[i].word;
        if (strcmp(cases[i].attribute, "compression") == 0) {
            *at = (uint8_t)cases[i].value;
        } else {
            set_int(at, cases[i].value);
        }
        struct us_error *error = decode(file.bytes, file.size);
        if (strcmp(cases[i].message, "cut short") == 0) {
            assert_non_null(error);
            us_error_free(error);
        } else {
            ASSERT_ERROR(error, cases[i].message);
        }
        us_free(file.bytes);
    }
    struct file file = make(US_EXR_DWAB, 0, 1);
    set_int(value_of(&file, "dataWindow") + 8, (1 << 20) - 1);
    set_int(value_of(&file, "dataWindow") + 12, 255);
    ASSERT_ERROR(decode(file.bytes, file.size), "cannot hold 1048576 x 256 pixels");
    us_free(file.bytes);
    file = make(US_EXR_ZIPS, 0, 1);
    set_int(value_of(&file, "dataWindow") + 12, 1999);
    ASSERT_ERROR(decode(file.bytes, file.size), "cut short in its table of 2000 chunks");
    us_free(file.bytes);
    file = make(US_EXR_NONE, 0, 1);
    uint8_t *line_order = value_of(&file, "lineOrder");
    memcpy(line_order - 4 - 10 - 10, "lineOrdeR", 9);
    ASSERT_ERROR(decode(file.bytes, file.size), "attribute 'lineOrder' is missing");
    us_free(file.bytes);
    ASSERT_ERROR(decode((const uint8_t *)"GIF89a..........", 16), "this is no EXR");
    ASSERT_ERROR(decode((const uint8_t *)"\x76\x2f\x31\x01\3\0\0\0....", 12), "EXR version 3");
}

static void deep_files_are_refused(void **state) {
    (void)state;
    struct file file = make(US_EXR_ZIPS, 0, 1);
    file.bytes[5] |= 8;
    ASSERT_ERROR(decode(file.bytes, file.size), "deep pixels, which cannot be read");
    us_free(file.bytes);
}

static void put_text(struct us_str *out, const char *name, const char *text) {
    int size = (int)strlen(text);
    us_str_append_bytes(out, name, strlen(name) + 1);
    us_str_append_bytes(out, "string", 7);
    us_str_append_bytes(out, &size, 4);
    us_str_append_bytes(out, text, (size_t)size);
}

/* Two files as the parts of one. */
static struct us_str join(const struct file parts[2]) {
    static const char *const names[] = {"left", "right"};
    struct us_str out = {0};
    us_str_append_bytes(&out, parts[0].bytes, 5);
    us_str_append_bytes(&out, "\x10\0\0", 3);
    for (int p = 0; p < 2; p++) {
        us_str_append_bytes(&out, parts[p].bytes + 8, parts[p].table - 9);
        put_text(&out, "name", names[p]);
        put_text(&out, "type", parts[p].bytes[5] & 2 ? "tiledimage" : "scanlineimage");
        us_str_append_bytes(&out, "", 1);
    }
    us_str_append_bytes(&out, "", 1);
    size_t table = out.length, chunks[2];
    for (int p = 0; p < 2; p++) {
        struct us_exr_file parsed;
        ASSERT_OK(us_exr_file_parse(parts[p].bytes, parts[p].size, &parsed));
        chunks[p] = parsed.parts[0].chunk_count;
        us_exr_file_finish(&parsed);
    }
    char zeros[8 * 64] = {0};
    us_str_append_bytes(&out, zeros, 8 * (chunks[0] + chunks[1]));
    for (int p = 0, index = 0; p < 2; p++) {
        for (size_t c = 0; c < chunks[p]; c++, index++) {
            uint64_t from, to, here = out.length;
            memcpy(&from, parts[p].bytes + parts[p].table + 8 * c, 8);
            to = parts[p].size;
            if (c + 1 < chunks[p]) {
                memcpy(&to, parts[p].bytes + parts[p].table + 8 * (c + 1), 8);
            }
            memcpy(out.data + table + 8 * (size_t)index, &here, 8);
            us_str_append_bytes(&out, &p, 4);
            us_str_append_bytes(&out, parts[p].bytes + from, to - from);
        }
    }
    return out;
}

static void check_part(const struct us_str *file, const char *part, float value) {
    struct us_image *image;
    const struct us_exr_read_options options = {.part = part};
    ASSERT_OK(us_exr_decode((const uint8_t *)file->data, file->length, &options, &image));
    const float *samples = us_image_channel(image, "R")->data;
    assert_true(samples[25] == value + 1);
    assert_non_null(us_image_attribute(image, "name"));
    us_image_unref(image);
}

static void parts_are_found_by_name_and_number(void **state) {
    (void)state;
    struct file parts[2] = {make(US_EXR_ZIP, 0, 1), make(US_EXR_PIZ, 8, 2)};
    struct us_str file = join(parts);
    check_part(&file, NULL, 1);
    check_part(&file, "0", 1);
    check_part(&file, "left", 1);
    check_part(&file, "1", 2);
    check_part(&file, "right", 2);
    struct us_image *image;
    ASSERT_ERROR(us_exr_decode((uint8_t *)file.data, file.length,
                               &(struct us_exr_read_options){.part = "2"}, &image),
                 "no part '2'; it has 0 ('left'), 1 ('right')");
    for (size_t size = 0; size < file.length; size += 13) {
        struct us_error *error = us_exr_decode((uint8_t *)file.data, size,
                                               &(struct us_exr_read_options){.part = "1"}, &image);
        assert_non_null(error);
        us_error_free(error);
    }
    us_str_finish(&file);
    us_free(parts[0].bytes);
    us_free(parts[1].bytes);
}

/* Level tables as other tools write them: 20 x 20 pixels in tiles of 8. */
static void check_levels(int mode, size_t further_chunks) {
    struct file file = make(US_EXR_ZIP, 8, 3);
    *(value_of(&file, "tiles") + 8) = (uint8_t)mode;
    struct us_str out = {0};
    size_t extra = further_chunks * 8, end = file.table + 9 * 8;
    us_str_append_bytes(&out, file.bytes, end);
    for (size_t i = 0; i < extra; i++) {
        us_str_append_bytes(&out, "", 1);
    }
    us_str_append_bytes(&out, file.bytes + end, file.size - end);
    for (size_t i = 0; i < 9; i++) {
        uint64_t offset;
        memcpy(&offset, out.data + file.table + 8 * i, 8);
        offset += extra;
        memcpy(out.data + file.table + 8 * i, &offset, 8);
    }
    struct us_exr_file parsed;
    ASSERT_OK(us_exr_file_parse((uint8_t *)out.data, out.length, &parsed));
    assert_int_equal(parsed.parts[0].chunk_count, 9 + further_chunks);
    us_exr_file_finish(&parsed);
    struct us_image *image;
    ASSERT_OK(us_exr_decode((uint8_t *)out.data, out.length, NULL, &image));
    assert_true(((float *)us_image_channel(image, "Z")->data)[399] == 3 + 19);
    us_image_unref(image);
    us_str_finish(&out);
    us_free(file.bytes);
}

static void the_full_size_level_is_read(void **state) {
    (void)state;
    check_levels(0x01, 4 + 1 + 1 + 1);     /* mipmap, rounding down: 10, 5, 2, 1 */
    check_levels(0x11, 4 + 1 + 1 + 1 + 1); /* rounding up: 10, 5, 3, 2, 1 */
    check_levels(0x02, 8 * 8 - 9);         /* ripmap: (3+2+1+1+1) tiles a side */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_files_are_errors),
        cmocka_unit_test(damage_never_crashes),
        cmocka_unit_test(chunks_are_named),
        cmocka_unit_test(absurd_headers_are_refused),
        cmocka_unit_test(deep_files_are_refused),
        cmocka_unit_test(parts_are_found_by_name_and_number),
        cmocka_unit_test(the_full_size_level_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
