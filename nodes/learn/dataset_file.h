/* The faces a training sees, in memory and as a file.
 *
 * File: safetensors with images F16 [N,H,W,3] (encoded), masks F16 [N,H,W], landmarks F32 [N,L,2]
 * (crop pixels), frames I32 [N,2] (take, number), digests U8 [N,16] (of the crops), held_out U8
 * [N]; metadata: format, encoding, coverage, size. */
#ifndef US_NODES_LEARN_DATASET_FILE_H
#define US_NODES_LEARN_DATASET_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/frames.h"
#include "runtime/base/hash.h"
#include "runtime/image/image.h"

struct us_dataset_item {
    struct us_frame frame;
    struct us_digest digest;
    bool held_out; /* never trained on: only measured with */
};

/* Zeroed is empty. */
struct us_dataset {
    int size; /* of a face's side, pixels */
    int landmark_count;
    char encoding[16], coverage[16];
    uint16_t *faces;  /* [count][size][size][4]: R, G, B encoded, matte; binary16 */
    float *landmarks; /* [count][landmark_count][2] */
    struct us_dataset_item *items;
    size_t count, capacity;
};

void us_dataset_finish(struct us_dataset *dataset);

/* Appends a crop; one without a face is passed over and *added is false. Fails when size,
 * encoding, coverage or landmark count differ from the faces there are. Values that are not finite
 * become 0. */
struct us_error *us_dataset_add_crop(struct us_dataset *dataset, const struct us_image *crop,
                                     struct us_frame frame, const struct us_digest *digest,
                                     bool *added) US_NODISCARD;
/* Appends a data set file's faces, with the same conditions. */
struct us_error *us_dataset_add_file(struct us_dataset *dataset, const uint8_t *bytes,
                                     size_t size) US_NODISCARD;

/* Holds out every `every`th face from index `first` on: first + every / 2, and so on; 0: none. */
void us_dataset_split(struct us_dataset *dataset, size_t first, int64_t every);

/* The file's bytes, us_malloc'ed; the same faces give the same bytes. */
struct us_error *us_dataset_print(const struct us_dataset *dataset, uint8_t **bytes,
                                  size_t *size) US_NODISCARD;

/* The values of one face. */
const uint16_t *us_dataset_face(const struct us_dataset *dataset, size_t index);
/* Its landmarks when they are the 468 of FaceMesh, else NULL. */
const float *us_dataset_mesh(const struct us_dataset *dataset, size_t index);
/* XXH3-128 over all digests: what a model says it was made from. */
struct us_digest us_dataset_digest(const struct us_dataset *dataset);

#endif
