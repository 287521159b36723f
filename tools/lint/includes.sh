#!/bin/sh
# Who may include whom (docs/style.md): prints each forbidden include and fails.
# kernels: kernels. runtime: runtime and kernels/{view,half}.h. cache: cache and runtime/{base,image,api}.
# nodes: nodes, kernels and runtime/{api,base,image}. Third-party headers have one owner each.
cd "$(dirname "$0")/../.." || exit 2
bad=$(
    check() { # room, allowed pattern
        grep -rnE '^#include "' "$1" --include='*.[ch]' --include='*.cpp' --include='*.cu' | grep -vE "#include \"($2)"
    }
    owner() { # header, owning file pattern
        grep -rnF "#include <$1" runtime nodes kernels cache tools --include='*.[ch]' --include='*.cpp' | grep -vE "^($2)"
    }
    check kernels 'kernels/'
    check runtime 'runtime/|kernels/(view|half)\.h'
    check cache 'cache/|runtime/(base|image|api)/'
    check nodes 'nodes/|kernels/|runtime/(base|image|api)/'
    owner yaml.h 'runtime/graph/yaml_tree.c'
    owner xxhash.h 'runtime/base/hash.c'
    owner openexr 'nodes/io/exr_'
    owner lmdb.h 'cache/index.c'
    owner curl/ 'cache/curl_library.h'
    owner sodium.h 'nodes/|cache/|tools/'
    owner png.h 'nodes/io/'
    owner jpeglib.h 'nodes/io/'
    owner oneapi 'kernels/nn/'
    owner dnnl 'kernels/nn/'
    owner cuda 'kernels/'
    owner cudnn 'kernels/cuda/'
    owner nccl 'kernels/cuda/'
    grep -rnE '[^_a-z](malloc|calloc|realloc|strdup)\(' runtime nodes kernels cache tools --include='*.c' |
        grep -vE '^runtime/base/mem\.c|us_(malloc|calloc|realloc|strdup)|^kernels/nn/memory\.c'
)
if [ -n "$bad" ]; then
    echo "forbidden includes or allocations:"
    echo "$bad"
    exit 1
fi
