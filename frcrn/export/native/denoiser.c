/* Gathers blocks of any size into the network's hops, and hands out what became of them after a constant delay.
 *
 * A hop is enhanced in the call that completes it. Between two such moments the output comes from what is left of the
 * last ones: the latency is the least for which that always suffices, found by counting when a denoiser is opened. */
#include "denoiser.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "band.h"

#define SILENCE 1e-20f /* what is softer is silence: denormal numbers would make the network slow */
#define LOUDEST 1e6f   /* what is louder is no sound */
#define MOST_TIMES 48  /* the model's rate: what splits the bands grows with it, to some 60 MB here */
#define FADE 50        /* a change fades over 1 / FADE seconds */
#define MOST_COUNTED 200000 /* hops in which the pattern of what comes out may come back */
#define MOST_LATE (1 << 22) /* samples */

struct frcrn_denoiser {
    const frcrn_model *model;
    frcrn_band *band; /* none at the model's own rate */
    int rate, hop, late, latency;
    int most;  /* samples that complete a hop at most */
    int first; /* samples that complete the first one */
    int lag;   /* samples that the first hop takes more than others in the mean */
    size_t wet, dry, waiting, low, high, split, network, state; /* where they begin in a state, and its size, in floats */
    size_t room, hops, clean, made, scratch;
};

/* What begins a state: numbers, and then the memory. */
typedef struct {
    int64_t hop;  /* the number of the next one */
    int32_t begun, waits, needed, early, highs;
    int32_t wet, out, dry; /* places in rings: what comes next, what goes out next */
    int32_t fade;
    float keep, step;    /* how much of the sound as it was is kept, and by how much that changes */
    float target;
} head;

/* How many samples in all complete so many hops. */
static int64_t completing(const frcrn_denoiser *d, int64_t hops) {
    const int64_t low = frcrn_sample_rate(d->model);
    return d->lag + (hops * d->hop - 1) * d->rate / low + 1;
}

static size_t laid(size_t *end, size_t size) {
    const size_t start = *end;
    *end += (size + 15) / 16 * 16;
    return start;
}

static size_t floats(size_t bytes) { return (bytes + sizeof(float) - 1) / sizeof(float); }

/* Lay out a state and scratch, where rings hold what may wait at this latency. */
static void lay_out(frcrn_denoiser *d) {
    /* of a hop comes as much, and what waited for a frame of the band to be whole, which is shorter than its lag */
    const size_t at_once = (size_t)(d->most + d->lag + 2), ring = (size_t)d->latency + at_once;
    d->state = 0;
    laid(&d->state, floats(sizeof(head)));
    d->wet = laid(&d->state, ring), d->dry = laid(&d->state, (size_t)d->latency + 1);
    d->waiting = laid(&d->state, (size_t)d->first);
    d->low = laid(&d->state, (size_t)(d->late + d->hop));
    d->high = laid(&d->state, d->band ? ring + (size_t)d->most : 0);
    d->split = laid(&d->state, d->band ? floats(frcrn_band_state_size(d->band)) : 0);
    d->network = laid(&d->state, floats(frcrn_state_size(d->model)));
    d->room = ring;
    const size_t bands = d->band ? floats(frcrn_band_scratch_size(d->band)) : 0, steps = floats(frcrn_scratch_size(d->model));
    d->scratch = 0;
    d->hops = laid(&d->scratch, bands > steps ? bands : steps);
    d->clean = laid(&d->scratch, (size_t)d->hop);
    d->made = laid(&d->scratch, at_once);
}

/* Enhance the hop that waits, complete; return how many samples came of it. */
static int enhance(const frcrn_denoiser *d, head *h, float *memory, float *scratch, float *out) {
    float *low = memory + d->low, *clean = scratch + d->clean, *high = memory + d->high, *work = scratch + d->hops;
    int highs = 0;
    if (d->band) frcrn_band_split(d->band, memory + d->split, work, memory + d->waiting, h->waits, 0, low + d->late, high + h->highs, &highs);
    else memcpy(low + d->late, memory + d->waiting, sizeof(float) * (size_t)d->hop);
    h->highs += highs;
    frcrn_step(d->model, memory + d->network, work, low + d->late, clean);
    /* the first samples belong to the silence before the beginning */
    const int skip = h->early < d->late ? (d->late - h->early < d->hop ? d->late - h->early : d->hop) : 0;
    h->early += skip;
    int made = d->hop - skip;
    if (d->band) {
        int used = h->highs;
        made = frcrn_band_join(d->band, memory + d->split, work, low + skip, clean + skip, made, 0, high, &used, out);
        h->highs -= used;
        memmove(high, high + used, sizeof(float) * (size_t)h->highs);
    } else memcpy(out, clean + skip, sizeof(float) * (size_t)made);
    memmove(low, low + d->hop, sizeof(float) * (size_t)d->late);
    h->hop++, h->waits = 0;
    h->needed = (int32_t)(completing(d, h->hop + 1) - completing(d, h->hop));
    return made;
}

/* How many samples have been made of so many hops. */
static int64_t made_of(const frcrn_denoiser *d, int64_t hops) {
    const int64_t lows = hops * d->hop, cleans = lows > d->late ? lows - d->late : 0;
    return d->band ? frcrn_band_ready(d->band, completing(d, hops), lows, cleans) : cleans;
}

