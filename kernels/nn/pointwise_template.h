/* The typed bodies of pointwise.c: included once for each type, with REAL the stored type,
 * NAME(x) the typed name, GET and PUT the conversions from and to float. */

static void NAME(slope_run)(const REAL *g, const REAL *more, const REAL *y, float slope, REAL *out,
                            size_t count) {
    if (more) {
#pragma omp simd
        for (size_t i = 0; i < count; i++) {
            const float sum = GET(g[i]) + GET(more[i]);
            out[i] = PUT(GET(y[i]) > 0 ? sum : sum * slope);
        }
        return;
    }
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        out[i] = PUT(GET(y[i]) > 0 ? GET(g[i]) : GET(g[i]) * slope);
    }
}

static void NAME(slope_backward)(REAL *g, const REAL *more, const REAL *y, float slope,
                                 size_t count) {
    const size_t run = 4096, runs = (count + run - 1) / run;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < runs; r++) {
        const size_t at = r * run, left = count - at;
        NAME(slope_run)
        (g + at, more ? more + at : NULL, y + at, slope, g + at, left < run ? left : run);
    }
}

static void NAME(shuffle_forward)(const REAL *x, REAL *y, const struct nn_shuffle_shape *s) {
    const size_t b = (size_t)s->block, w = (size_t)s->w, blocks = (size_t)(s->channels / s->block);
    const size_t h = (size_t)s->h, rows = (size_t)s->n * blocks * 2 * h;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const size_t i = r % (2 * h) / 2, dy = r % 2, nc = r / (2 * h);
        const size_t n = nc / blocks, c = nc % blocks;
        REAL *out = y + r * 2 * w * b;
        for (size_t dx = 0; dx < 2; dx++) {
            const size_t group = (2 * dy + dx) * blocks + c;
            const REAL *in = x + ((n * 4 * blocks + group) * h + i) * w * b;
            for (size_t j = 0; j < w; j++) {
                memcpy(out + (2 * j + dx) * b, in + j * b, b * sizeof *out);
            }
        }
    }
}

static void NAME(shuffle_backward)(const REAL *g, const REAL *more, const REAL *y, float slope,
                                   REAL *x, const struct nn_shuffle_shape *s) {
    const size_t b = (size_t)s->block, w = (size_t)s->w, blocks = (size_t)(s->channels / s->block);
    const size_t h = (size_t)s->h, rows = (size_t)s->n * blocks * 2 * h;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const size_t i = r % (2 * h) / 2, dy = r % 2, nc = r / (2 * h);
        const size_t n = nc / blocks, c = nc % blocks;
        for (size_t dx = 0; dx < 2; dx++) {
            const size_t group = (2 * dy + dx) * blocks + c;
            REAL *out = x + ((n * 4 * blocks + group) * h + i) * w * b;
            for (size_t j = 0; j < w; j++) {
                const size_t at = (r * 2 * w + 2 * j + dx) * b;
                NAME(slope_run)
                (g + at, more ? more + at : NULL, y + at, slope, out + j * b, b);
            }
        }
    }
}

static void NAME(norm_forward)(const REAL *x, REAL *y, float *scales, int n, size_t count,
                               size_t real) {
#pragma omp parallel for schedule(static)
    for (int s = 0; s < n; s++) {
        const REAL *in = x + (size_t)s * count;
        REAL *out = y + (size_t)s * count;
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += (double)GET(in[i]) * (double)GET(in[i]);
        }
        scales[s] = (float)(1 / sqrt(sum / (double)real + 1e-6));
        for (size_t i = 0; i < count; i++) {
            out[i] = PUT(GET(in[i]) * scales[s]);
        }
    }
}

