/* The OpenEXR C++ library, for what the packaged C library lacks (DWAA, DWAB) or is slow at (PIZ).
 * Plain C types only; no exception leaves. */
#ifndef US_NODES_IO_EXR_DWA_H
#define US_NODES_IO_EXR_DWA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct us_dwa_plane {
    const char *name;
    int type; /* as in files: 0 uint, 1 half, 2 float */
    int sample_bytes, perceptual, x_sampling, y_sampling;
    int32_t first_x, first_y; /* coordinates of the first sample */
    char *rows;
    size_t stride; /* bytes */
};

struct us_dwa_image {
    int32_t x_min, y_min, x_max, y_max;
    int compression, tiled;
    float level;
    const struct us_dwa_plane *planes;
    size_t plane_count;
};

/* 0 when the library can be opened, else -1 with a message. The others do it when they are called.
 */
int us_dwa_open(char *message, size_t message_size);

/* Reads a whole EXR file in memory into the planes. 0, or -1 with a message. */
int us_dwa_read(const uint8_t *file, size_t size, const struct us_dwa_image *image, char *message,
                size_t message_size);

/* Writes one; *file is freed with us_dwa_free. */
int us_dwa_write(const struct us_dwa_image *image, uint8_t **file, size_t *size, char *message,
                 size_t message_size);
void us_dwa_free(uint8_t *file);

#ifdef __cplusplus
}
#endif

#endif
