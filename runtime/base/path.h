/* File paths and safe file writing. Paths are UTF-8 byte strings; results are us_malloc'ed. */
#ifndef US_RUNTIME_BASE_PATH_H
#define US_RUNTIME_BASE_PATH_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

char *us_path_join(const char *folder, const char *name); /* an absolute name wins */
char *us_path_folder(const char *path);                   /* "." when there is none */
const char *us_path_name(const char *path);               /* what follows the last slash */

/* The absolute path with symbolic links followed as far as it is there, names folded beyond; NULL
 * for a link that leads nowhere. */
char *us_path_real(const char *path);

/* Makes a folder and its parents (mode 0777 less umask); one that is there is fine. */
struct us_error *us_make_folders(const char *path) US_NODISCARD;

/* The same, but others than owner and group may not look into the last one (mode 0750). */
struct us_error *us_make_private_folder(const char *path) US_NODISCARD;

/* Reads a whole file. `limit` bytes at most (0: no limit). The buffer is NUL-terminated beyond
 * size. */
struct us_error *us_read_file(const char *path, size_t limit, uint8_t **bytes,
                              size_t *size) US_NODISCARD;

/* Renames `from`, which is there; 0 or an errno. A network file system may report that it failed
 * though it was done, when an answer was lost and the request sent again: `from` is gone then. */
int us_rename(const char *from, const char *to);

/* Writes beside `path`, fsyncs and renames: the file is either as before or complete.
 * Missing folders are made. A failed write leaves nothing behind.
 * A symbolic link is replaced, not followed; a folder, pipe or device is an error. */
struct us_error *us_write_file(const char *path, const void *bytes, size_t size) US_NODISCARD;

/* The same in two steps, for writers that want a file name: begin gives a fresh name in the same
 * folder, finish renames it (fsynced) or, when `failed`, removes it and hands `failed` on. */
struct us_error *us_write_begin(const char *path, char **temporary) US_NODISCARD;
struct us_error *us_write_finish(const char *path, char *temporary,
                                 struct us_error *failed) US_NODISCARD;

#endif
