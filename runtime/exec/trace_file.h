/* A list of JSON objects that grows in a file and is whole even when the disk fills up. */
#ifndef US_RUNTIME_EXEC_TRACE_FILE_H
#define US_RUNTIME_EXEC_TRACE_FILE_H

#include "runtime/base/error.h"
#include "runtime/base/str.h"

struct us_trace_file {
    char *path;
    int fd;               /* -1: given up */
    struct us_str buffer; /* what is not written yet; starts and ends between objects */
    size_t last;          /* in it, where the last object's separator stands */
    size_t written;       /* bytes in the file */
    size_t safe;          /* in the file, a place between objects with one or more behind it */
    size_t count;         /* objects */
};

/* `head` comes before the first object, `tail` is what trace_file_close ends with. */
struct us_error *trace_file_open(struct us_trace_file *file, const char *path,
                                 const char *head) US_NODISCARD;
/* The caller appends one object's text to the string that this returns, then calls end. */
struct us_str *trace_file_begin(struct us_trace_file *file);
struct us_error *trace_file_end(struct us_trace_file *file) US_NODISCARD;
/* Frees, after an error too. */
struct us_error *trace_file_close(struct us_trace_file *file) US_NODISCARD;

/* Appends a JSON string; bytes that are not UTF-8 become '?'. */
void trace_text(struct us_str *out, const char *text);

#endif
