#!/bin/bash
# Breaks the code on purpose, one way at a time, and expects the tests to notice:
# tests/mutants.sh [TEXT] tries those whose name contains TEXT, or matches it as a regular expression.
# tests/mutants.sh --places only asks whether each edit still finds its place.
#
# Each mutant is an edit of one file, made in a copy of the tree under build/mutants, built
# without sanitizers (assertions are always on). The tests that should catch it run first, then
# all. A crash or a hang (PATIENCE seconds, 240 when not given) counts as caught. Fails when a mutant survives, or when an edit no
# longer finds its place.
set -u
cd "$(dirname "$0")/.."
only=${1:-}
[ "$only" = --places ] && only=''
work=$PWD/build/mutants
patience=${PATIENCE:-240}
lanes=$(nproc 2>/dev/null || echo 2)
[ "$lanes" -gt 4 ] && lanes=4
names=() edited=() edits=() hints=()

# mutant NAME FILE EDIT TESTS: EDIT is Perl over the whole file; TESTS are PROGRAM:FILTER.
mutant() {
    if [[ $1 =~ $only ]]; then names+=("$1") edited+=("$2") edits+=("$3") hints+=("$4"); fi
}

# --- durability and the log ---------------------------------------------------------------
mutant no_sync_before_acknowledging core/db/write.c \
    's/if \(sync \|\| db->options\.durability == NACRE_RELAXED\) status = write_sync\(db\);/(void)sync;/' \
    'crash:power/strict'
mutant state_advances_before_success core/db/write.c \
    's/(    nacre_status status = wal_append\(log, frame, FRAME_HEAD \+ bytes, FRAME_BATCHES, lsn, )db->last_lsn, /    uint64_t last = db->last_lsn;\n    db->last_lsn = lsn;\n$1last, /' \
    'crash:fault/a_failed_write crash:fault/a_short'
mutant writes_go_on_after_a_failed_sync core/db/write.c \
    's/    if \(db->poisoned\)\n/    if (false)\n/' \
    'crash:fault/after_a_failed_sync'
mutant frame_checksum_ignored core/log/wal.c \
    's/return get_u64\(frame\) == checksum64\(reader->salt, frame \+ 8, size - 8\);/return true;/' \
    'crash:damage/no_flipped_bit_shows_wrong_data_after_a_crash core:wal/'
mutant log_header_checksum_ignored core/log/wal.c \
    's/if \(!whole\) return WAL_HEADER_BAD;/(void)whole;/' \
    'crash:damage/no_flipped_bit core:wal/'
mutant any_tail_is_torn core/log/wal.c \
    's/if \(synced > reader->last_lsn\) \/\*/if (false) \/*/' \
    'crash:damage/no_flipped_bit_shows_wrong_data_after_a_crash'
mutant previous_lsn_unchecked core/log/wal.c \
    's/\(reader->begun && previous != reader->last_lsn\) \|\| //' \
    'core:wal/ crash:damage/'
mutant gap_between_logs_unchecked core/db/recover.c \
    's/reader\.first_previous != db->last_lsn\)/false)/' \
    'crash:damage/'
mutant covered_frames_replayed core/db/recover.c \
    's/        if \(frame\.lsn <= flushed\) continue;\n//' \
    'crash:power/strict'
mutant synced_lsn_unchecked core/db/recover.c \
    's/if \(db->last_lsn < synced\)/if (false)/' \
    'crash:damage/cut_files crash:damage/no_flipped_bit_shows_wrong_data_after_a_close'
# Not a mutant: the salt of a cut staying the same (recover_cut). The truncation before the
# cut is synced with it, so that no frame of the old salt can outlive it; and above the cut's LSN
# none would be taken for damage. A new salt guards against devices that break that promise.
mutant reset_keeps_the_salt core/db/commit.c \
    's/\.salt = state_random\(db\),/.salt = db->logs[other].header.salt,/' \
    'crash:power/'
mutant salts_repeat_at_each_open core/db/recover.c \
    's/    db->random_state \^= checksum64\(0, bytes, sizeof bytes\);/    (void)bytes;/' \
    'crash:damage/salts'
