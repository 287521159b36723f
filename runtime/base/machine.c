#include "runtime/base/machine.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The limit of a control group; SIZE_MAX where it has none. */
static size_t group_limit(const char *group) {
    char path[4200];
    size_t limit = (size_t)-1;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%zu", &limit) != 1) { /* "max" */
            limit = (size_t)-1;
        }
        fclose(file);
    }
    return limit;
}

/* The path of this process's group, "" for the root (which a container sees as its own). */
static void find_group(char *group, size_t size) {
    char line[4096];
    FILE *file = fopen("/proc/self/cgroup", "re");
    group[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0 && line[4]) {
            snprintf(group, size, "%s", line + 3);
        }
    }
    if (file) {
        fclose(file);
    }
}

size_t us_machine_memory(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t memory = (size_t)(pages > 0 ? pages : 262144) * (size_t)page;
    char group[4096];
    find_group(group, sizeof group);
    for (char *slash = group; slash;) {
        const size_t limit = group_limit(group);
        memory = limit < memory ? limit : memory;
        slash = strrchr(group, '/');
        if (slash) {
            *slash = '\0';
        }
    }
    return memory;
}
