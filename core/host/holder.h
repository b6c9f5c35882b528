/* holder.h - whose a file is: the text of lock_format.h that names a process, and
 * whether that process lives (rules 1 to 5 and 16 there). */
#ifndef HOST_HOLDER_H
#define HOST_HOLDER_H

#include "base/span.h"
#include "host/lock_format.h"

typedef enum HolderState { HOLDER_WHOLE, HOLDER_NOT_WHOLE, HOLDER_OTHER_VERSION } HolderState;

/* What such a file says. */
typedef struct Holder {
    HolderState state;
    uint64_t pid, start;
    char boot[LOCK_BOOT_MAX + 1];
    char token[LOCK_TOKEN_DIGITS + 1]; /* zeros where it is not whole */
    char host[LOCK_HOST_MAX + 1];
    bool reader;         /* a pin of a reader (16), not a lock */
    uint64_t generation; /* what it pins */
} Holder;

enum { HOLDER_TOKEN_SIZE = LOCK_TOKEN_DIGITS / 2 };

/* This process, as a holder with these random bytes. */
void holder_self(Holder *self, const uint8_t token[HOLDER_TOKEN_SIZE]);

/* Writes the text (LOCK_TEXT_MAX bytes are enough); its size. */
size_t holder_print(const Holder *holder, char *text);

/* `text` has `size` bytes and a zero behind them that is not of the file. */
Holder holder_parse(const char *text, size_t size, bool reader);

/* (5); `self` is holder_self's. What is not whole is dead. */
bool holder_is_alive(const Holder *holder, const Holder *self);

/* The number of this process; 0: it has none. */
uint64_t holder_process(void);

#endif
