#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/graph/loader.h"

static const char *skip_digits(const char *p) {
    return p + strspn(p, "0123456789");
}

static const char *skip_sign(const char *p) {
    return p + (*p == '-' || *p == '+');
}

bool us_parse_int(const char *text, int64_t *value) {
    const char *digits = skip_sign(text), *end = skip_digits(digits);
    if (end == digits || *end) {
        return false;
    }
    errno = 0;
    long long parsed = strtoll(text, NULL, 10);
    *value = parsed;
    return errno == 0;
}

bool us_parse_double(const char *text, double *value) {
    const char *whole = skip_sign(text), *p = skip_digits(whole);
    size_t digits = (size_t)(p - whole);
    if (*p == '.') {
        const char *fraction = p + 1;
        p = skip_digits(fraction);
        digits += (size_t)(p - fraction);
    }
    if (digits == 0) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        const char *exponent = skip_sign(p + 1);
        p = skip_digits(exponent);
        if (p == exponent) {
            return false;
        }
    }
    if (*p) {
        return false;
    }
    *value = strtod(text, NULL);
    return isfinite(*value);
}

bool us_range_given(double min, double max) {
    return !(min == 0 && max == 0) && (isfinite(min) || isfinite(max));
}

const char *us_range_text(struct us_arena *arena, double min, double max, const char *unit) {
    const char *space = unit && unit[0] ? " " : "";
    unit = unit ? unit : "";
    if (!us_range_given(min, max)) {
        return "";
    }
    if (!isfinite(max)) {
        return us_arena_printf(arena, "at least %.15g%s%s", min, space, unit);
    }
    if (!isfinite(min)) {
        return us_arena_printf(arena, "at most %.15g%s%s", max, space, unit);
    }
    return us_arena_printf(arena, "%.15g to %.15g%s%s", min, max, space, unit);
}
