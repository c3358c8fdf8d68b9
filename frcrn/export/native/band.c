/* Splits a sound that comes in pieces, and joins what a network made of its low band with its high band. */
#include "band.h"

#include "highband.h"
#include "resampler.h"

#define PIECE 320 /* samples of the low band that are worked on at once */

struct frcrn_band {
    long rate, low_rate;
    int step, bands, piece; /* samples of the sound from frame to frame; in a piece */
    resampler down, up;
    fourier low, high;
    int *place;     /* [step + 1] for each bin the first of the two bands that share it */
    float *part;    /* [step + 1] the second one's part */
    int room;       /* samples that all buffers at the sound's rate hold at most */
    size_t downs, sounds, ups, up_cleans, lows, cleans, highs, tails, wets, dones, state; /* where they begin, in floats */
    size_t spectrum, x, y, work, again, scratch;
};

/* Samples that wait in a buffer. */
typedef struct {
    int32_t count;
} wait;

typedef struct {
    flow down, up, up_clean;
    wait sound, low, clean, high, wet, done;
    int64_t joined, used; /* samples of the clean low band, and of the high band, that were taken */
    int32_t begun, weighed;
    highband weights;
} head;

static void append(wait *w, float *held, const float *samples, int count) {
    if (count > 0) memcpy(held + w->count, samples, sizeof(float) * (size_t)count);
    w->count += count;
}

static void append_silence(wait *w, float *held, int count) {
    memset(held + w->count, 0, sizeof(float) * (size_t)count);
    w->count += count;
}

static void drop(wait *w, float *held, int count) {
    w->count -= count;
    memmove(held, held + count, sizeof(float) * (size_t)w->count);
}

/* Which part each bin has in each band: triangles, a third of an octave apart. */
static int find_bands(frcrn_band *b) {
    const double first = 0.5 * (double)b->low_rate * pow(2, 1.0 / 6), last = fmax(0.5 * (double)b->rate, first);
    b->bands = 1 + (int)nearbyint(3 * log2(last / first));
    b->place = malloc(sizeof(int) * (size_t)(b->step + 1));
    b->part = malloc(sizeof(float) * (size_t)(b->step + 1));
    if (!b->place || !b->part || b->bands >= MOST_BANDS) return 0;
    for (int k = 0; k <= b->step; k++) {
        const double hertz = (double)k * (double)b->rate / (2.0 * b->step);
        const double place = fmin(fmax(3 * log2(fmax(hertz, 1) / first), 0), b->bands - 1);
        b->place[k] = (int)place;
        b->part[k] = (float)(place - b->place[k]);
    }
    return 1;
}

/* Count one more buffer, from where a line of the cache begins. */
static size_t laid(size_t *end, size_t size) {
    const size_t start = *end;
    *end += (size + 15) / 16 * 16;
    return start;
}

static void lay_out(frcrn_band *b) {
    b->piece = (int)(((int64_t)PIECE * b->rate + b->low_rate - 1) / b->low_rate);
    const int low = PIECE + 4 * REACH + 8 * STEP; /* at most, in a buffer of the low band */
    b->room = (int)(((int64_t)low * b->rate + b->low_rate - 1) / b->low_rate) + 4 * b->step;
    const size_t room = (size_t)b->room, lows = (size_t)low, frame = (size_t)b->step;
    b->state = (sizeof(head) + sizeof(float) - 1) / sizeof(float);
    laid(&b->state, 16 - b->state % 16);
    b->state = b->state / 16 * 16;
    b->downs = laid(&b->state, resampler_room(&b->down, b->piece));
    b->ups = laid(&b->state, resampler_room(&b->up, low));
    b->up_cleans = laid(&b->state, resampler_room(&b->up, low));
    b->lows = laid(&b->state, lows), b->cleans = laid(&b->state, lows);
    b->sounds = laid(&b->state, room), b->highs = laid(&b->state, room + FRAMES * frame);
    b->wets = laid(&b->state, room), b->dones = laid(&b->state, room + FRAMES * frame);
    b->tails = laid(&b->state, frame);
    const size_t widest = frame > STEP ? frame : STEP;
    b->scratch = 16; /* whose beginning is brought to a line of the cache */
    b->spectrum = laid(&b->scratch, FRAMES * (2 * widest + 2));
    b->x = laid(&b->scratch, FRAMES * 2 * widest), b->y = laid(&b->scratch, FRAMES * 2 * widest);
    b->work = laid(&b->scratch, FRAMES * (2 * widest + 8));
    b->again = laid(&b->scratch, room);
    b->scratch += 16;
}

