/* Standard output, and whether anybody still reads it. */
#ifndef US_TOOLS_OUTPUT_H
#define US_TOOLS_OUTPUT_H

#include <stdbool.h>

/* True once something could not be written because the reader of the pipe has gone away. */
bool us_output_gone(void);

/* At the end of the program: what was printed must have arrived. Returns the exit status: a full
 * disk under > is an error; a reader that went away ends with 141 (128 + SIGPIPE) and no word, like
 * any program in a pipe. A status that is not 0 stays. */
int us_output_finish(int status);

#endif
