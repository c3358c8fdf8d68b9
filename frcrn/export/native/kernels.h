/* Products of matrices whose rows are the bins of a spectrum and whose columns are channels.
 *
 * Sums stay in registers: a block of outputs for a block of bins. Weights lie in the order in which they are read:
 * for each block of `pack` outputs, for each input, `pack` weights (twice as many where they are complex).
 *
 * A complex product needs each weight once: for an input x + iy and a weight v + iw,
 *     re += x v - y w        im += x w + y v
 * so a loaded pair (v, w) serves two outputs and two inputs, where the block matrix [[v, -w], [w, v]] would be read as
 * four numbers. With B bins and V vectors of outputs in registers, an input costs 2 B scalars and 2 V vectors to read
 * for 4 B V products: COMPLEX_BINS and COMPLEX_VECTORS are the largest for which 2 B V sums stay in registers.
 */
#ifndef FRCRN_KERNELS_H
#define FRCRN_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "blocks.h"
#include "pairs.h"

#define MOST_IMAGES 16 /* of a convolution, each of its frames counted */

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

/* Scale, shift and store sums. Not inlined, as it would be for each size of a block: compiling that takes long. */
APART void complex_finish(const convolution *c, const vec re[MOST_BINS][2], const vec im[MOST_BINS][2], int first, int bin,
                          int vectors, int bins) {
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

/* Add the products of `bins` rows of channels, `step` apart, with weights [channels][2][pack]. */
INLINE void plus_complex(vec re[MOST_BINS][2], vec im[MOST_BINS][2], const float *x, int channels, int step, const float *w,
                         int pack, const int vectors, const int bins) {
    for (int i = 0; i < channels; i++, x++, w += 2 * pack) {
        vec w_re[2], w_im[2];
        for (int v = 0; v < vectors; v++) {
            w_re[v] = load(w + v * LANES);
            w_im[v] = load(w + pack + v * LANES);
        }
        for (int b = 0; b < bins; b++) {
            const vec x_re = splat(x[b * step]), x_im = splat(x[b * step + channels]);
            for (int v = 0; v < vectors; v++) {
                re[b][v] += w_re[v] * x_re;
                im[b][v] += w_im[v] * x_re;
                re[b][v] -= w_im[v] * x_im;
                im[b][v] += w_re[v] * x_im;
            }
        }
    }
}

/* `vectors` vectors of outputs from `first` on, for `bins` bins from `bin` on, by the taps from `from` to `to`. The
 * weights of so many inputs come before; `paired` says which of both forms is read. */
INLINE void complex_block(const convolution *c, int skipped, int first, int bin, int from, int to, const int vectors,
                          const int bins, const int paired) {
    vec re[MOST_BINS][2], im[MOST_BINS][2];
    for (int b = 0; b < bins; b++)
        for (int v = 0; v < vectors; v++) re[b][v] = im[b][v] = (vec){0};
    const size_t pack = (size_t)c->pack, rest = (size_t)(first % c->pack);
    size_t at = (size_t)skipped;
    for (int n = 0; n < c->count; n++) {
        const int channels = c->images[n].channels, width = 2 * channels, step = c->stride * width;
        for (int tap = from; tap < to; tap++) {
            const float *x = c->images[n].x + (bin * c->stride + tap - c->pad) * width;
            const size_t pairs = (at + (size_t)(tap * channels)) * pack + rest, singles = 2 * pairs - rest;
            if (paired) plus_complex_pairs(re, im, x, channels, step, c->pairs + pairs, c->pack, vectors, bins);
            else plus_complex(re, im, x, channels, step, c->weights + singles, c->pack, vectors, bins);
        }
        at += (size_t)(c->taps * channels);
    }
    complex_finish(c, re, im, first, bin, vectors, bins);
}

#define COMPLEX_CASE(n) \
    case n: \
        if (HAS_PAIRS && c->pairs) complex_block(c, skipped, first, bin, from, to, vectors, n, 1); \
        else complex_block(c, skipped, first, bin, from, to, vectors, n, 0); \
        break;

/* The same for any number of bins, at most MOST_BINS. */
INLINE void complex_bins(const convolution *c, int skipped, int first, int bin, int from, int to, const int vectors,
                         int bins) {
    switch (bins) {
        COMPLEX_CASE(1) COMPLEX_CASE(2) COMPLEX_CASE(3) COMPLEX_CASE(4) COMPLEX_CASE(5) COMPLEX_CASE(6)
        default: break;
    }
}

/* How many outputs go through all bins at once. */
INLINE int outputs_at_once(const convolution *c) { return least(c->pack, COMPLEX_VECTORS * LANES); }

/* So many outputs of a convolution from `first` on, `total` bins. */
static void convolve_outputs(const convolution *c, int first, int total) {
    int inputs = 0;
    for (int n = 0; n < c->count; n++) inputs += c->images[n].channels * c->taps;
    const int vectors = outputs_at_once(c) / LANES;
    const int many = vectors == COMPLEX_VECTORS ? COMPLEX_BINS : MOST_BINS;
    const int skipped = first / c->pack * inputs;
    for (int bin = 0; bin < total;) {
        /* at the edges some taps find nothing; in between all bins have all taps */
        const int at = bin * c->stride - c->pad;
        const int from = most(0, -at), to = least(c->taps, c->bins - at);
        int bins = 1;
        if (from == 0 && to == c->taps) {
            const int whole = least((c->bins - c->taps + c->pad) / c->stride + 1, total) - bin;
            const int blocks = (whole + many - 1) / many;
            bins = (whole + blocks - 1) / blocks;
        }
        if (vectors == 2) complex_bins(c, skipped, first, bin, from, most(from, to), 2, bins);
        else complex_bins(c, skipped, first, bin, from, most(from, to), 1, bins);
        bin += bins;
    }
}

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

/* Add the products of `rows` rows of inputs, `stride` apart, with weights [inputs][pack]. */
INLINE void plus_real(vec sum[MOST_BINS][4], const float *x, int inputs, int stride, const float *w, int pack,
                      const int vectors, const int rows) {
    for (int i = 0; i < inputs; i++, x++, w += pack) {
        vec weight[4];
        for (int v = 0; v < vectors; v++) weight[v] = load(w + v * LANES);
        for (int r = 0; r < rows; r++) {
            const vec value = splat(x[r * stride]);
            for (int v = 0; v < vectors; v++) sum[r][v] += weight[v] * value;
        }
    }
}

/* `vectors` vectors of outputs from `first` on, for `rows` rows from `at` on. */
INLINE void real_block(const product *p, int first, int at, const int vectors, const int rows, const int paired) {
    vec sum[MOST_BINS][4];
    for (int v = 0; v < vectors; v++) {
        const vec bias = p->bias ? load(p->bias + first + v * LANES) : (vec){0};
        for (int r = 0; r < rows; r++) sum[r][v] = bias;
    }
    const float *x = p->x + at * p->stride;
    const int count = paired ? p->inputs / 2 : p->inputs, rest = first % p->pack;
    const size_t at_weight = (size_t)(first - rest) * (size_t)count + (size_t)rest;
    if (paired) plus_real_pairs(sum, x, count, p->stride, p->pairs + at_weight, p->pack, vectors, rows);
    else plus_real(sum, x, count, p->stride, p->weights + at_weight, p->pack, vectors, rows);
    real_finish(p, sum, first, at, vectors, rows);
}

#define REAL_CASE(n) \
    case n: \
        if (HAS_PAIRS && p->pairs) real_block(p, first, at, vectors, n, 1); \
        else real_block(p, first, at, vectors, n, 0); \
        break;

INLINE void real_rows(const product *p, int first, int at, const int vectors, int rows) {
    switch (rows) {
        REAL_CASE(1) REAL_CASE(2) REAL_CASE(3) REAL_CASE(4) REAL_CASE(5) REAL_CASE(6)
        default: break;
    }
}

/* All of a product. */
static void multiply(const product *p) {
    const int vectors = least(p->pack / LANES, REAL_VECTORS);
    const int many = vectors == REAL_VECTORS ? REAL_BINS : MOST_BINS;
    for (int first = 0; first < p->outputs; first += vectors * LANES) {
        for (int at = 0; at < p->rows;) {
            const int blocks = (p->rows - at + many - 1) / many, rows = (p->rows - at + blocks - 1) / blocks;
            if (REAL_VECTORS == 4 && vectors == 4) real_rows(p, first, at, 4, rows);
            else if (vectors == 2) real_rows(p, first, at, 2, rows);
            else real_rows(p, first, at, 1, rows);
            at += rows;
        }
    }
}

INLINE float sum_of(vec x) {
    for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++) x[lane] += x[lane + half];
    return x[0];
}

