/* backup.c - nacre backup and restore: a database as streams of bytes in files. */
#define _POSIX_C_SOURCE 200809L /* fsync, fileno */
#include "cli/cli.h"

#include "base/textform.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKUP_BUFFER = 256 << 10 };

static const char *const backup_kinds[] = {"", "full", "incremental", "log"};

/* ---- keys ---- */

/* As a restore takes them: that of the database, and, with --backup-key-file, that of the files. */
typedef struct BackupKeys {
    nacre_options options;
    nacre_restore_options until;
    uint8_t database[CLI_KEY], files[CLI_KEY];
} BackupKeys;

static int backup_keys(Cli *cli, BackupKeys *keys) {
    const char *name = cli_option(cli, "backup-key-file");
    keys->options = (nacre_options)NACRE_OPTIONS_INIT;
    keys->until = (nacre_restore_options)NACRE_RESTORE_INIT;
    int code = cli_take_key(cli, &keys->options, keys->database);
    if (code != CLI_DONE || !name) return code;
    if (!cli_key_from_file(cli, name, keys->files)) return cli_fail(cli, CLI_REFUSED, "%s", cli->open_error.text);
    keys->until.key = keys->files;
    return CLI_DONE;
}

/* ---- reading streams ---- */

static int backup_cannot(Cli *cli, const char *name, const char *what) {
    return cli_fail(cli, CLI_REFUSED, "%s: %s", name, what);
}

/* Gives a file to a restore. */
static int backup_feed(Cli *cli, nacre_restore *restore, const char *name) {
    static uint8_t buffer[BACKUP_BUFFER];
    FILE *file = fopen(name, "rb");
    if (!file) return backup_cannot(cli, name, strerror(errno));
    nacre_status status = NACRE_OK;
    size_t got = 1;
    while (status == NACRE_OK && (got = fread(buffer, 1, sizeof buffer, file)) > 0)
        status = nacre_restore_write(restore, buffer, got);
    bool failed = ferror(file);
    fclose(file);
    if (failed) return backup_cannot(cli, name, "cannot be read");
    return status == NACRE_OK ? CLI_DONE : backup_cannot(cli, name, nacre_restore_message(restore));
}

static void backup_print(Cli *cli, const char *name, const nacre_backup_info *info) {
    if (cli->json) {
        printf("{\"backup\":");
        cli_print_string(name);
        printf(",\"kind\":\"%s\",\"sequence\":\"%" PRIu64 "\",\"base\":\"%" PRIu64 "\",\"segments\":%" PRIu64
               ",\"bytes\":%" PRIu64 "}\n",
               backup_kinds[info->kind], info->sequence, info->base_sequence, info->segments, info->bytes);
        return;
    }
    printf("%s: %s, up to commit %" PRIu64 ", %" PRIu64 " segments, %" PRIu64 " bytes\n", name, backup_kinds[info->kind],
           info->sequence, info->segments, info->bytes);
}

/* Reads a backup and checks all of it. *token: malloc's. */
static int backup_check(Cli *cli, const BackupKeys *keys, const char *name, nacre_backup_info *info, uint8_t **token) {
    nacre_restore *restore = NULL;
    nacre_error error;
    if (nacre_restore_begin(NULL, &keys->options, &keys->until, &restore, &error) != NACRE_OK)
        return backup_cannot(cli, name, error.text);
    int code = backup_feed(cli, restore, name);
    if (code == CLI_DONE && nacre_restore_describe(restore, info) == NACRE_OK && token) {
        *token = cli_alloc(info->token.size);
        if (info->token.size) memcpy(*token, info->token.data, info->token.size);
        info->token.data = *token;
    }
    if (code != CLI_DONE) nacre_restore_abort(restore);
    else if (nacre_restore_finish(restore, NULL, &error) != NACRE_OK) code = backup_cannot(cli, name, error.text);
    return code;
}

/* ---- backup ---- */

/* A file that is there already is not written to. */
static int backup_write(Cli *cli, nacre_backup *backup, const char *name) {
    static uint8_t buffer[BACKUP_BUFFER];
    FILE *file = fopen(name, "wbx");
    if (!file) return backup_cannot(cli, name, errno == EEXIST ? "it is there already" : strerror(errno));
    nacre_status status = NACRE_OK;
    bool written = true;
    size_t got = 1;
    while (status == NACRE_OK && written && got > 0) {
        status = nacre_backup_read(backup, buffer, sizeof buffer, &got);
        if (status == NACRE_OK) written = fwrite(buffer, 1, got, file) == got;
    }
    if (status == NACRE_OK && written) written = fflush(file) == 0 && fsync(fileno(file)) == 0;
    int why = errno;
    written &= fclose(file) == 0;
    if (status == NACRE_OK && written) return CLI_DONE;
    (void)remove(name);
    return status != NACRE_OK ? cli_fail_status(cli, status, cli->arguments[0]) : backup_cannot(cli, name, strerror(why));
}

static nacre_status backup_begin_cli(Cli *cli, const nacre_backup_info *base, bool log, nacre_backup **backup) {
    if (!log) return nacre_backup_begin(cli->db, base->kind ? &base->token : NULL, backup);
    nacre_archive *archive = NULL;
    nacre_status status = nacre_archive_open(cli->db, base->sequence, &archive);
    return status == NACRE_OK ? nacre_archive_begin(archive, backup) : status;
}

/* Without an option the file is encrypted as the database is. */
static nacre_status backup_encryption(Cli *cli, const BackupKeys *keys, nacre_backup *backup) {
    if (cli_option(cli, "plain")) return nacre_backup_encrypt(backup, NULL);
    return keys->until.key ? nacre_backup_encrypt(backup, keys->until.key) : NACRE_OK;
}

