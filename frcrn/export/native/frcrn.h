/* FRCRN for streams of samples: plain C, no library but libm, no allocation after a model is open.
 *
 *     frcrn_model *model = frcrn_open("model.frcrn", NULL);
 *     float *state = calloc(frcrn_state_size(model), 1);      one for each stream; zeros are its beginning
 *     float *scratch = malloc(frcrn_scratch_size(model));     one for each thread
 *     while (read a hop) { frcrn_step(model, state, scratch, hop, hop); write the hop; }
 *     frcrn_close(model);
 *
 * What comes out is late by frcrn_delay(model) samples. Opening, closing and frcrn_use_bfloat16 take NULL, all else wants
 * what was opened. A model may serve any number of streams and threads at once.
 */
#ifndef FRCRN_H
#define FRCRN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct frcrn_model frcrn_model;

/* Read a model from a file, or from bytes, which are copied; NULL, and the reason where `why` is given, if it cannot be. */
frcrn_model *frcrn_open(const char *path, const char **why);
frcrn_model *frcrn_from(const void *content, size_t size, const char **why);
void frcrn_close(frcrn_model *model);

/* Multiply in bfloat16, from before the first step on: faster, with an error some 50 dB below what comes out. Returns 0,
 * and nothing changes, where this was not compiled for AVX512-BF16 (-march=native on a processor that has it). */
int frcrn_use_bfloat16(frcrn_model *model);

int frcrn_sample_rate(const frcrn_model *model);
int frcrn_hop(const frcrn_model *model);       /* samples that go in and come out at each step */
int frcrn_delay(const frcrn_model *model);     /* samples that a step's output lies behind its input */
int frcrn_lookahead(const frcrn_model *model); /* and how many of them are because the network itself looks ahead */

size_t frcrn_state_size(const frcrn_model *model);      /* bytes */
size_t frcrn_scratch_size(const frcrn_model *model);    /* bytes */

/* Enhance one hop; `in` and `out` may be the same. */
void frcrn_step(const frcrn_model *model, float *state, float *scratch, const float *in, float *out);

/* How probable speech was in the last hop, 0 to 1; 0 where the model does not say. */
float frcrn_speech(const float *state);

#ifdef __cplusplus
}
#endif

#endif
