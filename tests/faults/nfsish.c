/* A file system for tests: a folder seen through another mount, by the rules of NFS.
 *
 *     nfsish FOLDER MOUNTPOINT SECONDS CONTROL
 *
 * Names, missing names and attributes are remembered for SECONDS, whatever another mount of the
 * same folder does meanwhile; an open asks for the attributes anew (close-to-open), and finds
 * ESTALE when the file it knew is gone. No O_TMPFILE, no flags of rename, no locks, no access
 * times. The file CONTROL, when it is there, makes calls go wrong, by
 * what arranged.h says. Runs until it is unmounted. */
#define FUSE_USE_VERSION 34
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/faults/arranged.h"

enum { BUCKETS = 4096 };

/* A file, as long as the kernel knows it; what NFS calls a handle. */
struct node {
    int fd; /* O_PATH */
    ino_t ino;
    dev_t dev;
    uint64_t lookups;
    struct node *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *table[BUCKETS], root;
static struct fuse_session *session;
static double stale;
static const char *control;

static struct node *node_of(fuse_ino_t ino) {
    return ino == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)ino; // NOLINT
}

static void fd_path(int fd, char path[64]) {
    snprintf(path, 64, "/proc/self/fd/%d", fd);
}

static int find(struct node *parent, const char *name, struct fuse_entry_param *entry) {
    *entry = (struct fuse_entry_param){.attr_timeout = stale, .entry_timeout = stale};
    int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &entry->attr) != 0) {
        return errno;
    }
    struct node **bucket = &table[entry->attr.st_ino % BUCKETS];
    pthread_mutex_lock(&lock);
    struct node *node = *bucket;
    while (node && (node->ino != entry->attr.st_ino || node->dev != entry->attr.st_dev)) {
        node = node->next;
    }
    if (node) {
        close(fd);
    } else {
        node = calloc(1, sizeof *node);
        *node = (struct node){
            .fd = fd, .ino = entry->attr.st_ino, .dev = entry->attr.st_dev, .next = *bucket};
        *bucket = node;
    }
    node->lookups++;
    pthread_mutex_unlock(&lock);
    entry->ino = (uintptr_t)node;
    return 0;
}

static void forget_one(fuse_ino_t ino, uint64_t lookups) {
    struct node *node = node_of(ino);
    if (node == &root) {
        return;
    }
    pthread_mutex_lock(&lock);
    node->lookups -= lookups;
    if (node->lookups == 0) {
        struct node **at = &table[node->ino % BUCKETS];
        while (*at != node) {
            at = &(*at)->next;
        }
        *at = node->next;
        close(node->fd);
        free(node);
    }
    pthread_mutex_unlock(&lock);
}

static void do_forget(fuse_req_t request, fuse_ino_t ino, uint64_t lookups) {
    forget_one(ino, lookups);
    fuse_reply_none(request);
}

static void reply_entry(fuse_req_t request, fuse_ino_t parent, const char *name) {
    struct fuse_entry_param entry;
    int failed = find(node_of(parent), name, &entry);
    if (failed) {
        fuse_reply_err(request, failed);
    } else {
        fuse_reply_entry(request, &entry);
    }
}

static void do_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
    struct fuse_entry_param entry;
    int failed = find(node_of(parent), name, &entry);
    if (failed == ENOENT) {
        entry.ino = 0; /* that it is missing is remembered too */
        entry.entry_timeout = done_is_arranged(control) ? 0 : stale;
        failed = 0;
    }
    if (failed) {
        fuse_reply_err(request, failed);
    } else {
        fuse_reply_entry(request, &entry);
    }
}

static void do_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)file;
    struct stat info;
    if (fstat(node_of(ino)->fd, &info) != 0) {
        fuse_reply_err(request, errno);
    } else {
        fuse_reply_attr(request, &info, stale);
    }
}

static int set_times(const char *path, const struct stat *to, int what) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    if (what & FUSE_SET_ATTR_ATIME_NOW) {
        times[0].tv_nsec = UTIME_NOW;
    } else if (what & FUSE_SET_ATTR_ATIME) {
        times[0] = to->st_atim;
    }
    if (what & FUSE_SET_ATTR_MTIME_NOW) {
        times[1].tv_nsec = UTIME_NOW;
    } else if (what & FUSE_SET_ATTR_MTIME) {
        times[1] = to->st_mtim;
    }
    return utimensat(AT_FDCWD, path, times, 0);
}

