#include "tests/support/edit_disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

void edit_disk_make(struct edit_disk *disk, const char *folder) {
    *disk = (struct edit_disk){.stamped = true};
    snprintf(disk->folder, sizeof disk->folder, "%s", folder);
    snprintf(disk->cache, sizeof disk->cache, "%s/cache", folder);
    char path[300];
    snprintf(path, sizeof path, "%s/src", folder);
    ASSERT_OK(us_make_folders(path));
    snprintf(path, sizeof path, "%s/out", folder);
    ASSERT_OK(us_make_folders(path));
}

static bool later(struct timespec a, struct timespec b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

enum mtime { MTIME_NOW, MTIME_SAME, MTIME_OLD };

/* Writes in place, or as a new file under the old name. */
static void put(struct edit_disk *disk, const char *path, const char *text, bool in_place,
                enum mtime mtime) {
    struct stat before, now;
    char beside[310];
    bool there = stat(path, &before) == 0;
    if (there && later(before.st_ctim, disk->last)) {
        disk->last = before.st_ctim;
    }
    snprintf(beside, sizeof beside, "%s.new", path);
    const char *target = in_place ? path : beside;
    do {
        int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        const size_t size = strlen(text);
        assert_true(fd >= 0 && write(fd, text, size) == (ssize_t)size);
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
        if (mtime != MTIME_NOW && there) {
            times[1] = before.st_mtim;
            times[1].tv_sec -= mtime == MTIME_OLD ? 100000 : 0;
        }
        assert_true(futimens(fd, times) == 0 && fstat(fd, &now) == 0 && close(fd) == 0);
    } while (disk->stamped && !later(now.st_ctim, disk->last));
    disk->last = later(now.st_ctim, disk->last) ? now.st_ctim : disk->last;
    assert_true(in_place || rename(beside, path) == 0);
}

void edit_disk_put(struct edit_disk *disk, const char *path, const char *text) {
    put(disk, path, text, true, MTIME_NOW);
}

static void source_path(const struct edit_disk *disk, int set, int take, int frame,
                        char path[300]) {
    snprintf(path, 300, "%s/src/s%d.%d.%d", disk->folder, set, take, frame);
}

void edit_disk_sources(struct edit_disk *disk, const struct edit_sources *sources) {
    for (int set = 0; set < EDIT_SETS; set++) {
        for (int take = 0; take < EDIT_TAKES; take++) {
            for (int frame = 1; frame <= EDIT_FRAMES; frame++) {
                char path[300];
                source_path(disk, set, take, frame, path);
                put(disk, path, edit_source_text(sources->variant[set][take][frame]), true,
                    MTIME_NOW);
            }
        }
    }
}

const char *edit_disk_source(struct edit_random *random, struct edit_disk *disk,
                             struct edit_sources *sources) {
    const int set = (int)edit_below(random, EDIT_SETS);
    const int take = edit_chance(random, 15), frame = 1 + (int)edit_below(random, EDIT_FRAMES - 4);
    int *variant = &sources->variant[set][take][frame];
    char path[300];
    source_path(disk, set, take, frame, path);
    if (*variant < 0) {
        edit_disk_restore(random, disk, sources);
        return "a deleted source put back";
    }
    const int fresh = (*variant + 1 + (int)edit_below(random, 5)) % 6;
    switch (edit_below(random, 8)) {
    case 0:
        put(disk, path, edit_source_text(*variant), edit_chance(random, 50), MTIME_NOW);
        return "a source touched, the same bytes";
    case 1:
        *variant = *variant < 6 ? fresh : *variant ^ 1;
        put(disk, path, edit_source_text(*variant), edit_chance(random, 50), MTIME_OLD);
        return "a source's bytes, older time";
    case 2:
    case 3:
        *variant = *variant < 6 ? fresh : *variant;
        put(disk, path, edit_source_text(*variant), edit_chance(random, 70), MTIME_SAME);
        return "a source's bytes, same size and time";
    case 4:
        assert_int_equal(unlink(path), 0);
        *variant = -1;
        return "a source deleted";
    case 5: {
        const int other = 1 + frame % (EDIT_FRAMES - 4), kept = *variant;
        if (sources->variant[set][take][other] >= 0) {
            *variant = sources->variant[set][take][other];
            sources->variant[set][take][other] = kept;
            put(disk, path, edit_source_text(*variant), true, MTIME_NOW);
            source_path(disk, set, take, other, path);
            put(disk, path, edit_source_text(kept), true, MTIME_NOW);
        }
        return "two sources swapped";
    }
    default:
        *variant = (int)edit_below(random, 8);
        put(disk, path, edit_source_text(*variant), edit_chance(random, 50), MTIME_NOW);
        return "a source's bytes";
    }
}

void edit_disk_restore(struct edit_random *random, struct edit_disk *disk,
                       struct edit_sources *sources) {
    for (int set = 0; set < EDIT_SETS; set++) {
        for (int take = 0; take < EDIT_TAKES; take++) {
            for (int frame = 1; frame <= EDIT_FRAMES; frame++) {
                int *variant = &sources->variant[set][take][frame];
                char path[300];
                source_path(disk, set, take, frame, path);
                if (*variant < 0) {
                    *variant = (int)edit_below(random, 6);
                    put(disk, path, edit_source_text(*variant), true, MTIME_NOW);
                }
            }
        }
    }
}

static void object_path(const struct edit_disk *disk, const struct us_digest *digest,
                        char path[300]) {
    char hex[US_DIGEST_HEX];
    us_digest_hex(digest, hex);
    snprintf(path, 300, "%s/objects/%.2s/%s", disk->cache, hex, hex);
}

/* Any task; trainings, of which there are few, more often than others. */
static const struct edit_task *any_task(struct edit_random *random, const struct edit_world *world,
                                        const struct edit_state *state) {
    const int first = (int)edit_below(random, (uint32_t)state->count);
    bool training = edit_chance(random, 40);
    for (int i = 0; training && i < state->count; i++) {
        const struct edit_task *task = &state->tasks[(first + i) % state->count];
        if (world->nodes[task->node].kind == EDIT_TRAIN) {
            return task;
        }
    }
    return &state->tasks[first];
}

/* False when there is no such object. */
static bool harm(struct edit_random *random, struct edit_disk *disk, const struct edit_task *task,
                 bool gone) {
    struct stat info;
    char path[300];
    const bool low = task->numbers[1] != task->numbers[0] && edit_chance(random, 50);
    const struct us_digest *digest = &task->digests[low];
    object_path(disk, digest, path);
    if (!task->known || stat(path, &info) != 0) {
        return false;
    }
    if (gone || disk->damage_count == 64) {
        assert_int_equal(unlink(path), 0);
        return true;
    }
    chmod(path, 0640);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0 && pwrite(fd, "!", 1, 8) == 1 && close(fd) == 0);
    chmod(path, 0440);
    disk->damaged[disk->damage_count++] = (struct edit_damage){*digest, info.st_ino};
    return true;
}