mutant log_reset_after_one_superblock core/db/commit.c \
    's/< db->log_covered\[other\] \+ 1\) TRY\(commit_again/< db->log_covered[other]) TRY(commit_again/' \
    'crash:damage/a_log_is_emptied'
mutant log_not_synced_before_the_other_begins core/db/maintain.c \
    's/nacre_status status = wal_sync\(&db->logs\[db->active->log\]\);/nacre_status status = NACRE_OK;/' \
    'crash:power/unsynced crash:power/relaxed'
mutant lone_header_not_mended core/log/wal.c \
    's/if \(wal->state != WAL_VALID \|\| !wal->lone_header\) return NACRE_OK;/if (wal) return NACRE_OK;/' \
    'crash:damage/a_log_header crash:fault/a_short'
mutant failed_append_stays core/log/wal.c \
    's/if \(vfs->truncate\(wal->file, WAL_HEAD \+ wal->end\) != NACRE_OK\) wal->broken = true;//' \
    'core:wal/ crash:fault/'
mutant failed_sync_stays core/log/wal.c \
    's/\(void\)!wal->env->vfs->truncate\(wal->file, WAL_HEAD \+ wal->end - wal->unsynced\);//' \
    'crash:fault/a_sync_that_loses'
mutant lost_acknowledgements_unmarked core/db/commit.c \
    's/db->loose \? SUPERBLOCK_LOOSE : 0/0/g' \
    'crash:power/relaxed crash:power/unsynced'

# --- superblocks, manifests, extents -------------------------------------------------------
mutant superblock_before_the_data_is_synced core/db/commit.c \
    's/status = data_sync\(&db->data\);\n        if \(status != NACRE_OK\) db->poisoned = true;/(void)0;/' \
    'crash:power/'
mutant superblock_checksum_ignored core/store/superblock.c \
    's/bool whole = get_u64\(bytes \+ SUPERBLOCK_SIZE - 8\) == checksum64\(0, bytes, SUPERBLOCK_SIZE - 8\);/bool whole = true;/; s/if \(get_u64\(bytes \+ SUPERBLOCK_SIZE - 8\) != checksum64\(0, bytes, SUPERBLOCK_SIZE - 8\)\) return NACRE_OK;//' \
    'crash:damage/no_flipped_bit core:superblock/'
mutant manifest_checksum_ignored core/db/recover.c \
    's/if \(checksum64\(superblock->generation, bytes, \(size_t\)size\) != superblock->manifest_checksum\)/if (false)/' \
    'crash:damage/no_flipped_bit'
mutant always_the_first_slot core/db/recover.c \
    's/slots->superblock\[1\]\.generation > slots->superblock\[0\]\.generation\)/false)/' \
    'crash:power/strict'
mutant extents_freed_one_commit_early core/db/commit.c \
    's/for \(int i = 0; i < 2; i\+\+\) \{\n        if \(!db->durable\[i\]\.version\) continue;/for (int i = 0; i < 1; i++) {\n        if (!db->durable[i].version) continue;/' \
    'crash:power/'
mutant snapshot_not_pinned core/db/commit.c \
    's/    for \(const Version \*v = db->versions; v; v = v->older\) version_mark\(v, map, EXTENT_PINNED\);\n//' \
    'core:db/a_snapshot crash:power/'
mutant epoch_unchecked core/db/commit.c \
    's/\n( +)if \(epoch > db->epoch( \|\| [^\n]*)?\)\n/"\n$1(void)epoch;" . ($2 ? " (void)generation;" : "") . "\n$1if (false)\n"/e' \
    'crash:fault/a_replaced_writer'
mutant another_databases_log_accepted core/db/recover.c \
    's/if \(memcmp\(log->header\.database_id, db->database_id, sizeof db->database_id\) != 0\)/if (false)/' \
    'crash:damage/foreign_files'
mutant damage_found_after_writing core/db/recover.c \
    's/    TRY\(catalog_load\(db\)\);[^\n]*\n    if \(db->readonly\) return NACRE_OK;/    if (db->readonly) return catalog_load(db);/; s/    return recover_raise_epoch\(db\);/    TRY(recover_raise_epoch(db));\n    return catalog_load(db);/' \
    'crash:damage/lost_and_misdirected crash:damage/no_flipped_bit'
