#include "cache/cache_internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/host.h"
#include "runtime/base/mem.h"
#include "tests/support/check.h"

static char folder[512];
static const struct us_digest key = {.bytes = {0xab, 1}};

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/cache", us_test_folder());
    return 0;
}

static struct us_store *open_store(void) {
    struct us_store *store;
    ASSERT_OK(us_cache_open(folder, &store));
    return store;
}

static bool take(struct us_store *store) {
    bool taken;
    ASSERT_OK(store->ops->lease(store, &key, &taken));
    return taken;
}

static void lease_file(char path[600]) {
    char hex[US_DIGEST_HEX];
    snprintf(path, 600, "%s/leases/%s", folder, us_digest_hex(&key, hex));
}

static void one_at_a_time(void **state) {
    (void)state;
    struct us_store *store = open_store();
    assert_true(take(store));
    assert_false(take(store));
    store->ops->release(store, &key);
    assert_true(take(store));
    us_cache_close(store); /* releases */
    char path[600];
    lease_file(path);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* A child takes the lease, tells through the pipe, and waits to be killed. */
static pid_t start_holder(void) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        struct us_store *store;
        bool taken = false;
        if (us_cache_open(folder, &store) || store->ops->lease(store, &key, &taken) || !taken ||
            write(pipes[1], "t", 1) != 1) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    char byte;
    close(pipes[1]);
    ssize_t told = read(pipes[0], &byte, 1);
    close(pipes[0]);
    if (told != 1) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        fail_msg("the child cannot take the lease");
    }
    return child;
}

static void a_living_process_keeps_it_and_a_dead_one_loses_it(void **state) {
    (void)state;
    pid_t child = start_holder();
    struct us_store *store = open_store();
    bool taken_from_living = take(store);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_false(taken_from_living);
    assert_true(take(store));
    us_cache_close(store);
}

/* A parent that does not collect its children, as process 1 of many containers. */
static void a_dead_process_nobody_collected_loses_it(void **state) {
    (void)state;
    pid_t child = start_holder();
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    struct us_store *store = open_store();
    bool taken = take(store);
    us_cache_close(store);
    waitpid(child, NULL, 0);
    assert_true(taken);
}

static void wait_for(double seconds) {
    nanosleep(&(struct timespec){.tv_sec = (time_t)seconds,
                                 .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)},
              NULL);
}

static void three_missed_beats_lose_it(void **state) {
    (void)state;
    us_cache_beat_seconds = 0.1;
    pid_t child = start_holder();
    struct us_store *store = open_store();
    wait_for(0.6);
    bool taken_from_beating = take(store);
    kill(child, SIGSTOP);
    wait_for(0.5);
    bool taken_from_stopped = take(store);
    /* The stopped one wakes up: its beats and its end do not touch the new lease. */
    kill(child, SIGCONT);
    wait_for(0.2);
    char path[600], text[256] = "";
    lease_file(path);
    int fd = open(path, O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    char mine[64];
    snprintf(mine, sizeof mine, "%s %ld ", us_host_id(), (long)getpid());
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_memory_equal(text, mine, strlen(mine));
    assert_false(taken_from_beating);
    assert_true(taken_from_stopped);
    us_cache_close(store);
    us_cache_beat_seconds = 5.0;
}

/* What a host that lost power leaves: another host's id, and no beats. */
/* A lease file with such a text stands until it is 16 seconds old. */
static void expires_with(const char *text) {
    struct us_store *store = open_store();
    char path[600];
    lease_file(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
    assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    assert_false(take(store));
    const struct timespec past[2] = {{.tv_sec = time(NULL) - 16}, {.tv_sec = time(NULL) - 16}};
    assert_int_equal(futimens(fd, past), 0);
    close(fd);
    assert_true(take(store));
    us_cache_close(store);
}

static void another_host_is_judged_by_its_beats(void **state) {
    (void)state;
    expires_with("0123456789abcdef 1 1\nx\n");
}

/* What a process leaves that dies between making the file and writing to it. */
static void an_empty_lease_expires(void **state) {
    (void)state;
    expires_with("");
}

/* One that died while it took over a dead one's lease. */
static void a_dead_thief_does_not_stand_in_the_way(void **state) {
    (void)state;
    pid_t holder = start_holder();
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    char path[600], steal[620];
    lease_file(path);
    snprintf(steal, sizeof steal, "%s.steal", path);
    assert_int_equal(link(path, steal), 0); /* it says the same: a dead process */
    struct us_store *store = open_store();
    assert_true(take(store));
    assert_int_not_equal(access(steal, F_OK), 0);
    us_cache_close(store);
}

static void *take_once(void *context) {
    return take(context) ? context : NULL;
}

static void of_many_threads_one_has_it(void **state) {
    (void)state;
    struct us_store *store = open_store();
    for (int round = 0; round < 50; round++) {
        pthread_t threads[4];
        int winners = 0;
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, take_once, store), 0);
        }
        for (int i = 0; i < 4; i++) {
            void *won;
            pthread_join(threads[i], &won);
            winners += won != NULL;
        }
        assert_int_equal(winners, 1);
        store->ops->release(store, &key);
    }
    us_cache_close(store);
}