frcrn_band *frcrn_band_open(int rate, int low_rate) {
    frcrn_band *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->rate = rate, b->low_rate = low_rate;
    b->step = (int)((int64_t)rate * STEP / (low_rate > 0 ? low_rate : 1));
    const int fits = low_rate > 0 && rate > low_rate;
    if (fits && resampler_open(&b->down, rate, low_rate) && resampler_open(&b->up, low_rate, rate) && fourier_open(&b->low, STEP) &&
        fourier_open(&b->high, b->step) && find_bands(b)) {
        lay_out(b);
        return b;
    }
    frcrn_band_close(b);
    return NULL;
}

void frcrn_band_close(frcrn_band *b) {
    if (!b) return;
    resampler_close(&b->down), resampler_close(&b->up);
    free(b->low.turns), free(b->high.turns), free(b->place), free(b->part);
    free(b);
}

int frcrn_band_lag(const frcrn_band *b) { return b->down.reach; }
size_t frcrn_band_state_size(const frcrn_band *b) { return b->state * sizeof(float); }
size_t frcrn_band_scratch_size(const frcrn_band *b) { return b->scratch * sizeof(float); }

/* The part of scratch that begins with a line of the cache. */
static float *lined(float *scratch) { return (float *)(((uintptr_t)scratch + 63) / 64 * 64); }

/* A piece, as `frcrn_band_split`. */
static int split_piece(const frcrn_band *b, head *h, float *memory, float *scratch, const float *sound, int count, int last,
                       float *low, float *high, int *highs) {
    float *again = scratch + b->again, *held = memory + b->sounds;
    append(&h->sound, held, sound, count);
    const int lows = resample(&b->down, &h->down, memory + b->downs, sound, count, last, low);
    int ready = resample(&b->up, &h->up, memory + b->ups, low, lows, last, again);
    if (ready > h->sound.count) ready = h->sound.count;
    for (int i = 0; i < ready; i++) high[i] = held[i] - again[i];
    drop(&h->sound, held, ready);
    *highs = ready;
    return lows;
}

int frcrn_band_split(const frcrn_band *b, void *state, float *scratch, const float *sound, int count, int last, float *low,
                     float *high, int *highs) {
    int lows = 0;
    *highs = 0;
    for (int start = 0; start < count || last;) {
        const int left = count - start, size = left < b->piece ? left : b->piece, end = last && size == left;
        int more;
        lows += split_piece(b, state, state, lined(scratch), sound + start, size, end, low + lows, high + *highs, &more);
        *highs += more;
        start += size;
        if (end) break;
    }
    return lows;
}

/* Frames of 2 step samples, each a step on, side by side, and under a window; the last ones stand for missing ones. */
static void gather(const float *held, int count, const fourier *f, frames *x) {
    float *to = (float *)x;
    for (int lane = 0; lane < FRAMES; lane++) {
        const float *from = held + (lane < count ? lane : count - 1) * f->size;
        for (int i = 0; i < 2 * f->size; i++) to[i * FRAMES + lane] = from[i] * f->window[i];
    }
}

/* The energy in the top octave in each of some frames of the low band. */
static void top_energy(const frcrn_band *b, float *scratch, const float *held, int count, frames *energy) {
    frames *x = (frames *)(scratch + b->x), *spectrum = (frames *)(scratch + b->spectrum), sum = {0};
    gather(held, count, &b->low, x);
    analysed(&b->low, x, (frames *)(scratch + b->y), (frames *)(scratch + b->work), spectrum, TOP_FIRST, TOP_LAST);
    for (int k = TOP_FIRST; k <= TOP_LAST; k++) sum += spectrum[2 * k] * spectrum[2 * k] + spectrum[2 * k + 1] * spectrum[2 * k + 1];
    *energy = sum;
}

