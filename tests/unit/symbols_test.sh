#!/bin/sh
# No two rooms define one name: of two functions in static libraries the linker takes the first and says nothing.
set -eu
cd "$(dirname "$1")"
twice=$(nm --defined-only libus_kernels.a libus_runtime.a libus_cache.a libus_nodes.a 2>/dev/null |
    awk '$2 ~ /^[TDBR]$/ {print $3}' | sort | uniq -d)
[ -z "$twice" ] || { echo "defined twice:" $twice; exit 1; }
nm --defined-only libus_cache.a | grep -q ' T us_cache_open$' # it looked at something
