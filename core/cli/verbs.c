/* verbs.c - the table of verbs: what each is called, takes and means. */
#include "cli/cli.h"

static const CliOption create_options[] = {
    {"kind", "KIND", "kv (the default), collection or table"},
    {"key", "TYPE", "type of the key, text by default; more than one with commas: text,integer"},
    {"value", "TYPE", "kv: json (the default), text or bytes"},
    {"dimensions", "N", "collection: numbers in a vector"},
    {"metric", "M", "collection: l2, cosine or ip; of bits hamming"},
    {"element", "E", "collection: what numbers are kept as: f32 (the default), f16, i8 or bit"},
    {"field", "NAME:TYPE[:indexed]", "collection, table: a field; may be given again"},
    {"ttl", "MS", "milliseconds that a row lives when it is put; for ever when absent"},
    {"block-size", "BYTES", "of a block of rows: 4096, 8192 ... 65536"},
    {"compression", "NAME", "none (the default) or lz4"},
    {NULL, NULL, NULL},
};
static const CliOption scan_options[] = {
    {"gt", "KEY", "only keys greater than KEY"},
    {"gte", "KEY", "only keys from KEY on"},
    {"lt", "KEY", "only keys less than KEY"},
    {"lte", "KEY", "only keys up to KEY"},
    {"prefix", "P", "only text or bytes keys that begin with P"},
    {"where", "JSON", "only rows that match, as in {\"year\":{\"gte\":2020}}"},
    {"reverse", NULL, "the last key first"},
    {"limit", "N", "at most N rows"},
    {"vector", NULL, "with the vectors"},
    {NULL, NULL, NULL},
};
static const CliOption search_options[] = {
    {"vector", "JSON", "near this vector"},
    {"like", "KEY", "near the vector of this record"},
    {"k", "N", "how many, 10 by default"},
    {"where", "JSON", "only records that match, as in {\"year\":{\"gte\":2020}}"},
    {"recall", "R", "share of true neighbours to aim for, 0 to 1, or exact"},
    {"probes", "N", "lists of the index to read, whatever recall would want"},
    {"max-distance", "D", "only records at D or nearer"},
    {"explain", NULL, "print how the search is done, and no records"},
    {NULL, NULL, NULL},
};
static const CliOption import_options[] = {
    {"key-from", "NAME", "the member or column that is the key, \"key\" by default"},
    {"rows", "FILE", ".jsonl with key and fields for the rows of .npy, .fvecs, .bvecs"},
    {"ignore-unknown", NULL, "leave out members and columns that are no field"},
    {NULL, NULL, NULL},
};
static const CliOption verify_options[] = {
    {"deep", NULL, "read every byte"},
    {NULL, NULL, NULL},
};
static const CliOption backup_options[] = {
    {"incremental", "BASE", "only what is new since BASE, the file of an earlier full or incremental backup"},
    {"log", "BASE", "what was committed since BASE, the file of any backup: to go back to each commit"},
    {"backup-key-file", "FILE", "encrypts the file (and decrypts BASE) with this key, not with the database's"},
    {"plain", NULL, "does not encrypt the file, though the database is"},
    {NULL, NULL, NULL},
};
static const CliOption restore_options[] = {
    {"sequence", "N", "up to commit N"},
    {"time", "TIME", "up to a time, such as 2026-01-31T12:00:00Z"},
    {"verify", NULL, "only read the files and check them; DB is not given"},
    {"backup-key-file", "FILE", "what the files are encrypted with, when it is not the new database's key"},
    {NULL, NULL, NULL},
};
static const CliOption repair_options[] = {
    {"out", "NEW", "where the new database shall be"},
    {NULL, NULL, NULL},
};
static const CliOption rekey_options[] = {
    {"new-key-file", "FILE", "the new key: 32 bytes, or 64 hexadecimal digits"},
    {NULL, NULL, NULL},
};
static const CliOption no_options[] = {{NULL, NULL, NULL}};

#define KEY_HELP                                                                                   \
    "KEY is text as it stands, a number, true or false, base64 for bytes, a time such as\n"        \
    "2026-01-31T12:00:00Z, or a JSON array where a key has several parts."

