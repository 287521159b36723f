/* Records of a cache that hold a text, under keys "key 0", "key 1", ... */
#ifndef US_TESTS_SUPPORT_TEXT_RECORDS_H
#define US_TESTS_SUPPORT_TEXT_RECORDS_H

#include "runtime/api/store.h"

struct us_digest us_text_key(int n);
/* The record's text, or "" when there is none; static storage. */
const char *us_text_get(struct us_store *store, int n);
/* Takes and gives back a lease: no older miss is believed afterwards. */
void us_text_ask(struct us_store *store);

#endif
