#include "tests/faults/arranged.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct arrangement {
    char line[512];
    const char *operation, *how, *text;
    int number, skip, count;
};

static bool read_arrangement(FILE *file, struct arrangement *made) {
    char *rest = made->line, *words[6] = {NULL};
    if (!fgets(made->line, sizeof made->line, file)) {
        return false;
    }
    for (size_t i = 0; i < 6; i++) {
        words[i] = strtok_r(rest, " \n", &rest);
        if (!words[i]) {
            return false;
        }
    }
    made->operation = words[0];
    made->number = (int)strtol(words[1], NULL, 10);
    made->how = words[2];
    made->skip = (int)strtol(words[3], NULL, 10);
    made->count = (int)strtol(words[4], NULL, 10);
    made->text = words[5];
    return made->count > 0;
}

static void write_arrangement(FILE *file, const struct arrangement *made) {
    rewind(file);
    int size = fprintf(file, "%s %d %s %d %d %s\n", made->operation, made->number, made->how,
                       made->skip, made->count, made->text);
    if (fflush(file) != 0 || ftruncate(fileno(file), size) != 0) {
        perror("nfsish");
    }
}

int arranged(const char *control, const char *operation, int fd, const char *name, bool *done) {
    struct arrangement made;
    int reported = 0;
    *done = true;
    FILE *file = access(control, F_OK) == 0 ? fopen(control, "r+e") : NULL;
    if (!file) {
        return 0;
    }
    char path[PATH_MAX + 256], link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX);
    snprintf(path + (length > 0 ? length : 0), 256, "/%s", name);
    flock(fileno(file), LOCK_EX);
    if (read_arrangement(file, &made) && strcmp(made.operation, operation) == 0 &&
        strstr(path, made.text)) {
        if (made.skip > 0) {
            made.skip--;
        } else {
            reported = made.number;
            *done = strcmp(made.how, "done") == 0;
            made.count--;
        }
        write_arrangement(file, &made);
    }
    fclose(file);
    return reported;
}

/* A client asks anew for names in a folder that it changed, also when it was told that it failed.
 */
bool done_is_arranged(const char *control) {
    struct arrangement made;
    FILE *file = access(control, F_OK) == 0 ? fopen(control, "re") : NULL;
    bool is = file && read_arrangement(file, &made) && strcmp(made.how, "done") == 0;
    if (file) {
        fclose(file);
    }
    return is;
}