const CliVerb cli_verbs[] = {
    {"create", "create DB NAME --kind kv|collection|table [options]",
     "makes a membrane (and the database)",
     "Makes the membrane NAME in the database DB, and DB itself when it is missing. One that is\n"
     "there already with the same schema is left as it is.\n\n"
     "Types: text integer bigint real boolean bytes timestamp json.",
     create_options, 2, 2, cli_create},
    {"info", "info DB", "lists the membranes",
     "Lists each membrane with kind, rows, bytes and schema.", no_options, 1, 1, cli_info},
    {"put", "put DB NAME KEY JSON", "inserts or replaces a row",
     "Inserts a row or replaces the whole of it. JSON is the value of a pair; of a collection or\n"
     "table it is an object of \"vector\" and fields.\n\n" KEY_HELP,
     no_options, 4, 4, cli_put},
    {"get", "get DB NAME KEY", "prints a row",
     "Prints the value, or the record, as JSON. Absent: exit 1.\n\n" KEY_HELP, no_options, 3, 3,
     cli_get},
    {"del", "del DB NAME KEY", "deletes a row", "Deletes a row. Absent: exit 1.\n\n" KEY_HELP,
     no_options, 3, 3, cli_del},
    {"scan", "scan DB NAME [--gte K] [--lt K] [--prefix P] [--reverse] [--limit N]",
     "prints rows in order of their keys",
     "Prints rows in order of their keys, one JSON object a line: {key, value}, or the key\n"
     "and fields.\n\n" KEY_HELP,
     scan_options, 2, 2, cli_scan},
    {"search", "search DB NAME --vector JSON|--like KEY [--k N] [--where JSON] [--recall R]",
     "prints the nearest records",
     "Prints the records nearest to a vector, nearest first, one JSON object a line:\n"
     "{key, distance, fields}. The record that --like names is the nearest to itself.",
     search_options, 2, 2, cli_search},
    {"import", "import DB NAME FILE [options]", "puts the rows of a file",
     "Puts the rows of FILE into the membrane NAME, by the ending of its name:\n"
     "  .jsonl          an object a line: {key, value}, or {key, vector, fields}\n"
     "  .csv            the header names the columns: key, value, vector (a JSON array), fields\n"
     "  .npy            rows of float32, float16, int8 or uint8; key and fields from the\n"
     "                  same line of a .jsonl beside it, or else the row's number is the key\n"
     "  .fvecs .bvecs   likewise\n"
     "Rows that do not fit are refused, named and counted; the others are kept. Exit 1 then.",
     import_options, 3, 3, cli_import},
    {"dump", "dump DB [NAME]", "prints all rows",
     "Prints every row of NAME, vectors too, in the form that import reads. Without NAME it\n"
     "prints every membrane: {membrane, kind, schema}, then {membrane, row} for each row.",
     no_options, 1, 2, cli_dump},
    {"stats", "stats DB", "prints everything that is counted", "Prints sizes, memory and counters.",
     no_options, 1, 1, cli_stats},
    {"verify", "verify DB [--deep]", "looks for damage",
     "Checks the database and names each problem: where, offset, what. Damage: exit 1.",
     verify_options, 1, 1, cli_verify},
    {"repair", "repair DB --out NEW", "saves what can be read of a damaged database",
     "Makes the database NEW of every row of DB whose own bytes are whole, and names what is\n"
     "damaged, lost (by ranges of keys) and in doubt: rows that may be older than they were,\n"
     "or deleted since. DB is not written to; nobody may have it open for writing.",
     repair_options, 1, 1, cli_repair},
    {"wal", "wal DB", "prints the logs, frame by frame",
     "Prints a line for each log and each of its frames, and what lies between them where it is\n"
     "damaged.",
     no_options, 1, 1, cli_wal},
    {"manifest", "manifest DB", "prints superblocks and runs",
     "Prints a line for each superblock, and for each run of its manifest.", no_options, 1, 1,
     cli_manifest},
    {"segments", "segments DB", "prints the segments of the newest state",
     "Prints a line for each segment: where it lies, its rows, its first and last key as bytes.",
     no_options, 1, 1, cli_segments},
    {"compact", "compact DB", "gives space back",
     "Rewrites what is live and gives the rest back to the file system.", no_options, 1, 1,
     cli_compact},
    {"backup", "backup DB FILE [--incremental BASE | --log BASE]", "writes the database into one file",
     "Writes the state of this moment into FILE, which must not be there yet; a program that has\n"
     "DB open for writing goes on meanwhile. All of it is checked as it is read, and so is BASE.\n"
     "The same state gives the same bytes on every machine. Of an encrypted database FILE is\n"
     "encrypted with the same key.",
     backup_options, 2, 2, cli_backup},
    {"restore", "restore FILE... DB [--sequence N | --time TIME] | restore --verify FILE...",
     "makes a database of backups",
     "Makes DB, which must not be there yet, of a full backup, the incremental ones that follow\n"
     "it and logs, in their order. What is damaged, cut short or missing is refused, and nothing\n"
     "is left behind then. With a key DB is encrypted; encrypted files need it as well.",
     restore_options, 1, CLI_ARGUMENTS_MAX, cli_restore},
    {"rekey", "rekey DB --key-file FILE --new-key-file FILE", "changes the key of an encrypted database",
     "Makes the new key the only one that opens the database. What is stored is not encrypted\n"
     "anew: whoever had the old key and a copy of the file DB can read it still; to keep them out,\n"
     "dump into a new database. If it fails, one of the two keys opens it: keep both, try again.",
     rekey_options, 1, 1, cli_rekey},
    {"bench", "bench DB", "measures this machine for some seconds",
     "Puts, gets, scans and searches rows of its own in DB, which is made when it is missing,\n"
     "checks every answer, and removes the rows again.",
     no_options, 1, 1, cli_bench},
    {"help", "help [VERB]", "explains a verb", "Lists the verbs, or explains one.", no_options, 0,
     1, cli_help},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
