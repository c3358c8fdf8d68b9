/* Enhance raw sound, mono, 32-bit float, at the model's rate: run model.frcrn < noisy.f32 > clean.f32
 *
 *     cc -O3 -march=native -fno-math-errno -fno-trapping-math run.c frcrn.c -o run -lm
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frcrn.h"

int main(int count, char **words) {
    const char *path = count == 2 ? words[1] : "model.frcrn", *why = NULL;
    if (count > 2) {
        fprintf(stderr, "%s: expected one model at most; sound comes from standard input\n", words[0]);
        return 2;
    }
    frcrn_model *model = frcrn_open(path, &why);
    if (!model) {
        fprintf(stderr, "%s: %s\n", path, why);
        return 2;
    }
    const size_t hop = (size_t)frcrn_hop(model);
    size_t late = (size_t)frcrn_delay(model), bytes, owed = 0, begun = 0;
    float *state = calloc(frcrn_state_size(model), 1), *scratch = malloc(frcrn_scratch_size(model));
    float *wave = malloc(hop * sizeof *wave);
    if (!state || !scratch || !wave) return 1;
    do {
        /* as much comes out as goes in: what is late is made up for with silence at the end */
        bytes = fread(wave, 1, hop * sizeof *wave, stdin);
        const size_t got = bytes / sizeof *wave;
        if (!begun++ && got && !memcmp(wave, "RIFF", 4)) {
            fprintf(stderr, "standard input: expected raw sound, found a wav file\n");
            return 2;
        }
        owed += got;
        for (size_t i = got; i < hop; i++) wave[i] = 0;
        frcrn_step(model, state, scratch, wave, wave);
        const size_t skip = late < hop ? late : hop, ready = hop - skip < owed ? hop - skip : owed;
        if (fwrite(wave + skip, sizeof *wave, ready, stdout) != ready) return 1;
        late -= skip;
        owed -= ready;
        if (bytes % sizeof *wave) fprintf(stderr, "standard input: ends in the middle of a sample, which was left out; is it 32-bit float?\n");
    } while (bytes || owed);
    free(state), free(scratch), free(wave);
    frcrn_close(model);
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
