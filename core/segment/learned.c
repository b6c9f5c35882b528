/* learned.c - straight lines fitted to sorted keys in one pass.
 *
 * A piece's line runs through its first key. Each further key (x, y), counted from there,
 * allows the slopes from (y - epsilon) / x to (y + epsilon) / x; what all keys so far allow
 * is a cone that only shrinks, and when a key leaves none, a new piece begins with it: the
 * swing filter (Elmeleegy et al., Online Piece-wise Linear Approximation of Numerical
 * Streams with Precision Guarantees, PVLDB 2009, section 3), over keys as in FITing-Tree's
 * ShrinkingCone (Galakatos et al., SIGMOD 2019, section 3), which asks for more. Lines that
 * may begin anywhere (PGM-index, Ferragina and Vinciguerra, PVLDB 2020, section 2.1) need
 * fewer pieces, but keep hulls of points while they are fitted.
 *
 * Where rule 3 comes from. With slope s of the cone, |s x - y| <= epsilon, but for the
 * rounding of doubles: below 2^-20, as y < 2^30. The guess is smaller than s x, by less than
 * 1/2 for the 32 bits that slope has, by at most 1/2 for the bits of x that `in` cuts off
 * (the piece's last x keeps 32, so s 2^in <= y / 2^31), by less than 1 for those that `out`
 * cuts off: the sum is below epsilon + 3, both are whole numbers, so y <= guess + epsilon +
 * 2. A key behind x, but before the next, has place y + 1. */
#include "segment/learned.h"

LearnedBuilder learned_begin(Env *env, uint32_t epsilon) {
    ASSERT(epsilon <= LEARNED_EPSILON_MAX);
    return (LearnedBuilder){.env = env, .epsilon = epsilon};
}

void learned_clear(LearnedBuilder *b) {
    env_free(b->env, b->pieces, b->capacity * sizeof *b->pieces);
    *b = (LearnedBuilder){.env = b->env, .epsilon = b->epsilon};
}

static void learned_open_piece(LearnedBuilder *b, uint64_t key, uint32_t at) {
    b->piece = (LearnedPiece){.first = key, .start = at};
    b->span = 0;
    b->low = b->high = 0;
}

/* The slope in the middle of the cone, as 32 bits and two shifts. */
static nacre_status learned_close_piece(LearnedBuilder *b) {
    LearnedPiece *piece = &b->piece;
    double slope = b->low + (b->high - b->low) / 2;
    while (b->span >> piece->in > UINT32_MAX) piece->in++, slope *= 2;
    while (slope < 2147483648.0 && slope > 0 && piece->out < 63) piece->out++, slope *= 2;
    ASSERT(slope < 4294967296.0);
    piece->slope = (uint32_t)slope;
    void *pieces = b->pieces;
    TRY(env_grow(b->env, &pieces, &b->capacity, b->count + 1, sizeof *b->pieces));
    b->pieces = pieces;
    b->pieces[b->count++] = *piece;
    return NACRE_OK;
}

static nacre_status learned_point(LearnedBuilder *b, uint64_t key, uint32_t at) {
    uint64_t x = key - b->piece.first;
    double y = (double)(at - b->piece.start), epsilon = b->epsilon;
    double low = y > epsilon ? (y - epsilon) / (double)x : 0, high = (y + epsilon) / (double)x;
    bool alone = b->span == 0;
    if (!alone && low < b->low) low = b->low;
    if (!alone && high > b->high) high = b->high;
    if (low > high) {
        TRY(learned_close_piece(b));
        learned_open_piece(b, key, at);
        return NACRE_OK;
    }
    b->low = low;
    b->high = high;
    b->span = x;
    return NACRE_OK;
}

/* Behind equal keys the place jumps, at once and not at the next key. */
static nacre_status learned_jump(LearnedBuilder *b) {
    bool equals = b->keys > b->last_at + 1 && b->last < UINT64_MAX;
    return equals ? learned_point(b, b->last + 1, b->keys) : NACRE_OK;
}

nacre_status learned_add(LearnedBuilder *b, uint64_t key) {
    ASSERT(b->keys == 0 || key >= b->last);
    if (b->keys == LEARNED_KEYS_MAX) return env_fail(b->env, NACRE_RESOURCE_EXHAUSTED, "learned index: too many keys");
    if (b->keys == 0) learned_open_piece(b, key, 0);
    else if (key > b->last) {
        if (key > b->last + 1) TRY(learned_jump(b));
        TRY(learned_point(b, key, b->keys));
    }
    if (b->keys == 0 || key > b->last) b->last_at = b->keys;
    b->last = key;
    b->keys++;
    return NACRE_OK;
}

nacre_status learned_end(LearnedBuilder *b) {
    if (b->keys == 0) return NACRE_OK;
    TRY(learned_jump(b));
    return learned_close_piece(b);
}

size_t learned_size(const LearnedBuilder *b) { return LEARNED_HEAD + LEARNED_PIECE * b->count; }

void learned_write(const LearnedBuilder *b, ByteWriter *w) {
    bw_u32(w, (uint32_t)b->count);
    bw_u32(w, b->keys);
    bw_u32(w, b->epsilon);
    for (size_t i = 0; i < b->count; i++) bw_u64(w, b->pieces[i].first);
    for (size_t i = 0; i < b->count; i++) bw_u32(w, b->pieces[i].start);
    for (size_t i = 0; i < b->count; i++) bw_u32(w, b->pieces[i].slope);
    for (size_t i = 0; i < b->count; i++) bw_u8(w, b->pieces[i].in), bw_u8(w, b->pieces[i].out);
}

bool learned_open(Learned *model, Span bytes) {
    ByteReader r = br_over(bytes);
    Learned m = {.piece_count = br_u32(&r), .key_count = br_u32(&r), .epsilon = br_u32(&r)};
    uint64_t n = m.piece_count;
    m.firsts = br_bytes(&r, 8 * n).data;
    m.starts = br_bytes(&r, 4 * n).data;
    m.slopes = br_bytes(&r, 4 * n).data;
    m.shifts = br_bytes(&r, 2 * n).data;
    if (!br_ok(&r) || br_left(&r) != 0 || n == 0) return false;
    if (m.key_count > LEARNED_KEYS_MAX || m.epsilon > LEARNED_EPSILON_MAX) return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t start = get_u32(m.starts + 4 * (size_t)i);
        if (i == 0 ? start != 0 : start <= get_u32(m.starts + 4 * (size_t)(i - 1))) return false;
        if (i > 0 && get_u64(m.firsts + 8 * (size_t)i) <= get_u64(m.firsts + 8 * (size_t)(i - 1))) return false;
        if (start > m.key_count || m.shifts[2 * (size_t)i] > 63 || m.shifts[2 * (size_t)i + 1] > 63) return false;
    }
    *model = m;
    return true;
}
