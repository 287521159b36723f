#include "cache/policy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"

/* Where a score of what nobody needs begins: above every other. */
#define USELESS 1e28
enum {
    USELESS_SECONDS = 24 * 3600,

    MOST_IN_DRAWER = 0xF00000,
    TEXT_BYTES = 65536
};
/* A record lives at least so many times as long as its result takes to make. */
#define RECORD_WORTH 1e5
static const double low_water = 0.9, least_seconds = 1e-3;

struct choice {
    struct us_gc_plan *plan;
    struct us_gc_report *report;
    uint64_t *candidates; /* score above, ref below */
    size_t count, capacity;
};

static int highest_first(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void add_candidate(struct choice *choice, double score, uint32_t ref) {
    float value = (float)score; /* positive: their bits have the order of the numbers */
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    us_grow(&choice->candidates, &choice->capacity, choice->count, sizeof *choice->candidates);
    choice->candidates[choice->count++] = (uint64_t)bits << 32 | ref;
}

static double score_of(uint64_t bytes, double seconds, double age) {
    return (double)(bytes + 1) / fmax(seconds, least_seconds) * fmax(age, 1);
}

static void spare(struct us_cache_count *count, const struct us_stock_item *item) {
    count->files++;
    count->bytes += item->size;
}

/* Stamps are an hour coarse, and a second where they come from the stock. */
static bool is_young(const struct us_gc_plan *plan, double used) {
    double keep = plan->options.keep_seconds;
    return keep > 0 && (double)plan->now - used < keep + us_stamp_seconds;
}

/* False: no run lives, and none can begin unseen. */
static bool is_guarded(const struct us_gc_plan *plan) {
    return plan->watch.spared < plan->watch.begun;
}

/* Told by whole seconds here; who takes it away looks at the stamp again. */
static bool in_use(const struct us_gc_plan *plan, uint32_t used) {
    return is_guarded(plan) && (int64_t)used * 1000000000 >= plan->limit;
}

/* No record names it. Small ones may be texts that records share, which are kept like records; and
 * where records do not say what they name, anything may be wanted. */
static bool is_useless(const struct us_gc_plan *plan, const struct us_stock_item *item,
                       double age) {
    if (item->flags & US_STOCK_NAMED || plan->stock.silent) {
        return false;
    }
    bool large = item->size > TEXT_BYTES && !(item->flags & US_STOCK_INLINE);
    return age > (large ? (double)USELESS_SECONDS : plan->options.records_seconds);
}

/* A small object among the records has no stamp: none of them goes while a run lives. */
static void consider(struct choice *choice, struct us_stock_item *item, uint32_t ref) {
    const struct us_gc_plan *plan = choice->plan;
    double age = (double)plan->now - (double)item->used;
    if (item->flags & US_STOCK_ORPHAN) {
        if (!in_use(plan, item->used)) {
            add_candidate(choice, USELESS * fmax(age, 1), ref);
        }
        return;
    }
    bool file = !(item->flags & US_STOCK_INLINE);
    if (item->flags & US_STOCK_PINNED) {
        spare(&choice->report->pinned, item);
    } else if (item->flags & US_STOCK_STAYS) {
        return;
    } else if (file ? in_use(plan, item->used) : is_guarded(plan)) {
        spare(&choice->report->in_use, item);
    } else if (is_young(plan, item->used)) {
        spare(&choice->report->young, item);
    } else if (is_useless(plan, item, age)) {
        add_candidate(choice, USELESS * fmax(age, 1), ref);
    } else if (plan->options.max_bytes && (file || item->flags & US_STOCK_NAMED)) {
        double seconds = item->flags & US_STOCK_NAMED ? (double)item->seconds : 1;
        add_candidate(choice, score_of(item->size, seconds, age), ref);
    }
}

static void consider_attempt(struct choice *choice, size_t index) {
    const struct us_gc_plan *plan = choice->plan;
    const struct us_attempt *attempt = &plan->attempts[index];
    double used = (double)attempt->used * 1e-9, age = (double)plan->now - used;
    if ((is_guarded(plan) && attempt->used >= plan->limit) || is_young(plan, used)) {
        return;
    }
    uint32_t ref = US_REF_ATTEMPT | (uint32_t)index;
    if (age > plan->options.leftover_seconds) {
        add_candidate(choice, USELESS * fmax(age, 1), ref);
    } else if (plan->options.max_bytes) {
        add_candidate(choice, score_of(attempt->bytes, fmax(attempt->seconds, 1), age), ref);
    }
}

static void collect(struct choice *choice) {
    struct us_gc_plan *plan = choice->plan;
    for (uint32_t drawer = 0; drawer < 256; drawer++) {
        struct us_stock_drawer *items = &plan->stock.drawers[drawer];
        for (size_t i = 0; i < items->count && i < MOST_IN_DRAWER; i++) {
            consider(choice, &items->items[i], drawer << 24 | (uint32_t)i);
        }
    }
    for (size_t i = 0; i < plan->attempt_count && i < 0x100000; i++) {
        consider_attempt(choice, i);
    }
    if (choice->count) {
        qsort(choice->candidates, choice->count, sizeof *choice->candidates, highest_first);
    }
}

static uint64_t take(struct us_gc_plan *plan, uint32_t ref) {
    if (ref >= US_REF_ATTEMPT) {
        struct us_attempt *attempt = &plan->attempts[ref - US_REF_ATTEMPT];
        attempt->victim = true;
        return attempt->bytes;
    }
    struct us_stock_item *item = US_ITEM_OF(plan, ref);
    item->flags |= US_STOCK_VICTIM;
    plan->inline_victims |= (item->flags & US_STOCK_INLINE) != 0;
    return item->size;
}

static bool goes_first(uint64_t candidate) {
    uint32_t bits = (uint32_t)(candidate >> 32);
    float score;
    memcpy(&score, &bits, sizeof score);
    return (double)score >= 0.99 * USELESS;
}

/* Everything useless, then by score down to the low-water mark, when over the limit. The list of
 * victims takes the place of the candidates. */
static uint64_t choose(struct choice *choice, uint64_t total) {
    struct us_gc_plan *plan = choice->plan;
    uint64_t limit = plan->options.max_bytes, left = total;
    uint64_t goal = (uint64_t)(low_water * (double)limit);
    bool over = limit && total > limit;
    uint32_t *victims = (uint32_t *)choice->candidates;
    for (size_t i = 0; i < choice->count; i++) {
        uint64_t candidate = choice->candidates[i];
        if (!goes_first(candidate) && (!over || left <= goal)) {
            break;
        }
        uint32_t ref = (uint32_t)candidate;
        left -= take(plan, ref);
        victims[plan->victim_count++] = ref;
    }
    plan->victims = victims;
    return left;
}

static double record_score(const struct us_gc_plan *plan, const struct us_record_view *view) {
    double age = (double)(plan->now - view->when);
    return fmax(age, 0) / fmax(view->note.seconds, least_seconds);
}

static int by_bytes(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct us_digest));
}

