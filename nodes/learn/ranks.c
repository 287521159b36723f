#include "nodes/learn/ranks.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/nn/comm.h"

enum { KEY_LEAST = 16, KEY_MOST = 4096 };

static const char key_hint[] =
    "give all ranks the same UNDERSTUDY_JOB_KEY (16 characters and more), or a file of it in "
    "UNDERSTUDY_JOB_KEY_FILE";

static const char *given(const char *name) {
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static struct us_error *read_int(const char *name, long low, long high, int *value) {
    const char *text = given(name);
    char *end = NULL;
    errno = 0;
    const long number = text ? strtol(text, &end, 10) : 0;
    if (!text || *end || end == text || errno || number < low || number > high) {
        return us_fail(US_USAGE, "%s is '%s', allowed are %ld to %ld", name, text ? text : "", low,
                       high);
    }
    *value = (int)number;
    return NULL;
}

static struct us_error *read_seconds(const char *name, double usual, double *value) {
    const char *text = given(name);
    char *end = NULL;
    *value = text ? strtod(text, &end) : usual;
    if (text && (*end || end == text || !(*value >= 0.2 && *value <= 86400))) {
        return us_fail(US_USAGE, "%s is '%s', allowed are 0.2 to 86400 seconds", name, text);
    }
    return NULL;
}

struct us_error *us_ranks_times(struct us_ranks *ranks) {
    US_TRY(read_seconds("UNDERSTUDY_JOIN_SECONDS", 25, &ranks->join_seconds));
    return read_seconds("UNDERSTUDY_SILENT_SECONDS", 20, &ranks->silent_seconds);
}

void us_job_key(const void *text, size_t length, uint8_t key[US_JOB_KEY]) {
    static const uint8_t use[] = "understudy ranks of one job";
    crypto_generichash(key, US_JOB_KEY, text, length, use, sizeof use - 1);
}

void us_job_key_random(char text[2 * US_JOB_KEY + 1]) {
    uint8_t bytes[US_JOB_KEY];
    if (sodium_init() < 0) {
        US_BUG("no source of random numbers");
    }
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(text, 2 * US_JOB_KEY + 1, bytes, sizeof bytes);
}

static struct us_error *use_key(const char *from, const char *text, size_t length,
                                struct us_ranks *ranks) {
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        length--;
    }
    if (length < KEY_LEAST) {
        return us_error_hint(us_fail(US_USAGE,
                                     "the job key in %s has %zu characters, needed are "
                                     "%d and more",
                                     from, length, KEY_LEAST),
                             key_hint);
    }
    us_job_key(text, length, ranks->key);
    return NULL;
}

static struct us_error *read_key_file(const char *path, struct us_ranks *ranks) {
    char text[KEY_MOST];
    struct stat about;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &about) != 0) {
        return us_error_from_errno(errno, "cannot read the job key '%s'", path);
    }
    const ssize_t length = read(file, text, sizeof text);
    close(file);
    if (length < 0) {
        return us_error_from_errno(errno, "cannot read the job key '%s'", path);
    }
    if (about.st_mode & (S_IRWXG | S_IRWXO)) {
        return us_error_hint(us_fail(US_REFUSED, "the job key '%s' can be read by others", path),
                             "chmod 600 it");
    }
    struct us_error *error = use_key("that file", text, (size_t)length, ranks);
    sodium_memzero(text, sizeof text);
    return error;
}

static struct us_error *find_key(struct us_ranks *ranks) {
    const char *text = given("UNDERSTUDY_JOB_KEY"), *path = given("UNDERSTUDY_JOB_KEY_FILE");
    if (text) {
        return use_key("UNDERSTUDY_JOB_KEY", text, strlen(text), ranks);
    }
    if (path) {
        return read_key_file(path, ranks);
    }
    return us_error_hint(
        us_fail(US_USAGE,
                "%s starts %d ranks, but there is no job key by which they know each other",
                ranks->launcher, ranks->world),
        key_hint);
}

