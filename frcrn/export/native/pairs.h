/* The products of kernels.h in bfloat16: two at a time, each sum in single precision.
 *
 * Weights lie as they do in single precision, but as pairs: of a complex one its real and its imaginary part, of a real
 * matrix those of two inputs. So they take half the room, and a pair by a pair is one instruction where the processor
 * has AVX512-BF16; elsewhere there are no pairs.
 */
#ifndef FRCRN_PAIRS_H
#define FRCRN_PAIRS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "blocks.h"

/* Where the pairs of some weights begin, among those of all weights. */
INLINE size_t pairs_at(int32_t weights) { return ((size_t)weights + 1) / 2; }

#ifdef __AVX512BF16__
#include <immintrin.h>

#define HAS_PAIRS 1
#define AT_ONCE 128 /* pairs of inputs that are made before they are multiplied */

INLINE uint32_t in_bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

/* Weights [count][2][pack] -> pairs [count][pack]. */
INLINE void pair_up(const float *w, size_t count, size_t pack, uint32_t *pairs) {
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < pack; k++)
            pairs[i * pack + k] = in_bfloat16(w[2 * i * pack + k]) | in_bfloat16(w[(2 * i + 1) * pack + k]) << 16;
}

INLINE vec plus_dot(vec sum, __m512i w, uint32_t x) {
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)_mm512_set1_epi32((int)x));
}

INLINE __mmask16 first_of(int n) { return n < LANES ? (__mmask16)((1u << n) - 1) : (__mmask16)0xffff; }
INLINE __m512i rounded(__m512 x) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)); }

/* x + iy of n channels -> the pairs (x, -y) and (y, x), whose products with (v, w) are real and imaginary part. */
APART void complex_pairs(const float *x, int channels, int n, uint32_t *re, uint32_t *im) {
    for (int i = 0; i < n; i += LANES) {
        const __mmask16 there = first_of(n - i);
        const __m512i x_re = rounded(_mm512_maskz_loadu_ps(there, x + i));
        const __m512i x_im = rounded(_mm512_maskz_loadu_ps(there, x + channels + i));
        const __m512i minus = _mm512_xor_si512(x_im, _mm512_set1_epi32(0x8000));
        _mm512_storeu_si512(re + i, _mm512_or_si512(x_re, _mm512_slli_epi32(minus, 16)));
        _mm512_storeu_si512(im + i, _mm512_or_si512(x_im, _mm512_slli_epi32(x_re, 16)));
    }
}

/* As `plus_complex`, with pairs [channels][pack]. */
INLINE void plus_complex_pairs(vec re[MOST_BINS][2], vec im[MOST_BINS][2], const float *x, int channels, int step,
                               const uint32_t *w, int pack, const int vectors, const int bins) {
    uint32_t x_re[MOST_BINS][AT_ONCE], x_im[MOST_BINS][AT_ONCE];
    for (int start = 0; start < channels; start += AT_ONCE) {
        const int some = least(AT_ONCE, channels - start);
        for (int b = 0; b < bins; b++) complex_pairs(x + b * step + start, channels, some, x_re[b], x_im[b]);
        for (int i = 0; i < some; i++, w += pack) {
            __m512i weight[2];
            for (int v = 0; v < vectors; v++) weight[v] = _mm512_loadu_si512(w + v * LANES);
            for (int b = 0; b < bins; b++)
                for (int v = 0; v < vectors; v++) {
                    re[b][v] = plus_dot(re[b][v], weight[v], x_re[b][i]);
                    im[b][v] = plus_dot(im[b][v], weight[v], x_im[b][i]);
                }
        }
    }
}

/* 2 n inputs -> n pairs. */
APART void real_pairs(const float *x, int n, uint32_t *pairs) {
    for (int i = 0; i < n; i += LANES / 2) {
        const __m512 singles = _mm512_maskz_loadu_ps(first_of(2 * (n - i)), x + 2 * i);
        _mm256_storeu_si256((__m256i *)(pairs + i), (__m256i)_mm512_cvtneps_pbh(singles));
    }
}

/* As `plus_real`, with pairs [inputs / 2][pack]. */
INLINE void plus_real_pairs(vec sum[MOST_BINS][4], const float *x, int count, int stride, const uint32_t *w, int pack,
                            const int vectors, const int rows) {
    uint32_t pairs[MOST_BINS][AT_ONCE];
    for (int start = 0; start < count; start += AT_ONCE) {
        const int some = least(AT_ONCE, count - start);
        for (int r = 0; r < rows; r++) real_pairs(x + r * stride + 2 * start, some, pairs[r]);
        for (int i = 0; i < some; i++, w += pack) {
            __m512i weight[4];
            for (int v = 0; v < vectors; v++) weight[v] = _mm512_loadu_si512(w + v * LANES);
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++) sum[r][v] = plus_dot(sum[r][v], weight[v], pairs[r][i]);
        }
    }
}

#else

#define HAS_PAIRS 0

/* Never called, as no weights are pairs. */
INLINE void pair_up(const float *w, size_t count, size_t pack, uint32_t *pairs) {
    (void)w, (void)count, (void)pack, (void)pairs;
}
INLINE void plus_complex_pairs(vec re[MOST_BINS][2], vec im[MOST_BINS][2], const float *x, int channels, int step,
                               const uint32_t *w, int pack, const int vectors, const int bins) {
    (void)re, (void)im, (void)x, (void)channels, (void)step, (void)w, (void)pack, (void)vectors, (void)bins;
}
INLINE void plus_real_pairs(vec sum[MOST_BINS][4], const float *x, int count, int stride, const uint32_t *w, int pack,
                            const int vectors, const int rows) {
    (void)sum, (void)x, (void)count, (void)stride, (void)w, (void)pack, (void)vectors, (void)rows;
}

#endif

/* Pair up the weights of a convolution of so many channels, all images together; those of few outputs stay as they are. */
INLINE void pair_convolution(const float *weights, int32_t at, int pack, int outputs, int channels, int taps, uint32_t *pairs) {
    if (!pack) return;
    const size_t packs = (size_t)((outputs + pack - 1) / pack);
    pair_up(weights + at, packs * (size_t)channels * (size_t)taps, (size_t)pack, pairs + pairs_at(at));
}

/* And those of a matrix, where its inputs are even in number. */
INLINE void pair_product(const float *weights, int32_t at, int pack, int outputs, int inputs, uint32_t *pairs) {
    if (inputs % 2) return;
    const size_t packs = (size_t)((outputs + pack - 1) / pack);
    pair_up(weights + at, packs * (size_t)(inputs / 2), (size_t)pack, pairs + pairs_at(at));
}

/* The pairs of a convolution or a matrix, among those of all weights; none where it stays in single precision. */
INLINE const uint32_t *convolution_pairs(const uint32_t *pairs, int32_t at) { return pairs ? pairs + pairs_at(at) : NULL; }
INLINE const uint32_t *product_pairs(const uint32_t *pairs, int32_t at, int inputs) {
    return pairs && inputs % 2 == 0 ? pairs + pairs_at(at) : NULL;
}

#endif
