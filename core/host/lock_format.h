/* lock_format.h - NAME-lock: who writes; and who reads. Text, so that native code, Node and a
 * person read the same thing. The JavaScript twin follows this page to the letter.
 *
 *     nacre-lock 1\n                                     magic and version
 *     pid 4711\n                                         process id; 0: unknown
 *     start 109932\n                                     when it began; 0: unknown
 *     boot f0a479a3-8888-472c-bf37-1fd61f891dce\n        this run of the machine; -: unknown
 *     token 00112233445566778899aabbccddeeff\n           128 random bits of this holder
 *     host native\n                                      native, node or wasi
 *     end\n                                              proves that it is whole
 *
 * Bytes
 *  1. ASCII; these seven lines in this order; one space; LF; nothing after "end\n";
 *     at most LOCK_TEXT_MAX bytes. Numbers are decimal, without sign or leading
 *     zeros, at most 2^53 - 1. boot: 1-64 of [0-9a-f-]. token: 32 of [0-9a-f].
 *     host: 1-16 of [a-z]. A file that breaks this is *not whole*.
 *  2. A file whose first line is "nacre-lock V\n" with another number V is of
 *     another version: held, BUSY (only break_it takes it).
 *  3. start: field 22 of /proc/PID/stat (clock ticks since boot; count fields after
 *     the last ')': it is the 20th from there), only where /proc shows us ourselves:
 *     field 1 of /proc//self/stat equals our process id. Else 0. (Two slashes: the
 *     user-mode emulator qemu answers for its own /proc/PID/stat itself, with another
 *     start than others see. So is 5d to be read.)
 *     boot: /proc/sys/kernel/random/boot_id without its line feed. Else "-".
 *  4. host wasi has no process ids: pid 0, start 0, boot "-". A WASI host that has one
 *     tells it in the environment: NACRE_PROCESS is the lines pid, start, boot and host of
 *     the picture. (Node's does.)
 *
 * Who is alive (the answers are tried in this order)
 *  5. a. boot known in the file and to us, and not equal -> dead.
 *     b. pid 0, or we have no process ids (WebAssembly) -> alive.
 *     c. pid above 2^31 - 1, or kill(pid, 0) says ESRCH -> dead. (EPERM is alive.)
 *     d. our own start is known, and /proc//PID/stat can be read:
 *        state (first field after the last ')') Z or X, and number of threads (the
 *        18th from there) at most 1 -> dead: killed, not yet waited for;
 *        start known in the file and not equal -> dead: the number was given anew.
 *     e. alive. So is our own process: opening twice is BUSY.
 *
 * Names. SHORT is the first 16 digits of a token; 16 zeros for a file not whole.
 *     NAME-lock              the lock
 *     NAME-lock.SHORT        a taker's own text, on its way to become the lock
 *     NAME-lock.SHORT.K      the K-th claim (1, 2, ...) on the dead lock SHORT, holding
 *                            the claimer's text; K is at most LOCK_CLAIM_MAX
 *
 * *Put X at Y* makes file Y with text X, and fails when Y is there: link(2) of the
 * taker's NAME-lock.SHORT to Y, so that Y is whole from its first moment. Where
 * link fails with anything but EEXIST: create Y with O_CREAT|O_EXCL and write it.
 * *Read Y*: a file not whole may be one that is just being put without links, so
 * it is read again every LOCK_WAIT_STEP_MS until it is whole, is gone, or
 * LOCK_WAIT_MS are over; only then it counts as not whole (and as dead).
 *
 * Taking NAME-lock (T is our token)
 *  6. Write our text to NAME-lock.T (O_CREAT|O_EXCL, 0600). Native: flock LOCK_EX of
 *     it, kept while we hold the lock: it goes with the inode to NAME-lock.
 *  7. Put it at NAME-lock. Done -> read NAME-lock: our token stands there -> go to 12;
 *     else BUSY.
 *  8. It is there: read it; gone -> 7 again (LOCK_TRIES times in all, then BUSY).
 *     Alive -> BUSY. Native: flock LOCK_EX|LOCK_NB of what was read, refused -> BUSY
 *     (held, by a native process in another pid namespace or by a taker); kept until
 *     we are through. S is its SHORT.
 *  9. For K = 1, 2, ...: put our text at NAME-lock.S.K. Done -> 10. It is there: read
 *     it; gone -> 8; its claimer alive -> BUSY; dead -> next K.
 * 10. Read NAME-lock. Not S any more -> remove our claim, 7 again.
 * 11. rename NAME-lock.T to NAME-lock. Read it: our token does not stand there ->
 *     BUSY. Remove NAME-lock.S and NAME-lock.S.1 up to our K (what is missing is fine),
 *     and, where listing the folder is easy, every other NAME-lock.SHORT and
 *     NAME-lock.SHORT.K: we hold the lock, so their owners are dead or about to be
 *     told BUSY.
 * 12. Remove NAME-lock.T. The lock is ours.
 * 13. Whoever gives up removes its NAME-lock.T and its claim. Never anything else.
 * 14. break_it: in 8 and 9 nothing counts as alive, and flock is not asked.
 * 15. Giving back: read NAME-lock; our token (and process id) stands there -> remove
 *     it. Something else or nothing -> leave it alone.
 *
 * Readers. NAME-lock is the writer's; a reader has a file of its own for each state that
 * it reads, a *pin*, in the same form with another first line and one line more:
 *
 *     nacre-reader 1\n
 *     pid ... start ... boot ... token ... host ...      as above
 *     generation 17\n                                    of the superblock that it reads
 *     end\n
 *
 * 16. T is a token of its own. The text is written to NAME-lock.rSHORT.new (O_CREAT|O_EXCL,
 *     0600) and renamed to NAME-lock.rSHORT, so that a pin is whole from its first moment;
 *     another generation is pinned in the same way over it. Whoever reads no more removes it.
 * 17. The reader then reads the superblocks again. Where the newest is of its generation or
 *     the next, the pin holds; else it pins the newest, and looks again.
 * 18. The writer lists the folder after each superblock that it wrote, and before it uses
 *     anything again that only older generations reference: of what a pin names it uses
 *     nothing. (So a reader that came too late for generation G finds G + 2 at least in 17.)
 *     Pins and .new files that are dead (5) or not whole it removes; an owner who finds
 *     its .new gone begins again. A pin of another version, or one that cannot be read,
 *     holds all generations.
 * 19. Where a reader can make no files (a folder it may not write to, a full disk) it reads
 *     without a pin, and what it reads may be gone any time: it notices by the checksums.
 *     So it is with a pin of a generation that a writer, opening later, does not find.
 * 20. break_it also removes pins without a process id.
 *
 * Why two takers cannot both win: putting is exclusive, and claims of S are removed
 * only when NAME-lock has ceased to be S (11), for good, as tokens never come back.
 * So who made claim K after seeing claims 1 .. K-1 dead, and then still finds S (10),
 * made a claim that nobody made before; a later claim is made only when its claimer
 * is dead. Replacing at once and reading again, without claims, would let two slow
 * takers each replace and each find itself. A lock put without links can be robbed
 * while its taker stands still for LOCK_WAIT_MS between creating and writing; it
 * notices when it reads again (7). The epoch in the superblock is the last fence.
 *
 * What this cannot see: a Node process, or the taking of a native lock by Node, in
 * another pid namespace of the same machine (containers that share a folder), or on
 * another machine (network file systems): its process looks dead from here. Do not
 * share a database that way. Where start is unknown (macOS) a process id given anew
 * looks alive: BUSY, until break_it. A forked child that keeps the inherited
 * descriptor of a native lock keeps the flock: BUSY while it lives. */
#ifndef HOST_LOCK_FORMAT_H
#define HOST_LOCK_FORMAT_H

#define LOCK_MAGIC "nacre-lock "
#define LOCK_READER_MAGIC "nacre-reader "
#define LOCK_VERSION "1"
#define LOCK_PROCESS "NACRE_PROCESS"

enum {
    LOCK_TEXT_MAX = 512,
    LOCK_TOKEN_DIGITS = 32,
    LOCK_SHORT_DIGITS = 16,
    LOCK_BOOT_MAX = 64,
    LOCK_HOST_MAX = 16,
    LOCK_CLAIM_MAX = 99,
    LOCK_TRIES = 8,
    LOCK_WAIT_MS = 40,
    LOCK_WAIT_STEP_MS = 4,
};

#endif
