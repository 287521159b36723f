#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "tools/command.h"
#include "tools/show_error.h"

static const char starter[] =
    "# Puts the actor's face on the double's footage. Check it with\n"
    "#   understudy validate %s.yaml\n"
    "# see what would run with `understudy plan`, then run it. `understudy nodes TYPE` describes "
    "a\n"
    "# node type. Paths are relative to this file; $(name) is a parameter, set with -p "
    "name=value.\n"
    "understudy: 1\n"
    "params:\n"
    "  actor: {type: path, default: actor/take1.####.exr}   # whose face is wanted\n"
    "  plate: {type: path, default: plates/shot.####.exr}   # the footage it goes onto\n"
    "  out: {type: path, default: comp/%s.####.exr}\n"
    "  frames: {type: frames, default: all}                 # of the plate: 1001-1048\n"
    "  size: {type: int, default: 96, min: 64}              # side of the trained face, in pixels\n"
    "  steps: {type: int, default: 20000, min: 1}           # of training; raise it to train on\n"
    "\n"
    "templates:\n"
    "  faces: # from frames to aligned face crops; used for the actor and for the plate\n"
    "    params: {path: {type: path}, frames: {type: frames}}\n"
    "    nodes:\n"
    "      image: {type: exr_read, path: $(path), frames: $(frames)}\n"
    "      found: {type: face_detect, image: image}\n"
    "      pose: {type: face_align, image: image, faces: found}\n"
    "      crop: {type: face_crop, image: image, faces: pose, size: $(size), coverage: whole}\n"
    "\n"
    "nodes:\n"
    "  actor: {use: faces, path: $(actor), frames: all}\n"
    "  plate: {use: faces, path: $(plate), frames: $(frames)}\n"
    "  model: {type: train_swap, source: actor.crop, destination: plate.crop, steps: $(steps)}\n"
    "  swap: {type: infer_swap, model: model, faces: plate.crop}\n"
    "  comp: {type: composite, plate: plate.image, faces: plate.crop, swap: swap}\n"
    "  write: {type: exr_write, image: comp, path: $(out)}\n"
    "outputs: [write]\n";

static bool is_plain_name(const char *name) {
    return name[0] &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789_-.")] == '\0' &&
           name[0] != '.' && name[0] != '-';
}

static struct us_error *write_new(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) {
        return us_error_hint(us_fail(US_USAGE, "'%s' is there already", path),
                             "understudy new NAME, with another name");
    }
    if (fd < 0) {
        return us_error_from_errno(errno, "cannot write '%s'", path);
    }
    size_t length = strlen(text);
    ssize_t put = write(fd, text, length);
    int failed = put < 0 ? errno : (size_t)put < length ? ENOSPC : 0;
    if (close(fd) != 0 && !failed) {
        failed = errno;
    }
    if (failed) {
        unlink(path);
        return us_error_from_errno(failed, "cannot write '%s'", path);
    }
    return NULL;
}

int us_command_new(const struct us_arguments *arguments) {
    const char *name = arguments->words[0] ? arguments->words[0] : "shot";
    char stem[200];
    size_t length = strlen(name);
    bool has_ending = us_str_ends(name, ".yaml");
    if (!is_plain_name(name) || length >= sizeof stem) {
        return us_show_error(us_fail(
            US_USAGE, "new: '%s' is not a name: letters, digits, '_', '-' and '.' make one", name));
    }
    snprintf(stem, sizeof stem, "%.*s", (int)(has_ending ? length - 5 : length), name);
    struct us_str path = {0}, text = {0};
    us_str_printf(&path, "%s.yaml", stem);
    us_str_printf(&text, starter, stem, stem);
    struct us_error *error = write_new(us_str_text(&path), us_str_text(&text));
    if (!error) {
        printf("%s written\n", us_str_text(&path));
    }
    us_str_finish(&path);
    us_str_finish(&text);
    return error ? us_show_error(error) : 0;
}
