#!/bin/sh
# Prints the rows of .npy files that C tests read as arrays of C, since a test in WebAssembly has
# no files: real-vectors.sh NAME:BYTES:FILE... prints the first BYTES bytes of each FILE's rows.
set -eu
echo '#include "lib/real_vectors.h"'
for each; do
    name=${each%%:*} rest=${each#*:}
    size=${rest%%:*} file=${rest#*:}
    head=$(od -An -t u2 -j 8 -N 2 "$file" | tr -d ' ')
    echo "const uint8_t real_$name[$size] = {"
    od -An -v -t u1 -w32 -j $((10 + head)) -N "$size" "$file" | tr -s ' ' ',' | sed 's/^,//; s/$/,/'
    echo '};'
done
