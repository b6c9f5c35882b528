/* pin_file.h - the pins of readers, NAME-lock.rSHORT, as lock_format.h describes them
 * (rules 16 to 20). */
#ifndef HOST_PIN_FILE_H
#define HOST_PIN_FILE_H

#include "base/vfs.h"

typedef struct PinFolder PinFolder; /* where the pins of one database lie */
typedef struct PinFile PinFile;

/* Opens the folder of `lock_name`. break_it: rule 20. On failure of these functions
 * `message` says what failed; it must live as long as the folder. */
NACRE_CHECKED nacre_status pin_folder_open(const nacre_allocator *allocator, const char *lock_name, bool break_it,
                                           char *message, size_t message_size, PinFolder **folder);
void pin_folder_close(PinFolder *folder); /* every pin must be removed */

/* *pin NULL: a new pin of `generation`; else that one is moved there. */
NACRE_CHECKED nacre_status pin_file_put(PinFolder *folder, uint64_t generation, PinFile **pin);
void pin_file_remove(PinFolder *folder, PinFile *pin);

/* Tells `visit` each generation that a living reader pins, UINT64_MAX for "all". */
NACRE_CHECKED nacre_status pin_folder_list(PinFolder *folder, VfsPinVisit visit, void *self);

#endif
