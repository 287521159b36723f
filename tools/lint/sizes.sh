#!/bin/sh
# No source file over 500 lines; .def tables and generated files are exempt.
cd "$(dirname "$0")/../.." || exit 2
long=$(find runtime nodes kernels cache tools tests \( -name '*.c' -o -name '*.h' -o -name '*.cpp' -o -name '*.cu' \) \
    -exec wc -l {} + | awk '$2 != "total" && $1 > 500 {print $2 ": " $1 " lines"}')
if [ -n "$long" ]; then
    echo "longer than 500 lines; split by responsibility:"
    echo "$long"
    exit 1
fi
