/* crypt_format.h - the bytes of an encrypted database: NAME and its two logs, each as
 * vfs_crypt.c keeps what the database would have written there.
 *
 *   NAME    := slot (at 0) | the same slot (at 4096) | page* (from 8192)
 *   NAME-wal0, NAME-wal1 := slot (at 0) | zeros | page page (from 8192) | record* (from 16464)
 *   slot    := magic "NACREENC" | version u32 | kind u32 | generation u64 | nonce u8[24]
 *              | tag u8[16] | wrapped key u8[32] | zeros | checksum u64 (the last 8 of 128 bytes)
 *   page    := nonce u8[24] | tag u8[16] | text u8[4096]
 *   record  := nonce u8[24] | tag u8[16] | offset u64 | size u64 | checksum u64
 *              | text u8[size]                                              little-endian
 *
 * 1. Texts are encrypted and tags made by XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). The
 *    user's key wraps the data key, 32 random bytes, in the slots of NAME; the data key encrypts
 *    all else. What is authenticated besides the text: of a slot its first 24 bytes; of a page
 *    (file u32, 0 u32, index u64), of a record (file u32, 1 u32, offset u64, size u64), where
 *    file is 0 for NAME, 1 and 2 for the logs. So no page or record passes for one of
 *    another place or database; an older one of the same place does, as far as this page goes:
 *    what it holds says whether it is old (salts, LSNs, segment ids).
 * 2. A nonce is 16 bytes drawn from the host when the files are opened, then a u64 that counts
 *    what is sealed since. None is used twice with a key: a page or record that is written
 *    again, after a failure too, gets a new one.
 * 3. Page n of NAME is bytes [4096 n, 4096 n + 4096) of what the database writes. Pages 0 and
 *    1 of a log are its headers, bytes [0, 8192); a write behind them is one record, and
 *    offset says where its text begins.
 * 4. A page is written whole; torn, all of it is lost. In NAME that takes nothing
 *    that counts: each superblock has a page of its own, extents are 16 pages, and what is
 *    written into one is referenced only after it is all there. So a page must never be written
 *    again because something comes behind it: the file is as long as its pages, the last
 *    one is filled with zeros. In a log frames would share pages, and a torn
 *    page would take those of earlier syncs along. Hence records: an append writes no byte of
 *    what is there. A torn page at the end of the file is as if it were not there.
 * 5. What does not authenticate reads as CRYPT_POISON, as many bytes as it should be. Every
 *    reader above has a checksum to find that, and knows better what it means: a superblock
 *    that has a fallback, the torn end of a log, damage. A hole (nonce, tag and text are
 *    zeros: a file that was made longer) reads as zeros.
 * 6. A record's checksum is over what is before it, seed 0. It finds records again behind one
 *    that is damaged: the next record is the first place with a right
 *    checksum, an offset not below where the reader is and not farther beyond it than bytes
 *    were skipped, and a size within the file. What lies between reads as poison up to its
 *    offset; behind the last record, the rest of the file reads as that many bytes of poison.
 *    So a frame that is damaged leaves a gap of its size, with later frames behind it, and rule 4 of
 *    wal_format.h tells it from a torn end as in a plain log.
 * 7. Slots: the whole one (by its checksum) of the highest generation counts. If the key does not
 *    open it, it is the wrong key: that is told from damage by the checksum, which needs no
 *    key. Both are written and synced one after the other, when the database is made and when
 *    its key changes: at every moment one of them is whole, and the next opening for
 *    writing makes them the same. A log's slot has kind 1, no key, and decides nothing but
 *    what is said to who comes without a key.
 * 8. The slots of NAME are written before anything else but the slots of the logs, and these are
 *    synced before NAME is touched. So: no slot of NAME whole, and both logs with their slot
 *    and nothing behind it: the creation was cut off. Anything else there is damage.
 * 9. A change of key wraps the same data key anew. Whoever had the old key and a copy of the
 *    old slot can read the database, what is written later too: whoever must be kept out
 *    from now on needs a new database (dump and import).
 *
 * Not hidden: sizes and times of writes, of commits by the log's records. Not noticed: that all
 * files were replaced by older ones of the same database.
 * NAME-lock and the readers' pins hold no user data, and are as in a plain database.
 *
 * Why not sectors encrypted in place, as disks do (XTS): nothing would tell a changed byte.
 * Why 4096 + 40 and not pages of 4096 with their tag inside: a block of the database would lie
 * in two of them, and be read at twice the cost. Why random nonces of 24 bytes: a counter that
 * a crash or a copied file turns back would repeat; 128 random bits do not. */
#ifndef HOST_CRYPT_FORMAT_H
#define HOST_CRYPT_FORMAT_H

#define CRYPT_MAGIC "NACREENC"
#define CRYPT_VERSION 1u
#define CRYPT_POISON 0xe7

enum {
    CRYPT_KEY = 32,   /* bytes of the user's key, and of the data key */
    CRYPT_NONCE = 24,
    CRYPT_TAG = 16,
    CRYPT_SEAL = CRYPT_NONCE + CRYPT_TAG,
    CRYPT_SLOT = 128,
    CRYPT_SLOT_COPY = 4096, /* offset of the second slot */
    CRYPT_HEAD = 8192,      /* offset of page 0 */
    CRYPT_PAGE = 4096,      /* bytes of text */
    CRYPT_STRIDE = CRYPT_PAGE + CRYPT_SEAL,
    CRYPT_LOG_PAGES = 2 * CRYPT_PAGE, /* text of a log that is in pages: its headers */
    CRYPT_LOG_HEAD = CRYPT_HEAD + 2 * CRYPT_STRIDE, /* offset of the first record */
    CRYPT_RECORD = CRYPT_SEAL + 24,   /* bytes before a record's text */
};

/* Kinds of slot. */
#define CRYPT_SLOT_KEYS 0u
#define CRYPT_SLOT_LOG 1u

#endif