/* `rows` scalar products from `first` on, for `bins` bins from `bin` on, by the taps from `from` to `to`. */
INLINE void few_block(const convolution *c, int inputs, int first, int bin, int from, int to, const int rows,
                      const int bins) {
    vec sum[2][4];
    float rest[2][4];
    for (int b = 0; b < bins; b++)
        for (int r = 0; r < rows; r++) sum[b][r] = (vec){0}, rest[b][r] = 0;
    const float *w = c->weights + first * inputs;
    for (int n = 0; n < c->count; n++) {
        const int width = 2 * c->images[n].channels, end = to * width, step = c->stride * width;
        const float *x = c->images[n].x + (bin * c->stride - c->pad) * width;
        int i = from * width;
        for (; i + LANES <= end; i += LANES)
            for (int r = 0; r < rows; r++)
                for (int b = 0; b < bins; b++) sum[b][r] += load(w + r * inputs + i) * load(x + b * step + i);
        for (; i < end; i++)
            for (int r = 0; r < rows; r++)
                for (int b = 0; b < bins; b++) rest[b][r] += w[r * inputs + i] * x[b * step + i];
        w += c->taps * width;
    }
    for (int r = 0; r < rows; r++) {
        const int row = first + r, at = place(row % c->outputs, c->group) + row / c->outputs * c->group;
        for (int b = 0; b < bins; b++) {
            const float y = (sum_of(sum[b][r]) + rest[b][r]) * c->scale[row] + c->bias[row];
            c->out[(bin + b) * c->row + at] = c->activation == PLAIN || y > 0 ? y : c->activation == LEAKY ? 0.01f * y : 0;
        }
    }
}