static void do_setattr(fuse_req_t request, fuse_ino_t ino, struct stat *to, int what,
                       struct fuse_file_info *file) {
    char path[64];
    fd_path(node_of(ino)->fd, path);
    bool failed = (what & FUSE_SET_ATTR_MODE) && chmod(path, to->st_mode) != 0;
    if (!failed && (what & FUSE_SET_ATTR_SIZE)) {
        failed = (file ? ftruncate((int)file->fh, to->st_size) : truncate(path, to->st_size)) != 0;
    }
    if (!failed && (what & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME))) {
        failed = set_times(path, to, what) != 0;
    }
    if (failed) {
        fuse_reply_err(request, errno);
    } else {
        do_getattr(request, ino, NULL);
    }
}

static void do_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode) {
    if (mkdirat(node_of(parent)->fd, name, mode) != 0) {
        fuse_reply_err(request, errno);
    } else {
        reply_entry(request, parent, name);
    }
}

static void do_unlink(fuse_req_t request, fuse_ino_t parent, const char *name) {
    bool done;
    int fd = node_of(parent)->fd, reported = arranged(control, "unlink", fd, name, &done);
    int failed = done && unlinkat(fd, name, 0) != 0 ? errno : 0;
    fuse_reply_err(request, reported ? reported : failed);
}

static void do_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name) {
    fuse_reply_err(request, unlinkat(node_of(parent)->fd, name, AT_REMOVEDIR) == 0 ? 0 : errno);
}

static void do_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t other,
                      const char *to, unsigned flags) {
    bool done;
    if (flags) {
        fuse_reply_err(request, EINVAL);
        return;
    }
    int reported = arranged(control, "rename", node_of(other)->fd, to, &done);
    int failed =
        done && renameat(node_of(parent)->fd, name, node_of(other)->fd, to) != 0 ? errno : 0;
    fuse_reply_err(request, reported ? reported : failed);
}

static void do_link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char *name) {
    char path[64];
    bool done;
    int folder = node_of(parent)->fd, reported = arranged(control, "link", folder, name, &done);
    fd_path(node_of(ino)->fd, path);
    int failed = done && linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) != 0 ? errno : 0;
    if (reported || failed) {
        fuse_reply_err(request, reported ? reported : failed);
    } else {
        reply_entry(request, parent, name);
    }
}

static int reopen(struct node *node, int flags) {
    char path[64];
    struct stat info;
    if (fstat(node->fd, &info) == 0 && info.st_nlink == 0) {
        errno = ESTALE;
        return -1;
    }
    fd_path(node->fd, path);
    int fd = open(path, (flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)) | O_NOATIME | O_CLOEXEC);
    return fd < 0 && errno == EPERM ? open(path, (flags & ~O_NOFOLLOW) | O_CLOEXEC) : fd;
}

static void do_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    bool done;
    int reported = arranged(control, "open", node_of(ino)->fd, "", &done);
    int fd = reported ? -1 : reopen(node_of(ino), file->flags);
    if (fd < 0) {
        fuse_reply_err(request, reported ? reported : errno);
        return;
    }
    file->fh = (uint64_t)fd;
    fuse_lowlevel_notify_inval_inode(session, ino, -1, 0); /* the attributes alone */
    fuse_reply_open(request, file);
}

static void do_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *file) {
    struct fuse_entry_param entry;
    int fd =
        openat(node_of(parent)->fd, name, (file->flags | O_CREAT | O_CLOEXEC) & ~O_NOFOLLOW, mode);
    int failed = fd < 0 ? errno : find(node_of(parent), name, &entry);
    if (failed) {
        fuse_reply_err(request, failed);
        return;
    }
    file->fh = (uint64_t)fd;
    fuse_reply_create(request, &entry, file);
}

static void do_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *file) {
    (void)ino;
    struct fuse_bufvec buffers = FUSE_BUFVEC_INIT(size);
    buffers.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    buffers.buf[0].fd = (int)file->fh;
    buffers.buf[0].pos = offset;
    fuse_reply_data(request, &buffers, FUSE_BUF_SPLICE_MOVE);
}

static void do_write(fuse_req_t request, fuse_ino_t ino, const char *bytes, size_t size,
                     off_t offset, struct fuse_file_info *file) {
    bool done;
    int reported = arranged(control, "write", node_of(ino)->fd, "", &done);
    /* pwrite to a file opened with O_APPEND appends, whatever the offset. */
    ssize_t put = done ? pwrite((int)file->fh, bytes, size, offset) : 0;
    if (reported || put < 0) {
        fuse_reply_err(request, reported ? reported : errno);
    } else {
        fuse_reply_write(request, (size_t)put);
    }
}

