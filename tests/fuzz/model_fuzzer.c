/* Opens what libFuzzer makes up as a model, and lets sound that is none through it; `make fuzz` builds and runs it.
 *
 * All memory has exactly the size that the model asks for, so that AddressSanitizer sees one value too many.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "denoiser.h"
#include "frcrn.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

enum { STEPS = 2, HOPS = 60, MOST = 1 << 18, BIGGEST = 1 << 22 };

static const float ODD[] = {0, 1, -1, 3e38f, -3e38f, 1e-40f, INFINITY, -INFINITY, NAN, 0.1f};

static void steps(const frcrn_model *model, uint32_t chance) {
    const size_t hop = (size_t)frcrn_hop(model), state_size = frcrn_state_size(model), scratch_size = frcrn_scratch_size(model);
    float *state = calloc(state_size, 1), *scratch = malloc(scratch_size), *wave = malloc(hop * sizeof *wave);
    if (state && scratch && wave) {
        memset(scratch, 0xff, scratch_size);
        /* a count of frames at which a ring begins anew, or one that nobody reaches */
        const uint64_t frames = chance & 1 ? 0 : UINT64_MAX - chance % 7;
        memcpy(state, &frames, sizeof frames);
        for (int step = 0; step < STEPS; step++) {
            for (size_t i = 0; i < hop; i++) {
                chance = chance * 1664525u + 1013904223u;
                wave[i] = chance >> 28 ? (float)(int32_t)chance * 0x1p-31f : ODD[(chance >> 8) % (sizeof ODD / sizeof *ODD)];
            }
            frcrn_step(model, state, scratch, wave, wave);
        }
    }
    free(state), free(scratch), free(wave);
}

/* A sound through the denoiser, in blocks of changing sizes. */
static void blocks(const frcrn_model *model, uint32_t chance) {
    const int64_t low = frcrn_sample_rate(model), rate = low * (2 + chance % 5) / 2;
    frcrn_denoiser *denoiser = rate < 384000 ? frcrn_denoiser_open(model, (int)rate, NULL) : NULL;
    if (!denoiser) return;
    const size_t state_size = frcrn_denoiser_state_size(denoiser), scratch_size = frcrn_denoiser_scratch_size(denoiser);
    if (state_size + scratch_size < BIGGEST) {
        float *state = calloc(state_size, 1), *scratch = malloc(scratch_size);
        memset(scratch, 0xff, scratch_size);
        const int64_t all = HOPS * (int64_t)frcrn_hop(model) * rate / low;
        for (int64_t left = all < MOST ? all : MOST; left > 0;) {
            chance = chance * 1664525u + 1013904223u;
            const int size = 1 + (int)((chance >> 8) % 3000);
            float *block = malloc((size_t)size * sizeof *block);
            for (int i = 0; i < size; i++) block[i] = (float)((i * 37 + size) % 100) * 0.01f;
            frcrn_denoise(denoiser, state, scratch, block, block, size, 1, INFINITY);
            free(block);
            left -= size;
        }
        free(state), free(scratch);
    }
    frcrn_denoiser_close(denoiser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *why = NULL;
    frcrn_model *model = frcrn_from(data, size, &why);
    if (!model) return why ? 0 : (abort(), 0);
    if (data[size / 3] & 1) frcrn_use_bfloat16(model);
    if (frcrn_state_size(model) + frcrn_scratch_size(model) < BIGGEST && frcrn_delay(model) > 0 && frcrn_sample_rate(model) > 0) {
        steps(model, (uint32_t)size * 2654435761u + data[size / 2]);
        if (data[size / 4] % 64 == 0) blocks(model, (uint32_t)data[size / 2] * 2654435761u);
    }
    frcrn_close(model);
    return 0;
}

/* Most changes keep the length, which a model says itself, and fall on whole numbers before the weights. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed) {
    static const int32_t WORDS[] = {0, 1, 2, 3, 15, 16, 17, 64, 1 << 16, 1 << 20, 1 << 28, INT32_MAX, -1, -17, INT32_MIN};
    if (size < 48 || seed % 8 == 0) return LLVMFuzzerMutate(data, size, most);
    int32_t words;
    memcpy(&words, data + 28, sizeof words);
    const size_t numbers = words > 0 && (size_t)words < size / 4 - 10 ? (size_t)words + 8 : size / 4 - 2;
    for (unsigned changes = 1 + seed / 8 % 3; changes; changes--) {
        seed = seed * 1664525u + 1013904223u;
        uint8_t *at = data + 8 + (seed >> 4) % numbers * 4;
        seed = seed * 1664525u + 1013904223u;
        uint32_t value;
        memcpy(&value, at, sizeof value);
        switch (seed >> 16 & 7) {
            case 0: value = (uint32_t)WORDS[(seed >> 20) % (sizeof WORDS / sizeof *WORDS)]; break;
            case 1: value ^= 1u << (seed >> 20 & 31); break;
            case 2: value *= 2; break;
            case 3: value /= 2; break;
            case 4: memcpy(&value, data + 8 + (seed >> 20) % numbers * 4, sizeof value); break;
            case 5: value = ~value; break;
            default: value += (seed >> 20 & 31) - 16; break;
        }
        memcpy(at, &value, sizeof value);
    }
    return size;
}
