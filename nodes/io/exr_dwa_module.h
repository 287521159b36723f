/* Between exr_dwa_load.c and the module libunderstudy_exr.so (exr_dwa.cpp), which alone is linked
 * with OpenEXR's C++ library: opening that takes longer than most commands do. */
#ifndef US_NODES_IO_EXR_DWA_MODULE_H
#define US_NODES_IO_EXR_DWA_MODULE_H

#include "nodes/io/exr_dwa.h"

/* To be raised with every change of what is here or in exr_dwa.h. */
#define US_DWA_NUMBER 1

struct us_dwa_module {
    int number; /* US_DWA_NUMBER */
    int (*read)(const uint8_t *file, size_t size, const struct us_dwa_image *image, char *message,
                size_t message_size);
    int (*write)(const struct us_dwa_image *image, uint8_t **file, size_t *size, char *message,
                 size_t message_size);
    void (*free)(uint8_t *file);
};

#ifdef __cplusplus
extern "C" {
#endif
extern const struct us_dwa_module us_dwa_module;
#ifdef __cplusplus
}
#endif

#endif
