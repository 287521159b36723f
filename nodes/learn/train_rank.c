#include "nodes/learn/train_rank.h"

#include "nodes/learn/handshake.h"
#include "nodes/learn/model_file.h"
#include "nodes/learn/pack_params.h"
#include "nodes/learn/together.h"
#include "nodes/learn/together_device.h"
#include "nodes/learn/train_batch.h"
#include "runtime/base/mem.h"

#define PAYLOAD_MOST ((uint64_t)1 << 40)

struct rank_training {
    struct us_together together;
    struct us_arena arena; /* of the parameters' texts */
    struct train_params params;
    struct us_train_side sides[US_NN_IDENTITIES];
    struct us_nn_trainer_config config;
    struct us_train_batches batches;
};

/* us_malloc'ed bytes that rank 0 hands to all. */
static struct us_error *receive(struct us_team *team, uint64_t size, uint8_t **bytes,
                                struct us_digest *digest) {
    struct us_nn_comm *comm = team->comm;
    *bytes = size < PAYLOAD_MOST ? us_try_alloc_pixels((size_t)size + 1) : NULL;
    if (!*bytes) {
        return us_fail(US_RETRY, "no memory for %llu bytes of rank 0", (unsigned long long)size);
    }
    if (!comm->calls->broadcast(comm, *bytes, (size_t)size, 0, NULL) ||
        !comm->calls->wait(comm, NULL)) {
        us_free(*bytes);
        *bytes = NULL;
        return us_team_lost(team);
    }
    *digest = us_digest_of(*bytes, (size_t)size);
    return NULL;
}

static struct us_error *receive_params(struct us_team *team, struct rank_training *t,
                                       uint64_t size) {
    uint8_t *bytes;
    US_TRY(receive(team, size, &bytes, &t->together.digests[0]));
    struct us_error *error =
        us_params_unpack(us_train_params, bytes, (size_t)size, &t->params, &t->arena);
    us_free(bytes);
    return error;
}

static struct us_error *receive_side(struct us_team *team, struct rank_training *t, int side,
                                     uint64_t size) {
    uint8_t *bytes;
    t->sides[side].params = &t->params;
    US_TRY(receive(team, size, &bytes, &t->together.digests[1 + side]));
    struct us_error *error = us_dataset_add_file(&t->sides[side].dataset, bytes, (size_t)size);
    us_free(bytes);
    US_TRY(error);
    if (t->sides[side].dataset.count == 0) {
        return us_fail(US_CORRUPT, "rank 0 sends no faces");
    }
    return us_train_side_init(&t->sides[side]);
}

/* Another net, of the size an order is about; its state follows. */
static struct us_error *make_net(struct rank_training *t, const struct us_order *order) {
    us_nn_trainer_destroy(t->together.trainer);
    t->together.trainer = NULL;
    t->config.arch.size = order->size;
    t->config.arch.fading = order->fading != 0;
    t->config.arch.fade = order->fade;
    US_TRY(us_nn_error(us_nn_trainer_create(&t->config, &t->together.trainer), "build the net"));
    return us_nn_error(us_train_batches_keep(&t->batches, t->together.trainer),
                       "give the faces to the device");
}

/* Parameters, and the faces of all identities. */
static struct us_error *receive_all(struct us_team *team, struct rank_training *t,
                                    const struct us_order *order) {
    if (order->identities < 2 || order->identities > US_NN_IDENTITIES) {
        return us_fail(US_FAILED, "rank 0 trains %d identities", order->identities);
    }
    US_TRY(receive_params(team, t, order->bytes[0]));
    for (int side = 0; side < order->identities; side++) {
        US_TRY(receive_side(team, t, side, order->bytes[1 + side]));
    }
    return NULL;
}

