/* What lies above the network's band: weighed in frames of 5 ms and a few bands, every 2.5 ms.
 *
 * Two witnesses say how much of a frame is speech. The network: which part of the energy in its top octave it let
 * through. And the high band itself: how far each of its bands stands above its own floor, the least of the last second
 * and a half. Both must agree for sound to pass; without speech, the high band falls further than the top octave. */
#ifndef FRCRN_HIGHBAND_H
#define FRCRN_HIGHBAND_H

#include "fourier.h"
#include "vectors.h"

#define STEP 40       /* samples of the network's rate from one frame to the next; a frame is twice as long */
#define TOP_FIRST 20  /* the bins of the network's top octave in a frame of its rate: 4 to 7.5 kHz at 16 kHz */
#define TOP_LAST 38
#define SMOOTH_TOP 4  /* frames over which the energies in the top octave are averaged */
#define SMOOTH_BAND 8 /* frames over which a band's power is averaged */
#define STRETCH 100   /* the floor is the least of so many stretches of so many frames: 1.5 s */
#define STRETCHES 6
#define ABOVE 1.5f    /* times the floor: what is softer is noise */
#define DEEP 0.06f    /* how much less of noise alone passes than of the top octave */
#define LENIENT 3.0f  /* how much more of the high band may pass than of the top octave */
#define RELEASE 0.75f /* how the gain falls from frame to frame, and for how many frames */
#define LAGS 8
#define NOTHING 1e-18f /* power that is silence */
#define MOST_BANDS 24
#define SHARES 256 /* that are held; a power of two */

/* The least power in each band over the last stretches of time, and in the present one so far. */
typedef struct {
    float past[STRETCHES][MOST_BANDS], now[MOST_BANDS];
    int32_t place;
} floors;

typedef struct {
    floors floor, least;
    float power[SMOOTH_BAND][MOST_BANDS], gain[LAGS + 1][MOST_BANDS]; /* rings of the last frames */
    float energy[2][SMOOTH_TOP - 1];
    float share[SHARES];
    int64_t shares, frame; /* how many shares there were; the next frame */
} highband;

INLINE float larger(float a, float b) { return a > b ? a : b; }
INLINE float smaller(float a, float b) { return a < b ? a : b; }

static void floors_begin(floors *f) {
    for (int band = 0; band < MOST_BANDS; band++) {
        f->now[band] = INFINITY;
        for (int k = 0; k < STRETCHES; k++) f->past[k][band] = INFINITY;
    }
}

static void highband_begin(highband *h) {
    floors_begin(&h->floor);
    floors_begin(&h->least);
}

/* [bands] -> the floors, which may be the same place. */
static void find_floors(floors *f, const float *power, int bands, float *found) {
    for (int band = 0; band < bands; band++) {
        float least = f->now[band] = smaller(f->now[band], power[band]);
        for (int k = 0; k < STRETCHES; k++) least = smaller(least, f->past[k][band]);
        found[band] = least;
    }
    if (++f->place < STRETCH) return;
    memmove(f->past[0], f->past[1], sizeof f->past - sizeof f->past[0]);
    memcpy(f->past[STRETCHES - 1], f->now, sizeof f->now);
    for (int band = 0; band < bands; band++) f->now[band] = INFINITY;
    f->place = 0;
}

/* The mean over a few frames of the energy in the top octave. */
static float averaged_energy(float *past, float energy) {
    float sum = energy;
    for (int k = SMOOTH_TOP - 2; k >= 0; k--) sum += past[k];
    memmove(past, past + 1, (SMOOTH_TOP - 2) * sizeof *past);
    past[SMOOTH_TOP - 2] = energy;
    return sum / SMOOTH_TOP;
}

/* Take the energies of the next frame before and after the network. */
static void take_energies(highband *h, float noisy, float clean) {
    const float before = averaged_energy(h->energy[0], noisy), after = averaged_energy(h->energy[1], clean);
    h->share[h->shares++ & (SHARES - 1)] = smaller(1, (after + NOTHING) / (before + NOTHING));
}

/* The mean power [bands] over a few frames, the present one's given. */
static void averaged_power(highband *h, float *power, int bands) {
    memcpy(h->power[h->frame % SMOOTH_BAND], power, sizeof *power * (size_t)bands);
    memset(power, 0, sizeof *power * (size_t)bands);
    for (int k = 0; k < SMOOTH_BAND; k++)
        for (int band = 0; band < bands; band++) power[band] += h->power[k][band];
    for (int band = 0; band < bands; band++) power[band] /= SMOOTH_BAND;
}

/* What rises rises at once, what falls falls in steps; at most `most`. */
static void released(highband *h, float *gain, int bands, float most) {
    float *place = h->gain[h->frame % (LAGS + 1)], factor = 1;
    memcpy(place, gain, sizeof *gain * (size_t)bands);
    for (int lag = 1; lag <= LAGS; lag++) {
        const float *past = h->gain[(h->frame + LAGS + 1 - lag) % (LAGS + 1)];
        factor *= RELEASE;
        for (int band = 0; band < bands; band++) gain[band] = larger(gain[band], factor * past[band]);
    }
    for (int band = 0; band < bands; band++) gain[band] = smaller(gain[band], most);
}

/* The powers [bands] of the next frame and the network's share -> the factors [bands] for its amplitude, in place. */
static void find_gains(highband *h, float *power, int bands, float share) {
    float floor[MOST_BANDS], low;
    averaged_power(h, power, bands);
    /* frames that hold the silence before the beginning say nothing */
    for (int band = 0; band < bands; band++) floor[band] = h->frame <= SMOOTH_BAND ? INFINITY : power[band];
    find_floors(&h->floor, floor, bands, floor);
    find_floors(&h->least, &share, 1, &low);
    low = smaller(share, LENIENT * low);
    low *= DEEP + (1 - DEEP) * low; /* where the network lets all through, all passes here too */
    const float allowed = smaller(1, LENIENT * share);
    for (int band = 0; band < bands; band++) {
        const float least = smaller(floor[band], power[band]);
        const float own = larger(0, 1 - ABOVE * (least + NOTHING) / (power[band] + NOTHING));
        power[band] = sqrtf(larger(allowed * own * own, low));
    }
    released(h, power, bands, sqrtf(allowed));
    h->frame++;
}

#endif
