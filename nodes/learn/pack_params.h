/* Parameters as bytes for another process of the same version, by their table. */
#ifndef US_NODES_LEARN_PACK_PARAMS_H
#define US_NODES_LEARN_PACK_PARAMS_H

#include "runtime/api/params.h"
#include "runtime/base/arena.h"
#include "runtime/base/str.h"

void us_params_pack(const struct us_param *table, const void *params, struct us_str *bytes);

/* Fills `params`; texts go into the arena. The bytes are foreign: what the table does not allow is
 * refused. */
struct us_error *us_params_unpack(const struct us_param *table, const void *bytes, size_t size,
                                  void *params, struct us_arena *arena) US_NODISCARD;

#endif
