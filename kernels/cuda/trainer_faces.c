#include <cuda_runtime_api.h>
#include <string.h>

#include "kernels/augment_internal.h"
#include "kernels/cuda/trainer_internal.h"
#include "kernels/nn/memory.h"

#define RESERVE ((size_t)256 << 20) /* of the device, not given to faces */

static size_t bytes_of_face(const struct us_nn_trainer_config *config) {
    const size_t size = (size_t)config->arch.resolution;
    return size * size * 4 * sizeof(uint16_t);
}

static size_t face_bytes(const struct cu_trainer *t) {
    return bytes_of_face(&t->base.config);
}

static size_t spots_bytes(size_t count) {
    return count * US_PRIORITY_SPOTS * sizeof(struct us_priority_spot);
}

static enum us_nn_status take(void *at, size_t bytes) {
    const enum us_nn_status status = cu_status(cudaMalloc((void **)at, bytes > 0 ? bytes : 16));
    if (status) {
        (void)cudaGetLastError();
    }
    return status;
}

static void drop(struct cu_faces *kept) {
    (void)cudaFree(kept->faces);
    (void)cudaFree(kept->spots);
    us_nn_free((void *)kept->host);
    us_nn_free(kept->host_spots);
    *kept = (struct cu_faces){0};
}

static void drop_stages(struct cu_trainer *t) {
    for (int i = 0; i < 2; i++) {
        struct cu_stage *stage = &t->stages[i];
        if (stage->there) {
            (void)cudaEventSynchronize(stage->there);
            (void)cudaEventDestroy(stage->there);
        }
        (void)cudaFreeHost(stage->host);
        (void)cudaFree(stage->device);
        *stage = (struct cu_stage){0};
    }
}

void cu_faces_finish(struct cu_trainer *t) {
    drop_stages(t);
    for (int i = 0; i < US_NN_IDENTITIES; i++) {
        drop(&t->faces[i]);
    }
}

/* A face with its spots of a batch. */
static size_t staged_bytes(const struct cu_trainer *t) {
    const size_t n = (size_t)t->base.config.batch;
    return n * face_bytes(t) + spots_bytes(n);
}

static enum us_nn_status make_stages(struct cu_trainer *t) {
    const size_t bytes = (size_t)t->graph->identities * staged_bytes(t);
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < 2 && !t->stages[i].host && !status; i++) {
        struct cu_stage *stage = &t->stages[i];
        status = cu_status(cudaMallocHost((void **)&stage->host, bytes));
        status = status ? status : take(&stage->device, bytes);
        status = status
                     ? status
                     : cu_status(cudaEventCreateWithFlags(&stage->there, cudaEventDisableTiming));
    }
    return status;
}

static bool fits(size_t bytes) {
    size_t available, total;
    return cudaMemGetInfo(&available, &total) == cudaSuccess && available > RESERVE &&
           bytes < available - RESERVE;
}

static enum us_nn_status upload(const struct cu_trainer *t, struct cu_faces *kept,
                                const struct us_nn_kept_faces *from) {
    const size_t bytes = face_bytes(t);
    enum us_nn_status status = US_NN_OK;
    for (size_t i = 0; i < from->count && !status; i++) {
        status = cu_status(cudaMemcpy((char *)kept->faces + i * bytes, from->faces[i], bytes,
                                      cudaMemcpyHostToDevice));
    }
    if (!status && from->spots) {
        status = cu_status(
            cudaMemcpy(kept->spots, from->spots, spots_bytes(from->count), cudaMemcpyHostToDevice));
    }
    return status;
}

/* What the host needs to gather a step's faces. */
static enum us_nn_status remember(struct cu_faces *kept, const struct us_nn_kept_faces *from) {
    kept->host = us_nn_alloc(from->count * sizeof *kept->host);
    kept->host_spots = from->spots ? us_nn_alloc(spots_bytes(from->count)) : NULL;
    if (!kept->host || (from->spots && !kept->host_spots)) {
        return US_NN_NO_MEMORY;
    }
    memcpy((void *)kept->host, from->faces, from->count * sizeof *kept->host);
    if (from->spots) {
        memcpy(kept->host_spots, from->spots, spots_bytes(from->count));
    }
    return US_NN_OK;
}

