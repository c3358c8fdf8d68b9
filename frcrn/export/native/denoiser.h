/* FRCRN for sound in blocks of any size: frcrn.c behind buffers of fixed size, with a strength that can change.
 *
 *     frcrn_model *model = frcrn_open("model.frcrn", NULL);
 *     frcrn_denoiser *denoiser = frcrn_denoiser_open(model, 48000, NULL);
 *     float *state = calloc(frcrn_denoiser_state_size(denoiser), 1);       one for each channel; zeros restart it
 *     float *scratch = malloc(frcrn_denoiser_scratch_size(denoiser));      one for each thread
 *     while (read samples) { frcrn_denoise(denoiser, state, scratch, in, out, count, 1, INFINITY); write as many; }
 *     frcrn_denoiser_close(denoiser), frcrn_close(model);
 *
 * What comes out is late by frcrn_denoiser_latency(denoiser) samples, whatever the blocks' sizes. Nothing is allocated
 * after a denoiser is open. It may serve any number of channels and threads at once, each state one at a time.
 */
#ifndef FRCRN_DENOISER_H
#define FRCRN_DENOISER_H

#include <stddef.h>

#include "frcrn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct frcrn_denoiser frcrn_denoiser;

/* Prepare for sound of this many samples a second, at least the model's own rate and at most 48 times as many; NULL, and
 * the reason where `why` is given, if that cannot be, nor without a model (NULL). The model must stay open as long as the
 * denoiser. */
frcrn_denoiser *frcrn_denoiser_open(const frcrn_model *model, int rate, const char **why);
void frcrn_denoiser_close(frcrn_denoiser *denoiser);

int frcrn_denoiser_latency(const frcrn_denoiser *denoiser);             /* samples that the output lies behind the input */
size_t frcrn_denoiser_state_size(const frcrn_denoiser *denoiser);       /* bytes */
size_t frcrn_denoiser_scratch_size(const frcrn_denoiser *denoiser);     /* bytes */

/* Enhance `count` samples, any number; `in` and `out` may be the same. `strength` is how much of the noise is removed,
 * from 0 (the sound as it was, late by the same time) to 1; `limit` attenuates by at most so many dB, with INFINITY
 * unlimited. A change of either fades over 20 ms. Samples that are no number count as silence. */
void frcrn_denoise(const frcrn_denoiser *denoiser, float *state, float *scratch, const float *in, float *out, int count,
                   float strength, float limit);

/* How probable speech was in the last hop that was enhanced, 0 to 1; 0 where the model does not say. */
float frcrn_denoiser_speech(const frcrn_denoiser *denoiser, const float *state);

#ifdef __cplusplus
}
#endif

#endif
