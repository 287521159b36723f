#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/net_internal.h"
#include "kernels/nn/memory.h"

/* Decoders of different identities do not depend on one another. Their operations are put in turn
 * into the order, so that buffers of one can share memory with those of the other without making it
 * wait long, and go to different streams, so that two small convolutions fill the device. */

static int only_decoder(const struct cu_op *op) {
    return op->decoders && !(op->decoders & (op->decoders - 1)) ? __builtin_ctz(op->decoders) : -1;
}

static bool overlap(size_t a, size_t a_bytes, size_t b, size_t b_bytes) {
    return a < b + b_bytes && b < a + a_bytes;
}

static bool meet(const struct cu_op *a, const struct cu_op *b,
                 bool (*same)(const struct cu_net *, const struct cu_access *,
                              const struct cu_access *),
                 const struct cu_net *net) {
    for (int i = 0; i < a->access_count; i++) {
        for (int k = 0; k < b->access_count; k++) {
            const struct cu_access *x = &a->accesses[i], *y = &b->accesses[k];
            if ((x->write || y->write) && x->ref.buffer != CU_NOWHERE &&
                y->ref.buffer != CU_NOWHERE && same(net, x, y)) {
                return true;
            }
        }
    }
    return false;
}

/* Do two accesses mean the same bytes, before and after memory is planned? */
static bool same_bytes(const struct cu_net *net, const struct cu_access *a,
                       const struct cu_access *b) {
    (void)net;
    return a->ref.buffer == b->ref.buffer &&
           overlap(a->ref.offset, a->bytes, b->ref.offset, b->bytes);
}

static bool same_memory(const struct cu_net *net, const struct cu_access *a,
                        const struct cu_access *b) {
    if (a->ref.buffer < 0 || b->ref.buffer < 0) {
        return same_bytes(net, a, b);
    }
    return overlap(net->plan.buffers[a->ref.buffer].offset + a->ref.offset, a->bytes,
                   net->plan.buffers[b->ref.buffer].offset + b->ref.offset, b->bytes);
}

/* Places of layers are known now. */
static void place_layers(struct cu_net *net) {
    const size_t size = nn_cuda_size(net->type), each = nn_cuda_size(net->gradient_type);
    for (int i = 0; i < net->op_count; i++) {
        const struct cu_layer *layer = net->ops[i].layer;
        for (int k = 0; layer && k < net->ops[i].access_count; k++) {
            struct cu_access *a = &net->ops[i].accesses[k];
            switch (a->ref.buffer) {
            case CU_WEIGHTS:
                a->ref.offset = layer->offset * size;
                a->bytes = layer->count * size;
                break;
            case CU_MASTERS:
                a->ref.offset = layer->bias_offset * sizeof(float);
                a->bytes = (size_t)layer->out * sizeof(float);
                break;
            case CU_GRADIENTS:
                a->bytes = each * (a->ref.offset == CU_OF_BIAS ? (size_t)layer->out : layer->count);
                a->ref.offset =
                    each * (a->ref.offset == CU_OF_BIAS ? layer->bias_offset : layer->offset);
                break;
            case CU_MASKS:
                a->ref.offset = layer->mask_offset * sizeof(float);
                a->bytes = layer->count * sizeof(float);
                break;
            default:
                break;
            }
        }
    }
}

/* Takes operations from..to in turn from each decoder, unless one needs another's result. */
static bool independent(const struct cu_net *net, int from, int to) {
    for (int i = from; i < to; i++) {
        for (int k = from; k < i; k++) {
            if (only_decoder(&net->ops[i]) != only_decoder(&net->ops[k]) &&
                meet(&net->ops[i], &net->ops[k], same_bytes, net)) {
                return false;
            }
        }
    }
    return true;
}

static void take_turns(struct cu_net *net, int from, int to, struct cu_op *spare) {
    int next[US_NN_IDENTITIES], done = from;
    for (int d = 0; d < US_NN_IDENTITIES; d++) {
        next[d] = from;
    }
    memcpy(spare, &net->ops[from], (size_t)(to - from) * sizeof *spare);
    while (done < to) {
        for (int d = 0; d < US_NN_IDENTITIES; d++) {
            while (next[d] < to && only_decoder(&spare[next[d] - from]) != d) {
                next[d]++;
            }
            if (next[d] < to) {
                net->ops[done++] = spare[next[d]++ - from];
            }
        }
    }
}

static enum us_nn_status interleave(struct cu_net *net) {
    struct cu_op *spare = us_nn_alloc((size_t)net->op_count * sizeof *spare);
    if (!spare) {
        return US_NN_NO_MEMORY;
    }
    for (int from = 0; from < net->op_count; from++) {
        int to = from;
        while (to < net->op_count && only_decoder(&net->ops[to]) >= 0) {
            to++;
        }
        if (to > from && independent(net, from, to)) {
            take_turns(net, from, to, spare);
            for (int i = from; i < to; i++) {
                net->ops[i].stream = only_decoder(&net->ops[i]) % CU_STREAMS;
            }
        }
        from = to;
    }
    us_nn_free(spare);
    return US_NN_OK;
}

static void plan_memory(struct cu_net *net) {
    for (int b = 0; b < net->plan.count; b++) {
        if (net->kept[b]) {
            nn_plan_use(&net->plan, b, 0);
            nn_plan_use(&net->plan, b, NN_PLAN_END);
        }
    }
    for (int i = 0; i < net->op_count; i++) {
        for (int k = 0; k < net->ops[i].access_count; k++) {
            if (net->ops[i].accesses[k].ref.buffer >= 0) {
                nn_plan_use(&net->plan, net->ops[i].accesses[k].ref.buffer, i + 1);
            }
        }
    }
    nn_plan_solve(&net->plan);
}

/* The last earlier operation of the other stream whose memory an operation touches. */
static void set_waits(struct cu_net *net) {
    int waited[CU_STREAMS] = {-1, -1}; /* the latest operation of the other that was waited for */
    for (int i = 0; i < net->op_count; i++) {
        struct cu_op *op = &net->ops[i];
        for (int k = i; k-- > waited[op->stream] + 1;) {
            if (net->ops[k].stream != op->stream && meet(op, &net->ops[k], same_memory, net)) {
                op->wait = k;
                net->ops[k].signal = true;
                waited[op->stream] = k;
                break;
            }
        }
    }
}

/* After which operations more of the gradient arena is final: in the order they run in. */
static void mark_final(struct cu_net *net) {
    size_t lowest = net->params->arena_count;
    for (int i = net->op_count; i-- > 0;) {
        struct cu_op *op = &net->ops[i];
        size_t first = SIZE_MAX;
        for (int k = 0; k < op->access_count; k++) {
            const struct cu_access *a = &op->accesses[k];
            if (a->write && a->ref.buffer == CU_GRADIENTS) {
                const size_t at = a->ref.offset / nn_cuda_size(net->gradient_type);
                first = at < first ? at : first;
            }
        }
        if (op->phase == CU_LATE) {
            continue; /* these do not travel */
        }
        op->final = first < SIZE_MAX ? lowest : 0;
        lowest = first < lowest ? first : lowest;
    }
}

void cu_net_settle(struct cu_net *net) {
    if (net->status) {
        return;
    }
    place_layers(net);
    if (net->graph->training) {
        net->status = interleave(net);
    }
    plan_memory(net);
    set_waits(net);
    mark_final(net);
}