static enum us_nn_status keep(struct cu_trainer *t, struct cu_faces *kept,
                              const struct us_nn_kept_faces *from) {
    const size_t all = from->count * face_bytes(t) + spots_bytes(from->count);
    kept->streamed = !fits(all);
    const size_t count = kept->streamed ? (size_t)t->base.config.batch : from->count;
    enum us_nn_status status = take(&kept->faces, count * face_bytes(t));
    if (!status && from->spots) {
        status = take(&kept->spots, spots_bytes(count));
    }
    if (!status && kept->streamed) {
        t->note = "the faces do not fit into the GPU's memory, they come step by step";
        status = remember(kept, from);
        status = status ? status : make_stages(t);
    } else if (!status) {
        status = upload(t, kept, from);
    }
    kept->count = from->count;
    return status;
}

enum us_nn_status cu_trainer_keep_faces(struct us_nn_trainer *trainer, int identity,
                                        const struct us_nn_kept_faces *faces) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    const struct us_nn_arch *arch = &trainer->config.arch;
    if (identity < 0 || identity >= t->graph->identities || faces->count == 0) {
        return US_NN_BAD_CONFIG;
    }
    if (us_nn_arch_size(arch) != arch->resolution) {
        return US_NN_UNSUPPORTED;
    }
    enum us_nn_status status = cu_trainer_use(t);
    status = status ? status : cu_status(cudaDeviceSynchronize());
    if (status) {
        return status;
    }
    cu_graphs_finish(t);
    drop(&t->faces[identity]);
    status = keep(t, &t->faces[identity], faces);
    if (status) {
        drop(&t->faces[identity]);
    }
    return status;
}

/* As keep decides, identity by identity; those that come step by step share two stages. */
struct us_nn_kept_memory cu_trainer_kept_memory(const struct us_nn_trainer_config *config,
                                                const size_t *counts, size_t available) {
    const struct us_nn_arch *arch = &config->arch;
    const size_t each = bytes_of_face(config) + spots_bytes(1), batch = (size_t)config->batch;
    struct us_nn_kept_memory kept = {0};
    if (us_nn_arch_size(arch) != arch->resolution) {
        return kept;
    }
    for (int i = 0; i < us_nn_arch_identities(arch); i++) {
        const bool fit = kept.device + counts[i] * each + RESERVE < available;
        kept.device += (fit ? counts[i] : batch) * each;
        if (!fit && !kept.streamed) {
            const size_t stages = 2 * (size_t)us_nn_arch_identities(arch) * batch * each;
            kept.device += stages;
            kept.host += stages;
            kept.streamed = true;
        }
        kept.host += fit ? 0 : counts[i] * (sizeof(void *) + spots_bytes(1));
    }
    return kept;
}

static char *part(char *planes, size_t identity, size_t each) {
    return planes ? planes + identity * each : NULL;
}

/* The faces of a pass: all, of which it picks, or (streamed) its part of the step's. */
static struct us_cuda_faces faces_of(const struct cu_trainer *t, int identity, int pass) {
    const struct cu_faces *kept = &t->faces[identity];
    struct us_cuda_faces from = {
        .faces = kept->faces, .spots = kept->spots, .count = kept->count, .picked = kept->streamed};
    if (kept->streamed) {
        const size_t first = (size_t)pass * (size_t)t->pass;
        from.faces += first * face_bytes(t) / sizeof *from.faces;
        from.spots += from.spots ? first * US_PRIORITY_SPOTS : 0;
    }
    return from;
}

enum us_nn_status cu_augment(struct cu_trainer *t, int pass) {
    const struct cu_net *net = &t->net;
    const int size = t->base.config.arch.resolution, batch = net->batch;
    const uint32_t first_slot = t->first_slot + (uint32_t)(pass * t->pass);
    const size_t packed = net->values[0].bytes / (size_t)t->graph->identities;
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < t->graph->identities && error == cudaSuccess; i++) {
        const struct us_cuda_faces from = faces_of(t, i, pass);
        const struct us_cuda_augmented out = {
            .packed = part(cu_net_at(net, net->values[0].ref), (size_t)i, packed),
            .targets = cu_net_at(net, net->wanted[i].targets),
            .masks = cu_net_at(net, net->wanted[i].masks),
            .priorities = cu_net_at(net, net->wanted[i].priorities),
            .type = net->type};
        error = us_cuda_augment(&from, &t->state->turns[i], t->base.config.seed, first_slot, batch,
                                size, &out, t->augment_scratch, t->streams.at[0]);
    }
    return cu_status(error);
}

