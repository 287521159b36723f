/* A picture of what a training has learnt. */
#ifndef US_NODES_LEARN_PREVIEW_SHEET_H
#define US_NODES_LEARN_PREVIEW_SHEET_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

struct us_preview_row {
    const char *label;
    const float *faces; /* [count][3][R][R], encoded; NULL is an empty row */
    size_t count;
};

/* PNG of labelled rows of faces as a display shows them; `title` stands above. At most 8 faces of a
 * row are shown, enlarged to 96 px or more. `bytes` is us_malloc'ed. */
struct us_error *us_preview_sheet(const char *title, const char *encoding, int size,
                                  const struct us_preview_row *rows, size_t row_count,
                                  uint8_t **bytes, size_t *byte_count) US_NODISCARD;

#endif
