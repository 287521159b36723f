#!/bin/sh
# Every C file is as clang-format 14 lays it out.
if ! command -v clang-format >/dev/null 2>&1; then
    echo "skipped: no clang-format"
    exit 0
fi
bad=$(find runtime nodes kernels cache tools tests \( -name '*.c' -o -name '*.h' -o -name '*.cpp' \) -print0 |
    xargs -0 clang-format --dry-run 2>&1 | grep -oE '^[^:]+' | sort -u)
if [ -n "$bad" ]; then
    echo "run clang-format -i on:"
    echo "$bad"
    exit 1
fi
