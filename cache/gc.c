#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache/gc_remove.h"
#include "cache/hold.h"
#include "runtime/base/mem.h"

enum { DAY = 24 * 3600 };

static void add(struct us_cache_count *count, uint64_t bytes) {
    count->files++;
    count->bytes += bytes;
}

static void settle_victim(struct us_gc_plan *plan, uint32_t ref, uint8_t state,
                          struct us_gc_report *report) {
    if (ref >= US_REF_ATTEMPT) {
        if (state == US_TAKEN) {
            add(&report->attempts, plan->attempts[ref - US_REF_ATTEMPT].bytes);
        }
        return;
    }
    struct us_stock_item *item = US_ITEM_OF(plan, ref);
    if (state != US_TAKEN && state != US_TAKEN_GONE) {
        item->flags &= (uint8_t)~US_STOCK_VICTIM;
        report->rescued += state == US_TAKEN_IN_USE;
    } else if (item->flags & US_STOCK_ORPHAN) {
        report->leftovers.files++;
    } else if (state == US_TAKEN && !(item->flags & US_STOCK_INLINE)) {
        add(&report->objects, item->size);
    }
    if (state == US_TAKEN && !(item->flags & US_STOCK_ORPHAN)) {
        struct us_gc_type *type = &report->types[item->type];
        add(&type->freed, item->size);
        type->seconds += (double)item->seconds;
    }
}

static bool keep_record(void *context, const struct us_record_view *view) {
    struct us_gc_plan *plan = context;
    if (us_gc_keeps(plan, view)) {
        return true;
    }
    add(view->is_object ? &plan->small : &plan->records, view->bytes);
    return false;
}

/* Packing anew costs as much as there is: only for a reason. */
static struct us_error *drop_records(struct us_gc_plan *plan) {
    if (plan->records.files + plan->small.files == 0 || plan->options.dry_run) {
        return NULL;
    }
    uint64_t entries, bytes;
    plan->records = plan->small = (struct us_cache_count){0};
    return us_records_compact(plan->cache, keep_record, plan, &entries, &bytes);
}

static int most_first(const void *a, const void *b) {
    const struct us_gc_type *x = a, *y = b;
    if (x->freed.bytes != y->freed.bytes) {
        return x->freed.bytes < y->freed.bytes ? 1 : -1;
    }
    int order = strcmp(x->show, y->show);
    return order ? order : strcmp(x->type, y->type);
}

static void begin_types(struct us_gc_report *report, const struct us_stock *stock) {
    report->types = us_calloc(stock->type_count, sizeof *report->types);
    report->type_count = stock->type_count;
    for (size_t i = 0; i < stock->type_count; i++) {
        report->types[i].type = us_strdup(stock->types[i].type);
        report->types[i].show = us_strdup(stock->types[i].show);
    }
}

static void finish_types(struct us_gc_report *report) {
    if (report->type_count) {
        qsort(report->types, report->type_count, sizeof *report->types, most_first);
    }
    while (report->type_count && !report->types[report->type_count - 1].freed.files) {
        report->type_count--;
        us_free(report->types[report->type_count].type);
        us_free(report->types[report->type_count].show);
    }
}

static struct us_error *carry_out(struct us_gc_plan *plan, struct us_gc_report *report) {
    plan->states = us_calloc(plan->victim_count + 1, 1);
    struct us_error *error = plan->options.dry_run ? NULL : us_gc_remove(plan);
    begin_types(report, &plan->stock);
    for (size_t i = 0; !error && i < plan->victim_count; i++) {
        settle_victim(plan, plan->victims[i], plan->states[i], report);
    }
    error = error ? error : drop_records(plan);
    finish_types(report);
    report->records = plan->records;
    report->objects.files += plan->small.files;
    report->objects.bytes += plan->small.bytes;
    uint64_t freed = report->objects.bytes + report->attempts.bytes + report->records.bytes;
    report->after = report->before > freed ? report->before - freed : 0;
    report->met = !plan->options.max_bytes || report->after <= plan->options.max_bytes;
    return error;
}

static struct us_error *collect(struct us_gc_plan *plan, struct us_gc_report *report) {
    struct us_gc_options *options = &plan->options;
    US_TRY(us_live_look(plan->cache, options->dry_run, &plan->watch));
    plan->limit = plan->watch.spared < plan->watch.begun ? plan->watch.spared : plan->watch.begun;
    plan->now = plan->watch.begun / 1000000000;
    report->runs = plan->watch.runs;
    struct us_error *error = NULL;
    if (!options->dry_run) {
        error = us_gc_empty_trash(plan->cache, plan->limit, &report->leftovers);
    }
    error = error ? error : us_leftovers_clear(plan->cache, options, &report->leftovers);
    if (options->progress) {
        options->progress(options->context, "reading", 0, 0);
    }
    error = error ? error : us_gc_decide(plan, report);
    error = error ? error : carry_out(plan, report);
    us_live_leave(&plan->watch);
    us_gc_plan_finish(plan);
    return error;
}

struct us_error *us_cache_gc(struct us_store *store, const struct us_gc_options *options,
                             struct us_gc_report *report) {
    *report = (struct us_gc_report){0};
    struct us_gc_plan plan = {.cache = us_cache_of(store), .options = *options};
    double *records = &plan.options.records_seconds, *leftovers = &plan.options.leftover_seconds;
    *records = *records > 0 ? *records : 180.0 * DAY;
    *leftovers = *leftovers > 0 ? *leftovers : 30.0 * DAY;
    struct us_digest key = us_digest_of("gc", 2);
    bool taken = true;
    if (!options->dry_run) {
        struct us_error *error = us_cache_lease(store, &key, &taken);
        /* Two at once do each other no harm; on a full disk there may be no room for a lease. */
        taken |= us_error_is(error, US_RETRY);
        if (error && !taken) {
            return us_error_wrap(error, "cannot collect");
        }
        us_error_free(error);
    }
    if (!taken) {
        report->busy = true;
        return NULL;
    }
    struct us_error *error = collect(&plan, report);
    if (!options->dry_run) {
        us_cache_release(store, &key);
    }
    return error;
}

void us_gc_report_finish(struct us_gc_report *report) {
    for (size_t i = 0; i < report->type_count; i++) {
        us_free(report->types[i].type);
        us_free(report->types[i].show);
    }
    us_free(report->types);
    *report = (struct us_gc_report){0};
}