/* For few outputs: weights [2 outputs][images][taps][2 channels], a scalar product for each output and bin. */
static void convolve_few(const convolution *c, int total) {
    int inputs = 0;
    for (int n = 0; n < c->count; n++) inputs += 2 * c->images[n].channels * c->taps;
    for (int bin = 0; bin < total;) {
        const int at = bin * c->stride - c->pad, from = most(0, -at), to = most(from, least(c->taps, c->bins - at));
        const int two = from == 0 && bin + 1 < total && at + c->stride + c->taps <= c->bins;
        int row = 0;
        for (; row + 4 <= 2 * c->outputs; row += 4)
            if (two) few_block(c, inputs, row, bin, from, to, 4, 2);
            else few_block(c, inputs, row, bin, from, to, 4, 1);
        if (row < 2 * c->outputs) {
            if (two) few_block(c, inputs, row, bin, from, to, 2, 2);
            else few_block(c, inputs, row, bin, from, to, 2, 1);
        }
        bin += 1 + two;
    }
}

/* Say something of each vector of n values, and then of each value that is left; AT(x) is x's vector or value. */
#define EACH(n, ...) \
    {                                                        \
        int c = 0;                                           \
        for (; c + LANES <= (n); c += LANES) { typedef vec number; __VA_ARGS__ } \
        for (; c < (n); c++) { typedef float number; __VA_ARGS__ }  \
    }
#define AT(x) (*(number *)((x) + c))

/* x [bins][2 n] and (f + ig)(x), each [bins][2 n], by the taps [order][n] of f and g: a memory along bins, from low to high. */
static void remember_bins(const float *x, const float *f, const float *g, const float *of_f, const float *of_g, int order,
                          int bins, int n, float *out) {
    for (int bin = 0; bin < bins; bin += 4) {
        const int rows = least(4, bins - bin);
        EACH(n, {
            number re[4];
            number im[4];
            for (int b = 0; b < 4; b++) {
                const float *here = x + 2 * n * (bin + least(b, rows - 1));
                re[b] = AT(here) - AT(here + n);
                im[b] = AT(here) + AT(here + n);
            }
            for (int tap = most(0, order - bin - rows); tap < order; tap++) {
                const int from = bin + tap - order + 1;
                const number t = AT(of_f + tap * n);
                const number s = AT(of_g + tap * n);
                for (int b = 0; b < 4; b++) {
                    if (b >= rows || from + b < 0) continue;
                    const float *p = f + 2 * n * (from + b);
                    const float *q = g + 2 * n * (from + b);
                    re[b] += t * AT(p);
                    im[b] += t * AT(p + n);
                    re[b] -= s * AT(q + n);
                    im[b] += s * AT(q);
                }
            }
            for (int b = 0; b < rows; b++) {
                AT(out + 2 * n * (bin + b)) = re[b];
                AT(out + 2 * n * (bin + b) + n) = im[b];
            }
        })
    }
}

/* Means [n] -> what one gate says of them, [n]: weights [hidden][n], bias [hidden], weights [hidden][n], bias [n]. */
static const float *gate_of(const float *means, int n, int hidden, const float *w, float *out) {
    const float *b = w + hidden * n, *second = b + hidden, *last = second + hidden * n;
    memcpy(out, last, (size_t)n * sizeof *out);
    for (int h = 0; h < hidden; h++) {
        vec sums = {0};
        float sum = b[h];
        int i = 0;
        for (; i + LANES <= n; i += LANES) sums += load(w + h * n + i) * load(means + i);
        for (; i < n; i++) sum += w[h * n + i] * means[i];
        sum += sum_of(sums);
        if (sum > 0) EACH(n, { AT(out) += sum * AT(second + h * n); })
    }
    for (int i = 0; i < n; i++) out[i] = 1.0f / (1.0f + expf(-out[i]));
    return last + n;
}

/* Means [2 n] of real and imaginary channels -> gates f(re), f(im), g(re), g(im) [4 n]. */
static void gates_of(const float *means, int n, int hidden, const float *w, float *gates) {
    const float *of_g = gate_of(means, n, hidden, w, gates);
    gate_of(means + n, n, hidden, w, gates + n);
    gate_of(means, n, hidden, of_g, gates + 2 * n);
    gate_of(means + n, n, hidden, of_g, gates + 3 * n);
}

/* x [bins][2 n] times f(re) - g(im) and f(im) + g(re). */
static void weigh(const float *x, const float *gates, int n, int bins, float *out) {
    EACH(n, {
        const number re = AT(gates) - AT(gates + 3 * n);
        const number im = AT(gates + n) + AT(gates + 2 * n);
        for (int bin = 0; bin < bins; bin++) {
            AT(out + 2 * n * bin) = AT(x + 2 * n * bin) * re;
            AT(out + 2 * n * bin + n) = AT(x + 2 * n * bin + n) * im;
        }
    })
}

#endif
