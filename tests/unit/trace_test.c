#include "runtime/api/trace.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "tests/support/check.h"

static const struct us_node_type grade = {.name = "grade", .per_frame = true};
static const struct us_node_type train = {.name = "train"};
static struct us_node nodes[] = {{.name = "comp", .type = &grade},
                                 {.name = "model", .type = &train}};
static const struct us_graph graph = {.path = "a \"shot\".yaml", .nodes = nodes, .node_count = 2};

static struct us_event event(enum us_event_kind kind, int node, int frame, int worker,
                             const char *device) {
    static char label[32];
    snprintf(label, sizeof label, node ? "model" : "comp@%d", frame);
    return (struct us_event){.kind = kind,
                             .node = &nodes[node],
                             .frame = {0, frame},
                             .per_frame = node == 0,
                             .label = label,
                             .worker = worker,
                             .device = device};
}

static void tell(struct us_trace *trace, enum us_event_kind kind, int node, int frame, int worker,
                 const char *device, double now) {
    const struct us_event told = event(kind, node, frame, worker, device);
    ASSERT_OK(us_trace_event(trace, &told, now));
}

static struct us_trace *open_trace(char path[300]) {
    struct us_trace *trace;
    snprintf(path, 300, "%s/trace.json", us_test_folder());
    ASSERT_OK(us_trace_open(path, &graph, 100, &trace));
    return trace;
}

static json_t *read_trace(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        fail_msg("%s:%d: %s", path, error.line, error.text);
    }
    assert_true(json_is_array(json_object_get(root, "traceEvents")));
    return root;
}