/* Find the shares of all frames that are complete. */
static void find_shares(const frcrn_band *b, head *h, float *memory, float *scratch) {
    float *noisy = memory + b->lows, *clean = memory + b->cleans;
    int done = 0;
    for (int left; (left = h->low.count / STEP - 1 - done) > 0;) {
        const int count = left < FRAMES ? left : FRAMES;
        frames before, after;
        top_energy(b, scratch, noisy + done * STEP, count, &before);
        top_energy(b, scratch, clean + done * STEP, count, &after);
        for (int lane = 0; lane < count; lane++) take_energies(&h->weights, before[lane], after[lane]);
        done += count;
    }
    drop(&h->low, noisy, done * STEP);
    drop(&h->clean, clean, done * STEP);
}

static int64_t fewer(int64_t a, int64_t b) { return a < b ? a : b; }

/* How many frames have a share, when there are so many shares. */
static int64_t shared(const frcrn_band *b, int64_t shares) {
    return (shares * b->rate * STEP + b->step * b->low_rate - 1) / (b->step * b->low_rate);
}

/* How many samples of the high band are in time with so many of the low one. */
static int64_t in_time(const frcrn_band *b, int64_t lows) { return (lows * b->rate + b->low_rate - 1) / b->low_rate; }

/* How many frames there are of which the samples and the share are there. */
static int frames_ready(const frcrn_band *b, const head *h) {
    return (int)fewer(shared(b, h->weights.shares) - h->weights.frame, h->high.count / b->step - 1);
}

/* The share of the network's frame whose middle is this frame's, or just before. */
static float share_of(const frcrn_band *b, const highband *w) {
    return w->share[(w->frame * b->step * b->low_rate / (b->rate * STEP)) & (SHARES - 1)];
}

/* Multiply spectra by gains that follow from their powers and from what the network let through. */
static void weigh_spectra(const frcrn_band *b, highband *w, frames *spectrum, int count) {
    frames power[MOST_BANDS + 1], gain[MOST_BANDS + 1];
    memset(power, 0, sizeof *power * (size_t)(b->bands + 1));
    for (int k = 0; k <= b->step; k++) {
        const frames of_bin = spectrum[2 * k] * spectrum[2 * k] + spectrum[2 * k + 1] * spectrum[2 * k + 1];
        const frames second = b->part[k] * of_bin;
        power[b->place[k]] += of_bin - second;
        power[b->place[k] + 1] += second;
    }
    memset(gain, 0, sizeof *gain * (size_t)(b->bands + 1));
    for (int lane = 0; lane < count; lane++) {
        float of_band[MOST_BANDS];
        for (int band = 0; band < b->bands; band++) of_band[band] = power[band][lane];
        find_gains(w, of_band, b->bands, share_of(b, w));
        for (int band = 0; band < b->bands; band++) gain[band][lane] = of_band[band];
    }
    for (int k = 0; k <= b->step; k++) {
        const frames *g = gain + b->place[k], factor = g[0] + b->part[k] * (g[1] - g[0]);
        spectrum[2 * k] *= factor;
        spectrum[2 * k + 1] *= factor;
    }
}

/* Add frames to what came before them; the first half of the very first belongs to the silence before the beginning. */
static void overlap(const frcrn_band *b, head *h, float *memory, const frames *made, int count) {
    const float scale = 0.5f / (float)b->step, *from = (const float *)made;
    float *tail = memory + b->tails, *done = memory + b->dones;
    for (int lane = 0; lane < count; lane++) {
        float *to = done + h->done.count;
        for (int i = 0; i < b->step; i++) {
            const float sign = i % 2 ? -scale : scale;
            to[i] = tail[i] + sign * b->high.window[i] * from[i * FRAMES + lane];
        }
        for (int i = 0; i < b->step; i++) {
            const float sign = (b->step + i) % 2 ? -scale : scale;
            tail[i] = sign * b->high.window[b->step + i] * from[(b->step + i) * FRAMES + lane];
        }
        if (h->weighed) h->done.count += b->step;
        h->weighed = 1;
    }
}

