#include "nodes/learn/local_ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nodes/learn/rendezvous.h"
#include "runtime/base/mem.h"

extern char **environ;

enum { SETTINGS = 7, END_SECONDS = 5 };

static const char *const names[SETTINGS] = {
    "UNDERSTUDY_RANK=", "UNDERSTUDY_WORLD_SIZE=", "UNDERSTUDY_LOCAL_RANK=", "UNDERSTUDY_ADDRESS=",
    "UNDERSTUDY_PORT=", "UNDERSTUDY_JOB_KEY=",    "UNDERSTUDY_LAUNCHER="};

static bool is_ours(const char *variable) {
    for (int i = 0; i < SETTINGS; i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Our environment with that rank's settings; `texts` holds them. */
static char **environment(const struct us_ranks *ranks, int rank, const char *key,
                          char texts[SETTINGS][128]) {
    size_t count = 0, kept = 0;
    while (environ[count]) {
        count++;
    }
    char **all = us_calloc(count + SETTINGS + 1, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(environ[i])) {
            all[kept++] = environ[i];
        }
    }
    snprintf(texts[0], 128, "%s%d", names[0], rank);
    snprintf(texts[1], 128, "%s%d", names[1], ranks->world);
    snprintf(texts[2], 128, "%s%d", names[2], rank);
    snprintf(texts[3], 128, "%s127.0.0.1", names[3]);
    snprintf(texts[4], 128, "%s%d", names[4], ranks->port);
    snprintf(texts[5], 128, "%s%s", names[5], key);
    snprintf(texts[6], 128, "%sunderstudy", names[6]);
    for (int i = 0; i < SETTINGS; i++) {
        all[kept++] = texts[i];
    }
    return all;
}

static struct us_error *start_one(const struct us_ranks *ranks, int rank, const char *key,
                                  pid_t *pid) {
    char texts[SETTINGS][128];
    char *argv[] = {(char[]){"understudy"}, (char[]){"rank"}, NULL};
    char **env = environment(ranks, rank, key, texts);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    const int number = posix_spawn(pid, "/proc/self/exe", &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    us_free(env);
    return number ? us_error_from_errno(number, "cannot start rank %d", rank) : NULL;
}

struct us_error *us_local_ranks_start(int world, struct us_ranks *ranks, int *listener,
                                      struct us_local_ranks *started) {
    char key[2 * US_JOB_KEY + 1];
    *ranks = (struct us_ranks){.launcher = "understudy", .world = world, .address = "127.0.0.1"};
    *started = (struct us_local_ranks){.world = world};
    US_TRY(us_ranks_times(ranks));
    us_job_key_random(key);
    us_job_key(key, strlen(key), ranks->key);
    US_TRY(us_rendezvous_listen(ranks, listener));
    struct us_error *error = NULL;
    for (int r = 1; r < world && !error; r++) {
        error = start_one(ranks, r, key, &started->pids[r]);
    }
    if (error) {
        close(*listener);
        *listener = -1;
        us_local_ranks_end(started);
    }
    return error;
}

/* True once it has ended; it is reaped. */
static bool ended(struct us_local_ranks *s, int rank, int *status) {
    if (s->pids[rank] <= 0 || waitpid(s->pids[rank], status, WNOHANG) != s->pids[rank]) {
        return false;
    }
    s->pids[rank] = 0;
    return true;
}

bool us_local_ranks_died(struct us_local_ranks *s, char *text, size_t size) {
    for (int r = 1; r < s->world; r++) {
        int status;
        if (ended(s, r, &status) && WIFSIGNALED(status)) {
            snprintf(text, size, "rank %d was ended by signal %d (%s)", r, WTERMSIG(status),
                     strsignal(WTERMSIG(status)));
            return true;
        }
    }
    return false;
}

void us_local_ranks_end(struct us_local_ranks *s) {
    int running = 1, status;
    for (int tenths = 0; running && tenths < 10 * END_SECONDS; tenths++) {
        running = 0;
        for (int r = 1; r < s->world; r++) {
            running += s->pids[r] > 0 && !ended(s, r, &status);
        }
        if (running) {
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        }
    }
    for (int r = 1; r < s->world; r++) {
        if (s->pids[r] > 0) {
            kill(s->pids[r], SIGKILL);
            waitpid(s->pids[r], &status, 0);
        }
    }
    *s = (struct us_local_ranks){0};
}
