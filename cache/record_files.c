#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/hold.h"
#include "cache/records_internal.h"
#include "runtime/base/mem.h"

static const int64_t rest_ns = INT64_C(50) * 1000000, tick_ns = INT64_C(20) * 1000000,
                     gap_ns = INT64_C(60) * 1000000000;
enum { LIST_TRIES = 4 };

int64_t us_clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void us_records_path(const struct cache *cache, const char *name, char path[CACHE_PATH]) {
    us_cache_room_path(cache, "records", name, path);
}

static void close_file(struct us_record_file *file) {
    if (--file->references == 0) {
        close(file->fd);
        us_pack_finish(&file->pack);
        us_free(file->name);
        us_free(file);
    }
}

void us_records_let_go(struct us_record_file *file) {
    close_file(file);
}

/* Takes a file out of the list. */
static void forget(struct us_records *records, size_t index) {
    struct us_record_file *file = records->files[index];
    us_table_forget(&records->table, file);
    if (records->own == file) {
        records->own = NULL;
    }
    file->gone = true;
    records->files[index] = records->files[--records->count];
    close_file(file);
}

void us_records_absorb(struct us_records *records, struct us_record_file *file,
                       const struct us_scanned *scanned) {
    const struct us_entry *entry = &scanned->entry;
    if (entry->kind == US_ENTRY_RECORD || entry->kind == US_ENTRY_OBJECT) {
        struct us_row row = {.key = entry->key,
                             .when = entry->when,
                             .sum = us_half_sum(&entry->sum),
                             .offset = scanned->offset,
                             .size = (uint32_t)scanned->size,
                             .kind = (uint32_t)entry->kind};
        us_table_add(&records->table, &row, file);
    } else if (entry->kind == US_ENTRY_DROP && entry->payload_size == sizeof(struct us_digest)) {
        struct us_digest sum;
        memcpy(sum.bytes, entry->payload, sizeof sum.bytes);
        us_table_drop(&records->table, &entry->key, us_half_sum(&sum));
    } else if (entry->kind == US_ENTRY_END) {
        file->final = true;
    }
}

/* What looks damaged in the log of a living writer may be on its way: the last bytes anywhere, and
 * on network file systems, which do not write in order, any. */
static bool may_be_on_its_way(const struct us_records *records, struct us_record_file *file,
                              const struct us_scanned *scanned, uint64_t end) {
    if (file->is_pack || file->mine || file->final) {
        return false;
    }
    bool at_end = scanned->offset + scanned->size >= end;
    if (!at_end && !records->remote) {
        return false;
    }
    int64_t now = us_clock_ns(CLOCK_MONOTONIC);
    file->gap_since = file->gap_since ? file->gap_since : now;
    return at_end || now - file->gap_since < gap_ns;
}

void us_records_read_on(struct cache *cache, struct us_record_file *file) {
    struct us_records *records = cache->records;
    struct stat info;
    if (fstat(file->fd, &info) != 0) {
        return;
    }
    struct us_scan scan = {.fd = file->fd, .at = file->read_to, .end = (uint64_t)info.st_size};
    struct us_scanned scanned;
    enum us_scan_result result;
    while ((result = us_scan_next(&scan, &scanned)) == US_SCAN_ENTRY || result == US_SCAN_DAMAGE) {
        if (result == US_SCAN_ENTRY) {
            us_records_absorb(records, file, &scanned);
        } else if (may_be_on_its_way(records, file, &scanned, scan.end)) {
            break;
        } else {
            us_records_damage(cache, file, scanned.offset, scanned.size);
        }
        file->gap_since = 0;
        file->read_to = scan.at;
    }
    if (scan.failed && scan.failed != ESTALE && !file->unreadable) {
        file->unreadable = true;
        us_cache_warn(cache, "cache: cannot read '%s/records/%s' (%s); what is in it is made again",
                      cache->folder, file->name, strerror(scan.failed));
    }
    us_scan_finish(&scan);
}

void us_records_lose_table(struct cache *cache, struct us_record_file *file) {
    struct stat info;
    uint64_t at = file->pack.table_at;
    us_pack_finish(&file->pack);
    if (fstat(file->fd, &info) == 0) {
        uint64_t size = (uint64_t)info.st_size;
        at = at && at < size ? at : size - (size < US_ENTRY_HEADER ? size : US_ENTRY_HEADER);
        us_records_damage(cache, file, at, size - at);
    }
    file->read_to = 0;
    us_records_read_on(cache, file);
}

static void open_pack(struct cache *cache, struct us_record_file *file, uint64_t size) {
    file->final = true;
    if (!us_pack_open(file->fd, size, &file->pack)) {
        us_records_lose_table(cache, file);
        return;
    }
    for (size_t i = 0; i < file->pack.drop_count; i++) {
        us_table_drop(&cache->records->table, &file->pack.drops[i].key, file->pack.drops[i].sum);
    }
}

static void open_file(struct cache *cache, const char *name, uint64_t entry_inode) {
    struct us_records *records = cache->records;
    char path[CACHE_PATH];
    us_records_path(cache, name, path);
    bool is_pack = us_str_ends(name, ".pack");
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    records->opens++;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        if (fd >= 0) {
            close(fd);
        } else if (errno != ENOENT && errno != ESTALE) {
            us_cache_warn(cache, "cache: cannot read '%s' (%s); what is in it is made again", path,
                          strerror(errno));
        }
        return;
    }
    struct us_record_file *file = us_calloc(1, sizeof *file);
    *file = (struct us_record_file){.name = us_strdup(name),
                                    .fd = fd,
                                    .inode = info.st_ino,
                                    .entry_inode = entry_inode,
                                    .is_pack = is_pack,
                                    .listed = true,
                                    .references = 1};
    us_grow(&records->files, &records->capacity, records->count, sizeof *records->files);
    records->files[records->count++] = file;
    if (is_pack) {
        open_pack(cache, file, (uint64_t)info.st_size);
    } else {
        us_records_read_on(cache, file);
    }
}

