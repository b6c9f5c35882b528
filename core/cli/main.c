/* main.c - the nacre command: finds the verb, reads its options, runs it. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Options that every verb takes. */
static const CliOption cli_common[] = {
    {"json", NULL, "one JSON object per line"},
    {"key-file", "FILE", "the encryption key: 32 bytes, or 64 hexadecimal digits; else NACRE_KEY has them"},
    {"break-lock", NULL, "take a lock that another holds: only when you know that it is gone"},
    {"help", NULL, "explain the verb"},
    {NULL, NULL, NULL},
};

int cli_fail(Cli *cli, int exit_code, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++) /* exactly one line, whatever the thing is called */
        if ((unsigned char)*c < 0x20) *c = ' ';
    fflush(stdout);
    fprintf(stderr, "nacre%s%s: %s\n", cli->verb ? " " : "", cli->verb ? cli->verb->name : "",
            text);
    return exit_code;
}

/* What a user can do about a failure. */
static const char *cli_advice(nacre_status status) {
    switch (status) {
    case NACRE_BUSY:
        return "close the program that has it open; if you know that it is gone, say --break-lock";
    case NACRE_CORRUPT: return "nacre verify names what is damaged; restore a copy, or see nacre help repair";
    case NACRE_VERSION: return "use the version of nacre that wrote it";
    case NACRE_PERMISSION: return "check the key, and the permissions of its files and folder";
    case NACRE_QUOTA: return "make room on the disk";
    case NACRE_IO: return "check the disk";
    case NACRE_RESOURCE_EXHAUSTED: return "do it in smaller pieces";
    case NACRE_INTERNAL: return "this is a bug of nacre; please report it";
    default: return NULL;
    }
}

static int cli_fail_with_advice(Cli *cli, nacre_status status, const char *thing,
                                const char *message) {
    const char *advice = cli_advice(status);
    if (!message || !message[0]) message = nacre_status_name(status);
    return cli_fail(cli, CLI_REFUSED, "%s%s%s%s%s", thing ? thing : "", thing ? ": " : "", message,
                    advice ? "; " : "", advice ? advice : "");
}

int cli_fail_status(Cli *cli, nacre_status status, const char *thing) {
    return cli_fail_with_advice(cli, status, thing, cli->db ? nacre_message(cli->db) : NULL);
}

void *cli_realloc(void *memory, size_t size) {
    void *larger = realloc(memory, size ? size : 1);
    if (!larger) {
        fprintf(stderr, "nacre: no memory left for %zu bytes; close other programs\n", size);
        exit(CLI_REFUSED);
    }
    return larger;
}

void *cli_alloc(size_t size) { return cli_realloc(NULL, size); }

/* ---- options ---- */

const char *cli_option(const Cli *cli, const char *name) {
    for (int i = cli->given_count; i-- > 0;)
        if (strcmp(cli->given[i].option->name, name) == 0) return cli->given[i].value;
    return NULL;
}

int cli_option_number(Cli *cli, const char *name, uint64_t low, uint64_t high, uint64_t *number) {
    const char *text = cli_option(cli, name);
    uint64_t n = 0;
    if (!text) return CLI_DONE;
    bool good = *text != 0;
    for (const char *c = text; *c && good; c++) {
        good = *c >= '0' && *c <= '9' && n < UINT64_MAX / 10 - 1;
        n = n * 10 + (uint64_t)(*c - '0');
    }
    if (!good || n < low || n > high)
        return cli_fail(cli, CLI_USAGE, "--%s %s: give a whole number from %llu to %llu", name,
                        text, (unsigned long long)low, (unsigned long long)high);
    *number = n;
    return CLI_DONE;
}

static const CliOption *cli_find_option(const CliOption *options, const char *name, size_t size) {
    for (; options && options->name; options++)
        if (strlen(options->name) == size && memcmp(options->name, name, size) == 0) return options;
    return NULL;
}

/* One argument that begins with dashes. *next: the argument behind it, NULL: there is none. */
static int cli_take_option(Cli *cli, const char *argument, const char *next, bool *used_next) {
    const char *name = argument + 2, *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const CliOption *option = cli_find_option(cli->verb->options, name, size);
    if (!option) option = cli_find_option(cli_common, name, size);
    if (!option)
        return cli_fail(cli, CLI_USAGE, "unknown option %s; see nacre help %s", argument,
                        cli->verb->name);
    const char *value = equals ? equals + 1 : "";
    if (option->value && !equals) {
        if (!next) return cli_fail(cli, CLI_USAGE, "%s wants a value: %s", argument, option->value);
        value = next;
        *used_next = true;
    }
    if (!option->value && equals)
        return cli_fail(cli, CLI_USAGE, "--%s has no value", option->name);
    cli->given[cli->given_count++] = (CliGiven){option, value};
    return CLI_DONE;
}

/* Options may stand anywhere; behind "--" nothing is one. "-5" is a key. */
static int cli_take_arguments(Cli *cli, int count, char **arguments) {
    bool options = true;
    if (count > CLI_ARGUMENTS_MAX)
        return cli_fail(cli, CLI_USAGE, "more than %d arguments", CLI_ARGUMENTS_MAX);
    for (int i = 0; i < count; i++) {
        const char *argument = arguments[i];
        bool used_next = false;
        if (options && strcmp(argument, "--") == 0) {
            options = false;
        } else if (options && strncmp(argument, "--", 2) == 0) {
            int code =
                cli_take_option(cli, argument, i + 1 < count ? arguments[i + 1] : NULL, &used_next);
            if (code != CLI_DONE) return code;
            i += used_next;
        } else {
            cli->arguments[cli->argument_count++] = argument;
        }
    }
    return CLI_DONE;
}

