/* key.c - the encryption key of a database: from a file or the environment, never from the command
 * line, which every process of the machine may read. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static nacre_status key_fail(Cli *cli, const char *where, const char *what) {
    cli->open_error.code = NACRE_INVALID_ARGUMENT;
    snprintf(cli->open_error.text, sizeof cli->open_error.text, "%.200s: %s", where, what);
    return cli->open_error.code;
}

void cli_wipe(void *secret, size_t size) {
    volatile uint8_t *at = secret;
    while (size > 0) at[--size] = 0;
}

static int key_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool key_decode(const char *hex, size_t size, uint8_t key[CLI_KEY]) {
    while (size > 0 && (hex[size - 1] == '\n' || hex[size - 1] == '\r')) size--;
    if (size != 2 * CLI_KEY) return false;
    for (size_t i = 0; i < CLI_KEY; i++) {
        int high = key_digit(hex[2 * i]), low = key_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool cli_key_from_file(Cli *cli, const char *name, uint8_t key[CLI_KEY]) {
    char text[2 * CLI_KEY + 8];
    FILE *file = fopen(name, "rb");
    if (!file) return key_fail(cli, name, "the key file cannot be read") == NACRE_OK;
    setvbuf(file, NULL, _IONBF, 0); /* no copy of it stays behind */
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    bool good = size == CLI_KEY || key_decode(text, size, key);
    if (size == CLI_KEY) memcpy(key, text, CLI_KEY);
    cli_wipe(text, sizeof text);
    return good || key_fail(cli, name, "a key has 32 bytes, or 64 hexadecimal digits") == NACRE_OK;
}

bool cli_key(Cli *cli, uint8_t key[CLI_KEY], bool *given) {
    const char *file = cli_option(cli, "key-file"), *text = getenv("NACRE_KEY");
    *given = file || (text && *text);
    if (!*given) return true;
    if (file) return cli_key_from_file(cli, file, key);
    return key_decode(text, strlen(text), key) ||
           key_fail(cli, "NACRE_KEY", "a key has 64 hexadecimal digits") == NACRE_OK;
}

int cli_take_key(Cli *cli, nacre_options *options, uint8_t key[CLI_KEY]) {
    bool given = false;
    if (!cli_key(cli, key, &given)) return cli_fail(cli, CLI_REFUSED, "%s", cli->open_error.text);
    if (given) options->encryption_key = key;
    return CLI_DONE;
}

int cli_rekey(Cli *cli) {
    uint8_t key[CLI_KEY];
    const char *name = cli_option(cli, "new-key-file");
    if (!name) return cli_fail(cli, CLI_USAGE, "--new-key-file is missing");
    if (!cli_key_from_file(cli, name, key)) return cli_fail(cli, CLI_REFUSED, "%s", cli->open_error.text);
    int code = cli_open(cli, NACRE_EXISTING);
    if (code == CLI_DONE) {
        nacre_status status = nacre_rekey(cli->db, key);
        if (status != NACRE_OK) code = cli_fail_status(cli, status, NULL);
    }
    cli_wipe(key, sizeof key);
    return code;
}
