/* What the full band costs beside the network, hop by hop in turn: band_cost model.frcrn RATE; medians. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "band.h"
#include "frcrn.h"

enum { HOPS = 1000, MOST = 1 << 16 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static int order(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words) {
    static float sound[MOST], low[MOST], high[MOST], out[MOST];
    static double taken[2][HOPS];
    if (count != 3) return 2;
    frcrn_model *model = frcrn_open(words[1], NULL);
    if (!model) return 2;
    const int rate = atoi(words[2]), low_rate = frcrn_sample_rate(model), size = (int)((long)frcrn_hop(model) * rate / low_rate);
    frcrn_band *band = frcrn_band_open(rate, low_rate);
    if (!band || size > MOST / 4) return 2;
    float *state = calloc(frcrn_state_size(model), 1), *scratch = calloc(frcrn_scratch_size(model), 1);
    float *bands = calloc(frcrn_band_state_size(band), 1), *work = calloc(frcrn_band_scratch_size(band), 1);
    for (int hop = 0; hop < HOPS; hop++) {
        for (int i = 0; i < size; i++) sound[i] = 0.1f * (float)rand() / (float)RAND_MAX;
        const double start = now();
        frcrn_step(model, state, scratch, low, out);
        const double between = now();
        int highs;
        const int lows = frcrn_band_split(band, bands, work, sound, size, 0, low, high, &highs);
        frcrn_band_join(band, bands, work, low, low, lows, 0, high, &highs, out);
        taken[0][hop] = between - start, taken[1][hop] = now() - between;
    }
    for (int what = 0; what < 2; what++) qsort(taken[what], HOPS, sizeof(double), order);
    const double hops = (double)rate / size, network = taken[0][HOPS / 2] * hops, both = taken[1][HOPS / 2] * hops;
    printf("in C, %6d Hz: network %.2f ms, both bands %.2f ms for a second of sound, %.1f %%\n", rate, network, both, 100 * both / network);
    return 0;
}