static void NAME(norm_backward)(const REAL *g, const REAL *y, const float *scales, REAL *x, int n,
                                size_t count, size_t real) {
#pragma omp parallel for schedule(static)
    for (int s = 0; s < n; s++) {
        const size_t base = (size_t)s * count;
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += (double)GET(g[base + i]) * (double)GET(y[base + i]);
        }
        const float mean = (float)(sum / (double)real);
        for (size_t i = 0; i < count; i++) {
            x[base + i] = PUT(scales[s] * (GET(g[base + i]) - GET(y[base + i]) * mean));
        }
    }
}

static void NAME(head_backward)(const float *g, const float *image, REAL *x,
                                const struct nn_head_shape *s) {
    const int f = s->factor, used = s->channels * f * f;
    const size_t width = (size_t)(s->w * f), block = (size_t)s->block;
#pragma omp parallel for schedule(static)
    for (int row = 0; row < s->n * s->h; row++) {
        const int n = row / s->h, i = row % s->h;
        for (int c = 0; c < s->padded; c++) {
            const size_t to = head_offset(s, n, c, i);
            if (c >= used) {
                for (size_t j = 0; j < (size_t)s->w; j++) {
                    x[to + j * block] = PUT(0.0f);
                }
                continue;
            }
            const int group = c / s->channels;
            const size_t from =
                plane_row(s, n, c % s->channels, i * f + group / f) * width + (size_t)(group % f);
            for (size_t j = 0; j < (size_t)s->w; j++) {
                const float v = image[from + j * (size_t)f];
                const float slope = s->sigmoid ? v * (1 - v) : 1;
                x[to + j * block] = PUT(g[from + j * (size_t)f] * slope);
            }
        }
    }
}

static void NAME(cast)(const float *from, REAL *to, size_t count) {
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        to[i] = PUT(from[i]);
    }
}

static void NAME(add)(REAL *g, const REAL *more, size_t count) {
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        g[i] = PUT(GET(g[i]) + GET(more[i]));
    }
}

static void NAME(cosine_forward)(const REAL *x, REAL *y, size_t count) {
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        const float v = GET(x[i]);
        y[i] = PUT(v * cosf(v));
    }
}

static void NAME(cosine_backward)(const REAL *g, const REAL *x, REAL *out, size_t count) {
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        const float v = GET(x[i]);
        out[i] = PUT(GET(g[i]) * (cosf(v) - v * sinf(v)));
    }
}

static void NAME(widen)(const REAL *from, float *to, size_t count) {
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        to[i] = GET(from[i]);
    }
}

/* Planes into blocks of channels, padded with zeros. */
static void NAME(pack)(const float *from, REAL *to, const struct nn_pack_shape *s) {
    const int blocks = s->padded / s->block;
#pragma omp parallel for schedule(static)
    for (int b = 0; b < s->n * blocks; b++) {
        const int first = b % blocks * s->block;
        REAL *out = to + (size_t)b * (size_t)(s->area * s->block);
        for (int c = 0; c < s->block; c++) {
            const bool real = first + c < s->channels;
            const float *in =
                real ? from + (size_t)(b / blocks * s->channels + first + c) * (size_t)s->area
                     : NULL;
            for (int i = 0; i < s->area; i++) {
                out[i * s->block + c] = PUT(in ? in[i] : 0.0f);
            }
        }
    }
}

static void NAME(unpack)(const REAL *from, float *to, const struct nn_pack_shape *s) {
    const int blocks = s->padded / s->block;
#pragma omp parallel for schedule(static)
    for (int plane = 0; plane < s->n * s->channels; plane++) {
        const int c = plane % s->channels;
        const size_t block = (size_t)(plane / s->channels * blocks + c / s->block);
        const REAL *in = from + block * (size_t)(s->area * s->block) + c % s->block;
        float *out = to + (size_t)plane * (size_t)s->area;
        for (int i = 0; i < s->area; i++) {
            out[i] = GET(in[i * s->block]);
        }
    }
}

static void NAME(scale)(const REAL *g, float factor, REAL *out, size_t count) {
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        out[i] = PUT(factor * GET(g[i]));
    }
}

