/* salvage.c - repair, wal, manifest, segments: the verbs about files that may be damaged. */
#include "cli/cli.h"

#include <string.h>

/* ---- repair ---- */

typedef struct SalvageFindings {
    bool json;
    uint64_t count;
} SalvageFindings;

static void salvage_member(const char *name, const char *text) {
    if (!text) return;
    printf(",\"%s\":", name);
    cli_print_string(text);
}

static const char *salvage_kind(nacre_finding_kind kind) {
    return kind == NACRE_FOUND_LOSS ? "loss" : kind == NACRE_FOUND_DOUBT ? "doubt" : "damage";
}

static void salvage_found(void *self, const nacre_finding *finding) {
    SalvageFindings *f = self;
    f->count++;
    if (f->json) {
        printf("%s{\"kind\":\"%s\",\"where\":", f->count > 1 ? "," : "", salvage_kind(finding->kind));
        cli_print_string(finding->where);
        printf(",\"offset\":%llu,\"what\":", (unsigned long long)finding->offset);
        cli_print_string(finding->what);
        salvage_member("membrane", finding->membrane);
        salvage_member("from", finding->from);
        salvage_member("to", finding->to);
        putchar('}');
        return;
    }
    printf("%s: %s at %llu: %s", salvage_kind(finding->kind), finding->where, (unsigned long long)finding->offset,
           finding->what);
    if (finding->membrane) printf("; membrane %s", finding->membrane);
    if (finding->from || finding->to)
        printf("; keys from %s to %s", finding->from ? finding->from : "the first", finding->to ? finding->to : "the last");
    putchar('\n');
}

int cli_repair(Cli *cli) {
    const char *from = cli->arguments[0], *to = cli_option(cli, "out");
    SalvageFindings findings = {.json = cli->json};
    nacre_repair_report report = {0};
    nacre_error error = {.code = NACRE_OK};
    nacre_options options = NACRE_OPTIONS_INIT;
    uint8_t key[CLI_KEY];
    if (!to) return cli_fail(cli, CLI_USAGE, "--out NEW: say where the new database shall be");
    int code = cli_take_key(cli, &options, key);
    if (code != CLI_DONE) return code;
    if (cli->json) fputs("{\"findings\":[", stdout);
    nacre_status status = nacre_repair(from, to, &options, salvage_found, &findings, &report, &error);
    cli_wipe(key, sizeof key);
    bool whole = status == NACRE_OK && report.losses == 0 && report.doubts == 0;
    if (cli->json)
        printf("],\"ok\":%s,\"membranes\":%llu,\"rows\":%llu,\"frames\":%llu,\"damages\":%llu,\"losses\":%llu,\"doubts\":%llu}\n",
               whole ? "true" : "false", (unsigned long long)report.membranes, (unsigned long long)report.rows,
               (unsigned long long)report.frames, (unsigned long long)report.damages, (unsigned long long)report.losses,
               (unsigned long long)report.doubts);
    if (status != NACRE_OK)
        return cli_fail(cli, CLI_REFUSED, "%s: %s%s", from, error.text[0] ? error.text : nacre_status_name(status),
                        status == NACRE_EXISTS ? "; give another name" : "");
    if (!cli->json)
        printf("%llu rows in %llu membranes are saved in %s; %llu damages, %llu losses, %llu doubts\n",
               (unsigned long long)report.rows, (unsigned long long)report.membranes, to,
               (unsigned long long)report.damages, (unsigned long long)report.losses, (unsigned long long)report.doubts);
    return CLI_DONE;
}

/* ---- looking into the files ---- */

/* A line as text: the thing, then name=value of each member. */
static void salvage_plain(JsonValue line) {
    JsonIterator it = json_iterate(line);
    bool first = true;
    for (JsonValue member, item; json_next(&it, &member, &item); first = false) {
        if (!first) {
            putchar(' ');
            fwrite(member.text.data + 1, 1, member.text.size - 2, stdout);
            putchar('=');
        }
        bool quoted = !first || item.text.size < 2 || item.text.data[0] != '"';
        fwrite(item.text.data + !quoted, 1, item.text.size - (quoted ? 0 : 2), stdout);
    }
    putchar('\n');
}

static void salvage_line(void *self, const char *json) {
    JsonValue line;
    if (((const Cli *)self)->json) puts(json);
    else if (json_parse(span_of(json, strlen(json)), &line)) salvage_plain(line);
}

static int salvage_inspect(Cli *cli, nacre_inspection what) {
    nacre_error error = {.code = NACRE_OK};
    nacre_options options = NACRE_OPTIONS_INIT;
    uint8_t key[CLI_KEY];
    int code = cli_take_key(cli, &options, key);
    if (code != CLI_DONE) return code;
    nacre_status status = nacre_inspect(cli->arguments[0], &options, what, salvage_line, cli, &error);
    cli_wipe(key, sizeof key);
    if (status == NACRE_OK) return CLI_DONE;
    return cli_fail(cli, CLI_REFUSED, "%s: %s", cli->arguments[0],
                    error.text[0] ? error.text : nacre_status_name(status));
}

int cli_wal(Cli *cli) { return salvage_inspect(cli, NACRE_INSPECT_LOG); }
int cli_manifest(Cli *cli) { return salvage_inspect(cli, NACRE_INSPECT_MANIFEST); }
int cli_segments(Cli *cli) { return salvage_inspect(cli, NACRE_INSPECT_SEGMENTS); }