mutant missing_file_made_anew core/db/open.c \
    's/if \(!unfinished && !\(db->restoring/if (false \&\& !(db->restoring/' \
    'crash:damage/missing_files'

# --- segments, merges ----------------------------------------------------------------------
mutant block_checksum_ignored core/segment/block.c \
    's/return get_u64\(data\) == checksum64\(seed, data \+ 8, size - 8\) \? NULL : "checksum";/(void)data, (void)size, (void)seed;\n    return NULL;/' \
    'crash:damage/no_flipped_bit'
mutant blob_checksum_ignored core/segment/segment.c \
    's/return checksum64\(blob\.size, into, \(size_t\)blob\.size\) == blob\.checksum \? NACRE_OK/return blob.size ? NACRE_OK/' \
    'crash:damage/no_flipped_bit core:segment/'
mutant vector_checksum_ignored core/segment/units.c \
    's/, into \+ at, part\) != expected\)/, into + at, part) == expected + 1)/' \
    'crash:damage/no_flipped_bit core:segment/'
mutant block_seed_without_segment core/segment/segment_format.h \
    's/return segment \* 0x9e3779b97f4a7c15u \+/(void)segment;\n    return/' \
    'crash:damage/lost_and_misdirected core:segment/ core:block/'
mutant block_seed_without_page core/segment/segment_format.h \
    's/ \+ number \+ 1;/ + number \/ 256 + 1;/' \
    'crash:damage/lost_and_misdirected core:segment/ core:block/'
mutant filter_denies core/segment/filter_blocks.h \
    's/    return missing == 0;/    return missing == 0 \&\& hash % 64 != 0;/' \
    'core:db/equals core:segment/'
mutant oldest_wins core/merge/merge.c \
    's/if \(order == 0\) return a\.index < b\.index;/if (order == 0) return a.index > b.index;/' \
    'core:merge/ core:db/equals'
mutant deletions_dropped_early core/db/maintain.c \
    's/bool bottom = first \+ count == version->count;/bool bottom = true;/' \
    'core:db/ core:maintain/ crash:power/'
mutant trimmed_inputs_show_through core/segment/run_iter.c \
    's/return it->above_size && span_compare\(key, span_of\(it->above, it->above_size\)\) <= 0;/(void)key;\n    return false \&\& it->above_size;/; s/TRY\(run_iter_seek_plain\(it, bounded \? span_of\(it->above, it->above_size\) : key\)\);/TRY(run_iter_seek_plain(it, bounded \&\& false ? span_of(it->above, it->above_size) : key));/' \
    'core:run_iter/ core:db/ crash:power/'

mutant flushed_rows_are_the_bottom core/db/maintain.c \
    's/\.bottom = db->version->count == 0,/.bottom = true,/' \
    'core:db/equals core:ttl/ crash:power/'
mutant expired_rows_show_older_ones core/db/maintain.c \
    's/\*entry = \(Entry\)\{\.key = entry->key, \.flags = ENTRY_DELETE\};/return false;/' \
    'core:ttl/'
mutant bound_of_an_input_falls core/store/version.c \
    's/if \(run->above_size && span_compare\(above, span_of\(run->above, run->above_size\)\) <= 0\) return NACRE_OK;//' \
    'core:version/ core:db/'
mutant trimmed_segment_lost_early core/store/version.c \
    's/(while \(below < run->count && span_compare\(segment_)last(_key\(run->segments\[below\]\), above\) <= 0\))/$1first$2/' \
    'core:version/ core:db/equals'
# Not a mutant: joining runs that have a bound (merge_join). Such runs go on being merged first
# (merge_resume), so only a made-up manifest has enough of them beside each other.
mutant overlapping_runs_joined core/db/maintain.c \
    's/segment_first_key\(b->segments\[0\]\)\) >= 0\)\n/segment_first_key(b->segments[0])) > 0)\n/' \
    'core:maintain/ core:db/equals'
# Nor one: not asking whether a run ends with the bound of the next (merge_resume). What is in front
# of a merge's inputs is its output, but in a made-up manifest.
mutant merge_forgets_equal_keys core/merge/merge.c \
    's/i < m->heap_count && i < 3; i\+\+/i < m->heap_count \&\& i < 2; i++/' \
    'core:merge/'
