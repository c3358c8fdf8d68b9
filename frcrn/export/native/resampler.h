/* Changes the sample rate with a short symmetric filter: a sinc under a Kaiser window, REACH samples of the lower rate
 * long to each side. Output m is at the time of input m * inputs / outputs; before the beginning is silence.
 *
 * Rates as they are used repeat the same taps after a few outputs: WIDE outputs side by side are one matrix times the
 * inputs that they reach, and the matrix is read once for several such groups. Rates without a small common ratio would
 * need too many taps; there, each output takes the nearest of PHASES sets. */
#ifndef FRCRN_RESAMPLER_H
#define FRCRN_RESAMPLER_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

#define REACH 80
#define CUT 0.484
#define BETA 7.86
#define WIDE 16
#define PHASES 2048
#define LARGEST (1L << 21) /* entries of the matrix that the reference makes of a ratio at most */

typedef struct {
    long inputs, outputs; /* so many inputs come to so many outputs, in lowest terms */
    int reach, taps;      /* inputs to each side of an output that it depends on; all of them, in whole vectors */
    int block_in, block_out, groups, rows; /* of the matrix; no groups where there is none */
    int *first;           /* [groups] the first input of each, from that of its block on */
    float *weights;       /* [groups][rows][WIDE], or [PHASES + 1][taps] */
} resampler;

/* A stream through it; the inputs that may still be needed lie in a buffer of its own. */
typedef struct {
    int64_t taken, given, first; /* inputs and outputs so far; the number of the first input that is held */
    int32_t held, begun;
} flow;

static double bessel(double x) {
    double sum = 1, term = 1;
    for (int k = 1; term > 1e-17 * sum; k++) sum += term *= (x / 2 / k) * (x / 2 / k);
    return sum;
}

/* [2 reach + 1], `stride` apart: taps for an output that lies this part of an input after one. */
static void find_taps(const resampler *r, double offset, float *taps, int stride, double *work) {
    const double pi = 3.14159265358979323846, low = r->inputs > r->outputs ? (double)r->inputs / (double)r->outputs : 1;
    double sum = 0;
    for (int i = 0; i <= 2 * r->reach; i++) {
        const double time = (i - r->reach - offset) / low, part = time / REACH, angle = 2 * CUT * pi * time;
        work[i] = fabs(time) < REACH ? (angle != 0 ? sin(angle) / angle : 1) * bessel(BETA * sqrt(fmax(0, 1 - part * part))) : 0;
        sum += work[i];
    }
    for (int i = 0; i <= 2 * r->reach; i++) taps[i * stride] = (float)(work[i] / sum);
}

static int resampler_matrix(resampler *r, double *work) {
    long times = 1;
    while (times < WIDE && times * r->outputs % WIDE && times * r->outputs < 4 * WIDE) times++;
    r->block_in = (int)(times * r->inputs), r->block_out = (int)(times * r->outputs);
    r->groups = (r->block_out + WIDE - 1) / WIDE;
    r->rows = 2 * r->reach + 1 + (int)((WIDE - 1) * r->inputs / r->outputs) + 1;
    r->rows = (r->rows + 7) / 8 * 8;
    r->first = malloc(sizeof(int) * (size_t)r->groups);
    r->weights = calloc((size_t)r->groups * (size_t)r->rows * WIDE + 2 * WIDE, sizeof(float));
    if (!r->first || !r->weights) return 0;
    for (int g = 0; g < r->groups; g++) {
        r->first[g] = (int)((int64_t)g * WIDE * r->inputs / r->outputs);
        for (int o = 0; o < WIDE && g * WIDE + o < r->block_out; o++) {
            const int64_t place = (int64_t)(g * WIDE + o) * r->inputs;
            float *taps = r->weights + ((size_t)g * (size_t)r->rows + (size_t)(place / r->outputs - r->first[g])) * WIDE + o;
            find_taps(r, (double)(place % r->outputs) / (double)r->outputs, taps, WIDE, work);
        }
    }
    return 1;
}

static int resampler_phases(resampler *r, double *work) {
    r->weights = calloc((size_t)(PHASES + 1) * (size_t)r->taps, sizeof(float));
    if (!r->weights) return 0;
    for (int p = 0; p <= PHASES; p++) find_taps(r, (double)p / PHASES, r->weights + (size_t)p * (size_t)r->taps, 1, work);
    return 1;
}

static void resampler_close(resampler *r) { free(r->first), free(r->weights); }

static int resampler_open(resampler *r, long rate, long new_rate) {
    long common = rate, rest = new_rate;
    while (rest) {
        const long left = common % rest;
        common = rest, rest = left;
    }
    r->inputs = rate / common, r->outputs = new_rate / common;
    r->reach = r->inputs > r->outputs ? (int)((REACH * r->inputs + r->outputs - 1) / r->outputs) : REACH;
    r->taps = (2 * r->reach + 1 + LANES - 1) / LANES * LANES;
    r->first = NULL, r->weights = NULL, r->groups = 0;
    double *work = malloc(sizeof(double) * (size_t)(2 * r->reach + 1));
    if (!work) return 0;
    const long fewer = r->inputs < r->outputs ? r->inputs : r->outputs, times = (40 + fewer - 1) / fewer;
    const int small = ((int64_t)times * r->inputs + 2 * r->reach) * times * r->outputs <= LARGEST;
    const int done = small ? resampler_matrix(r, work) : resampler_phases(r, work);
    free(work);
    return done;
}

/* Samples that its buffer needs room for, where at most `most` come at once. */
static size_t resampler_room(const resampler *r, int most) {
    const int more = r->groups ? r->rows + r->block_in : r->taps;
    return (size_t)(most + 4 * r->reach + 2 * more + 64);
}