/* ---- opening ---- */

nacre_status cli_open_quietly(Cli *cli, nacre_mode mode) {
    nacre_options options = NACRE_OPTIONS_INIT;
    options.mode = mode;
    if (cli_option(cli, "break-lock")) options.lock = NACRE_LOCK_BREAK;
    uint8_t key[CLI_KEY];
    bool given = false;
    if (!cli_key(cli, key, &given)) return cli->open_error.code;
    if (given) options.encryption_key = key;
    nacre_status status = nacre_open(cli->arguments[0], &options, &cli->db, &cli->open_error);
    cli_wipe(key, sizeof key);
    return status;
}

int cli_open(Cli *cli, nacre_mode mode) {
    const char *name = cli->arguments[0], *text = cli->open_error.text;
    nacre_status status = cli_open_quietly(cli, mode);
    if (status == NACRE_OK) return CLI_DONE;
    if (status == NACRE_NOT_FOUND)
        return cli_fail(cli, CLI_REFUSED, "%s: there is no such database; nacre create makes one",
                        name);
    return cli_fail_with_advice(cli, status, strstr(text, name) ? NULL : name, text);
}

int cli_open_membrane(Cli *cli, nacre_mode mode, nacre_membrane **membrane) {
    int code = cli_open(cli, mode);
    if (code != CLI_DONE) return code;
    nacre_status status = nacre_membrane_open(cli->db, cli->arguments[1], NULL, membrane);
    if (status == NACRE_OK) return CLI_DONE;
    if (status == NACRE_NOT_FOUND)
        return cli_fail(cli, CLI_REFUSED,
                        "%s: there is no membrane \"%s\"; nacre info lists those that there are",
                        cli->arguments[0], cli->arguments[1]);
    return cli_fail_status(cli, status, NULL);
}

/* ---- help ---- */

static const CliVerb *cli_find_verb(const char *name) {
    for (const CliVerb *verb = cli_verbs; verb->name; verb++)
        if (strcmp(verb->name, name) == 0) return verb;
    return NULL;
}

static void cli_print_options(const CliOption *options) {
    for (; options && options->name; options++) {
        char head[64];
        snprintf(head, sizeof head, "--%s%s%s", options->name, options->value ? " " : "",
                 options->value ? options->value : "");
        printf("  %-26s %s\n", head, options->help);
    }
}

static int cli_help_verb(const CliVerb *verb) {
    printf("usage: nacre %s\n\n%s\n", verb->usage, verb->help);
    printf("\nOptions:\n");
    cli_print_options(verb->options);
    cli_print_options(cli_common);
    return CLI_DONE;
}

static int cli_help_all(void) {
    printf("nacre - one embedded database for vectors, keys and tables\n\nusage: nacre VERB DB "
           "[NAME] ...\n\n");
    for (const CliVerb *verb = cli_verbs; verb->name; verb++)
        printf("  %-8s %s\n", verb->name, verb->summary);
    printf("\nnacre help VERB explains each. Exit 0: done; 1: not found or refused; 2: wrong "
           "usage.\n");
    return CLI_DONE;
}

int cli_help(Cli *cli) {
    if (cli->argument_count == 0) return cli_help_all();
    const CliVerb *verb = cli_find_verb(cli->arguments[0]);
    if (!verb)
        return cli_fail(cli, CLI_USAGE, "there is no verb \"%s\"; see nacre help",
                        cli->arguments[0]);
    return cli_help_verb(verb);
}

/* ---- running ---- */

static int cli_run(Cli *cli, int count, char **arguments) {
    int code = cli_take_arguments(cli, count, arguments);
    if (code != CLI_DONE) return code;
    if (cli_option(cli, "help")) return cli_help_verb(cli->verb);
    cli->json = cli_option(cli, "json") != NULL;
    if (cli->argument_count < cli->verb->arguments_min)
        return cli_fail(cli, CLI_USAGE, "something is missing; usage: nacre %s", cli->verb->usage);
    if (cli->argument_count > cli->verb->arguments_max)
        return cli_fail(cli, CLI_USAGE, "\"%s\" is too much; usage: nacre %s",
                        cli->arguments[cli->verb->arguments_max], cli->verb->usage);
    return cli->verb->run(cli);
}

static int cli_finish(Cli *cli, int code) {
    nacre_error error = {NACRE_OK, ""};
    nacre_db *db = cli->db;
    cli->db = NULL;
    nacre_status status = nacre_close(db, &error);
    if (status != NACRE_OK && code == CLI_DONE)
        code = cli_fail_with_advice(cli, status, cli->arguments[0], error.text);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_DONE)
        code =
            cli_fail(cli, CLI_REFUSED, "standard output: cannot be written; check where it goes");
    return code;
}

int main(int argc, char **argv) {
    Cli *cli = cli_alloc(sizeof *cli);
    memset(cli, 0, sizeof *cli);
    int code;
    if (argc < 2) {
        code = cli_fail(cli, CLI_USAGE, "say what to do; see nacre help");
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        code = cli_help_all();
    } else if ((cli->verb = cli_find_verb(argv[1])) == NULL) {
        code = cli_fail(cli, CLI_USAGE, "there is no verb \"%s\"; see nacre help", argv[1]);
    } else {
        code = cli_run(cli, argc - 2, argv + 2);
    }
    code = cli_finish(cli, code);
    free(cli);
    return code;
}
