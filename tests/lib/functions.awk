# functions.awk - core/nacre.h as a table (functions.h): each function, its parameters, and a
# way to call it by numbered arguments. A declaration that is not understood ends the build.

function trim(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }

BEGIN {
    print "#include \"lib/functions.h\"\n"
}

{
    text = text " " $0
}

END {
    gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", text) # comments
    count = split(text, pieces, ";")
    for (i = 1; i <= count; i++) {
        piece = pieces[i]
        while (match(piece, /[{}]/)) piece = substr(piece, RSTART + 1)
        gsub(/#[a-z]+ [^#]*NACRE_CHECKED *(__attribute__\(\(warn_unused_result\)\))?/, " NACRE_CHECKED", piece)
        if (!match(piece, /nacre_[a-z0-9_]+ *\(.*\) *$/) || piece ~ /typedef|\(\*/) continue
        head = trim(substr(piece, 1, RSTART - 1))
        call = substr(piece, RSTART)
        sub(/^.*NACRE_CHECKED */, "", head)
        if (head !~ /^[a-z][a-z0-9_ ]*[ *]*$/) { # the rest of a macro stands before it
            sub(/^.*[^a-z0-9_ *]/, "", head)
            head = trim(head)
        }
        name = call
        sub(/ *\(.*/, "", name)
        parameters = call
        sub(/^[^(]*\(/, "", parameters)
        sub(/\) *$/, "", parameters)
        gsub(/[ \t]+/, " ", parameters)
        emit(name, head, trim(parameters))
    }
    print "const ApiFunction api_functions[] = {"
    printf "%s", table
    print "    {0},\n};"
}

function emit(name, head, parameters,    n, list, k, p, type, id, args, names) {
    n = parameters == "void" ? 0 : split(parameters, list, ",")
    args = ""; names = ""
    for (k = 1; k <= n; k++) {
        p = trim(list[k])
        id = p
        sub(/^.*[ *]/, "", id)
        type = trim(substr(p, 1, length(p) - length(id)))
        if (type ~ /\*$/) args = args (k > 1 ? ", " : "") "(" type ")a[" k - 1 "].pointer"
        else if (type ~ /^(nacre_each_row|nacre_commit_hook|nacre_problem)/) args = args (k > 1 ? ", " : "") "(" type ")a[" k - 1 "].function"
        else if (type == "double") args = args (k > 1 ? ", " : "") "a[" k - 1 "].real"
        else args = args (k > 1 ? ", " : "") "(" type ")a[" k - 1 "].number"
        names = names (k > 1 ? ", " : "") "{\"" type "\", \"" id "\"}"
    }
    gsub(/\(nacre_each_row \*\)a\[[0-9]\]\.pointer/, "&_", args)
    while (match(args, /\((nacre_each_row|nacre_commit_hook|nacre_problem) \*\)a\[[0-9]\]\.pointer_?/)) {
        p = substr(args, RSTART, RLENGTH)
        type = p
        sub(/pointer_?$/, "function", type)
        args = substr(args, 1, RSTART - 1) type substr(args, RSTART + RLENGTH)
    }
    print "static nacre_status call_" name "(const ApiArgument *a) {"
    print "    (void)a;"
    if (head == "nacre_status") print "    return " name "(" args ");"
    else if (head == "void") print "    " name "(" args ");\n    return NACRE_OK;"
    else print "    (void)" name "(" args ");\n    return NACRE_OK;"
    print "}\n"
    table = table "    {\"" name "\", \"" head "\", " n ", {" (n ? names : "{0}") "}, call_" name "},\n"
}
