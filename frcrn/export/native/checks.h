/* Whether a model file can be run: everything that a step relies on is checked once, when the file is opened.
 *
 * Sizes are computed in 64 bits and stop at MOST, so that no product of what a file says can wrap around.
 */
#ifndef FRCRN_CHECKS_H
#define FRCRN_CHECKS_H

#include <stdint.h>
#include <string.h>

#include "kernels.h"
#include "operations.h"

#define MOST ((int64_t)1 << 61)
#define MOST_VALUES (1 << 28) /* of state, of scratch and of weights: 1 GiB each */
#define MOST_RATE 768000
#define MOST_WINDOW 65536
#define MOST_RADIX 1024 /* the largest prime factor of half a window */
#ifndef MOST_COST
#define MOST_COST ((int64_t)1 << 33) /* multiplications in a step: some seconds */
#endif
#define ALIGNED 16 /* values */
#define SLACK 64   /* values, after the last array of state and scratch */

/* What a program is checked against, and what its steps cost. */
typedef struct {
    const float *weights;
    int64_t window, hop, state, scratch, weight_count, cost;
} checks;

static int64_t times(int64_t a, int64_t b) { return b && a > MOST / b ? MOST : a * b; }
static int64_t plus(int64_t a, int64_t b) { return a + b < MOST ? a + b : MOST; }
static int64_t padded(int64_t n, int64_t pack) { return pack ? (n + pack - 1) / pack * pack : n; }

static int in_state(const checks *m, int32_t at, int64_t size) {
    return at < 0 && ~at >= ALIGNED && plus(~at, size) + SLACK <= m->state;
}
static int in_scratch(const checks *m, int32_t at, int64_t size) { return at >= 0 && plus(at, size) + SLACK <= m->scratch; }
static int in_weights(const checks *m, int32_t at, int64_t size) {
    return at >= 0 && at % ALIGNED == 0 && plus(at, size) <= m->weight_count;
}
static int in_kept(const checks *m, int32_t at, int64_t size) { return in_state(m, at, size) && ~at % ALIGNED == 0; }
static int in_work(const checks *m, int32_t at, int64_t size) { return in_scratch(m, at, size) && at % ALIGNED == 0; }
static int in_either(const checks *m, int32_t at, int64_t size) { return in_state(m, at, size) || in_scratch(m, at, size); }

#ifdef FRCRN_BRIEF /* one reason for all, where a program must be small */
#define DAMAGED(what) "the model is damaged"
#else
#define DAMAGED(what) "the model is damaged: " what
#endif
#define CHECK(what, holds) if (!(holds)) return DAMAGED(what);
#define CHECK_SIZE(name, bytes) CHECK("the number of arguments of " name, (uint64_t)size * sizeof(int32_t) == (bytes))
#define CHECK_RULE(name, rule, holds) CHECK(name " needs " rule, holds)
#define CHECK_COUNT(name, value) CHECK(name " is below 1", (value) >= 1)
#define CHECK_NUMBER(name, value) CHECK(name " is below 0", (value) >= 0)
#define CHECK_FLAG(name, value) CHECK(name " is neither 0 nor 1", (value) == 0 || (value) == 1)
#define CHECK_ACTIVATION(name, value) CHECK(name " is unknown", (value) >= PLAIN && (value) <= RELU)
#define CHECK_READ(name, at, size) CHECK(name " is not inside of its memory", in_either(m, at, size))
#define CHECK_WRITTEN(name, at, size) CHECK(name " is not inside of its memory", in_either(m, at, size))
#define CHECK_WORK(name, at, size) CHECK(name " is not inside of the scratch", in_work(m, at, size))
#define CHECK_STATE(name, at, size) CHECK(name " is not inside of the state", in_kept(m, at, size))
#define CHECK_RING(name, at, size) CHECK(name " is not inside of the state", in_kept(m, at, size))
#define CHECK_WEIGHTS(name, at, size) CHECK(name " is not among the weights", in_weights(m, at, size))
#define CHECK_OPTIONAL(name, at, size) CHECK(name " is not among the weights", (at) == -1 || in_weights(m, at, size))

#include "argument_checks.h"

/* A whole number from `least` to `most` that was stored as a weight; -1 if it is none. */
static int64_t whole_number(float x, int64_t least, int64_t most) {
    return x >= (float)least && x <= (float)most && x == (float)(int64_t)x && (int64_t)x <= most ? (int64_t)x : -1;
}

