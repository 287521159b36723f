#!/bin/sh
# Reading and writing EXR beside the packaged library and oiiotool, in one run, per compression:
# megabytes of pixels a second of processor time on one thread, and their ratios.
# usage: exr.sh BENCH_EXR [WIDTH HEIGHT]
set -e
bench=${1:?usage: exr.sh path/to/bench_exr [WIDTH HEIGHT]}
shift
[ $# -ge 2 ] || set -- 3840 2160
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$bench" "$folder" "$1" "$2" "$(command -v oiiotool || true)" 2>&1 |
    grep -v -e '^$' -e 'produced no output'
