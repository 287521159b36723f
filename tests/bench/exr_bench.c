/* EXR megabytes of pixels a second of processor time, on one thread: our path, the packaged C++
 * library, and oiiotool, on a made-up half RGBA frame of smooth light and grain.
 *
 *     bench_exr FOLDER [WIDTH HEIGHT [OIIOTOOL]]
 *
 * Best of three turns. oiiotool's start is measured with a tiny file and taken off; its write is a
 * copy less a read. */
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nodes/io/exr_dwa.h"
#include "nodes/io/exr_file.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

enum { TURNS = 3 };
extern char **environ;

static const char *const names[] = {"A", "B", "G", "R"};

static void stop_on(struct us_error *error) {
    if (error) {
        fprintf(stderr, "bench_exr: %s%s%s\n", error->text, error->cause ? ": " : "",
                error->cause ? error->cause->text : "");
        exit(1);
    }
}

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct us_image *frame(int width, int height) {
    const struct us_window window = {0, 0, width - 1, height - 1};
    struct us_image *image = us_image_create(window, window);
    float *row = us_malloc((size_t)width * sizeof *row);
    uint32_t seed = 1;
    for (int c = 0; c < 4; c++) {
        struct us_channel *channel;
        stop_on(us_image_add_channel(image, names[c], US_HALF, &channel));
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                seed = seed * 1664525u + 1013904223u;
                float grain = (float)(seed >> 16) / 65536.0f - 0.5f;
                float light = 0.2f + 0.5f * (float)x / (float)width +
                              0.3f * sinf((float)y * 0.01f) * sinf((float)(x + 300 * c) * 0.004f);
                row[x] = c ? light * (1.0f + 0.01f * grain) : 1.0f;
            }
            struct us_channel line = {.sample = US_HALF, .width = width, .height = 1};
            line.data = (uint16_t *)channel->data + (size_t)y * (size_t)width;
            us_channel_write(&line, (struct us_view){row, width, 1, width});
        }
    }
    us_free(row);
    return image;
}

static struct us_dwa_image plain(const struct us_image *image, struct us_dwa_plane planes[4],
                                 enum us_exr_compression compression) {
    for (int c = 0; c < 4; c++) {
        const struct us_channel *channel = &image->channels[c];
        planes[c] = (struct us_dwa_plane){.name = names[c],
                                          .type = 1,
                                          .sample_bytes = 2,
                                          .x_sampling = 1,
                                          .y_sampling = 1,
                                          .rows = channel->data,
                                          .stride = (size_t)channel->width * 2};
    }
    const struct us_window *w = &image->data_window;
    return (struct us_dwa_image){w->x_min, w->y_min, w->x_max, w->y_max, compression,
                                 0,        45.0f,    planes,   4};
}

static double our_write(const struct us_image *image, const char *path,
                        enum us_exr_compression compression) {
    double start = cpu();
    stop_on(us_exr_write(path, image, &(struct us_exr_write_options){.compression = compression}));
    return cpu() - start;
}

static double our_read(const char *path) {
    struct us_image *image;
    double start = cpu();
    stop_on(us_exr_read(path, NULL, &image));
    us_image_unref(image);
    return cpu() - start;
}

static double packaged_write(const struct us_image *image, const char *path,
                             enum us_exr_compression compression) {
    struct us_dwa_plane planes[4];
    const struct us_dwa_image plan = plain(image, planes, compression);
    uint8_t *bytes;
    size_t size;
    char message[200];
    double start = cpu();
    if (us_dwa_write(&plan, &bytes, &size, message, sizeof message) != 0) {
        stop_on(us_fail(US_FAILED, "%s", message));
    }
    stop_on(us_write_file(path, bytes, size));
    us_dwa_free(bytes);
    return cpu() - start;
}