/* Looks a name up among the open files; one of the same name that is another file is forgotten. */
static bool is_open(struct us_records *records, const char *name, uint64_t inode) {
    for (size_t i = 0; i < records->count; i++) {
        struct us_record_file *file = records->files[i];
        if (strcmp(file->name, name) == 0) {
            if (file->entry_inode && file->entry_inode != inode) {
                forget(records, i);
                return false;
            }
            file->entry_inode = inode;
            file->listed = true;
            return true;
        }
    }
    return false;
}

static bool is_covered(const struct us_records *records, const char *name) {
    for (size_t i = 0; i < records->count; i++) {
        const struct us_pack *pack = &records->files[i]->pack;
        for (size_t at = 0; at < pack->cover_bytes; at += strlen(pack->covers + at) + 1) {
            if (strcmp(pack->covers + at, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

struct names {
    char (*names)[RECORD_NAME];
    uint64_t *inodes;
    size_t count, name_capacity, inode_capacity;
};

static bool list_names(struct cache *cache, const char *path, struct names *names) {
    DIR *folder = opendir(path);
    cache->records->opens++;
    if (!folder) {
        return false;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strlen(entry->d_name) < RECORD_NAME && strchr(entry->d_name, '.') > entry->d_name) {
            us_grow(&names->names, &names->name_capacity, names->count, sizeof *names->names);
            us_grow(&names->inodes, &names->inode_capacity, names->count, sizeof *names->inodes);
            memcpy(names->names[names->count], entry->d_name, strlen(entry->d_name) + 1);
            names->inodes[names->count++] = entry->d_ino;
        }
    }
    closedir(folder);
    return true;
}

static void open_listed(struct cache *cache, const struct names *names, const char *ending) {
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->names[i];
        if (strcmp(strrchr(name, '.'), ending) == 0 && !is_covered(cache->records, name) &&
            !is_open(cache->records, name, names->inodes[i])) {
            open_file(cache, name, names->inodes[i]);
        }
    }
}

static void forget_unlisted(struct us_records *records) {
    for (size_t i = 0; i < records->count;) {
        struct us_record_file *file = records->files[i];
        if (!file->listed || is_covered(records, file->name)) {
            forget(records, i);
        } else {
            i++;
        }
    }
}

/* Reads the folder until it did not change meanwhile: between a pack that stands for logs and the
 * removal of these no half of it may be seen. */
static void list(struct cache *cache, const char *path, struct stat *info) {
    struct us_records *records = cache->records;
    for (int tries = 0; tries < LIST_TRIES; tries++) {
        struct names names = {0};
        struct stat after;
        for (size_t i = 0; i < records->count; i++) {
            records->files[i]->listed = false;
        }
        records->listed_at = us_clock_ns(CLOCK_REALTIME);
        if (list_names(cache, path, &names)) {
            open_listed(cache, &names, ".pack");
            open_listed(cache, &names, ".log");
        }
        forget_unlisted(records);
        us_free(names.names);
        us_free(names.inodes);
        if (stat(path, &after) != 0) {
            return;
        }
        bool same = after.st_mtim.tv_sec == info->st_mtim.tv_sec &&
                    after.st_mtim.tv_nsec == info->st_mtim.tv_nsec;
        *info = after;
        if (same) {
            return;
        }
    }
}

/* Network file systems promise what others wrote to those who open the file afterwards. */
static void open_again(struct cache *cache, struct us_record_file *file) {
    char path[CACHE_PATH];
    struct stat info;
    us_records_path(cache, file->name, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cache->records->opens++;
    if (fd >= 0 && fstat(fd, &info) == 0 && info.st_ino == file->inode && file->references == 1) {
        close(file->fd);
        file->fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
}

static void read_logs(struct cache *cache) {
    struct us_records *records = cache->records;
    for (size_t i = 0; i < records->count; i++) {
        struct us_record_file *file = records->files[i];
        struct stat info;
        if (file->final || file->mine) {
            continue;
        }
        if (records->remote) {
            open_again(cache, file);
        }
        if (fstat(file->fd, &info) == 0 && (uint64_t)info.st_size > file->read_to) {
            us_records_read_on(cache, file);
        }
    }
}

bool us_records_refresh(struct cache *cache, enum us_freshness freshness) {
    struct us_records *records = cache->records;
    uint64_t asked = atomic_load(&records->asked);
    int64_t now = us_clock_ns(CLOCK_MONOTONIC_COARSE);
    if (freshness == US_FRESH_ENOUGH && records->answered == asked && records->refreshed_at &&
        now - records->refreshed_at < rest_ns) {
        return false;
    }
    char path[CACHE_PATH];
    struct stat info;
    us_records_path(cache, "", path);
    if (stat(path, &info) != 0) {
        while (records->count) {
            forget(records, 0);
        }
        records->listed_at = 0;
    } else {
        bool settled = records->listed_at - records->folder_time > tick_ns;
        bool same =
            records->folder_inode == info.st_ino && records->folder_time == us_stamp_of(&info);
        if (records->remote || !records->listed_at || !settled || !same) {
            list(cache, path, &info);
            records->folder_inode = info.st_ino;
            records->folder_time = us_stamp_of(&info);
        }
        read_logs(cache);
    }
    records->answered = asked;
    records->refreshed_at = now;
    return true;
}
