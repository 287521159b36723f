#include "cache/page_guard.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf *way_out;
static struct sigaction before_segv, before_bus;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void us_page_guard_leave(void) {
    sigjmp_buf *out = way_out;
    if (out) {
        way_out = NULL;
        siglongjmp(*out, 1);
    }
}

/* A fault elsewhere is what it was without us. */
static void faulted(int number, siginfo_t *info, void *context) {
    us_page_guard_leave();
    const struct sigaction *before = number == SIGBUS ? &before_bus : &before_segv;
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    } else {
        signal(number, SIG_DFL); /* the instruction runs again */
    }
}

/* SA_NODEFER: leaving by a jump leaves the signal's mask as it was. */
static void install(void) {
    struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
}

bool us_page_guarded(void (*work)(void *context), void *context) {
    sigjmp_buf out;
    pthread_once(&once, install);
    if (sigsetjmp(out, 0)) {
        return false;
    }
    way_out = &out;
    work(context);
    way_out = NULL;
    return true;
}
