#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/show_error.h"
#include "tools/show_internal.h"

enum { BAR = 20, LONGEST_NAME = 24 };
static const double between_drawings = 0.1;

/* Appends the first `width` columns; a character is taken for one column. */
static void append_cut(const char *text, int width, struct us_str *out) {
    int columns = 0;
    const char *at = text;
    for (; *at && columns < width; columns++) {
        at++;
        while ((*at & 0xc0) == 0x80) {
            at++;
        }
    }
    us_str_append_bytes(out, text, (size_t)(at - text));
}

static double fraction_of(const struct us_node_view *view) {
    if (!view->node->type->per_frame) {
        return view->fraction;
    }
    size_t over = view->done + view->failed + view->skipped;
    return view->to_run ? (double)over / (double)view->to_run : 1;
}

static void append_bar(const struct us_progress *progress, double fraction, struct us_str *out) {
    int full = (int)(fraction * BAR + 0.5);
    for (int i = 0; i < BAR; i++) {
        const char *block = progress->unicode ? i < full ? "█" : "░" : i < full ? "#" : "-";
        us_str_append(out, block);
    }
}

static void append_node(const struct us_progress *progress, const struct us_node_view *view,
                        int name_width, double now, struct us_str *out) {
    us_str_printf(out, "%-*.*s ", name_width, LONGEST_NAME, view->node->name);
    append_bar(progress, fraction_of(view), out);
    if (view->node->type->per_frame) {
        size_t over = view->done + view->failed + view->skipped;
        us_str_printf(out, " %zu/%zu frames", over, view->to_run);
        if (view->done && now > view->begun) {
            us_str_printf(out, "  %.1f f/s", (double)view->done / (now - view->begun));
        }
    } else {
        us_str_printf(out, " %3.0f %%", 100 * fraction_of(view));
    }
    if (view->status[0]) {
        us_str_append(out, "  ");
        us_plain_text(view->status, strlen(view->status), out);
    }
    double left = us_node_view_left(view, now);
    if (left >= 0) {
        us_str_append(out, "  ETA ");
        us_time_print(left, out);
    }
}

static int name_width(const struct us_progress *progress) {
    size_t width = 4;
    for (size_t i = 0; i < progress->graph->node_count; i++) {
        size_t length = strlen(progress->graph->nodes[i].name);
        width = progress->nodes[i].to_run && length > width ? length : width;
    }
    return width > LONGEST_NAME ? LONGEST_NAME : (int)width;
}

static void screen_size(int *columns, int *rows) {
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    *columns = known ? size.ws_col : 80;
    *rows = known && size.ws_row > 2 ? size.ws_row : 24;
}

static void append_line(const char *text, int columns, struct us_str *out) {
    append_cut(text, columns - 1, out);
    us_str_append(out, "\033[K\n");
}

static int append_nodes(struct us_progress *progress, int columns, int most, struct us_str *out) {
    int lines = 0, width = name_width(progress);
    double now = us_progress_now();
    struct us_str line = {0};
    for (size_t i = 0; i < progress->graph->node_count && lines < most; i++) {
        const struct us_node_view *view = &progress->nodes[i];
        if (view->begun > 0 && !us_node_view_finished(view)) {
            us_str_clear(&line);
            append_node(progress, view, width, now, &line);
            append_line(us_str_text(&line), columns, out);
            lines++;
        }
    }
    us_str_clear(&line);
    us_str_printf(&line, "cached %zu   done %zu   running %zu   failed %zu", progress->cached,
                  progress->done, progress->running, progress->failed);
    us_run_left_print(progress, "   ", &line);
    append_line(us_str_text(&line), columns, out);
    us_str_finish(&line);
    return lines + 1;
}

static void go_up(const struct us_progress *progress, struct us_str *out) {
    if (progress->drawn) {
        us_str_printf(out, "\r\033[%dA", progress->drawn);
    }
}

static void write_out(const struct us_str *out) {
    fwrite(us_str_text(out), 1, out->length, stdout);
    fflush(stdout);
}

/* Everything goes out in one piece, each line cleared after its text: nothing flickers. */
void us_live_draw(struct us_progress *progress, bool at_once) {
    double now = us_progress_now();
    if (!at_once && now - progress->last_drawn < between_drawings) {
        return;
    }
    progress->last_drawn = now;
    int columns, rows;
    screen_size(&columns, &rows);
    struct us_str out = {0};
    go_up(progress, &out);
    for (const char *line = us_str_text(&progress->above); *line;) {
        size_t length = strcspn(line, "\n");
        us_str_append_bytes(&out, line, length);
        us_str_append(&out, "\033[K\n");
        line += length + (line[length] == '\n');
    }
    us_str_clear(&progress->above);
    progress->drawn = append_nodes(progress, columns, rows - 2, &out);
    us_str_append(&out, "\033[J");
    write_out(&out);
    us_str_finish(&out);
}

void us_live_clear(struct us_progress *progress) {
    struct us_str out = {0};
    go_up(progress, &out);
    us_str_append(&out, "\033[J");
    us_str_append(&out, us_str_text(&progress->above));
    us_str_clear(&progress->above);
    progress->drawn = 0;
    write_out(&out);
    us_str_finish(&out);
}