/* A training is made anew only when something that runs reads it. */
static bool lose_training(struct edit_random *random, struct edit_disk *disk,
                          struct edit_world *world, const struct edit_state *state) {
    for (int t = 0; t < state->count; t++) {
        const struct edit_task *task = &state->tasks[t];
        const bool training =
            task->node < world->count && world->nodes[task->node].kind == EDIT_TRAIN;
        for (int n = 0; training && n < world->count; n++) {
            struct edit_node *node = &world->nodes[n];
            if (node->link_count[0] && node->links[0][0].node == task->node &&
                harm(random, disk, task, true)) {
                node->i = edit_below(random, 4);
                return true;
            }
        }
    }
    return false;
}

const char *edit_disk_object(struct edit_random *random, struct edit_disk *disk,
                             struct edit_world *world, const struct edit_state *state) {
    if (edit_chance(random, 15)) {
        for (int t = 0; t < state->count; t++) {
            harm(random, disk, &state->tasks[t], true);
        }
        return "all objects deleted";
    }
    if (edit_chance(random, 30) && lose_training(random, disk, world, state)) {
        return "a training lost, what reads it changed";
    }
    for (int tries = 0; tries < 20; tries++) {
        const bool gone = edit_chance(random, 60);
        if (harm(random, disk, any_task(random, world, state), gone)) {
            return gone ? "an object deleted" : "an object damaged";
        }
    }
    return "no object to damage";
}

void edit_disk_path(const struct edit_disk *disk, const struct edit_world *world, const char *out,
                    const struct edit_task *task, char path[300]) {
    const struct edit_node *node = &world->nodes[task->node];
    if (node->kind == EDIT_SHEET) {
        snprintf(path, 300, "%s/%s/w%d", disk->folder, out, node->path);
    } else {
        snprintf(path, 300, "%s/%s/w%d.%d.%d", disk->folder, out, node->path, task->frame.take,
                 task->frame.number);
    }
}

const char *edit_disk_written(struct edit_random *random, struct edit_disk *disk,
                              const struct edit_world *world, const struct edit_state *state) {
    for (int tries = 0; tries < 20; tries++) {
        const struct edit_task *task = &state->tasks[edit_below(random, (uint32_t)state->count)];
        char path[300];
        if (!edit_writes(world->nodes[task->node].kind)) {
            continue;
        }
        edit_disk_path(disk, world, "out", task, path);
        if (access(path, F_OK) != 0) {
            continue;
        }
        if (edit_chance(random, 40)) {
            assert_int_equal(unlink(path), 0);
            return "a written file deleted";
        }
        put(disk, path, "0123456789abcdef", edit_chance(random, 50),
            edit_chance(random, 50) ? MTIME_SAME : MTIME_NOW);
        return "a written file overwritten";
    }
    return "no written file to harm";
}

bool edit_disk_written_right(const struct edit_disk *disk, const struct edit_world *world,
                             const char *out, const struct edit_task *task) {
    char path[300], text[EDIT_TEXT], got[EDIT_TEXT + 1];
    const size_t size = edit_text(world->nodes[task->node].kind, task->numbers[0], text);
    edit_disk_path(disk, world, out, task, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    const ssize_t read_size = read(fd, got, sizeof got);
    close(fd);
    return read_size == (ssize_t)size && memcmp(got, text, size) == 0;
}

static bool object_damaged(const struct edit_disk *disk, const struct us_digest *digest) {
    for (int i = 0; i < disk->damage_count; i++) {
        struct stat info;
        char path[300];
        object_path(disk, digest, path);
        if (us_digest_equal(&disk->damaged[i].digest, digest) && stat(path, &info) == 0 &&
            info.st_ino == disk->damaged[i].inode) {
            return true;
        }
    }
    return false;
}

void edit_disk_look(struct edit_disk *disk, const struct edit_world *world, struct us_store *store,
                    struct edit_state *state) {
    for (int t = 0; t < state->count; t++) {
        struct edit_task *task = &state->tasks[t];
        const enum edit_kind kind = world->nodes[task->node].kind;
        if (edit_writes(kind)) {
            task->at_hand = task->there = edit_disk_written_right(disk, world, "out", task);
            continue;
        }
        task->at_hand = task->there = true;
        for (int i = 0; i < (kind == EDIT_TWO ? 2 : 1); i++) {
            task->there &= store->ops->has_object(store, &task->digests[i]);
            task->at_hand &= task->there && !object_damaged(disk, &task->digests[i]);
        }
    }
}
