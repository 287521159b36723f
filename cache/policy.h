/* What a gc will take away, decided before anything is. */
#ifndef US_CACHE_POLICY_H
#define US_CACHE_POLICY_H

#include "cache/leftovers.h"
#include "cache/live.h"
#include "cache/stock.h"

/* A victim: its place in the stock, or in the list of attempts. */
#define US_REF_ATTEMPT 0xFFF00000u

struct us_gc_plan {
    struct cache *cache;
    struct us_gc_options options; /* defaults filled in */
    struct us_gc_watch watch;
    int64_t limit; /* stamps from then on: in use */
    int64_t now;   /* seconds since 1970 */
    struct us_stock stock;
    struct us_attempt *attempts;
    size_t attempt_count;
    struct us_digest *pinned_keys; /* sorted */
    size_t pinned_key_count;
    uint32_t *victims; /* refs: those without use first, then the highest score first */
    uint8_t *states;   /* one a victim, zero at first: enum us_taken */
    size_t victim_count;
    bool inline_victims;           /* small objects are among them */
    double record_cut;             /* records whose score is at least that go as well; 0: none */
    struct us_cache_count records; /* to be dropped */
    struct us_cache_count small;   /* objects among the records, that go with them */
    bool met;
};

/* Fills in victims and flags; `watch` and `options` are given, `report` gets what is spared. */
struct us_error *us_gc_decide(struct us_gc_plan *plan, struct us_gc_report *report) US_NODISCARD;
void us_gc_plan_finish(struct us_gc_plan *plan);

/* Whether a record, or a small object among them, stays. */
bool us_gc_keeps(const struct us_gc_plan *plan, const struct us_record_view *view);

#define US_ITEM_OF(plan, ref) (&(plan)->stock.drawers[(ref) >> 24].items[(ref)&0xFFFFFF])

#endif