/* Several groups of WIDE outputs, `stride` inputs apart, with one matrix [rows][WIDE] -> out [blocks][WIDE]. */
INLINE void grouped(const float *x, int stride, const float *w, int rows, const int blocks, float *out) {
    enum { VECTORS = WIDE / LANES };
    /* sums of every second, fourth or eighth row, so that enough of them are under way at the same time */
    const int parts = blocks * VECTORS >= 8 ? 1 : blocks * VECTORS >= 4 ? 2 : 4;
    vec sum[32];
    for (int i = 0; i < blocks * VECTORS * parts; i++) sum[i] = splat(0);
    for (int row = 0; row < rows; row += parts)
        for (int p = 0; p < parts; p++)
            for (int v = 0; v < VECTORS; v++) {
                const vec weight = load(w + (row + p) * WIDE + v * LANES);
                for (int b = 0; b < blocks; b++) sum[(p * VECTORS + v) * blocks + b] += x[b * stride + row + p] * weight;
            }
    for (int b = 0; b < blocks; b++)
        for (int v = 0; v < VECTORS; v++) {
            vec all = sum[v * blocks + b];
            for (int p = 1; p < parts; p++) all += sum[(p * VECTORS + v) * blocks + b];
            store(out + b * WIDE + v * LANES, all);
        }
}

/* The outputs from `given` to `ready` by the matrix; x is input number `first`. */
static void by_matrix(const resampler *r, const float *x, int64_t first, int64_t given, int64_t ready, float *out) {
    float made[8 * WIDE];
    for (int g = 0; g < r->groups; g++) {
        const float *w = r->weights + (size_t)g * (size_t)r->rows * WIDE;
        /* the blocks whose group g has a share in what is wanted: its first and last output in it, from the block's on */
        const int64_t start = g * WIDE, end = start + WIDE < r->block_out ? start + WIDE : r->block_out;
        int64_t block = given - end >= 0 ? (given - end) / r->block_out + 1 : 0;
        const int64_t stop = ready - start > 0 ? (ready - start - 1) / r->block_out + 1 : 0;
        while (block < stop) {
            const float *from = x + (block * r->block_in + r->first[g] - r->reach - first);
            const int left = (int)(stop - block < 8 ? stop - block : 8);
            int count = 1;
            if (left >= 8 && LANES >= 16) grouped(from, r->block_in, w, r->rows, count = 8, made);
            else if (left >= 4 && LANES >= 8) grouped(from, r->block_in, w, r->rows, count = 4, made);
            else if (left >= 2) grouped(from, r->block_in, w, r->rows, count = 2, made);
            else grouped(from, r->block_in, w, r->rows, 1, made);
            for (int b = 0; b < count; b++, block++)
                for (int64_t o = start, m = block * r->block_out + start; o < end; o++, m++)
                    if (m >= given && m < ready) out[m - given] = made[b * WIDE + (o - start)];
        }
    }
}

/* The outputs from `given` to `ready`, each with taps of its own. */
static void by_phases(const resampler *r, const float *x, int64_t first, int64_t given, int64_t ready, float *out) {
    for (int64_t m = given; m < ready; m++) {
        const int64_t place = m * r->inputs;
        const long phase = lrint((double)(place % r->outputs) / (double)r->outputs * PHASES);
        const float *taps = r->weights + (size_t)phase * (size_t)r->taps, *from = x + (place / r->outputs - r->reach - first);
        vec one = splat(0), two = splat(0);
        int i = 0;
        for (; i + 2 * LANES <= r->taps; i += 2 * LANES) {
            one += load(taps + i) * load(from + i);
            two += load(taps + i + LANES) * load(from + i + LANES);
        }
        if (i < r->taps) one += load(taps + i) * load(from + i);
        one += two;
        float sum = 0;
        for (int lane = 0; lane < LANES; lane++) sum += one[lane];
        *out++ = sum;
    }
}

/* How many samples have come out after so many of whose future enough is known. */
static int64_t resampled(const resampler *r, int64_t known) {
    return known > 0 ? (known * r->outputs + r->inputs - 1) / r->inputs : 0;
}

/* Take `count` samples in, return how many came out; with `last`, as many as cover all the time that went in. */
static int resample(const resampler *r, flow *f, float *held, const float *in, int count, int last, float *out) {
    if (!f->begun) {
        f->begun = 1, f->first = -r->reach, f->held = r->reach;
        memset(held, 0, sizeof(float) * (size_t)r->reach);
    }
    memcpy(held + f->held, in, sizeof(float) * (size_t)count);
    f->held += count, f->taken += count;
    /* what is read beyond the last input has a weight of zero, or is given anew when more is there */
    const int beyond = r->groups ? r->rows + r->block_in : r->taps + r->reach;
    memset(held + f->held, 0, sizeof(float) * (size_t)(beyond + (last ? 2 * r->reach + 1 : 0)));
    const int64_t ready = resampled(r, last ? f->taken : f->taken - r->reach), from = f->given;
    if (ready <= from) return 0;
    if (r->groups) by_matrix(r, held, f->first, from, ready, out);
    else by_phases(r, held, f->first, from, ready, out);
    f->given = ready;
    int64_t needed = ready * r->inputs / r->outputs - r->reach;
    if (r->groups) {
        const int64_t block = ready / r->block_out;
        needed = block * r->block_in + r->first[ready % r->block_out / WIDE] - r->reach;
    }
    int64_t drop = needed - f->first;
    if (drop > f->held) drop = f->held;
    if (drop > 0) {
        f->held -= (int32_t)drop, f->first += drop;
        memmove(held, held + drop, sizeof(float) * (size_t)f->held);
    }
    return (int)(ready - from);
}

#endif