static void do_flush(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)file;
    bool done;
    fuse_reply_err(request, arranged(control, "flush", node_of(ino)->fd, "", &done));
}

static void do_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)ino;
    close((int)file->fh);
    fuse_reply_err(request, 0);
}

static void do_fsync(fuse_req_t request, fuse_ino_t ino, int data, struct fuse_file_info *file) {
    (void)data;
    bool done;
    int reported = arranged(control, "fsync", node_of(ino)->fd, "", &done);
    int failed = done && fsync((int)file->fh) != 0 ? errno : 0;
    fuse_reply_err(request, reported ? reported : failed);
}

static void do_opendir(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    int fd = openat(node_of(ino)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        fuse_reply_err(request, errno);
        return;
    }
    file->fh = (uintptr_t)folder;
    fuse_reply_open(request, file);
}

static void do_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *file) {
    (void)ino;
    DIR *folder = (DIR *)(uintptr_t)file->fh; // NOLINT
    char *bytes = malloc(size);
    size_t used = 0;
    seekdir(folder, offset);
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat info = {.st_ino = entry->d_ino, .st_mode = (mode_t)DTTOIF(entry->d_type)};
        size_t more = fuse_add_direntry(request, bytes + used, size - used, entry->d_name, &info,
                                        telldir(folder));
        if (more > size - used) {
            break;
        }
        used += more;
    }
    fuse_reply_buf(request, bytes, used);
    free(bytes);
}

static void do_releasedir(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file) {
    (void)ino;
    closedir((DIR *)(uintptr_t)file->fh); // NOLINT
    fuse_reply_err(request, 0);
}

static void do_fsyncdir(fuse_req_t request, fuse_ino_t ino, int data, struct fuse_file_info *file) {
    (void)ino;
    (void)data;
    (void)file;
    fuse_reply_err(request, 0);
}

static void do_statfs(fuse_req_t request, fuse_ino_t ino) {
    struct statvfs info;
    if (fstatvfs(node_of(ino)->fd, &info) != 0) {
        fuse_reply_err(request, errno);
    } else {
        fuse_reply_statfs(request, &info);
    }
}

static void do_getlk(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file,
                     struct flock *wanted) {
    (void)ino;
    (void)file;
    (void)wanted;
    fuse_reply_err(request, ENOLCK);
}

static void do_setlk(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file,
                     struct flock *wanted, int wait) {
    (void)wait;
    do_getlk(request, ino, file, wanted);
}

static void do_flock(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *file,
                     int operation) {
    (void)operation;
    do_getlk(request, ino, file, NULL);
}

static void do_init(void *context, struct fuse_conn_info *connection) {
    (void)context;
    connection->want |= connection->capable & (FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS);
    connection->want &=
        ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_READDIRPLUS | FUSE_CAP_AUTO_INVAL_DATA);
}

static const struct fuse_lowlevel_ops operations = {
    .init = do_init,
    .lookup = do_lookup,
    .forget = do_forget,
    .getattr = do_getattr,
    .setattr = do_setattr,
    .mkdir = do_mkdir,
    .unlink = do_unlink,
    .rmdir = do_rmdir,
    .rename = do_rename,
    .link = do_link,
    .open = do_open,
    .create = do_create,
    .read = do_read,
    .write = do_write,
    .flush = do_flush,
    .release = do_release,
    .fsync = do_fsync,
    .opendir = do_opendir,
    .readdir = do_readdir,
    .releasedir = do_releasedir,
    .fsyncdir = do_fsyncdir,
    .statfs = do_statfs,
    .getlk = do_getlk,
    .setlk = do_setlk,
    .flock = do_flock,
};

int main(int count, char **words) {
    if (count != 5) {
        fputs("usage: nfsish FOLDER MOUNTPOINT SECONDS CONTROL\n", stderr);
        return 2;
    }
    umask(0);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){65536, 65536});
    root.fd = open(words[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    stale = strtod(words[3], NULL);
    control = words[4];
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    fuse_opt_add_arg(&args, words[0]);
    fuse_opt_add_arg(&args, "-ofsname=nfsish");
    session = fuse_session_new(&args, &operations, sizeof operations, NULL);
    if (root.fd < 0 || !session || fuse_session_mount(session, words[2]) != 0) {
        perror("nfsish: cannot mount");
        return 1;
    }
    fuse_set_signal_handlers(session);
    struct fuse_loop_config *loop = fuse_loop_cfg_create();
    int failed = fuse_session_loop_mt(session, loop);
    fuse_loop_cfg_destroy(loop);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return failed != 0;
}
