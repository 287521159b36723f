/* Makes one system call of a program fail: the K-th that concerns a file below PREFIX, counted over
 * all its threads and children, from 1. A program that a child becomes is left alone.
 *
 *     inject LOG PREFIX K WHAT PROGRAM [ARGUMENT...]
 *
 * WHAT is an errno's name (ENOSPC, EIO, EINTR, EDQUOT, ESTALE), `kill` (SIGKILL, before the call is
 * done) or `list`. LOG gets one line "K name path" for the call that was hit, or with `list` for
 * each that could be. Ends as the program does: its exit status, or 128 + signal. 99: it could not
 * be traced. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

enum { UNTRACEABLE = 99, MAX_THREADS = 256, NONE = -1 };

/* Which arguments name files: a descriptor, a path, or a path beside its folder's descriptor. */
struct call {
    long number;
    const char *name;
    int fd, path, at; /* `at`: descriptor of the path's folder */
    int second, second_at;
};

static const struct call calls[] = {
    {SYS_write, "write", 0, NONE, NONE, NONE, NONE},
    {SYS_pwrite64, "pwrite64", 0, NONE, NONE, NONE, NONE},
    {SYS_writev, "writev", 0, NONE, NONE, NONE, NONE},
    {SYS_pwritev, "pwritev", 0, NONE, NONE, NONE, NONE},
    {SYS_read, "read", 0, NONE, NONE, NONE, NONE},
    {SYS_pread64, "pread64", 0, NONE, NONE, NONE, NONE},
    {SYS_fsync, "fsync", 0, NONE, NONE, NONE, NONE},
    {SYS_fdatasync, "fdatasync", 0, NONE, NONE, NONE, NONE},
    {SYS_sync_file_range, "sync_file_range", 0, NONE, NONE, NONE, NONE},
    {SYS_close, "close", 0, NONE, NONE, NONE, NONE},
    {SYS_ftruncate, "ftruncate", 0, NONE, NONE, NONE, NONE},
    {SYS_fallocate, "fallocate", 0, NONE, NONE, NONE, NONE},
    {SYS_fchmod, "fchmod", 0, NONE, NONE, NONE, NONE},
    {SYS_getdents64, "getdents64", 0, NONE, NONE, NONE, NONE},
    {SYS_flock, "flock", 0, NONE, NONE, NONE, NONE},
    {SYS_fcntl, "fcntl", 0, NONE, NONE, NONE, NONE},
    {SYS_sendfile, "sendfile", 0, NONE, NONE, NONE, NONE},
    {SYS_copy_file_range, "copy_file_range", 2, NONE, NONE, NONE, NONE},
    {SYS_mmap, "mmap", 4, NONE, NONE, NONE, NONE},
    {SYS_utimensat, "utimensat", 0, 1, 0, NONE, NONE},
    {SYS_open, "open", NONE, 0, NONE, NONE, NONE},
    {SYS_creat, "creat", NONE, 0, NONE, NONE, NONE},
    {SYS_openat, "openat", NONE, 1, 0, NONE, NONE},
    {SYS_rename, "rename", NONE, 0, NONE, 1, NONE},
    {SYS_renameat, "renameat", NONE, 1, 0, 3, 2},
    {SYS_renameat2, "renameat2", NONE, 1, 0, 3, 2},
    {SYS_link, "link", NONE, 0, NONE, 1, NONE},
    {SYS_linkat, "linkat", NONE, 1, 0, 3, 2},
    {SYS_symlink, "symlink", NONE, 1, NONE, NONE, NONE},
    {SYS_unlink, "unlink", NONE, 0, NONE, NONE, NONE},
    {SYS_unlinkat, "unlinkat", NONE, 1, 0, NONE, NONE},
    {SYS_rmdir, "rmdir", NONE, 0, NONE, NONE, NONE},
    {SYS_mkdir, "mkdir", NONE, 0, NONE, NONE, NONE},
    {SYS_mkdirat, "mkdirat", NONE, 1, 0, NONE, NONE},
    {SYS_chmod, "chmod", NONE, 0, NONE, NONE, NONE},
    {SYS_truncate, "truncate", NONE, 0, NONE, NONE, NONE},
};

static const struct {
    const char *name;
    int number;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EINTR", EINTR},
              {"EDQUOT", EDQUOT}, {"ESTALE", ESTALE}, {"EACCES", EACCES}};

static FILE *log_file;
static const char *prefix;
static long wanted, seen;
static int error_number; /* 0: kill */
static bool listing;

/* Calls that are to fail once they return, by thread. */
static struct {
    pid_t thread;
    bool failing;
} threads[MAX_THREADS];

static bool *failing(pid_t thread) {
    for (int i = 0; i < MAX_THREADS; i++) {
        if (threads[i].thread == thread || !threads[i].thread) {
            threads[i].thread = thread;
            return &threads[i].failing;
        }
    }
    fprintf(stderr, "inject: more than %d threads\n", MAX_THREADS);
    exit(UNTRACEABLE);
}

static void path_of_fd(pid_t thread, int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", (int)thread,
             fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
}

