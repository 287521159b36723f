/* A graph run from its file, whole, in a cache. */
#ifndef US_TESTS_SUPPORT_TOY_RUN_H
#define US_TESTS_SUPPORT_TOY_RUN_H

#include "runtime/api/registry.h"
#include "runtime/api/run.h"

/* What the run says of itself; that it comes about is asserted, not that no task failed. `setting`
 * may be NULL. */
struct us_summary us_toy_run(const struct us_registry *registry, const char *graph,
                             const struct us_setting *setting, const char *cache,
                             const struct us_run_options *options);

/* For node types of a test's own: each task wants a device, or all there are, if there are any. */
void us_toy_wants_one(const void *params, struct us_needs *needs);
void us_toy_wants_all(const void *params, struct us_needs *needs);

#endif
