/* Files under the random edits: sources that change in every nasty way, damaged objects, lost
 * files. */
#ifndef US_TESTS_SUPPORT_EDIT_DISK_H
#define US_TESTS_SUPPORT_EDIT_DISK_H

#include <time.h>

#include "tests/support/edit_oracle.h"

struct edit_damage {
    struct us_digest digest;
    uint64_t inode;
};

struct edit_disk {
    char folder[160], cache[200];
    struct timespec last; /* the latest change that a file here has */
    /* Changes are told apart by their time stamps although they follow each other within a tick of
     * the file system's clock: each is made until its stamp is new. Else the cache has to notice.
     */
    bool stamped;
    struct edit_damage damaged[64];
    int damage_count;
};

/* A fresh folder. */
void edit_disk_make(struct edit_disk *disk, const char *folder);
/* Writes a file in place. */
void edit_disk_put(struct edit_disk *disk, const char *path, const char *text);
/* Writes all source files. */
void edit_disk_sources(struct edit_disk *disk, const struct edit_sources *sources);

/* Changes one source file at random; returns what it did. */
const char *edit_disk_source(struct edit_random *random, struct edit_disk *disk,
                             struct edit_sources *sources);
/* Puts every deleted one back. */
void edit_disk_restore(struct edit_random *random, struct edit_disk *disk,
                       struct edit_sources *sources);
/* Deletes or damages objects that hold results of tasks (and may change what reads a training), or
 * the file that a task wrote. */
const char *edit_disk_object(struct edit_random *random, struct edit_disk *disk,
                             struct edit_world *world, const struct edit_state *state);
const char *edit_disk_written(struct edit_random *random, struct edit_disk *disk,
                              const struct edit_world *world, const struct edit_state *state);

/* The path of what a task writes into the folder `out`. */
void edit_disk_path(const struct edit_disk *disk, const struct edit_world *world, const char *out,
                    const struct edit_task *task, char path[300]);
/* True when the file holds what the task's result says. */
bool edit_disk_written_right(const struct edit_disk *disk, const struct edit_world *world,
                             const char *out, const struct edit_task *task);
/* Fills in `at_hand` of every task. */
void edit_disk_look(struct edit_disk *disk, const struct edit_world *world, struct us_store *store,
                    struct edit_state *state);

#endif
