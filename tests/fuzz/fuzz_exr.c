/* libFuzzer target of EXR files: the header and, of small pictures, the pixels. */
#include <stdint.h>
#include <stdlib.h>

#include "nodes/io/exr_file.h"
#include "runtime/image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool is_small(const struct us_exr_file *file) {
    enum { MOST = 1 << 14 };
    double pixels = 0;
    for (size_t i = 0; i < file->part_count; i++) {
        const struct us_exr_part *part = &file->parts[i];
        double width = (double)part->data_window.x_max - part->data_window.x_min + 1;
        double height = (double)part->data_window.y_max - part->data_window.y_min + 1;
        pixels += width * height * (double)(part->channel_count + 1);
    }
    return pixels <= MOST;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct us_exr_file file = {0};
    struct us_image *image = NULL;
    struct us_error *error = us_exr_file_parse(bytes, size, &file);
    bool decode = !error && is_small(&file);
    us_exr_file_finish(&file);
    us_error_free(error);
    if (decode) {
        error = us_exr_decode(bytes, size, NULL, &image);
        if ((error == NULL) != (image != NULL)) {
            abort();
        }
        us_error_free(error);
        us_image_unref(image);
    }
    return 0;
}
