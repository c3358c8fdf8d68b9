/* Two bands of one sound: the low one for a network at its own rate, the high one weighed beside it.
 *
 * The high band is what is left of the sound when the low one, brought back to the sound's rate, is taken away from it. So
 * nothing is lost between them: with the low band untouched and the high one at gain one, the sound itself comes back.
 * A state, for one channel, begins as zeros; scratch serves one thread. Nothing is allocated after a band is open. */
#ifndef FRCRN_BAND_H
#define FRCRN_BAND_H

#include <stddef.h>
#include <stdint.h>

typedef struct frcrn_band frcrn_band;

/* For sound of this many samples a second, more than the network's; NULL where there is no memory, or no such rate. */
frcrn_band *frcrn_band_open(int rate, int low_rate);
void frcrn_band_close(frcrn_band *band);

/* Samples by which the first of the low band is late: number m is ready after this many and m * rate / low_rate more. */
int frcrn_band_lag(const frcrn_band *band);

size_t frcrn_band_state_size(const frcrn_band *band);   /* bytes */
size_t frcrn_band_scratch_size(const frcrn_band *band); /* bytes */

/* Take `count` samples; write what is ready of the low band, and of the high one, whose number goes into `highs`; return
 * the number of the low one's. With `last` give all that is left; the low band covers all the time of the sound. */
int frcrn_band_split(const frcrn_band *band, void *state, float *scratch, const float *sound, int count, int last, float *low,
                     float *high, int *highs);

/* Take `count` samples of the low band and what a network made of them, and as many of the high band as are needed of
 * the `highs` that are there, whose number goes into `highs`; return the number of samples written to `out`. The high
 * band may lag behind by as much as `split` lets it. With `last` give all that is left, and maybe some silence. */
int frcrn_band_join(const frcrn_band *band, void *state, float *scratch, const float *low, const float *clean, int count, int last,
                    const float *high, int *highs, float *out);

/* Samples that all calls of `join` together have written, once there were so many of the sound, of the low band, and of
 * what the network made of it; without `last`. */
int64_t frcrn_band_ready(const frcrn_band *band, int64_t sounds, int64_t lows, int64_t cleans);

/* Whether, so many samples of the low band later, as much is ready in advance of it as it was. */
int frcrn_band_repeats(const frcrn_band *band, int64_t lows);

#endif
