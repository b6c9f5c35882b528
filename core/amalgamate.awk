# Prints the library as one C file: awk -v vendor=FOLDER -f core/amalgamate.awk SOURCE...
#
# 1. Sources come in the order given; a local header is put in once, where it is first included.
#    nacre.h stays an include: it lies beside the result.
# 2. Feature macros (_GNU_SOURCE and its like) must come before every system header, so all of
#    them move to the top.
# 3. xxhash.h, lz4.c, monocypher.c and their headers are put in whole, once, with their own
#    warnings off.
# 4. A header's inline function that nobody calls is no mistake here either.

function features(path,   line) {
    while ((getline line < path) > 0)
        if (line ~ FEATURE) {
            split(line, word, " ")
            if (!(word[2] in feature)) {
                feature[word[2]] = 1
                printf "#ifndef %s\n%s\n#endif\n", word[2], line
            }
        }
    close(path)
}

function vendored(name,   path, line) {
    path = vendor "/" name
    if (path in seen) return
    seen[path] = 1
    print "#if defined(__GNUC__)\n#pragma GCC diagnostic push"
    print "#pragma GCC diagnostic ignored \"-Wconversion\""
    print "#pragma GCC diagnostic ignored \"-Wsign-conversion\""
    print "#pragma GCC diagnostic ignored \"-Wshadow\"\n#endif"
    while ((getline line < path) > 0) {
        if (line ~ /^#[ \t]*include[ \t]*"lz4\.h"/) vendored("lz4.h")
        else if (line ~ /^#[ \t]*include[ \t]*"monocypher\.h"/) vendored("monocypher.h")
        else print line
    }
    close(path)
    print "#if defined(__GNUC__)\n#pragma GCC diagnostic pop\n#endif"
}

# A name without a folder is a neighbour of the file that includes it.
function local(path, name) {
    if (name ~ /\//) return "core/" name
    sub(/[^\/]*$/, "", path)
    return path name
}

function inline(path,   line, quoted) {
    if (path in seen) return
    seen[path] = 1
    printf "\n/* ---- %s ---- */\n", path
    while ((getline line < path) > 0) {
        if (line ~ FEATURE) continue
        if (line ~ /^[ \t]*#[ \t]*include[ \t]*[<"]xxhash\.h[>"]/) {
            vendored("xxhash.h")
        } else if (line ~ /^[ \t]*#[ \t]*include[ \t]*<lz4\.c>/) {
            vendored("lz4.c")
        } else if (line ~ /^[ \t]*#[ \t]*include[ \t]*<monocypher\.c>/) {
            vendored("monocypher.c")
        } else if (line ~ /^[ \t]*#[ \t]*include[ \t]*"/) {
            split(line, quoted, "\"")
            if (quoted[2] != "nacre.h") inline(local(path, quoted[2]))
        } else
            print line
    }
    close(path)
}

BEGIN {
    FEATURE = "^[ \t]*#[ \t]*define[ \t]+_[A-Z0-9_]*(SOURCE|BITS)([ \t]|$)"
    print "/* nacre.c - the Nacre library in one file, made by `make amalgamation`. MIT licence. */"
    print "#if defined(__GNUC__)\n#pragma GCC diagnostic ignored \"-Wunused-function\"\n#endif"
    for (i = 1; i < ARGC; i++) features(ARGV[i])
    print "#include \"nacre.h\""
    for (i = 1; i < ARGC; i++) inline(ARGV[i])
}