/* Weigh all frames of the high band that are ready. */
static void weigh(const frcrn_band *b, head *h, float *memory, float *scratch) {
    frames *x = (frames *)(scratch + b->x), *y = (frames *)(scratch + b->y), *work = (frames *)(scratch + b->work);
    frames *spectrum = (frames *)(scratch + b->spectrum);
    float *held = memory + b->highs;
    for (int left; (left = frames_ready(b, h)) > 0;) {
        const int count = left < FRAMES ? left : FRAMES;
        gather(held, count, &b->high, x);
        analysed(&b->high, x, y, work, spectrum, 0, b->step);
        weigh_spectra(b, &h->weights, spectrum, count);
        overlap(b, h, memory, synthesised(&b->high, spectrum, x, y, work), count);
        drop(&h->high, held, count * b->step);
    }
}

/* Write what is there of both bands. */
static int added(const frcrn_band *b, head *h, float *memory, float *out) {
    float *wet = memory + b->wets, *done = memory + b->dones;
    const int count = h->wet.count < h->done.count ? h->wet.count : h->done.count;
    for (int i = 0; i < count; i++) out[i] = wet[i] + done[i];
    drop(&h->wet, wet, count);
    drop(&h->done, done, count);
    return count;
}

/* A piece, as `frcrn_band_join`. */
static int join_piece(const frcrn_band *b, head *h, float *memory, float *scratch, const float *low, const float *clean, int count,
                      int last, const float *high, int *highs, float *out) {
    h->wet.count += resample(&b->up, &h->up_clean, memory + b->up_cleans, clean, count, last, memory + b->wets + h->wet.count);
    h->joined += count;
    append(&h->low, memory + b->lows, low, count);
    append(&h->clean, memory + b->cleans, clean, count);
    /* no more of the high band than is in time with the low one, so that it fits */
    const int taken = (int)fewer(in_time(b, h->joined) - h->used, *highs);
    append(&h->high, memory + b->highs, high, taken);
    h->used += taken, *highs = taken;
    if (last) { /* silence after the end, so that the last frames are whole */
        append_silence(&h->low, memory + b->lows, 3 * STEP);
        append_silence(&h->clean, memory + b->cleans, 3 * STEP);
        append_silence(&h->high, memory + b->highs, 3 * b->step);
    }
    find_shares(b, h, memory, scratch);
    weigh(b, h, memory, scratch);
    return added(b, h, memory, out);
}

int frcrn_band_join(const frcrn_band *b, void *state, float *scratch, const float *low, const float *clean, int count, int last,
                    const float *high, int *highs, float *out) {
    head *h = state;
    float *memory = state;
    int outs = 0, used = 0;
    if (!h->begun) {
        h->begun = 1;
        highband_begin(&h->weights);
        append_silence(&h->low, memory + b->lows, STEP);
        append_silence(&h->clean, memory + b->cleans, STEP);
        append_silence(&h->high, memory + b->highs, b->step);
    }
    for (int start = 0; start < count || last;) {
        const int left = count - start, size = left < PIECE ? left : PIECE, end = last && size == left;
        int more = *highs - used;
        outs += join_piece(b, h, memory, lined(scratch), low + start, clean + start, size, end, high + used, &more, out + outs);
        used += more;
        start += size;
        if (end) break;
    }
    *highs = used;
    return outs;
}

int64_t frcrn_band_ready(const frcrn_band *b, int64_t sounds, int64_t lows, int64_t cleans) {
    const int64_t highs = fewer(sounds, resampled(&b->up, lows - b->up.reach));
    const int64_t whole = fewer(in_time(b, cleans), highs) / b->step, frames = fewer(shared(b, cleans / STEP), whole);
    /* the first half of the very first frame belongs to the silence before the beginning */
    return fewer(resampled(&b->up, cleans - b->up.reach), frames > 1 ? (frames - 1) * b->step : 0);
}

int frcrn_band_repeats(const frcrn_band *b, int64_t lows) {
    return lows % STEP == 0 && lows * b->rate % (b->low_rate * b->step) == 0;
}