static struct us_error *open_training(struct us_team *team, struct rank_training *t,
                                      const struct us_order *order, int threads) {
    US_TRY(receive_all(team, t, order));
    threads = order->threads > 0 ? order->threads : threads;
    threads = threads > 0 ? threads : us_team_threads(&team->ranks);
    const int device = us_together_pick_device(team, order->ordinals, order->device_count);
    US_TRY(us_train_config(&t->params, &t->sides[0].dataset, order->identities, threads, device,
                           team->ranks.world, &t->config));
    t->config.comm = team->comm;
    US_TRY(us_together_devices(team, &t->config));
    US_TRY(us_train_batches_init(&t->batches, t->sides, &t->config));
    t->batches.first = team->ranks.rank * t->config.batch;
    t->together.team = team;
    t->together.config = &t->config;
    US_TRY(make_net(t, order));
    return us_together_agree(&t->together);
}

static void close_training(struct rank_training *t) {
    us_train_batches_finish(&t->batches);
    us_nn_trainer_destroy(t->together.trainer);
    for (int side = 0; side < US_NN_IDENTITIES; side++) {
        us_train_side_finish(&t->sides[side]);
    }
    us_arena_finish(&t->arena);
}

static bool is_at(const struct rank_training *t, const struct us_order *order) {
    return t->config.arch.size == order->size && t->config.arch.fading == (order->fading != 0);
}

static struct us_error *state(struct rank_training *t, const struct us_order *order) {
    if (!is_at(t, order)) {
        US_TRY(make_net(t, order));
    }
    return us_together_state(&t->together, order->step);
}

/* The net is the one rank 0 means, at the same share of a size that comes in. */
static struct us_error *meet(struct rank_training *t, const struct us_order *order) {
    if (!is_at(t, order)) {
        return us_fail(US_FAILED,
                       "step %llu of rank 0 is at %d px, but the net of rank %d is at %d px",
                       (unsigned long long)order->step + 1, order->size,
                       t->together.team->ranks.rank, t->config.arch.size);
    }
    if (t->config.arch.family == US_NN_COMB) {
        t->config.arch.fade = order->fade;
        us_nn_trainer_set_fade(t->together.trainer, order->fade);
    }
    return NULL;
}

static struct us_error *step(struct rank_training *t, const struct us_order *order) {
    struct us_nn_losses losses;
    const struct us_nn_comm *comm = t->config.comm;
    const double start = us_deadline_clock(), waited = comm->exposed_seconds;
    enum us_nn_status status;
    US_TRY(meet(t, order));
    if (t->batches.kept) {
        struct us_nn_turn turn;
        us_train_batches_turn(&t->batches, order->step, order->repeat, &turn);
        status = us_nn_trainer_step_drawn(t->together.trainer, &turn, &losses);
    } else {
        status = us_nn_trainer_step(t->together.trainer,
                                    us_train_batches_make(&t->batches, order->step, order->repeat),
                                    &losses);
    }
    if (status == US_NN_LOST) {
        return us_team_lost(t->together.team);
    }
    us_together_note(&t->together, us_deadline_clock() - start, comm->exposed_seconds - waited);
    return status == US_NN_NOT_FINITE ? NULL : us_nn_error(status, "train");
}

static struct us_error *obey(struct rank_training *t, const struct us_order *order) {
    struct us_rank_times times[US_NN_COMM_RANKS];
    switch (order->kind) {
    case US_ORDER_STATE:
        return state(t, order);
    case US_ORDER_STEP:
        return step(t, order);
    case US_ORDER_REPORT:
        return us_together_report(&t->together, times);
    case US_ORDER_CHECK:
        return us_together_check(&t->together);
    case US_ORDER_END:
        return NULL;
    default:
        return us_fail(US_FAILED, "rank 0 gives order %u in a training", order->kind);
    }
}

struct us_error *us_train_rank(struct us_team *team, const struct us_order *first, int threads) {
    struct rank_training *t = us_calloc(1, sizeof *t);
    struct us_order order = *first;
    struct us_error *error = open_training(team, t, first, threads);
    while (!error && order.kind != US_ORDER_END) {
        error = us_team_order(team, &order) ? obey(t, &order) : us_team_lost(team);
    }
    if (error) {
        team->comm->calls->abort(team->comm, error->text);
    }
    close_training(t);
    us_team_end_devices(team);
    us_free(t);
    return error;
}