/* "node[03-05,9],other" -> "node03" */
static void first_host(const char *list, char *host, size_t size) {
    size_t length = 0;
    bool inside = false;
    for (const char *c = list; *c && length + 1 < size; c++) {
        if (*c == '[') {
            inside = true;
        } else if (*c == ',' || *c == ']' || (inside && *c == '-')) {
            break;
        } else {
            host[length++] = *c;
        }
    }
    host[length] = '\0';
}

/* MASTER_PORT is held by torchrun's own store when its workers are told to use that. */
static struct us_error *find_port(struct us_ranks *ranks) {
    const char *own = given("UNDERSTUDY_PORT"), *master = given("MASTER_PORT");
    const char *store = given("TORCHELASTIC_USE_AGENT_STORE"), *job = given("SLURM_JOB_ID");
    ranks->port = US_JOB_PORT;
    if (own) {
        return read_int("UNDERSTUDY_PORT", 1, 65535, &ranks->port);
    }
    if (master) {
        US_TRY(read_int("MASTER_PORT", 1, 65534, &ranks->port));
        ranks->port += store && strcmp(store, "True") == 0;
    } else if (job) {
        ranks->port += (int)(strtoul(job, NULL, 10) % 1000);
    }
    return NULL;
}

static struct us_error *find_address(struct us_ranks *ranks) {
    const char *address = given("UNDERSTUDY_ADDRESS");
    const char *nodes = given("SLURM_STEP_NODELIST");
    const char *local = given("OMPI_COMM_WORLD_LOCAL_SIZE");
    const bool slurm = strcmp(ranks->launcher, "slurm") == 0;
    address = address ? address : given("MASTER_ADDR");
    nodes = nodes ? nodes : given("SLURM_JOB_NODELIST");
    if (address) {
        snprintf(ranks->address, sizeof ranks->address, "%s", address);
    } else if (slurm && nodes) {
        first_host(nodes, ranks->address, sizeof ranks->address);
    } else if (strcmp(ranks->launcher, "openmpi") == 0 && local && atoi(local) == ranks->world) {
        snprintf(ranks->address, sizeof ranks->address, "127.0.0.1");
    } else {
        return us_error_hint(us_fail(US_USAGE,
                                     "%s starts %d ranks, but where rank 0 is is not said",
                                     ranks->launcher, ranks->world),
                             "set MASTER_ADDR to the host of rank 0, for all ranks");
    }
    return find_port(ranks);
}

struct us_error *us_ranks_find(struct us_ranks *ranks) {
    static const struct {
        const char *launcher, *rank, *world, *local;
    } kinds[] = {
        {"understudy", "UNDERSTUDY_RANK", "UNDERSTUDY_WORLD_SIZE", "UNDERSTUDY_LOCAL_RANK"},
        {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
        {"openmpi", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
        {"slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"}};
    const char *wanted = given("UNDERSTUDY_LAUNCHER");
    *ranks = (struct us_ranks){.world = 1};
    US_TRY(us_ranks_times(ranks));
    if (sodium_init() < 0) {
        return us_fail(US_FAILED, "no source of random numbers");
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const bool fits = !wanted || strcmp(wanted, kinds[i].launcher) == 0;
        if (!fits || !given(kinds[i].rank) || !given(kinds[i].world)) {
            continue;
        }
        US_TRY(read_int(kinds[i].world, 1, US_NN_COMM_RANKS, &ranks->world));
        US_TRY(read_int(kinds[i].rank, 0, ranks->world - 1, &ranks->rank));
        ranks->local_rank = ranks->rank;
        if (given(kinds[i].local)) {
            US_TRY(read_int(kinds[i].local, 0, US_NN_COMM_RANKS - 1, &ranks->local_rank));
        }
        if (ranks->world > 1) {
            ranks->launcher = kinds[i].launcher;
            US_TRY(find_address(ranks));
            return find_key(ranks);
        }
        return NULL;
    }
    return NULL;
}
