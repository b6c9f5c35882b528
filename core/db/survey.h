/* survey.h - what lies in the files of a database that may be too damaged to be opened:
 * superblocks, manifests, logs, each as far as it is whole. For verify, repair and whoever
 * wants to look. Nothing is ever written.
 *
 * 1. Damage is no failure here: it is noted in `wrong` of what has it. Failures are those of
 *    memory, of the host, and a database that is not there.
 * 2. Nobody may have the database open for writing meanwhile. */
#ifndef DB_SURVEY_H
#define DB_SURVEY_H

#include "db/schema.h"
#include "log/wal_walk.h"
#include "store/superblock.h"
#include "store/version.h"

enum { SURVEY_TEXT = 200 };

/* A manifest, from a superblock or found by itself. */
typedef struct SurveyState {
    SlotState slot;        /* SLOT_VALID: superblock is right */
    Superblock superblock; /* of a manifest found by its seal: what that says */
    uint64_t offset;       /* of the manifest in the file; 0: not known */
    Version *version;      /* NULL: none of it could be read */
    bool whole;            /* the manifest verifies; else `version` has what is left of it */
    ManifestIds ids;
    uint8_t *bytes;        /* its own, as they were read */
    size_t size;
    Span catalog;          /* the copy in it: whole, or empty */
    char wrong[SURVEY_TEXT]; /* empty: nothing */
} SurveyState;

typedef struct SurveyLog {
    Wal wal;            /* file NULL: missing */
    uint8_t *bytes;     /* from WAL_HEAD on */
    size_t size;
    bool good[2];       /* headers */
    char wrong[SURVEY_TEXT];
} SurveyLog;

typedef struct Survey {
    Env own_env, *env;
    Vfs *own_vfs;
    Vfs *crypt;           /* over it, or over the caller's; NULL: not encrypted */
    char *names;          /* NAME, NAME-wal0, NAME-wal1, zero-terminated */
    size_t names_size;
    char *name, *log_names[2];
    DataFile data;        /* file NULL: missing */
    uint64_t data_size;
    Cache own_cache;
    SegmentIo io;
    bool lent;
    Version *versions;
    SurveyState states[2]; /* of slots 0 and 1 */
    SurveyLog logs[2];
} Survey;

/* Opens what is there, for reading, and reads superblocks, manifests and logs. Failures are
 * written into *error. NACRE_NOT_FOUND: not one of the files is there. */
/* With a key: NACRE_PERMISSION, NACRE_INVALID_ARGUMENT and NACRE_CORRUPT as nacre_open. */
NACRE_CHECKED nacre_status survey_open(Survey *survey, const char *path, const nacre_options *options,
                                       nacre_error *error);
void survey_close(Survey *survey);
/* The same of files that are open (`lent`): env, name, log names, data, its size, io and the
 * logs' wal are the caller's. Ended by survey_look_away. */
NACRE_CHECKED nacre_status survey_look(Survey *survey);
void survey_look_away(Survey *survey);

/* The state that counts: the newest whole one; NULL: neither is. */
SurveyState *survey_newest(Survey *survey);
/* Looks for whole manifests in all of the file: into *state the newest one. false: none. */
NACRE_CHECKED nacre_status survey_find(Survey *survey, SurveyState *state, bool *found);
/* What can still be read of the damaged manifest of `state`: segments that are there, by their
 * index or its spare, in the order in which the manifest names them. Into state->version. */
NACRE_CHECKED nacre_status survey_mend(Survey *survey, SurveyState *state);
/* Adds what the damaged manifest `other` names and that of `state` does not. Only where both
 * name the same segments: nothing was written or merged between them; else *same is false. */
NACRE_CHECKED nacre_status survey_join(Survey *survey, SurveyState *state, const SurveyState *other, bool *same);
void survey_state_clear(Survey *survey, SurveyState *state);

/* The logs in the order of their use: the index of the older one. */
int survey_older_log(const Survey *survey);

#endif
