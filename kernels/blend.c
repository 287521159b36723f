#include "kernels/blend.h"

#include "kernels/blend_internal.h"

void us_blend_cover(const struct us_blend_frame *frame, struct us_view cover) {
    for (int32_t y = 0; y < cover.height; y++) {
        float *row = us_view_row(cover, y);
        for (int32_t x = 0; x < cover.width; x++) {
            row[x] = blend_covered(frame, x, y);
        }
    }
}

void us_blend_fill(struct us_view plane, float value) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        for (int32_t x = 0; x < plane.width; x++) {
            row[x] = value;
        }
    }
}

void us_blend_clamp(struct us_view plane, float low, float high) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        for (int32_t x = 0; x < plane.width; x++) {
            row[x] = blend_clamped(row[x], low, high);
        }
    }
}

void us_blend_multiply(struct us_view mask, struct us_view factor, bool inverted) {
    for (int32_t y = 0; y < mask.height; y++) {
        float *row = us_view_row(mask, y);
        const float *factor_row = us_view_row(factor, y);
        for (int32_t x = 0; x < mask.width; x++) {
            row[x] *= blend_factor(factor_row[x], inverted);
        }
    }
}

void us_blend_weigh(struct us_view weight, struct us_view by) {
    for (int32_t y = 0; y < weight.height; y++) {
        float *row = us_view_row(weight, y);
        const float *by_row = us_view_row(by, y);
        for (int32_t x = 0; x < weight.width; x++) {
            row[x] = blend_weighed(row[x], by_row[x]);
        }
    }
}

void us_blend_settle(struct us_view mask, struct us_view cover, float opacity) {
    for (int32_t y = 0; y < mask.height; y++) {
        float *row = us_view_row(mask, y);
        const float *cover_row = us_view_row(cover, y);
        for (int32_t x = 0; x < mask.width; x++) {
            row[x] = blend_settled(row[x], cover_row[x], opacity);
        }
    }
}

void us_blend_mix(struct us_view plate, struct us_view picture, struct us_view mask) {
    for (int32_t y = 0; y < plate.height; y++) {
        float *row = us_view_row(plate, y);
        const float *mask_row = us_view_row(mask, y);
        const float *picture_row = us_view_row(picture, y);
        for (int32_t x = 0; x < plate.width; x++) {
            if (mask_row[x] > 0.0f) {
                row[x] = blend_mixed(row[x], picture_row[x], mask_row[x]);
            }
        }
    }
}

void us_blend_place(const struct us_blend_frame *frame, bool upwards, struct us_view plane) {
    for (int32_t y = 0; y < plane.height; y++) {
        float *row = us_view_row(plane, y);
        for (int32_t x = 0; x < plane.width; x++) {
            row[x] = blend_placed(frame, upwards, x, y);
        }
    }
}