/* The shares of each band: its first bin, how many bins, and a weight for each. */
static const char *check_bands(const checks *m, const features_arguments *a) {
    int64_t at = a->shares;
    for (int32_t band = 0; a->shares >= 0 && band < a->bands; band++) {
        CHECK("shares of FEATURES is not among the weights", at + 2 <= m->weight_count)
        const int64_t first = whole_number(m->weights[at], 0, a->bins - 1), count = whole_number(m->weights[at + 1], 1, a->bins);
        CHECK("shares of FEATURES has a band outside of the bins", first >= 0 && count >= 1 && first + count <= a->bins)
        at += 2 + count;
    }
    CHECK("shares of FEATURES is not among the weights", at <= m->weight_count)
    return NULL;
}

/* The shares of each bin: the lower of two bands, and a weight for each of them. */
static const char *check_bins(const checks *m, const apply_arguments *a) {
    for (int64_t bin = 0; a->shares >= 0 && bin <= m->window / 2; bin++)
        CHECK("shares of APPLY has a band that is not there", whole_number(m->weights[a->shares + 3 * bin], 0, a->bands - 2) >= 0)
    return NULL;
}

static const char *check_operation(checks *m, int32_t kind, const int32_t *arguments, int32_t size) {
    const char *why = NULL;
    switch (kind) {
#define CASE(kind, name) case kind: why = check_##name(m, (const void *)arguments, size); break;
        EACH_OPERATION(CASE)
#undef CASE
        default: return DAMAGED("an operation is unknown");
    }
    if (!why && kind == FEATURES) return check_bands(m, (const void *)arguments);
    if (!why && kind == APPLY) return check_bins(m, (const void *)arguments);
    return why;
}

/* Operations, each with its arguments, one that takes the hop in first and one that puts it out last; NULL if all are in order. */
static const char *check_operations(checks *m, const int32_t *words, int32_t count) {
    for (int32_t at = 0; at < count;) {
        CHECK("an operation is not whole", count - at >= 2 && words[at + 1] >= 0 && words[at + 1] <= count - at - 2)
        const int32_t kind = words[at], size = words[at + 1], next = at + 2 + size;
        CHECK("the operations do not begin with ANALYSE or CUT", (kind == ANALYSE || kind == CUT) == (at == 0))
        CHECK("the operations do not end with APPLY or JOIN", (kind == APPLY || kind == JOIN) == (next == count))
        /* the arguments that are always there are read before their number is known to be right */
        int32_t arguments[MOST_ARGUMENTS] = {0};
        const int32_t *from = words + at + 2;
        if (size < MOST_ARGUMENTS) from = memcpy(arguments, from, (size_t)size * sizeof *from);
        const char *why = check_operation(m, kind, from, size);
        if (why) return why;
        m->cost = plus(m->cost, 64);
        at = next;
    }
    CHECK("a step takes too many multiplications", m->cost <= MOST_COST)
    return NULL;
}

/* The samples of a frame, which are transformed by the prime factors of their number. */
static const char *check_frames(const checks *m) {
    CHECK("the window is too long", m->window <= MOST_WINDOW)
    CHECK("the window is not an even number of samples and two hops or more", m->window % 2 == 0 && m->window % m->hop == 0 && m->window / m->hop >= 2)
    int64_t rest = m->window / 2;
    for (int64_t factor = 2; factor <= MOST_RADIX; factor++)
        while (rest % factor == 0) rest /= factor;
    CHECK("half of the window has a prime factor above 1024", rest == 1)
    return NULL;
}

static const char *check_sizes(const checks *m, int32_t rate, int32_t late) {
    CHECK("what comes out is later than a stream is long", times(late, m->hop) <= MOST_VALUES)
    CHECK("the sample rate is above 768000", rate <= MOST_RATE)
    CHECK("state, scratch or weights are larger than 1 GiB", m->state <= MOST_VALUES && m->scratch <= MOST_VALUES && m->weight_count <= MOST_VALUES)
    return check_frames(m);
}

static const char *check_weights(const checks *m) {
    uint32_t found = 0;
    for (int64_t i = 0; i < m->weight_count; i++) {
        uint32_t bits;
        memcpy(&bits, m->weights + i, sizeof bits);
        found |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    CHECK("a weight is not a finite number", !found)
    return NULL;
}

#endif
