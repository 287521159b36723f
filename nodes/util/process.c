#include "nodes/util/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TAIL = 800 };

/* The last bytes a command printed. */
struct tail {
    char bytes[TAIL];
    size_t length;
};

struct child {
    pid_t pid;
    int output, end; /* what it prints; readable once it has ended, or -1: cannot be told */
    bool silent;     /* it closed its output */
    struct tail tail;
};

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void tail_add(struct tail *tail, const char *bytes, size_t count) {
    if (count >= TAIL) {
        bytes += count - TAIL;
        count = TAIL;
    }
    if (tail->length + count > TAIL) {
        size_t drop = tail->length + count - TAIL;
        memmove(tail->bytes, tail->bytes + drop, tail->length - drop);
        tail->length -= drop;
    }
    memcpy(tail->bytes + tail->length, bytes, count);
    tail->length += count;
}

/* Lines joined by " | ", without control characters. */
static void tail_text(const struct tail *tail, char text[4 * TAIL]) {
    size_t end = 0, last = tail->length;
    while (last && isspace((unsigned char)tail->bytes[last - 1])) {
        last--;
    }
    for (size_t i = 0; i < last; i++) {
        char c = tail->bytes[i];
        if (c == '\n') {
            memcpy(text + end, " | ", 3);
            end += 3;
        } else {
            text[end++] = iscntrl((unsigned char)c) ? ' ' : c;
        }
    }
    text[end] = '\0';
}

static void prepare_actions(posix_spawn_file_actions_t *actions, const char *folder, int output) {
    posix_spawn_file_actions_init(actions);
    posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(actions, output, 1);
    posix_spawn_file_actions_adddup2(actions, output, 2);
    posix_spawn_file_actions_addclosefrom_np(actions, 3);
    posix_spawn_file_actions_addchdir_np(actions, folder);
}

static void prepare_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(attributes);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setsigmask(attributes, &none);
}

static struct us_error *start(const struct us_process *process, struct child *child) {
    int ends[2];
    /* Only our end does not wait: a command is not made for a full pipe that fails. */
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return us_error_from_errno(errno, "cannot start '%s'", process->argv[0]);
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    prepare_actions(&actions, process->folder, ends[1]);
    prepare_attributes(&attributes);
    int number = posix_spawn(&child->pid, process->program, &actions, &attributes,
                             (char *const *)process->argv, (char *const *)process->env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    if (number != 0) {
        close(ends[0]);
        return us_error_from_errno(number, "cannot start '%s'", process->argv[0]);
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    child->output = ends[0];
    child->end = pidfd_open(child->pid, 0);
    return NULL;
}

/* Takes what was printed; waits for more, or for the end, at most `milliseconds`. */
static void listen_to(struct child *child, int milliseconds) {
    struct pollfd ready[2] = {{.fd = child->silent ? -1 : child->output, .events = POLLIN},
                              {.fd = child->end, .events = POLLIN}};
    char bytes[4096];
    const bool blind = child->silent && child->end < 0;
    if (poll(ready, 2, blind && milliseconds > 5 ? 5 : milliseconds) <= 0 || !ready[0].revents) {
        return;
    }
    ssize_t count = read(child->output, bytes, sizeof bytes);
    for (int round = 0; count > 0 && round < 64; round++) {
        tail_add(&child->tail, bytes, (size_t)count);
        count = read(child->output, bytes, sizeof bytes);
    }
    child->silent = count == 0;
}

/* True when it has ended; it is not reaped, so that its group's number stays its own. */
static bool has_ended(const struct child *child) {
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == child->pid;
}

static void stop(struct child *child) {
    double deadline = seconds_now() + 2.0;
    kill(-child->pid, SIGTERM);
    while (!has_ended(child) && seconds_now() < deadline) {
        listen_to(child, 20);
    }
}

static int reap(struct child *child) {
    int status = 0;
    kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static struct us_error *wait_for(const struct us_process *process, struct child *child) {
    double deadline = seconds_now() + process->timeout_s;
    while (!has_ended(child)) {
        listen_to(child, 100);
        US_TRY(process->ask(process->context));
        if (seconds_now() > deadline) {
            return us_error_hint(us_fail(US_FAILED, "'%s' took longer than %g seconds",
                                         process->argv[0], process->timeout_s),
                                 "raise timeout_s");
        }
    }
    listen_to(child, 0);
    return NULL;
}

static struct us_error *judge(const struct us_process *process, const struct child *child,
                              int status) {
    char said[4 * TAIL];
    tail_text(&child->tail, said);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return NULL;
    }
    struct us_error *cause =
        said[0] ? us_fail(US_FAILED, "it said: %s", said) : us_fail(US_FAILED, "it said nothing");
    if (WIFSIGNALED(status)) {
        return us_error_wrap(cause, "'%s' was ended by signal %d (%s)", process->argv[0],
                             WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    return us_error_wrap(cause, "'%s' ended with exit status %d", process->argv[0],
                         WEXITSTATUS(status));
}

struct us_error *us_process_run(const struct us_process *process) {
    struct child child = {0};
    US_TRY(start(process, &child));
    struct us_error *error = wait_for(process, &child);
    if (error) {
        stop(&child);
    }
    int status = reap(&child);
    close(child.output);
    if (child.end >= 0) {
        close(child.end);
    }
    return error ? error : judge(process, &child, status);
}
