#include "nodes/learn/swap_outlook.h"

#include <stdio.h>

#include "nodes/learn/growth.h"
#include "nodes/learn/model_file.h"
#include "nodes/learn/team.h"
#include "nodes/learn/train_batch.h"
#include "nodes/learn/training_memory.h"
#include "nodes/learn/training_team.h"

enum { MESH = 468 }; /* landmarks of a face, at most */

/* The faces of the identities of a training. */
struct people {
    int identities, size; /* size 0: not known */
    size_t counts[US_NN_IDENTITIES], all;
    bool counted, at_most; /* every count is known; one of them is the most there can be */
};

static void count_entry(const struct us_geometry *faces, int identity, struct people *people) {
    people->size = people->size ? people->size : faces->size;
    people->counts[identity] += faces->count;
    people->all += faces->count;
    people->counted &= faces->count > 0;
    people->at_most |= faces->at_most;
}

static void count_port(const struct us_outlook *outlook, int port, int identity,
                       struct people *people) {
    for (size_t i = 0; i < outlook->inputs[port].count; i++) {
        count_entry(&outlook->inputs[port].items[i], identity, people);
    }
}

static struct people people_of(const struct us_outlook *outlook, struct us_swap_ports ports) {
    struct people people = {.identities = 2, .counted = true};
    const struct us_geometries *others = &outlook->inputs[ports.others];
    count_port(outlook, ports.source, US_NN_SOURCE, &people);
    count_port(outlook, ports.destination, US_NN_DESTINATION, &people);
    for (size_t i = 0; i < others->count && people.identities < US_NN_IDENTITIES; i++) {
        count_entry(&others->items[i], people.identities++, &people);
    }
    return people;
}

bool us_swap_outlook_of_training(const struct us_outlook *outlook, struct us_swap_ports ports,
                                 struct us_geometry *model) {
    const struct train_params *p = outlook->params;
    const struct people people = people_of(outlook, ports);
    struct us_nn_trainer_config config;
    if (people.size == 0) {
        return false;
    }
    us_train_fill(p, people.size, "log", people.identities, &config);
    us_growth_at(p, (uint64_t)p->steps - 1, &config.arch);
    struct us_swap_outlook *about = us_arena_alloc(outlook->arena, sizeof *about);
    about->arch = config.arch;
    *model = (struct us_geometry){.size = people.size, .about = about};
    return true;
}

static size_t free_of(const struct us_outlook *outlook, int device) {
    for (size_t i = 0; outlook->device_memory && i < outlook->device_count; i++) {
        if (outlook->devices[i] == device - 1 && outlook->device_memory[i].total > 0) {
            return outlook->device_memory[i].free;
        }
    }
    return SIZE_MAX;
}

static void add_trainer(const struct us_nn_memory *taken, int place, struct us_memory *memory) {
    us_memory_add(memory, place, "weights", taken->weights);
    us_memory_add(memory, place, "gradients", taken->gradients);
    us_memory_add(memory, place, "optimizer and average", taken->optimizer);
    us_memory_add(memory, place, "activations", taken->activations);
    us_memory_add(memory, place, "scratch", taken->scratch);
    us_memory_add(memory, place, "discriminators", taken->adversaries);
    us_memory_add(memory, US_HOST_MEMORY, "layers of other sizes", taken->host);
}

/* What a rank keeps beside its trainer: data sets on the host, and on a device when they fit. */
static void add_faces(const struct us_outlook *outlook, const struct us_nn_trainer_config *config,
                      const struct people *people, size_t taken, struct us_memory *memory) {
    const size_t area = (size_t)people->size * (size_t)people->size;
    const size_t each =
        4 * area * sizeof(uint16_t) + 2 * MESH * sizeof(float) + sizeof(struct us_dataset_item);
    const size_t free = free_of(outlook, config->device);
    const struct us_nn_kept_memory kept =
        us_nn_trainer_kept_memory(config, people->counts, free > taken ? free - taken : 0);
    const bool ahead = config->device != US_NN_CPU && kept.device == 0;
    if (config->device != US_NN_CPU) {
        us_memory_add(memory, config->device - 1, kept.streamed ? "faces of a step" : "faces",
                      kept.device);
    }
    us_memory_add(memory, US_HOST_MEMORY, "faces", people->all * each);
    us_memory_add(memory, US_HOST_MEMORY, "batches",
                  us_train_batches_memory(config, ahead ? 2 : 1) + kept.host);
}

static struct us_error *add_rank(const struct us_outlook *outlook,
                                 const struct us_nn_trainer_config *config,
                                 const struct people *people, int ranks, struct us_memory *memory) {
    const struct train_params *p = outlook->params;
    struct us_nn_memory taken;
    if (us_training_memory(p, config, ranks, &taken)) {
        US_TRY(us_train_config_problem(config));
        return us_fail(US_FAILED, "its memory cannot be planned");
    }
    struct us_nn_trainer_config there = *config;
    us_growth_at(p, (uint64_t)p->steps - 1, &there.arch);
    add_trainer(&taken, config->device == US_NN_CPU ? US_HOST_MEMORY : config->device - 1, memory);
    add_faces(outlook, &there, people, us_nn_memory_sum(&taken), memory);
    return NULL;
}

/* What the first rank has beside: the state that is on its way to a file, the weights to start
 * from. */
static struct us_error *add_states(const struct us_nn_trainer_config *config, bool init,
                                   struct us_memory *memory) {
    struct us_nn_layout layout;
    US_TRY(us_nn_error(us_nn_layout_init(&layout, &config->arch), "lay out the model"));
    const size_t flat = layout.count * sizeof(float);
    us_memory_add(memory, US_HOST_MEMORY, "checkpoint",
                  (config->optimizer.average_decay > 0 ? 4 : 3) * flat);
    us_memory_add(memory, US_HOST_MEMORY, "model to start from", init ? flat : 0);
    us_nn_layout_finish(&layout);
    return NULL;
}

static void note_faces(const struct people *people, int ranks, struct us_memory *memory) {
    char of[32] = "";
    if (ranks > 1) {
        snprintf(of, sizeof of, "%d ranks, ", ranks);
    }
    if (!people->counted) {
        us_memory_note(memory, "%show many faces there are is not known", of);
    } else {
        us_memory_note(memory, people->at_most ? "%sat most %zu faces, one a frame" : "%s%zu faces",
                       of, people->all);
    }
}

struct us_error *us_train_memory(const struct us_outlook *outlook, struct us_swap_ports ports,
                                 struct us_memory *memory) {
    const struct train_params *p = outlook->params;
    const struct people people = people_of(outlook, ports);
    struct us_nn_trainer_config config;
    int places[US_NN_COMM_RANKS], world;
    memory->hint = us_training_memory_hint;
    if (people.size == 0) {
        us_memory_note(memory, "not known before the size of its faces is");
        return NULL;
    }
    const int here = us_team_places(us_ranks_wanted(p, outlook->device_count), outlook->devices,
                                    outlook->device_count, places, &world);
    US_TRY(us_ranks_split(p, world));
    for (int rank = 0; rank < here; rank++) {
        us_train_fill(p, people.size, "log", people.identities, &config);
        us_train_share(p, world, places[rank],
                       outlook->threads > here ? outlook->threads / here : 1, &config);
        US_TRY(add_rank(outlook, &config, &people, world, memory));
    }
    note_faces(&people, here, memory);
    return add_states(&config, outlook->inputs[ports.init].count > 0, memory);
}