static const char *text(const json_t *object, const char *name) {
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* The name of the row that an event lies on. */
static const char *row_of(const json_t *root, const json_t *of) {
    size_t i;
    json_t *at;
    json_array_foreach(json_object_get(root, "traceEvents"), i, at) {
        if (strcmp(text(at, "name"), "thread_name") == 0 &&
            json_equal(json_object_get(at, "pid"), json_object_get(of, "pid")) &&
            json_equal(json_object_get(at, "tid"), json_object_get(of, "tid"))) {
            return text(json_object_get(at, "args"), "name");
        }
    }
    return "";
}

/* The event of that name and phase on that row ("": any), or NULL. */
static const json_t *find(const json_t *root, const char *phase, const char *name,
                          const char *row) {
    size_t i;
    json_t *at;
    json_array_foreach(json_object_get(root, "traceEvents"), i, at) {
        if (strcmp(text(at, "ph"), phase) == 0 && strcmp(text(at, "name"), name) == 0 &&
            (!row[0] || strcmp(row_of(root, at), row) == 0)) {
            return at;
        }
    }
    return NULL;
}

static double number(const json_t *object, const char *name) {
    return json_number_value(json_object_get(object, name));
}

static void test_rows(void **state) {
    (void)state;
    char path[300];
    struct us_trace *trace = open_trace(path);
    tell(trace, US_EVENT_CACHED, 1, 0, -1, NULL, 100);
    tell(trace, US_EVENT_START, 0, 1, 0, NULL, 100.5);
    tell(trace, US_EVENT_START, 0, 2, 3, "cuda:0,cuda:1", 101);
    tell(trace, US_EVENT_START, 0, 3, 3, "cuda:1", 101); /* a batch: two at once on one worker */
    tell(trace, US_EVENT_DONE, 0, 2, 3, "cuda:0,cuda:1", 102);
    tell(trace, US_EVENT_DONE, 0, 3, 3, "cuda:1", 102.25);
    tell(trace, US_EVENT_DONE, 0, 1, 0, NULL, 102.5);
    tell(trace, US_EVENT_START, 0, 4, 3, NULL, 102.5);
    ASSERT_OK(us_trace_close(trace, 104));
    json_t *root = read_trace(path);
    const json_t *first = find(root, "X", "comp@1", "worker 0");
    assert_non_null(first);
    ASSERT_NEAR(number(first, "ts"), 0.5e6, 1e-3);
    ASSERT_NEAR(number(first, "dur"), 2e6, 1e-3);
    assert_string_equal(text(first, "cat"), "grade");
    assert_string_equal(text(json_object_get(first, "args"), "result"), "ran");
    assert_non_null(find(root, "X", "comp@2", "worker 3"));
    assert_non_null(find(root, "X", "comp@2", "cuda:0"));
    assert_non_null(find(root, "X", "comp@2", "cuda:1"));
    assert_non_null(find(root, "X", "comp@3", "worker 3 +1"));
    assert_non_null(find(root, "X", "comp@3", "cuda:1 +1"));
    const json_t *last = find(root, "X", "comp@4", "worker 3");
    assert_non_null(last);
    assert_string_equal(text(json_object_get(last, "args"), "result"), "stopped");
    ASSERT_NEAR(number(last, "ts") + number(last, "dur"), 4e6, 1e-3);
    assert_non_null(find(root, "i", "cached: model (1)", ""));
    assert_non_null(find(root, "C", "running tasks", ""));
    assert_non_null(find(root, "C", "memory of the process", ""));
    json_decref(root);
}

static void test_texts(void **state) {
    (void)state;
    char path[300];
    struct us_trace *trace = open_trace(path);
    struct us_event told = event(US_EVENT_START, 0, 7, 0, NULL);
    told.why = "\"a\\b\"\t\xff caf\xc3\xa9 \xe0\x80\x80 \xc3";
    ASSERT_OK(us_trace_event(trace, &told, 100));
    struct us_error *error = us_fail(US_FAILED, "it\nbroke");
    told = event(US_EVENT_FAILED, 0, 7, 0, NULL);
    told.error = error;
    ASSERT_OK(us_trace_event(trace, &told, 101));
    told = event(US_EVENT_FAILED, 0, 8, 0, NULL); /* before it began */
    told.error = error;
    ASSERT_OK(us_trace_event(trace, &told, 101));
    ASSERT_OK(us_trace_close(trace, 102));
    us_error_free(error);
    json_t *root = read_trace(path);
    const json_t *args = json_object_get(find(root, "X", "comp@7", "worker 0"), "args");
    assert_string_equal(text(args, "why"), "\"a\\b\"\t? caf\xc3\xa9 ??? ?");
    assert_string_equal(text(args, "result"), "failed");
    const json_t *failure = find(root, "i", "failed: comp@7", "worker 0");
    assert_string_equal(text(json_object_get(failure, "args"), "text"), "it\nbroke");
    assert_non_null(find(root, "i", "failed: comp@8", ""));
    assert_null(find(root, "X", "comp@8", ""));
    json_decref(root);
}

static size_t count_spans(const json_t *root) {
    size_t count = 0, i;
    json_t *at;
    json_array_foreach(json_object_get(root, "traceEvents"), i, at) {
        count += strcmp(text(at, "ph"), "X") == 0;
    }
    return count;
}

static void test_many(void **state) {
    (void)state;
    char path[300];
    struct us_trace *trace = open_trace(path);
    for (int i = 0; i < 20000; i++) {
        tell(trace, US_EVENT_START, 0, i, i % 4, NULL, 100 + i * 1e-3);
        tell(trace, US_EVENT_DONE, 0, i, i % 4, NULL, 100 + i * 1e-3 + 5e-4);
    }
    ASSERT_OK(us_trace_close(trace, 200));
    json_t *root = read_trace(path);
    assert_int_equal(count_spans(root), 20000);
    json_decref(root);
}

/* The file may grow to `limit` bytes: one error, and what is there is a whole trace. */
static void fill(rlim_t limit) {
    char path[300];
    struct rlimit old;
    struct us_trace *trace = open_trace(path);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit full = {limit, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    int errors = 0;
    for (int i = 0; i < 5000; i++) {
        for (int k = 0; k < 2; k++) {
            const struct us_event told = event(k ? US_EVENT_DONE : US_EVENT_START, 0, i, 0, NULL);
            struct us_error *error = us_trace_event(trace, &told, 100 + i + 0.5 * k);
            if (error) {
                errors++;
                ASSERT_ERROR(error, "cannot write the trace");
            }
        }
    }
    struct us_error *error = us_trace_close(trace, 9999);
    setrlimit(RLIMIT_FSIZE, &old);
    ASSERT_OK(error);
    assert_int_equal(errors, 1);
    json_t *root = read_trace(path);
    assert_true(count_spans(root) * 400 > limit / 2);
    json_decref(root);
}

static void test_full_disk(void **state) {
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 200000; limit < 200400; limit += 7) {
        fill(limit);
    }
}

static void test_no_place(void **state) {
    (void)state;
    struct us_trace *trace;
    ASSERT_ERROR(us_trace_open("/nowhere/trace.json", &graph, 0, &trace), "/nowhere/trace.json");
    ASSERT_OK(us_trace_close(NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows), cmocka_unit_test(test_texts), cmocka_unit_test(test_many),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_no_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