int cli_backup(Cli *cli) {
    const char *incremental = cli_option(cli, "incremental"), *log = cli_option(cli, "log");
    const char *base_name = incremental ? incremental : log;
    nacre_backup_info base = {0}, info;
    uint8_t *token = NULL;
    nacre_backup *backup = NULL;
    BackupKeys keys;
    if (incremental && log) return cli_fail(cli, CLI_USAGE, "--incremental or --log, not both");
    if (cli_option(cli, "plain") && cli_option(cli, "backup-key-file"))
        return cli_fail(cli, CLI_USAGE, "--plain or --backup-key-file, not both");
    int code = backup_keys(cli, &keys);
    if (code == CLI_DONE && base_name) code = backup_check(cli, &keys, base_name, &base, &token);
    /* Beside a program that writes: reading is all that it takes. */
    if (code == CLI_DONE) code = cli_open(cli, NACRE_READ);
    if (code == CLI_DONE) {
        nacre_status status = backup_begin_cli(cli, &base, log != NULL, &backup);
        if (status == NACRE_OK) status = backup_encryption(cli, &keys, backup);
        if (status != NACRE_OK) code = cli_fail_status(cli, status, cli->arguments[0]);
    }
    if (code == CLI_DONE) code = backup_write(cli, backup, cli->arguments[1]);
    if (code == CLI_DONE && nacre_backup_describe(backup, &info) == NACRE_OK) backup_print(cli, cli->arguments[1], &info);
    nacre_backup_end(backup);
    cli_wipe(&keys, sizeof keys);
    free(token);
    return code;
}

/* ---- restore ---- */

static int backup_verify_files(Cli *cli) {
    nacre_restore *restore = NULL;
    nacre_error error;
    BackupKeys keys;
    int code = backup_keys(cli, &keys);
    if (code != CLI_DONE) return code;
    nacre_status status = nacre_restore_begin(NULL, &keys.options, &keys.until, &restore, &error);
    cli_wipe(&keys, sizeof keys);
    if (status != NACRE_OK) return cli_fail(cli, CLI_REFUSED, "%s", error.text);
    uint64_t bytes = 0, segments = 0;
    for (int i = 0; i < cli->argument_count && code == CLI_DONE; i++) {
        nacre_backup_info info;
        code = backup_feed(cli, restore, cli->arguments[i]);
        if (code != CLI_DONE || nacre_restore_describe(restore, &info) != NACRE_OK) continue;
        nacre_backup_info one = info;
        one.bytes -= bytes, one.segments -= segments;
        bytes = info.bytes, segments = info.segments;
        if (info.kind) backup_print(cli, cli->arguments[i], &one);
    }
    if (code != CLI_DONE) nacre_restore_abort(restore);
    else if (nacre_restore_finish(restore, NULL, &error) != NACRE_OK)
        code = backup_cannot(cli, cli->arguments[cli->argument_count - 1], error.text);
    return code;
}

/* --at: a time, or --sequence: a commit. */
static int backup_until(Cli *cli, nacre_restore_options *until) {
    const char *time = cli_option(cli, "time");
    int code = cli_option_number(cli, "sequence", 1, UINT64_MAX, &until->sequence);
    if (code != CLI_DONE || !time) return code;
    if (until->sequence) return cli_fail(cli, CLI_USAGE, "--sequence or --time, not both");
    CliPool pool = {NULL};
    nacre_value value;
    CliProblem problem;
    bool good = cli_value_text(NACRE_TIMESTAMP, "--time", span_of(time, strlen(time)), &pool, &value, &problem);
    cli_pool_clear(&pool);
    if (!good || value.integer <= 0)
        return cli_fail(cli, CLI_USAGE, "--time %s: give a time such as 2026-01-31T12:00:00Z", time);
    until->time_ms = (uint64_t)value.integer;
    return CLI_DONE;
}

int cli_restore(Cli *cli) {
    if (cli_option(cli, "verify")) return backup_verify_files(cli);
    if (cli->argument_count < 2)
        return cli_fail(cli, CLI_USAGE, "usage: nacre %s; see nacre help restore", "restore FILE... DB");
    const char *target = cli->arguments[cli->argument_count - 1];
    nacre_restore *restore = NULL;
    nacre_backup_info info;
    nacre_error error;
    BackupKeys keys;
    int code = backup_keys(cli, &keys);
    if (code == CLI_DONE) code = backup_until(cli, &keys.until);
    if (code != CLI_DONE) return code;
    if (cli_option(cli, "break-lock")) keys.options.lock = NACRE_LOCK_BREAK;
    nacre_status status = nacre_restore_begin(target, &keys.options, &keys.until, &restore, &error);
    cli_wipe(&keys, sizeof keys);
    if (status != NACRE_OK) return cli_fail(cli, CLI_REFUSED, "%s: %s", target, error.text);
    for (int i = 0; i + 1 < cli->argument_count && code == CLI_DONE; i++)
        code = backup_feed(cli, restore, cli->arguments[i]);
    if (code == CLI_DONE && nacre_restore_describe(restore, &info) != NACRE_OK) code = CLI_REFUSED;
    if (code != CLI_DONE) {
        nacre_restore_abort(restore);
        return code;
    }
    if (nacre_restore_finish(restore, &cli->db, &error) != NACRE_OK)
        return cli_fail(cli, CLI_REFUSED, "%s: %s", target, error.text);
    uint64_t oldest = 0, newest = 0;
    if (nacre_changes_bounds(cli->db, &oldest, &newest) != NACRE_OK) return cli_fail_status(cli, NACRE_IO, target);
    if (cli->json) printf("{\"restored\":\"%" PRIu64 "\"}\n", newest);
    else printf("%s: restored up to commit %" PRIu64 "\n", target, newest);
    return CLI_DONE;
}