mutant merge_turns_onto_the_same_row core/merge/merge.c \
    's/if \(merge_valid\(m\) && span_eq\(merge_key\(m\), span_of\(m->at, m->at_size\)\)\) return merge_step\(m\);//' \
    'core:merge/'
mutant merge_compares_old_heads core/merge/merge.c \
    's/if \(top->valid\) m->heap\[0\]\.head = top->head;/if (top->valid) (void)top;/' \
    'core:merge/'

# --- memtable ------------------------------------------------------------------------------
mutant older_versions_forgotten core/memtable/memtable.c \
    's/put_u32\(record \+ 8, older & ~MEM_LEAF\);/put_u32(record + 8, 0);/' \
    'core:memtable/'
mutant newest_version_for_all core/memtable/memtable.c \
    's/return mem_version\(memtable, reference, stamp\);/return mem_version(memtable, reference, stamp | UINT32_MAX);/' \
    'core:memtable/ core:db/a_snapshot'
mutant grown_node_lacks_a_child core/memtable/memtable.c \
    's/for \(uint32_t i = 0; i < 16; i\+\+\) \{/for (uint32_t i = 0; i < 15; i++) {/' \
    'core:memtable/'
mutant children_unsorted core/memtable/memtable.c \
    's/for \(; i > 0 && bytes\[i - 1\] > byte; i--\)/for (; i > 0 \&\& bytes[i - 1] < byte; i--)/' \
    'core:memtable/'
mutant prefix_of_a_key_accepted core/memtable/memtable.c \
    's/\} else if \(same == left \|\| same == other_left\) \{\n            return false;/} else if (same == left) {\n            return false;/' \
    'core:memtable/'
mutant nodes_reserved_short core/memtable/memtable.c \
    's/by_steps = memtable->nodes->cut \+ count \* sizeof\(MemNode256\);/by_steps = memtable->nodes->cut + count * sizeof(MemNode48);/' \
    'core:memtable/'
mutant node_places_used_twice core/memtable/memtable.c \
    's/    nodes->free\[node->kind\] = reference;\n//' \
    'core:memtable/'

# --- transactions --------------------------------------------------------------------------
mutant conflicts_unchecked core/db/transaction.c \
    's/status = conflict_check\(tx\);/status = NACRE_OK;/' \
    'core:transaction/c08'
mutant conflicts_in_segments_unseen core/db/conflict.c \
    's/    if \(db->durable\[0\]\.superblock\.flushed_lsn > since\) return true;\n//' \
    'core:transaction/c08'
mutant conflicts_in_the_frozen_unseen core/db/conflict.c \
    's/for \(int i = 0; i < 2; i\+\+\) \{\n        const uint8_t \*record/for (int i = 0; i < 1; i++) {\n        const uint8_t *record/' \
    'core:transaction/c08'
mutant conflict_of_vectors_unseen core/db/conflict.c \
    's/\|\| !span_eq\(a->row\.vector, b->row\.vector\) //' \
    'core:transaction/c08'
mutant conflict_of_expiry_unseen core/db/conflict.c \
    's/\(\(a->entry\.flags & ENTRY_EXPIRES\) && a->entry\.expires != b->entry\.expires\)/false/' \
    'core:transaction/c08'
mutant any_write_is_a_conflict core/db/conflict.c \
    's/status = rows_then_differ\(db, &then, &now, &differs\);/differs = true;\n    if (false) status = rows_then_differ(db, \&then, \&now, \&differs);/' \
    'core:transaction/c08'
mutant savepoint_undoes_nothing core/db/own.c \
    's/put_u32\(record \+ 12, OWN_UNDONE\);/(void)record;/' \
    'core:transaction/c08'
mutant savepoint_forgets_itself core/db/transaction.c \
    's/tx->savepoint_count = index \+ 1;/tx->savepoint_count = index;/' \
    'core:transaction/c08'
mutant savepoint_changes_what_cursors_see core/db/own.c \
    's/if \(own->references > 1\) \{/if (false) {/' \
    'core:transaction/c08'
