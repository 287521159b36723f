/* What every test includes: cmocka in its right order, error checks, a scratch folder. */
#ifndef US_TESTS_SUPPORT_CHECK_H
#define US_TESTS_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/error.h"

/* Fails the test with the whole chain when there is an error. */
#define ASSERT_OK(call) us_test_assert_ok((call), __FILE__, __LINE__)
void us_test_assert_ok(struct us_error *error, const char *file, int line);

/* Fails unless there is an error whose chain's texts, joined by " because: ", contain `part`.
 * Frees the error. */
#define ASSERT_ERROR(call, part) us_test_assert_error((call), (part), __FILE__, __LINE__)
void us_test_assert_error(struct us_error *error, const char *part, const char *file, int line);

/* |a - b| <= absolute + relative |b| */
#define ASSERT_NEAR(a, b, tolerance) \
    us_test_assert_near((a), (b), (tolerance), #a, __FILE__, __LINE__)
void us_test_assert_near(double a, double b, double tolerance, const char *what, const char *file,
                         int line);

/* A fresh folder under the system's temporary folder, removed when the program ends; static
 * storage. */
const char *us_test_folder(void);

#endif
