#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kernels/blur.h"
#include "kernels/cuda/frame_internal.h"
#include "kernels/cuda/note.h"
#include "kernels/encoding.h"
#include "kernels/grain.h"
#include "kernels/morph.h"
#include "kernels/nn/memory.h"
#include "kernels/polygon.h"
#include "kernels/ssim.h"

enum { MOST_DEVICES = 64, STAGES = 2 };
static const size_t stage_bytes = (size_t)4 << 20;

/* Pinned memory that the copy engine reads while the processor fills the other one. */
struct stage {
    void *memory;
    cudaEvent_t free; /* when the device has done with it */
};

struct taken {
    struct taken *next;
    void *block;
    size_t bytes;
};

struct us_cuda_frame {
    struct us_cuda_frame *next; /* idle */
    int device;
    cudaStream_t stream;
    struct stage stages[STAGES];
    unsigned turn;
    struct taken *taken;
    cudaError_t failed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct us_cuda_frame *idle[MOST_DEVICES];
static struct us_cuda_frame_stats stats[MOST_DEVICES];
static _Thread_local char clause[256];

static const char *problem(void) {
    return clause;
}

enum us_nn_status cuda_frame_check(cudaError_t error) {
    if (error == cudaSuccess) {
        return US_NN_OK;
    }
    snprintf(clause, sizeof clause, "the device says: %s", cudaGetErrorString(error));
    return error == cudaErrorMemoryAllocation ? US_NN_NO_MEMORY : US_NN_FAILED;
}

int cuda_frame_device(const struct us_cuda_frame *frame) {
    return frame->device;
}

void *cuda_frame_stream(struct us_cuda_frame *frame) {
    return frame->stream;
}

static void destroy(struct us_cuda_frame *frame) {
    for (int i = 0; i < STAGES; i++) {
        if (frame->stages[i].memory) {
            (void)cudaFreeHost(frame->stages[i].memory);
        }
        if (frame->stages[i].free) {
            (void)cudaEventDestroy(frame->stages[i].free);
        }
    }
    if (frame->stream) {
        (void)cudaStreamDestroy(frame->stream);
    }
    us_nn_free(frame);
}

static cudaError_t create(struct us_cuda_frame *frame) {
    cudaError_t error = cudaStreamCreateWithFlags(&frame->stream, cudaStreamNonBlocking);
    for (int i = 0; i < STAGES && error == cudaSuccess; i++) {
        error = cudaMallocHost(&frame->stages[i].memory, stage_bytes);
        if (error == cudaSuccess) {
            error = cudaEventCreateWithFlags(&frame->stages[i].free, cudaEventDisableTiming);
        }
    }
    return error;
}

static enum us_nn_status open(int device, struct us_cuda_frame **frame) {
    if (device < 0 || device >= MOST_DEVICES) {
        return cuda_frame_check(cudaErrorInvalidDevice);
    }
    cudaError_t error = cudaSetDevice(device);
    if (error != cudaSuccess) {
        return cuda_frame_check(error);
    }
    (void)us_cuda_noted();
    pthread_mutex_lock(&lock);
    *frame = idle[device];
    if (*frame) {
        idle[device] = (*frame)->next;
    }
    pthread_mutex_unlock(&lock);
    if (*frame) {
        return US_NN_OK;
    }
    struct us_cuda_frame *made = us_nn_alloc(sizeof *made);
    if (!made) {
        return US_NN_NO_MEMORY;
    }
    made->device = device;
    error = create(made);
    if (error != cudaSuccess) {
        destroy(made);
        return cuda_frame_check(error);
    }
    *frame = made;
    return US_NN_OK;
}

static void note(struct us_cuda_frame *frame, cudaError_t error) {
    frame->failed = frame->failed == cudaSuccess ? error : frame->failed;
}

static enum us_nn_status wait(struct us_cuda_frame *frame) {
    note(frame, us_cuda_noted());
    note(frame, cudaStreamSynchronize(frame->stream));
    enum us_nn_status status = cuda_frame_check(frame->failed);
    frame->failed = cudaSuccess;
    return status;
}

static enum us_nn_status close(struct us_cuda_frame *frame) {
    enum us_nn_status status = wait(frame);
    while (frame->taken) {
        struct taken *taken = frame->taken;
        frame->taken = taken->next;
        cuda_block_give(frame->device, taken->block, taken->bytes);
        us_nn_free(taken);
    }
    if (status == US_NN_FAILED) {
        destroy(frame); /* its stream is of no more use */
        return status;
    }
    pthread_mutex_lock(&lock);
    frame->next = idle[frame->device];
    idle[frame->device] = frame;
    pthread_mutex_unlock(&lock);
    return status;
}

static void *take(struct us_cuda_frame *frame, size_t bytes) {
    struct taken *taken = us_nn_alloc(sizeof *taken);
    void *block = taken ? cuda_block_take(frame->device, bytes) : NULL;
    if (!block) {
        us_nn_free(taken);
        (void)cuda_frame_check(cudaErrorMemoryAllocation);
        return NULL;
    }
    *taken = (struct taken){frame->taken, block, bytes};
    frame->taken = taken;
    return block;
}

static void keep(struct us_cuda_frame *frame, void *block) {
    for (struct taken **at = &frame->taken; *at; at = &(*at)->next) {
        if ((*at)->block == block) {
            struct taken *taken = *at;
            *at = taken->next;
            us_nn_free(taken);
            return;
        }
    }
}

static void clear(struct us_cuda_frame *frame, void *block, size_t bytes) {
    note(frame, cudaMemsetAsync(block, 0, bytes, frame->stream));
}

static void release(int device, void *block, size_t bytes) {
    int before = 0;
    if (cudaGetDevice(&before) == cudaSuccess && cudaSetDevice(device) == cudaSuccess) {
        cuda_block_give(device, block, bytes);
        (void)cudaSetDevice(before);
    }
}

static void count(struct us_cuda_frame *frame, size_t up, size_t down) {
    struct us_cuda_frame_stats *s = &stats[frame->device];
    pthread_mutex_lock(&lock);
    s->bytes_up += up;
    s->bytes_down += down;
    s->transfers_up += up > 0;
    s->transfers_down += down > 0;
    pthread_mutex_unlock(&lock);
}

static void get_stats(int device, struct us_cuda_frame_stats *out) {
    *out = (struct us_cuda_frame_stats){0};
    if (device >= 0 && device < MOST_DEVICES) {
        pthread_mutex_lock(&lock);
        *out = stats[device];
        pthread_mutex_unlock(&lock);
    }
}

static struct stage *next_stage(struct us_cuda_frame *frame) {
    struct stage *stage = &frame->stages[frame->turn++ % STAGES];
    note(frame, cudaEventSynchronize(stage->free));
    return stage;
}

void cuda_frame_up(struct us_cuda_frame *frame, void *to, const void *from, size_t bytes) {
    for (size_t at = 0; at < bytes && frame->failed == cudaSuccess; at += stage_bytes) {
        size_t some = bytes - at < stage_bytes ? bytes - at : stage_bytes;
        struct stage *stage = next_stage(frame);
        memcpy(stage->memory, (const char *)from + at, some);
        note(frame, cudaMemcpyAsync((char *)to + at, stage->memory, some, cudaMemcpyHostToDevice,
                                    frame->stream));
        note(frame, cudaEventRecord(stage->free, frame->stream));
    }
    count(frame, bytes, 0);
}

/* What a stage holds on its way down. */
struct parcel {
    struct stage *stage;
    void *to;
    size_t bytes;
};

static void unpack(struct us_cuda_frame *frame, struct parcel *parcel) {
    if (parcel->stage) {
        note(frame, cudaEventSynchronize(parcel->stage->free));
        if (frame->failed == cudaSuccess) {
            memcpy(parcel->to, parcel->stage->memory, parcel->bytes);
        }
    }
    *parcel = (struct parcel){0};
}

static enum us_nn_status down(struct us_cuda_frame *frame, const struct us_cuda_piece *pieces,
                              int piece_count) {
    struct parcel parcels[STAGES] = {0};
    unsigned turn = 0;
    note(frame, us_cuda_noted());
    for (int i = 0; i < piece_count; i++) {
        for (size_t at = 0; at < pieces[i].bytes && frame->failed == cudaSuccess;
             at += stage_bytes) {
            size_t left = pieces[i].bytes - at, some = left < stage_bytes ? left : stage_bytes;
            struct parcel *parcel = &parcels[turn++ % STAGES];
            unpack(frame, parcel);
            *parcel = (struct parcel){next_stage(frame), (char *)pieces[i].to + at, some};
            note(frame, cudaMemcpyAsync(parcel->stage->memory, (const char *)pieces[i].from + at,
                                        some, cudaMemcpyDeviceToHost, frame->stream));
            note(frame, cudaEventRecord(parcel->stage->free, frame->stream));
        }
        count(frame, 0, pieces[i].bytes);
    }
    for (int i = 0; i < STAGES; i++) {
        unpack(frame, &parcels[turn++ % STAGES]);
    }
    return wait(frame);
}

const struct us_cuda_frame_api us_cuda_frame_table = {
    .open = open,
    .close = close,
    .wait = wait,
    .stream = cuda_frame_stream,
    .problem = problem,
    .take = take,
    .keep = keep,
    .release = release,
    .clear = clear,
    .up = cuda_frame_up,
    .down = down,
    .stats = get_stats,
    .net_create = cuda_net_create,
    .net_destroy = cuda_net_destroy,
    .net_run = cuda_net_run,
    .resample_affine = us_resample_affine_cuda,
    .gaussian_blur_scratch = us_gaussian_blur_scratch_cuda,
    .gaussian_blur = us_gaussian_blur_cuda,
    .matte_grow_scratch = us_matte_grow_scratch_cuda,
    .matte_grow = us_matte_grow_cuda,
    .polygon_fill = us_polygon_fill_cuda,
    .log_encode = us_log_encode_cuda,
    .log_decode = us_log_decode_cuda,
    .samples_read = us_samples_read_cuda,
    .samples_write = us_samples_write_cuda,
    .samples_copy = us_samples_copy_cuda,
    .blend_cover = us_blend_cover_cuda,
    .blend_fill = us_blend_fill_cuda,
    .blend_multiply = us_blend_multiply_cuda,
    .blend_weigh = us_blend_weigh_cuda,
    .blend_settle = us_blend_settle_cuda,
    .blend_mix = us_blend_mix_cuda,
    .blend_place = us_blend_place_cuda,
    .blend_clamp = us_blend_clamp_cuda,
    .grain_scratch = us_grain_scratch_cuda,
    .grain_measure = us_grain_measure_cuda,
    .grain_add = us_grain_add_cuda,
    .expose_scratch = us_expose_scratch_cuda,
    .expose = us_expose_cuda,
    .colour_scratch = us_colour_scratch_cuda,
    .colour_gather = us_colour_gather_cuda,
    .colour_apply = us_colour_apply_cuda,
    .ssim_map = us_ssim_map_cuda,
};
