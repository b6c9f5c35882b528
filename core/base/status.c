/* status.c - names of statuses, and the end of a program that found its own bug. */
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

const char *nacre_status_name(nacre_status status) {
    switch (status) {
    case NACRE_OK: return "OK";
    case NACRE_NOT_FOUND: return "NOT_FOUND";
    case NACRE_EXISTS: return "EXISTS";
    case NACRE_INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case NACRE_WRONG_KIND: return "WRONG_KIND";
    case NACRE_SCHEMA_MISMATCH: return "SCHEMA_MISMATCH";
    case NACRE_CONFLICT: return "CONFLICT";
    case NACRE_CONSTRAINT: return "CONSTRAINT";
    case NACRE_CLOSED: return "CLOSED";
    case NACRE_READONLY: return "READONLY";
    case NACRE_MISUSE: return "MISUSE";
    case NACRE_UNSUPPORTED: return "UNSUPPORTED";
    case NACRE_BUSY: return "BUSY";
    case NACRE_RESOURCE_EXHAUSTED: return "RESOURCE_EXHAUSTED";
    case NACRE_QUOTA: return "QUOTA";
    case NACRE_TIMEOUT: return "TIMEOUT";
    case NACRE_ABORTED: return "ABORTED";
    case NACRE_IO: return "IO";
    case NACRE_CORRUPT: return "CORRUPT";
    case NACRE_VERSION: return "VERSION";
    case NACRE_PERMISSION: return "PERMISSION";
    case NACRE_EVICTED: return "EVICTED";
    case NACRE_INTERNAL: return "INTERNAL";
    }
    return "UNKNOWN";
}

void assert_failed(const char *condition, const char *file, int line) {
    char text[256];
    snprintf(text, sizeof text, "nacre: a bug of ours: %s (%s:%d)\n", condition, file, line);
    fputs(text, stderr);
    abort();
}
