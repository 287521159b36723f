#include "tools/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_cpu(struct us_machine *machine) {
    static const char *const wanted[] = {"avx2",        "fma",         "f16c",     "avx512f",
                                         "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8"};
    snprintf(machine->model, sizeof machine->model, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[8192];
    while (file && fgets(line, sizeof line, file)) {
        char *value = strchr(line, ':');
        line[strcspn(line, "\n")] = '\0';
        if (value && strncmp(line, "model name", 10) == 0) {
            snprintf(machine->model, sizeof machine->model, "%.127s", value + 2);
        } else if (value && strncmp(line, "flags", 5) == 0) {
            for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
                char word[32];
                snprintf(word, sizeof word, " %s ", wanted[i]);
                size_t used = strlen(machine->features);
                if (strstr(value, word)) {
                    snprintf(machine->features + used, sizeof machine->features - used, "%s%s",
                             used ? " " : "", wanted[i]);
                }
            }
            break;
        }
    }
    if (file) {
        fclose(file);
    }
}

void us_machine_read(struct us_machine *machine) {
    *machine = (struct us_machine){0};
    read_cpu(machine);
    cpu_set_t set;
    machine->cores = sched_getaffinity(0, sizeof set, &set) == 0
                         ? CPU_COUNT(&set)
                         : (int)sysconf(_SC_NPROCESSORS_ONLN);
    long page = sysconf(_SC_PAGESIZE), pages = sysconf(_SC_PHYS_PAGES);
    long unused = sysconf(_SC_AVPHYS_PAGES);
    machine->memory = pages > 0 ? (size_t)pages * (size_t)page : 0;
    machine->memory_free = unused > 0 ? (size_t)unused * (size_t)page : 0;
}