static double packaged_read(const struct us_image *like, const char *path,
                            enum us_exr_compression compression) {
    struct us_image *image;
    stop_on(us_image_copy(like, true, &image));
    struct us_dwa_plane planes[4];
    const struct us_dwa_image plan = plain(image, planes, compression);
    uint8_t *bytes;
    size_t size;
    char message[200];
    double start = cpu();
    stop_on(us_read_file(path, 0, &bytes, &size));
    if (us_dwa_read(bytes, size, &plan, message, sizeof message) != 0) {
        stop_on(us_fail(US_FAILED, "%s", message));
    }
    double seconds = cpu() - start;
    us_free(bytes);
    us_image_unref(image);
    return seconds;
}

/* Processor seconds of a child process. */
static double child(const char *const *argv) {
    pid_t pid;
    int status;
    struct rusage usage;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, (char **)(uintptr_t)argv, environ) != 0 ||
        wait4(pid, &status, 0, &usage) < 0 || status != 0) {
        stop_on(us_fail(US_FAILED, "'%s' failed", argv[0]));
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static double oiio_read(const char *tool, const char *path) {
    return child(
        (const char *const[]){tool, "--threads", "1", "--native", "-i:now=1", path, "--pop", NULL});
}

static double oiio_copy(const char *tool, const char *path, const char *compression,
                        const char *out) {
    return child((const char *const[]){tool, "--threads", "1", "--native", "-i:now=1", path,
                                       "--compression", compression, "-o", out, NULL});
}

struct times {
    double ours[2], packaged[2], oiio[2]; /* read, write */
};

static void keep_best(double *best, double seconds) {
    *best = *best > 0 && *best < seconds ? *best : seconds;
}

static struct times measure(const struct us_image *image, enum us_exr_compression compression,
                            const char *folder, const char *tool, const char *tiny) {
    char *path = us_path_join(folder, "frame.exr"), *other = us_path_join(folder, "other.exr");
    struct times best = {0};
    double start = 0, copy = 0, read = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        keep_best(&best.packaged[1], packaged_write(image, other, compression));
        keep_best(&best.packaged[0], packaged_read(image, other, compression));
        keep_best(&best.ours[1], our_write(image, path, compression));
        keep_best(&best.ours[0], our_read(other));
        if (tool) {
            keep_best(&start, oiio_read(tool, tiny));
            keep_best(&read, oiio_read(tool, other));
            keep_best(&copy, oiio_copy(tool, other, us_exr_compression_names[compression], path));
        }
    }
    best.oiio[0] = read - start;
    best.oiio[1] = copy - read;
    us_free(path);
    us_free(other);
    return best;
}

static void print_row(const char *name, const char *doing, double pixels, double ours,
                      double packaged, double oiio) {
    printf("%-6s %-5s  ours %6.0f MB/s  library %6.0f MB/s  ratio %5.2f", name, doing,
           pixels / ours, pixels / packaged, packaged / ours);
    if (oiio > 0) {
        printf("  oiiotool %6.0f MB/s  ratio %5.2f", pixels / oiio, oiio / ours);
    }
    putchar('\n');
    fflush(stdout);
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: bench_exr FOLDER [WIDTH HEIGHT [OIIOTOOL]]\n");
        return 2;
    }
    int width = count > 3 ? atoi(arguments[2]) : 3840,
        height = count > 3 ? atoi(arguments[3]) : 2160;
    const char *tool = count > 4 && arguments[4][0] ? arguments[4] : NULL;
    static const enum us_exr_compression kinds[] = {US_EXR_NONE, US_EXR_ZIPS, US_EXR_ZIP,
                                                    US_EXR_PIZ, US_EXR_DWAA};
    struct us_image *image = frame(width, height), *small = frame(8, 8);
    char *tiny = us_path_join(arguments[1], "tiny.exr");
    stop_on(us_exr_write(tiny, small, &(struct us_exr_write_options){0}));
    double pixels = 1e-6 * (double)us_image_bytes(image);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *name = us_exr_compression_names[kinds[i]];
        struct times t = measure(image, kinds[i], arguments[1], tool, tiny);
        print_row(name, "read", pixels, t.ours[0], t.packaged[0], t.oiio[0]);
        print_row(name, "write", pixels, t.ours[1], t.packaged[1], t.oiio[1]);
    }
    us_free(tiny);
    us_image_unref(image);
    us_image_unref(small);
    return 0;
}
