/* Products of matrices: what goes in, and how the sums that stay in registers come out. */
#ifndef FRCRN_SUMS_H
#define FRCRN_SUMS_H

#include <stdint.h>

#include "vectors.h"

#if defined(__AVX512F__)
#define COMPLEX_VECTORS 2
#define COMPLEX_BINS 6
#define REAL_VECTORS 4
#define REAL_BINS 6
#elif defined(__AVX__)
#define COMPLEX_VECTORS 2
#define COMPLEX_BINS 2
#define REAL_VECTORS 2
#define REAL_BINS 5
#else
#define COMPLEX_VECTORS 2
#define COMPLEX_BINS 4
#define REAL_VECTORS 2
#define REAL_BINS 6
#endif
#define MOST_BINS 6
#define MOST_IMAGES 16 /* of a convolution, each of its frames counted */

INLINE int least(int a, int b) { return a < b ? a : b; }
INLINE int most(int a, int b) { return a > b ? a : b; }

typedef int32_t ints __attribute__((vector_size(4 * LANES)));

enum { PLAIN, LEAKY, RELU };

INLINE vec activated(vec x, int kind) {
    if (kind == PLAIN) return x;
    const vec positive = (vec)((ints)x & (ints)(x > (vec){0}));
    if (kind == RELU) return positive;
    return positive + 0.01f * (x - positive);
}

/* An image of a convolution: [bins][2 channels], real channels first. */
typedef struct {
    const float *x;
    int channels;
} image;

typedef struct {
    const image *images;
    int count, bins, taps, stride, pad;
    const float *weights, *scale, *bias;
    const uint32_t *pairs; /* the weights in bfloat16, or none */
    int outputs, group, pack, activation;
    float *out;
    int row; /* from one bin's outputs to the next one's */
} convolution;

/* Where output `o` of `group` channels a phase goes; its imaginary part is `group` further. */
INLINE int place(int o, int group) { return o / group * 2 * group + o % group; }

/* Rows [rows][inputs], `stride` apart, by weights -> [rows][outputs], `row` apart. */
typedef struct {
    const float *x;
    int rows, inputs, stride;
    const float *weights, *bias;
    const uint32_t *pairs;
    int outputs, pack, activation;
    float *out;
    int row;
} product;

/* Scale, shift and store sums. Not inlined, as it would be for each size of a block: compiling that takes long. */
APART void complex_finish(const convolution *c, const vec re[MOST_BINS][2], const vec im[MOST_BINS][2], int first, int bin, int vectors,
                          int bins) {
    /* scale and bias are as long as all blocks together, the real outputs' first */
    const int padded = (c->outputs + c->pack - 1) / c->pack * c->pack;
    for (int v = 0; v < vectors; v++) {
        const int o = first + v * LANES;
        const vec scale_re = load(c->scale + o), scale_im = load(c->scale + padded + o);
        const vec bias_re = load(c->bias + o), bias_im = load(c->bias + padded + o);
        for (int b = 0; b < bins; b++) {
            float *y = c->out + (bin + b) * c->row;
            const vec y_re = activated(re[b][v] * scale_re + bias_re, c->activation);
            const vec y_im = activated(im[b][v] * scale_im + bias_im, c->activation);
            if (c->group % LANES == 0 && o + LANES <= c->outputs) {
                store(y + place(o, c->group), y_re);
                store(y + place(o, c->group) + c->group, y_im);
            } else {
                for (int lane = 0; lane < LANES && o + lane < c->outputs; lane++) {
                    y[place(o + lane, c->group)] = y_re[lane];
                    y[place(o + lane, c->group) + c->group] = y_im[lane];
                }
            }
        }
    }
}

/* Store sums of rows. */
APART void real_finish(const product *p, const vec sum[MOST_BINS][4], int first, int at, int vectors, int rows) {
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            const vec y = activated(sum[r][v], p->activation);
            const int o = first + v * LANES, left = p->outputs - o;
            float *out = p->out + (at + r) * p->row + o;
            if (left >= LANES) store(out, y);
            else for (int lane = 0; lane < left; lane++) out[lane] = y[lane];
        }
}

#endif