/* A process that was stopped and lost its lease to another ends without harm to the new one. */
static void who_lost_it_gives_back_nothing(void **state) {
    (void)state;
    struct us_store *store = open_store(), *thief = open_store();
    assert_true(take(store));
    char path[600];
    lease_file(path);
    assert_int_equal(unlink(path), 0);
    assert_true(take(thief));
    store->ops->release(store, &key);
    assert_false(take(store));
    us_cache_close(thief);
    us_cache_close(store);
}

enum { RACERS = 6 };

/* Asks, and keeps what it got until all have asked. */
static int race(_Atomic int *asked) {
    struct us_store *store;
    bool taken = false;
    const bool fine = !us_cache_open(folder, &store) && !store->ops->lease(store, &key, &taken);
    atomic_fetch_add(asked, 1);
    while (atomic_load(asked) < RACERS) {
        wait_for(0.001);
    }
    if (!fine) {
        return 2;
    }
    us_cache_close(store);
    return taken ? 1 : 0;
}

/* Of many that find a dead process's lease at once, at most one holds it while it works. */
static void a_race_for_a_dead_lease_has_one_winner(void **state) {
    (void)state;
    _Atomic int *asked =
        mmap(NULL, sizeof *asked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(asked != MAP_FAILED);
    for (int round = 0; round < 10; round++) {
        pid_t holder = start_holder();
        kill(holder, SIGKILL);
        waitpid(holder, NULL, 0);
        pid_t racers[RACERS];
        atomic_store(asked, 0);
        for (int i = 0; i < RACERS; i++) {
            racers[i] = fork();
            if (racers[i] == 0) {
                _exit(race(asked));
            }
        }
        int winners = 0;
        for (int i = 0; i < RACERS; i++) {
            int status;
            waitpid(racers[i], &status, 0);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
            winners += WEXITSTATUS(status);
        }
        assert_int_equal(winners, 1);
    }
    munmap(asked, sizeof *asked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(a_living_process_keeps_it_and_a_dead_one_loses_it),
        cmocka_unit_test(a_dead_process_nobody_collected_loses_it),
        cmocka_unit_test(three_missed_beats_lose_it),
        cmocka_unit_test(another_host_is_judged_by_its_beats),
        cmocka_unit_test(an_empty_lease_expires),
        cmocka_unit_test(a_dead_thief_does_not_stand_in_the_way),
        cmocka_unit_test(of_many_threads_one_has_it),
        cmocka_unit_test(who_lost_it_gives_back_nothing),
        cmocka_unit_test(a_race_for_a_dead_lease_has_one_winner),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