static void NAME(blend_forward)(const REAL *a, const REAL *b, float fade, REAL *y, size_t count) {
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        y[i] = PUT(GET(a[i]) + fade * (GET(b[i]) - GET(a[i])));
    }
}

static void NAME(pool_forward)(const REAL *x, REAL *y, const struct nn_map_shape *s) {
    const size_t b = (size_t)s->block, w = (size_t)s->w, rows = (size_t)s->maps * (size_t)s->h;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const REAL *top = x + r * 4 * w * b, *bottom = top + 2 * w * b;
        REAL *out = y + r * w * b;
        for (size_t i = 0; i < w * b; i++) {
            const size_t at = i / b * 2 * b + i % b;
            const float u = fmaxf(GET(top[at]), GET(top[at + b]));
            out[i] = PUT(fmaxf(u, fmaxf(GET(bottom[at]), GET(bottom[at + b]))));
        }
    }
}

static void NAME(pool_backward)(const REAL *g, const REAL *x, const REAL *y, REAL *out,
                                const struct nn_map_shape *s) {
    const size_t b = (size_t)s->block, w = (size_t)s->w, rows = (size_t)s->maps * (size_t)s->h;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const size_t line = 2 * w * b, base = r * 2 * line;
        for (size_t i = 0; i < w * b; i++) {
            const size_t at = base + i / b * 2 * b + i % b;
            const size_t places[4] = {at, at + b, at + line, at + line + b};
            const float most = GET(y[r * w * b + i]);
            bool given = false;
            for (int k = 0; k < 4; k++) {
                const bool gets = !given && GET(x[places[k]]) == most;
                out[places[k]] = gets ? g[r * w * b + i] : PUT(0.0f);
                given |= gets;
            }
        }
    }
}

static void NAME(upsample_forward)(const REAL *x, REAL *y, const struct nn_map_shape *s) {
    const size_t b = (size_t)s->block, w = (size_t)s->w, rows = (size_t)s->maps * (size_t)s->h;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const REAL *in = x + r * w * b;
        REAL *out = y + r * 4 * w * b;
        for (size_t j = 0; j < 2 * w; j++) {
            memcpy(out + j * b, in + j / 2 * b, b * sizeof *out);
        }
        memcpy(out + 2 * w * b, out, 2 * w * b * sizeof *out);
    }
}

static void NAME(upsample_backward)(const REAL *g, REAL *x, const struct nn_map_shape *s) {
    const size_t b = (size_t)s->block, w = (size_t)s->w, rows = (size_t)s->maps * (size_t)s->h;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++) {
        const REAL *top = g + r * 4 * w * b, *bottom = top + 2 * w * b;
        for (size_t i = 0; i < w * b; i++) {
            const size_t at = i / b * 2 * b + i % b;
            x[r * w * b + i] =
                PUT(GET(top[at]) + GET(top[at + b]) + GET(bottom[at]) + GET(bottom[at + b]));
        }
    }
}

static void NAME(copy_channels)(const REAL *x, REAL *y, const struct nn_channel_run *r) {
    const size_t b = (size_t)r->block, area = (size_t)r->area;
    const size_t from_image = (size_t)r->from_channels * area;
    const size_t to_image = (size_t)r->to_channels * area;
    const bool whole = (r->from % r->block | r->to % r->block | r->count % r->block) == 0;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < r->n; n++) {
        const REAL *in = x + (size_t)n * from_image;
        REAL *out = y + (size_t)n * to_image;
        if (whole) {
            memcpy(out + (size_t)r->to * area, in + (size_t)r->from * area,
                   (size_t)r->count * area * sizeof *out);
            continue;
        }
        for (size_t c = 0; c < (size_t)r->count; c++) {
            const size_t f = (size_t)r->from + c, t = (size_t)r->to + c;
            for (size_t i = 0; i < area; i++) {
                out[(t / b * area + i) * b + t % b] = in[(f / b * area + i) * b + f % b];
            }
        }
    }
}