/* Find the least latency for which what is ready always suffices: the most that is missing just before a hop is whole. */
static int find_latency(const frcrn_denoiser *d) {
    int64_t longest = 1, silent = 0; /* hops until anything comes out */
    for (int64_t hop = 1; hop - silent <= MOST_COUNTED; hop++) {
        const int64_t ready = made_of(d, hop), missing = completing(d, hop + 1) - 1 - ready;
        if (missing > longest) longest = missing;
        if (!ready) silent = hop;
        else if (!d->band || frcrn_band_repeats(d->band, (hop - silent) * d->hop)) return (int)longest;
    }
    /* no more than this can ever be missing: the band's reach, twice, and two frames, which are shorter than that */
    return 3 * d->lag + (int)((int64_t)(d->late + d->hop) * d->rate / frcrn_sample_rate(d->model)) + 2;
}

static frcrn_denoiser *refused(frcrn_denoiser *d, const char **why, const char *reason) {
    if (why) *why = reason;
    frcrn_denoiser_close(d);
    return NULL;
}

frcrn_denoiser *frcrn_denoiser_open(const frcrn_model *model, int rate, const char **why) {
    if (!model) return refused(NULL, why, "there is no model: it is NULL");
    const int low_rate = frcrn_sample_rate(model);
    if (rate < low_rate || rate > 384000) return refused(NULL, why, "the rate must be from the model's own to 384000 samples a second");
    if (rate > (int64_t)low_rate * MOST_TIMES) return refused(NULL, why, "the rate must not be above 48 times the model's own");
    frcrn_denoiser *d = calloc(1, sizeof *d);
    if (!d) return refused(NULL, why, "there is not enough memory");
    d->model = model, d->rate = rate, d->hop = frcrn_hop(model), d->late = frcrn_delay(model);
    if (((int64_t)d->late + d->hop) * rate / low_rate > MOST_LATE) return refused(d, why, "what comes out is later than a live stream can be");
    if (rate > low_rate) {
        d->band = frcrn_band_open(rate, low_rate);
        if (!d->band) return refused(d, why, "there is not enough memory");
        d->lag = frcrn_band_lag(d->band);
    }
    d->first = (int)completing(d, 1);
    d->most = (int)((int64_t)d->hop * rate / low_rate) + 1;
    d->latency = find_latency(d);
    lay_out(d);
    return d;
}

void frcrn_denoiser_close(frcrn_denoiser *d) {
    if (d) frcrn_band_close(d->band);
    free(d);
}

int frcrn_denoiser_latency(const frcrn_denoiser *d) { return d->latency; }
float frcrn_denoiser_speech(const frcrn_denoiser *d, const float *state) { return frcrn_speech(state + d->network); }
size_t frcrn_denoiser_state_size(const frcrn_denoiser *d) { return d->state * sizeof(float); }
size_t frcrn_denoiser_scratch_size(const frcrn_denoiser *d) { return d->scratch * sizeof(float); }

/* How much of the sound as it was is kept. */
static float kept(float strength, float limit) {
    const float keep = strength >= 0 ? 1 - strength : 1, least = limit >= 0 ? powf(10, limit / -20) : 0;
    const float more = keep > least ? keep : least;
    return more > 1 ? 1 : more < 0 ? 0 : more;
}

/* Let what is kept move to where it should be. */
static void set_keep(const frcrn_denoiser *d, head *h, float keep) {
    if (!h->begun) {
        h->begun = 1, h->wet = d->latency, h->needed = d->first;
        h->keep = h->target = keep;
    }
    if (keep == h->target) return;
    h->fade = d->rate / FADE, h->target = keep;
    h->step = (keep - h->keep) / (float)h->fade;
}

/* Take samples in; what was taken in a latency before goes out. */
static void take(const frcrn_denoiser *d, head *h, float *memory, const float *in, float *out, int count) {
    float *waiting = memory + d->waiting + h->waits, *dry = memory + d->dry;
    for (int i = 0; i < count; i++) {
        const float loud = fabsf(in[i]), x = loud > SILENCE && loud < LOUDEST ? in[i] : 0;
        waiting[i] = x;
        out[i] = dry[h->dry];
        dry[h->dry] = x;
        if (++h->dry == d->latency) h->dry = 0;
    }
    h->waits += count;
}

/* Mix into the sound as it was, which is in `out`, what was made of it. */
static void give(const frcrn_denoiser *d, head *h, const float *memory, float *out, int count) {
    const float *wet = memory + d->wet;
    for (int i = 0; i < count; i++) {
        if (h->fade) h->keep = --h->fade ? h->keep + h->step : h->target;
        out[i] = h->keep * out[i] + (1 - h->keep) * wet[h->out];
        if (++h->out == (int32_t)d->room) h->out = 0;
    }
}

static void enhance_into_ring(const frcrn_denoiser *d, head *h, float *memory, float *scratch) {
    float *made = scratch + d->made, *wet = memory + d->wet;
    const int count = enhance(d, h, memory, scratch, made);
    for (int i = 0; i < count; i++) {
        wet[h->wet] = made[i];
        if (++h->wet == (int32_t)d->room) h->wet = 0;
    }
}

void frcrn_denoise(const frcrn_denoiser *d, float *state, float *scratch, const float *in, float *out, int count,
                   float strength, float limit) {
    head *h = (head *)state;
    set_keep(d, h, kept(strength, limit));
    while (count > 0) {
        const int left = h->needed - h->waits, size = left < count ? left : count;
        take(d, h, state, in, out, size);
        if (h->waits == h->needed) enhance_into_ring(d, h, state, scratch);
        give(d, h, state, out, size);
        in += size, out += size, count -= size;
    }
}
