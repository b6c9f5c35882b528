/* functions.h - every function of nacre.h, as data: made from the header by functions.awk each
 * time the tests are built, so that none can be forgotten. */
#ifndef TESTS_FUNCTIONS_H
#define TESTS_FUNCTIONS_H

#include "nacre.h"

enum { API_PARAMETERS_MAX = 8 };

typedef union ApiArgument {
    const void *pointer;
    void (*function)(void);
    uint64_t number;
    double real;
} ApiArgument;

typedef struct ApiFunction {
    const char *name, *returns;
    int parameter_count;
    struct {
        const char *type, *name;
    } parameters[API_PARAMETERS_MAX];
    nacre_status (*call)(const ApiArgument *arguments); /* NACRE_OK where it returns none */
} ApiFunction;

extern const ApiFunction api_functions[]; /* ends with a NULL name */

#endif