static bool is_pinned(const struct us_gc_plan *plan, const struct us_digest *key) {
    return plan->pinned_key_count &&
           bsearch(key, plan->pinned_keys, plan->pinned_key_count, sizeof *key, by_bytes);
}

/* Pinned, or with a result that is there. */
static bool has_reason(const struct us_gc_plan *plan, const struct us_record_view *view) {
    for (size_t i = 0; i < view->note.object_count; i++) {
        const struct us_stock_item *item = us_stock_find(&plan->stock, &view->note.objects[i]);
        if (item && !(item->flags & US_STOCK_VICTIM)) {
            return true;
        }
    }
    return is_pinned(plan, &view->key);
}

bool us_gc_keeps(const struct us_gc_plan *plan, const struct us_record_view *view) {
    if (view->is_object) {
        const struct us_stock_item *item = us_stock_find(&plan->stock, &view->key);
        return !item || !(item->flags & US_STOCK_VICTIM) || !(item->flags & US_STOCK_INLINE);
    }
    if (view->stays) {
        return true;
    }
    double age = (double)(plan->now - view->when);
    bool old = age > plan->options.records_seconds && record_score(plan, view) > RECORD_WORTH;
    bool cut = plan->record_cut > 0 && record_score(plan, view) >= plan->record_cut &&
               !is_young(plan, (double)view->when);
    return (!old && !cut) || has_reason(plan, view);
}