mutant cursors_see_later_writes core/db/transaction.c \
    's/    view->own_position\+\+;\n/    if (view->own_position == 0) view->own_position++;\n/' \
    'core:transaction/c08'
mutant clear_that_failed_stays core/db/transaction.c \
    's/if \(status != NACRE_OK\) tx->broken = own_undo\(tx, &tx->savepoints\[tx->savepoint_count - 1\]\) != NACRE_OK;//' \
    'core:transaction/ crash:fault/'
mutant dropped_membrane_committed core/db/transaction.c \
    's/    TRY\(commit_check_membranes\(tx\)\);\n/    if (false) TRY(commit_check_membranes(tx));\n/' \
    'core:transaction/'
mutant last_writes_not_spilled core/db/transaction.c \
    's/    TRY\(spill\(tx\)\);\n    return ingest_publish/    return ingest_publish/' \
    'core:transaction/c09'
mutant runs_across_savepoints core/db/spill.c \
    's/if \(position <= low \|\| position >= end\) continue;/if (position) continue;/' \
    'core:transaction/c09 core:transaction/c08'
mutant folded_across_savepoints core/db/spill.c \
    's/if \(low < tx->savepoints\[i\]\.position && tx->savepoints\[i\]\.position <= last_low\) return false;/(void)low, (void)last_low;/' \
    'core:transaction/c09 core:transaction/c08'
mutant oldest_wins_in_a_fold core/db/spill.c \
    's/runs\[tx->run_count - first - TIER_RUNS \+ i\];/runs[tx->run_count - first - 1 - i];/' \
    'core:transaction/c09 core:transaction/c08'
mutant undone_run_stays core/db/spill.c \
    's/tx->runs\[left - 1\]\.low >= position\) left--;/tx->runs[left - 1].low > position) left--;/' \
    'core:transaction/c09 core:transaction/c08'
mutant fold_of_undone_runs_goes_on core/db/spill.c \
    's/    if \(left < tx->fold\.first \+ tx->fold\.count\) fold_clear\(tx\);\n//' \
    'core:transaction/c09 core:transaction/c08'

# --- codes of vectors ----------------------------------------------------------------------
mutant code_centroid_folded_with_the_wrong_sign core/vector/codes.c \
    's/const float fold = 2 \*/const float fold = -2 */' \
    'core:codes/f12_estimates'
mutant code_error_of_another_dimension core/vector/codes.c \
    's/lost \/ \(float\)\(s->padded - 1\)/lost \/ (float)(s->padded + 63)/' \
    'core:codes/f12_estimates'
mutant code_entries_off_their_mean core/vector/code_query.c \
    's/\(float\)\(int32_t\)sum \/ 16/(float)(int32_t)sum \/ 16.2f/' \
    'core:codes/f12_estimates'
mutant code_entries_rounded_unseen core/vector/kernels_body.h \
    's/sqrtf\(error \* error \+ s->rounding \* s->rounding\)/error/' \
    'core:codes/f12_bounds_hold'
mutant code_lost_roots_unseen core/vector/kernels_body.h \
    's/\(s->root \+ KERNELS_ROOT_LOST\)/s->root/' \
    'core:codes/f12_a_bound'
mutant code_lanes_in_each_others_half core/vector/code_block.c \
    's/lane < 16 \? 0 : 4/lane < 16 ? 4 : 0/g' \
    'core:codes/f12_lanes'
mutant code_unknown_rows_known core/vector/code_block.c \
    's/is_known \? code_grid_index\(&add, f\[i\]\.add\) : CODE_ADD_UNKNOWN/code_grid_index(&add, f[i].add)/' \
    'core:codes/f12_lanes'

# --- files and memory ----------------------------------------------------------------------
mutant short_reads_ignored core/host/vfs_posix.c \
    's/if \(got < 0\) return vfs_posix_fail\(f->owner, "read", f->name, errno\);/if (got <= 0) return NACRE_OK;/' \
    'core:vfs/'
mutant short_writes_ignored core/host/vfs_posix.c \
    's/(static nacre_status vfs_posix_write\(.*?)(        )(ssize_t put|ssize_t wrote|ssize_t got|ssize_t n)( = pwrite\(.*?;)/$1$2$3$4\n        return NACRE_OK;/s' \
    'core:vfs/'
