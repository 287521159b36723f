/* Many tasks of a node explained in few lines. */
#ifndef US_TOOLS_EXPLAIN_GROUP_H
#define US_TOOLS_EXPLAIN_GROUP_H

#include "runtime/api/run.h"
#include "runtime/base/str.h"

/* "run", "may_run", "cached". */
const char *us_explain_state(const struct us_plan_entry *entry);
/* " is cached", " would run: WHY"; what follows the name of a task. */
void us_explain_verdict(const struct us_plan_entry *entry, const char *why, struct us_str *out);

/* "comp@1001-1003,1007 would run: WHY", a line for tasks that have the same reason but for their
 * frame's number (written ####) and digests (left out). Entries are of one node, in order. */
void us_explain_groups(const struct us_plan_entry *entries, size_t count);

#endif