static bool any_streamed(const struct cu_trainer *t) {
    bool any = false;
    for (int i = 0; i < t->graph->identities; i++) {
        any = any || t->faces[i].streamed;
    }
    return any;
}

static void fill(const struct cu_trainer *t, const struct cu_stage *stage, int identity) {
    const struct cu_faces *kept = &t->faces[identity];
    const size_t bytes = face_bytes(t), n = (size_t)t->base.config.batch;
    char *faces = stage->host + (size_t)identity * staged_bytes(t), *spots = faces + n * bytes;
    for (uint32_t i = 0; i < n; i++) {
        const size_t pick = pick_face(kept->count, t->base.config.seed, stage->streams[identity],
                                      stage->step, stage->first_slot + i);
        memcpy(faces + i * bytes, kept->host[pick], bytes);
        if (kept->host_spots) {
            memcpy(spots + spots_bytes(i), kept->host_spots + pick * US_PRIORITY_SPOTS,
                   spots_bytes(1));
        }
    }
}

/* Gathers the faces of a step and sends them on the side stream. */
static enum us_nn_status bring(struct cu_trainer *t, struct cu_stage *stage,
                               const struct us_nn_turn *turn, uint64_t step) {
    enum us_nn_status status =
        stage->filled ? cu_status(cudaEventSynchronize(stage->there)) : US_NN_OK;
    stage->step = step;
    stage->first_slot = turn->first_slot;
    memcpy(stage->streams, turn->streams, sizeof stage->streams);
    for (int i = 0; i < t->graph->identities && !status; i++) {
        const size_t at = (size_t)i * staged_bytes(t);
        if (t->faces[i].streamed) {
            fill(t, stage, i);
            status = cu_status(cudaMemcpyAsync(stage->device + at, stage->host + at,
                                               staged_bytes(t), cudaMemcpyHostToDevice, t->side));
        }
    }
    status = status ? status : cu_status(cudaEventRecord(stage->there, t->side));
    stage->filled = !status;
    return status;
}

static bool holds(const struct cu_stage *stage, const struct us_nn_turn *turn) {
    return stage->filled && stage->step == turn->step && stage->first_slot == turn->first_slot &&
           memcmp(stage->streams, turn->streams, sizeof stage->streams) == 0;
}

static enum us_nn_status put_in_place(struct cu_trainer *t, const struct cu_stage *stage) {
    const size_t n = (size_t)t->base.config.batch, faces = n * face_bytes(t);
    cudaStream_t stream = t->streams.at[0];
    cudaError_t error = cudaStreamWaitEvent(stream, stage->there, 0);
    for (int i = 0; i < t->graph->identities && error == cudaSuccess; i++) {
        const struct cu_faces *kept = &t->faces[i];
        const char *from = stage->device + (size_t)i * staged_bytes(t);
        if (kept->streamed) {
            error = cudaMemcpyAsync(kept->faces, from, faces, cudaMemcpyDeviceToDevice, stream);
        }
        if (kept->streamed && kept->spots && error == cudaSuccess) {
            error = cudaMemcpyAsync(kept->spots, from + faces, spots_bytes(n),
                                    cudaMemcpyDeviceToDevice, stream);
        }
    }
    return cu_status(error);
}

enum us_nn_status cu_stage_faces(struct cu_trainer *t, const struct us_nn_turn *turn) {
    if (!any_streamed(t)) {
        return US_NN_OK;
    }
    struct cu_stage *stage = &t->stages[t->next_stage];
    const enum us_nn_status status =
        holds(stage, turn) ? US_NN_OK : bring(t, stage, turn, turn->step);
    t->next_stage = !t->next_stage;
    return status ? status : put_in_place(t, stage);
}

/* The other stage was last read by the step before this one, which the host has waited for. */
enum us_nn_status cu_stage_next(struct cu_trainer *t, const struct us_nn_turn *turn) {
    return any_streamed(t) ? bring(t, &t->stages[t->next_stage], turn, turn->step + 1) : US_NN_OK;
}
