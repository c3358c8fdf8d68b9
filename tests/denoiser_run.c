/* denoiser_run model RATE < in.f32 > out.f32: a sound through the denoiser, in blocks of changing sizes, in place. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "denoiser.h"

int main(int count, char **words) {
    frcrn_model *model = frcrn_open(words[count - 2], NULL);
    if (!model) return 3;
    frcrn_denoiser *denoiser = frcrn_denoiser_open(model, atoi(words[count - 1]), NULL);
    if (!denoiser) return 4;
    float *state = calloc(frcrn_denoiser_state_size(denoiser), 1), *scratch = malloc(frcrn_denoiser_scratch_size(denoiser));
    unsigned seed = 1;
    for (size_t got = 1; got;) {
        seed = seed * 1664525 + 1013904223;
        const size_t size = 1 + (seed >> 8) % 3000;
        float *block = malloc(size * sizeof *block); /* of its own, so that a step beyond it is seen */
        got = fread(block, sizeof *block, size, stdin);
        frcrn_denoise(denoiser, state, scratch, block, block, (int)got, 1, INFINITY);
        if (fwrite(block, sizeof *block, got, stdout) != got) return 5;
        free(block);
    }
    free(state), free(scratch);
    frcrn_denoiser_close(denoiser), frcrn_close(model);
    return 0;
}
