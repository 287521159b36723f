/* A training as the ranks but the first see it. */
#ifndef US_NODES_LEARN_TRAIN_RANK_H
#define US_NODES_LEARN_TRAIN_RANK_H

#include "nodes/learn/team.h"

/* After US_ORDER_TRAIN: takes parameters and faces, and steps as told until US_ORDER_END.
 * threads: 0 for what the order or the machine says. */
struct us_error *us_train_rank(struct us_team *team, const struct us_order *order,
                               int threads) US_NODISCARD;

#endif