static bool read_text(pid_t thread, uint64_t address, char text[PATH_MAX]) {
    size_t used = 0;
    while (used < PATH_MAX - 1) {
        size_t size = 256 - (address + used) % 256; /* never over a page's end */
        size = size < PATH_MAX - 1 - used ? size : PATH_MAX - 1 - used;
        struct iovec here = {text + used, size},
                     there = {(void *)(uintptr_t)(address + used), size}; // NOLINT
        if (process_vm_readv(thread, &here, 1, &there, 1, 0) != (ssize_t)size) {
            return false;
        }
        if (memchr(text + used, '\0', size)) {
            return true;
        }
        used += size;
    }
    return false;
}

static void path_of(pid_t thread, const uint64_t *args, int path, int at, char full[PATH_MAX]) {
    char text[PATH_MAX], folder[PATH_MAX] = "";
    full[0] = '\0';
    if (!args[path] || !read_text(thread, args[path], text)) {
        return;
    }
    if (text[0] != '/') {
        path_of_fd(thread, at == NONE ? AT_FDCWD : (int)args[at], folder);
    }
    int length = snprintf(full, PATH_MAX, "%s%s%s", folder, folder[0] ? "/" : "", text);
    full[length < PATH_MAX ? length : 0] = '\0';
}

static bool below_prefix(const char *path) {
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

static const struct call *match(pid_t thread, const struct ptrace_syscall_info *info,
                                char path[PATH_MAX]) {
    uint64_t args[6];
    memcpy(args, info->entry.args, sizeof args);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct call *call = &calls[i];
        if ((uint64_t)call->number != info->entry.nr) {
            continue;
        }
        path[0] = '\0';
        if (call->path != NONE && (call->fd == NONE || args[call->path])) {
            path_of(thread, args, call->path, call->at, path);
        } else if ((int)args[call->fd] >= 0) {
            path_of_fd(thread, (int)args[call->fd], path);
        }
        if (!below_prefix(path) && call->second != NONE) {
            path_of(thread, args, call->second, call->second_at, path);
        }
        return below_prefix(path) ? call : NULL;
    }
    return NULL;
}

/* The kernel looks for call -1, finds none, and we put in the error when it returns. */
static void skip_call(pid_t thread) {
    struct user_regs_struct registers;
    ptrace(PTRACE_GETREGS, thread, NULL, &registers);
    registers.orig_rax = (unsigned long long)-1;
    ptrace(PTRACE_SETREGS, thread, NULL, &registers);
}

static void fail_call(pid_t thread) {
    struct user_regs_struct registers;
    ptrace(PTRACE_GETREGS, thread, NULL, &registers);
    registers.rax = (unsigned long long)-error_number;
    ptrace(PTRACE_SETREGS, thread, NULL, &registers);
}

static pid_t process_of(pid_t thread) {
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
    FILE *file = fopen(path, "re");
    long process = thread;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "Tgid:", 5) == 0) {
            process = strtol(line + 5, NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return (pid_t)process;
}

static void enter(pid_t thread, const struct ptrace_syscall_info *info) {
    char path[PATH_MAX];
    const struct call *call = seen >= wanted && !listing ? NULL : match(thread, info, path);
    if (!call || (++seen != wanted && !listing)) {
        return;
    }
    fprintf(log_file, "%ld %s %s\n", seen, call->name, path);
    fflush(log_file);
    if (listing) {
        return;
    }
    if (!error_number) {
        kill(process_of(thread), SIGKILL);
        return;
    }
    *failing(thread) = true;
    if (call->number != SYS_close) { /* a close that fails has closed all the same */
        skip_call(thread);
    }
}

static void at_call(pid_t thread) {
    struct ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0) {
        return;
    }
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        enter(thread, &info);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && *failing(thread)) {
        *failing(thread) = false;
        fail_call(thread);
    }
}

/* Until the first process is gone; what it left running is ended with us. */
static int follow(pid_t first) {
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0) {
            return UNTRACEABLE;
        }
        if (!WIFSTOPPED(status)) {
            *failing(thread) = false;
            if (thread == first) {
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            }
            continue;
        }
        int stopped = WSTOPSIG(status);
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8) && thread != first) {
            ptrace(PTRACE_DETACH, thread, NULL, 0L);
            continue;
        }
        if (stopped == (SIGTRAP | 0x80)) {
            at_call(thread);
        }
        bool own = stopped == SIGTRAP || stopped == (SIGTRAP | 0x80) || stopped == SIGSTOP;
        ptrace(PTRACE_SYSCALL, thread, NULL, own ? 0L : (long)stopped);
    }
}

int main(int count, char **words) {
    if (count < 6) {
        fputs("usage: inject LOG PREFIX K WHAT PROGRAM [ARGUMENT...]\n", stderr);
        return UNTRACEABLE;
    }
    log_file = fopen(words[1], "we");
    prefix = words[2];
    wanted = strtol(words[3], NULL, 10);
    listing = strcmp(words[4], "list") == 0;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        error_number = strcmp(words[4], errors[i].name) == 0 ? errors[i].number : error_number;
    }
    bool known = listing || error_number || strcmp(words[4], "kill") == 0;
    pid_t child = log_file && known ? fork() : -1;
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(UNTRACEABLE);
        }
        raise(SIGSTOP);
        execv(words[5], words + 5);
        _exit(UNTRACEABLE);
    }
    int status;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, child, NULL, options) != 0) {
        fprintf(stderr, "inject: cannot trace %s\n", words[5]);
        return UNTRACEABLE;
    }
    ptrace(PTRACE_SYSCALL, child, NULL, 0L);
    return follow(child);
}
