#!/bin/sh
# Prints every include in core/ that points up (core/LEVELS), and fails if there is one.
cd "$(dirname "$0")/../.." || exit 1
find core -name '*.[ch]' | sort | xargs awk '
    BEGIN {
        while ((getline line < "core/LEVELS") > 0) {
            n = split(line, word, " ")
            if (line !~ /^#/) for (i = 2; i <= n; i++) level[word[i]] = word[1]
        }
    }
    function fail(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; bad = 1 }
    FNR == 1 {
        n = split(FILENAME, part, "/")
        here = n > 2 ? part[2] : "nacre.h"
        if (n > 2 && !(here in level)) fail("core/LEVELS does not list " here)
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, quoted, "\"")
        target = quoted[2]
        if (target == "nacre.h") next
        if (target !~ /\//) target = here "/" target # a neighbour
        split(target, part, "/")
        to = part[1]
        if (!(to in level)) fail("\"" target "\" is not written as module/file.h of core/LEVELS")
        else if (here == "nacre.h") fail("nacre.h includes " target)
        else if (level[to] > level[here]) fail(here " includes " target ", which points up")
    }
    END { if (!bad) print "check-includes: all arrows point down"; exit bad }'