mutant a_full_memory_is_ignored core/host/env.c \
    's/if \(size <= env->memory_budget && env->memory_used <= env->memory_budget - size\)/if (true)/' \
    'crash:fault/a_small_budget core:limits/'

# --- running -------------------------------------------------------------------------------

# The tree as it is now: others may go on editing it.
copy_tree() { # FROM TO
    mkdir -p "$2/build"
    for part in core tests examples Makefile package.json build/lz4 build/monocypher; do # the last two as installed
        rm -rf "${2:?}/$part"
        cp -Rp "$1/$part" "$2/$part"
    done
}

build() { # TREE
    make -C "$1" --no-print-directory B=build SETUP_native= CFLAGS_native=-O1 LDFLAGS_native= \
        build/native/core-tests build/native/crash-tests > "$1/build.txt" 2>&1
}

# run TREE PROGRAM FILTER STATES: prints what failed; true when something did.
run() {
    local directory code failed
    directory=$(mktemp -d)
    CRASH_STATES=$4 timeout "$patience" "$1/build/native/$2-tests" --dir "$directory" ${3:+"$3"} > "$1/run.txt" 2>&1
    code=$?
    rm -rf "$directory"
    [ $code -eq 0 ] && return 1
    failed=$(sed -n 's/^not ok \([^ ]*\).*/\1/p' "$1/run.txt" | head -1)
    [ $code -eq 124 ] && failed="a hang in $2 tests ${3:-}"
    [ $code -gt 124 ] && failed="a crash (signal $((code - 128))) in $2 tests ${3:-}"
    echo "${failed:-$2 tests ${3:-}}"
}

try() { # TREE INDEX: one line of result
    local name=${names[$2]} file=${edited[$2]} by='' hint
    perl -0777 -pe "${edits[$2]}" "$work/base/$file" > "$1/$file"
    if cmp -s "$work/base/$file" "$1/$file"; then
        echo "LOST     $name: its edit no longer finds its place in $file"
    elif ! build "$1"; then
        echo "LOST     $name: it does not compile: $(grep -m1 error: "$1/build.txt")"
    else
        for hint in ${hints[$2]} core: crash:; do
            by=$(run "$1" "${hint%%:*}" "${hint#*:}" 9000) && break
        done
        if [ -n "$by" ]; then echo "caught   $name: $by"; else echo "SURVIVED $name ($file)"; fi
    fi
    cp "$work/base/$file" "$1/$file"
}

# The code as it is must pass: all crash tests, or those that the few mutants asked for name.
sound() { # TREE
    local tests=crash: hint by
    [ -n "$only" ] && tests=$(printf '%s\n' ${hints[@]+"${hints[@]}"} | tr ' ' '\n' | sort -u)
    for hint in $tests; do
        if by=$(run "$1" "${hint%%:*}" "${hint#*:}" 3000); then
            echo "LOST     the code as it is fails: $by"
            return 1
        fi
    done
}

lane() { # NUMBER
    local tree=$work/$1 i
    copy_tree "$work/base" "$tree"
    build "$tree" || { echo "LOST     lane $1: the code as it is does not build"; cat "$tree/build.txt"; return; }
    if [ "$1" -eq 0 ] && ! sound "$tree"; then return; fi
    for ((i = $1; i < ${#names[@]}; i += lanes)); do try "$tree" "$i"; done
}

if [ "${1:-}" = --places ]; then
    lost=0
    for i in "${!names[@]}"; do
        perl -0777 -pe "${edits[$i]}" "${edited[$i]}" | cmp -s - "${edited[$i]}" || continue
        echo "mutants: the edit of ${names[$i]} no longer finds its place in ${edited[$i]}"
        lost=1
    done
    [ "$lost" -eq 0 ] && echo "check-mutants: ${#names[@]} edits find their places"
    exit "$lost"
fi

mkdir -p "$work"
copy_tree . "$work/base"
for ((l = 0; l < lanes; l++)); do lane "$l" & done | tee "$work/results.txt"
caught=$(grep -c '^caught' "$work/results.txt")
echo "mutants: $caught of ${#names[@]} caught"
[ "$caught" -eq "${#names[@]}" ]