static struct us_error *count_dropped(void *context, const struct us_record_view *view) {
    struct us_gc_plan *plan = context;
    if (!us_gc_keeps(plan, view)) {
        struct us_cache_count *count = view->is_object ? &plan->small : &plan->records;
        count->files++;
        count->bytes += view->bytes;
    }
    return NULL;
}

struct cut {
    struct us_gc_plan *plan;
    uint64_t *items; /* score above, bytes below */
    size_t count, capacity;
};

static struct us_error *add_to_cut(void *context, const struct us_record_view *view) {
    struct cut *cut = context;
    if (view->stays || has_reason(cut->plan, view) || is_young(cut->plan, (double)view->when)) {
        return NULL;
    }
    float score = (float)fmax(record_score(cut->plan, view), 1e-30);
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    us_grow(&cut->items, &cut->capacity, cut->count, sizeof *cut->items);
    cut->items[cut->count++] = (uint64_t)bits << 32 | (uint32_t)view->bytes;
    return NULL;
}

/* Records of results that are gone are worth their bytes only while those are not wanted. */
static struct us_error *cut_records(struct us_gc_plan *plan, uint64_t excess) {
    struct cut cut = {.plan = plan};
    struct us_error *error = us_records_each(plan->cache, add_to_cut, &cut);
    if (!error && cut.count) {
        qsort(cut.items, cut.count, sizeof *cut.items, highest_first);
        for (size_t i = 0; i < cut.count && excess; i++) {
            uint32_t bits = (uint32_t)(cut.items[i] >> 32), bytes = (uint32_t)cut.items[i];
            float score;
            memcpy(&score, &bits, sizeof score);
            plan->record_cut = (double)score * (1 - 1e-6);
            excess -= excess > bytes ? bytes : excess;
        }
    }
    us_free(cut.items);
    return error;
}

static struct us_error *mark_pins(struct us_gc_plan *plan) {
    struct us_pin *pins;
    size_t count, capacity = 0;
    US_TRY(us_cache_pins(&plan->cache->store, &pins, &count));
    for (size_t p = 0; p < count; p++) {
        for (size_t i = 0; i < pins[p].object_count; i++) {
            struct us_stock_item *item = us_stock_find(&plan->stock, &pins[p].objects[i]);
            if (item) {
                item->flags |= US_STOCK_PINNED;
            }
        }
        for (size_t i = 0; i < pins[p].key_count; i++) {
            us_grow(&plan->pinned_keys, &capacity, plan->pinned_key_count,
                    sizeof *plan->pinned_keys);
            plan->pinned_keys[plan->pinned_key_count++] = pins[p].keys[i];
        }
    }
    us_pins_finish(pins, count);
    if (plan->pinned_key_count) {
        qsort(plan->pinned_keys, plan->pinned_key_count, sizeof *plan->pinned_keys, by_bytes);
    }
    return NULL;
}

/* What of the records goes is counted only where something may. */
static struct us_error *count_records(struct us_gc_plan *plan) {
    bool old = (double)(plan->now - plan->stock.oldest) > plan->options.records_seconds;
    if (plan->stock.records && (old || plan->record_cut > 0)) {
        US_TRY(us_records_each(plan->cache, count_dropped, plan));
    }
    return plan->inline_victims ? us_records_each_object(plan->cache, count_dropped, plan) : NULL;
}

struct us_error *us_gc_decide(struct us_gc_plan *plan, struct us_gc_report *report) {
    US_TRY(us_stock_take(plan->cache, &plan->stock));
    US_TRY(us_attempts_list(plan->cache, &plan->attempts, &plan->attempt_count));
    US_TRY(mark_pins(plan));
    report->before = plan->stock.object_bytes + plan->stock.record_bytes;
    for (size_t i = 0; i < plan->attempt_count; i++) {
        report->before += plan->attempts[i].bytes;
    }
    struct choice choice = {plan, report, NULL, 0, 0};
    collect(&choice);
    uint64_t left = choose(&choice, report->before), limit = plan->options.max_bytes;
    if (limit && left > limit) {
        US_TRY(cut_records(plan, left - (uint64_t)(low_water * (double)limit)));
    }
    return count_records(plan);
}

void us_gc_plan_finish(struct us_gc_plan *plan) {
    us_stock_finish(&plan->stock);
    us_free(plan->attempts);
    us_free(plan->pinned_keys);
    us_free(plan->victims);
    us_free(plan->states);
}
