#include "tools/output.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/show_error.h"

/* The error of the write may be long over: the pipe is asked, not errno. */
static bool reader_gone(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

bool us_output_gone(void) {
    return ferror(stdout) && reader_gone();
}

int us_output_finish(int status) {
    errno = 0;
    const bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (!failed || status != 0) {
        return status;
    }
    return reader_gone()
               ? 128 + SIGPIPE
               : us_show_error(us_error_from_errno(errno ? errno : EIO, "cannot write the output"));
}
