/* Transforms of real frames of any even size, eight frames at once: number i of all frames lies in one vector.
 *
 * Half as many complex numbers, even samples as real and odd ones as imaginary parts, go through one step for each
 * prime factor (and 4); each step reads one buffer and writes the other, and leaves the order right. A step of an odd
 * size r adds and subtracts the numbers j and r - j first, whose cosines are equal and whose sines are opposite. */
#ifndef FRCRN_FOURIER_H
#define FRCRN_FOURIER_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES 8

typedef float frames __attribute__((vector_size(4 * FRAMES), aligned(16), may_alias));

typedef struct {
    int size;            /* complex numbers: half a frame */
    float *turns;        /* e^(-2 pi i k / size), k < size */
    float *halves;       /* e^(-pi i k / size), k <= size */
    float *window;       /* [2 size] the square root of a Hann window */
} fourier;

static int fourier_open(fourier *f, int size) {
    const double pi = 3.14159265358979323846;
    f->size = size;
    f->turns = malloc(sizeof(float) * (size_t)(6 * size + 2));
    if (!f->turns) return 0;
    f->halves = f->turns + 2 * size, f->window = f->halves + 2 * size + 2;
    for (int k = 0; k < size; k++) {
        f->turns[2 * k] = (float)cos(2 * pi * k / size);
        f->turns[2 * k + 1] = (float)-sin(2 * pi * k / size);
    }
    for (int k = 0; k <= size; k++) {
        f->halves[2 * k] = (float)cos(pi * k / size);
        f->halves[2 * k + 1] = (float)-sin(pi * k / size);
    }
    for (int i = 0; i < 2 * size; i++) f->window[i] = (float)sin(pi * i / (2 * size));
    return 1;
}

/* A step of size 4 (or 2): numbers `far` apart in x become neighbours, `stride` apart, in y. */
static inline void by_four(const frames *x, frames *y, int far, int stride, const float *t1, const float *t2, const float *t3) {
    for (int q = 0; q < 2 * stride; q += 2) {
        const frames *a = x + q, *b = a + far, *c = b + far, *d = c + far;
        const frames p_re = a[0] + c[0], p_im = a[1] + c[1], q_re = a[0] - c[0], q_im = a[1] - c[1];
        const frames s_re = b[0] + d[0], s_im = b[1] + d[1], r_re = b[1] - d[1], r_im = d[0] - b[0];
        const frames u_re = q_re + r_re, u_im = q_im + r_im, v_re = p_re - s_re, v_im = p_im - s_im;
        const frames w_re = q_re - r_re, w_im = q_im - r_im;
        frames *o = y + q;
        o[0] = p_re + s_re, o[1] = p_im + s_im, o += 2 * stride;
        o[0] = u_re * t1[0] - u_im * t1[1], o[1] = u_re * t1[1] + u_im * t1[0], o += 2 * stride;
        o[0] = v_re * t2[0] - v_im * t2[1], o[1] = v_re * t2[1] + v_im * t2[0], o += 2 * stride;
        o[0] = w_re * t3[0] - w_im * t3[1], o[1] = w_re * t3[1] + w_im * t3[0];
    }
}

static inline void by_two(const frames *x, frames *y, int far, int stride, const float *t) {
    for (int q = 0; q < 2 * stride; q += 2) {
        const frames *a = x + q, *b = a + far;
        const frames re = a[0] - b[0], im = a[1] - b[1];
        frames *o = y + q + 2 * stride;
        y[q] = a[0] + b[0], y[q + 1] = a[1] + b[1];
        o[0] = re * t[0] - im * t[1], o[1] = re * t[1] + im * t[0];
    }
}

/* `turn` turns by `one` numbers of the table for each product of places; the k-th result by `twist` k more. */
static inline void by_odd(const fourier *f, const frames *x, frames *y, int r, int far, int stride, int twist, frames *work) {
    const int one = f->size / r, pairs = (r - 1) / 2;
    for (int q = 0; q < 2 * stride; q += 2) {
        frames all_re = x[q], all_im = x[q + 1];
        for (int j = 1; j <= pairs; j++) {
            const frames *a = x + q + j * far, *b = x + q + (r - j) * far;
            frames *w = work + 4 * j;
            w[0] = a[0] + b[0], w[1] = a[1] + b[1], w[2] = a[0] - b[0], w[3] = a[1] - b[1];
            all_re += w[0], all_im += w[1];
        }
        y[q] = all_re, y[q + 1] = all_im;
        for (int k = 1; k <= pairs; k++) {
            frames even_re = x[q], even_im = x[q + 1], odd_re = {0}, odd_im = {0};
            for (int j = 1; j <= pairs; j++) {
                const float *t = f->turns + 2 * one * (j * k % r);
                const frames *w = work + 4 * j;
                even_re += t[0] * w[0], even_im += t[0] * w[1], odd_re += t[1] * w[3], odd_im += t[1] * w[2];
            }
            for (int side = 0; side < 2; side++) {
                const int place = side ? r - k : k;
                const float *t = f->turns + 2 * (twist * place);
                const frames re = side ? even_re + odd_re : even_re - odd_re, im = side ? even_im - odd_im : even_im + odd_im;
                frames *o = y + q + 2 * stride * place;
                o[0] = re * t[0] - im * t[1], o[1] = re * t[1] + im * t[0];
            }
        }
    }
}

/* Complex [size] in x -> the same or the other buffer, whichever is returned; `work` holds 2 size vectors too. */
static inline frames *transformed(const fourier *f, frames *x, frames *y, frames *work) {
    for (int n = f->size, stride = 1; n > 1;) {
        int r = n % 4 == 0 ? 4 : 2;
        while (n % r) r++;
        const int m = n / r, far = 2 * stride * m;
        for (int p = 0; p < m; p++) {
            const frames *from = x + 2 * stride * p;
            frames *to = y + 2 * stride * r * p;
            const float *t = f->turns;
            const int twist = p * stride;
            if (r == 4) by_four(from, to, far, stride, t + 2 * twist, t + 4 * twist, t + 6 * twist);
            else if (r == 2) by_two(from, to, far, stride, t + 2 * twist);
            else by_odd(f, from, to, r, far, stride, twist, work);
        }
        frames *swap = x;
        x = y, y = swap;
        n = m, stride *= r;
    }
    return x;
}

/* The bins from `first` to `last` of frames [2 size], windowed, in x -> spectrum [size + 1]; x is overwritten. */
static inline void analysed(const fourier *f, frames *x, frames *y, frames *work, frames *spectrum, int first, int last) {
    const int n = f->size;
    const frames *z = transformed(f, x, y, work);
    for (int k = first; k <= last; k++) {
        const frames *p = z + 2 * (k % n), *q = z + 2 * ((n - k) % n);
        const float *t = f->halves + 2 * k;
        const frames even_re = 0.5f * (p[0] + q[0]), even_im = 0.5f * (p[1] - q[1]);
        const frames odd_re = 0.5f * (p[1] + q[1]), odd_im = 0.5f * (q[0] - p[0]);
        spectrum[2 * k] = even_re + odd_re * t[0] - odd_im * t[1];
        spectrum[2 * k + 1] = even_im + odd_re * t[1] + odd_im * t[0];
    }
}

/* A spectrum [size + 1] -> frames [2 size], every second one with its sign changed, times 2 size. */
static inline const frames *synthesised(const fourier *f, frames *spectrum, frames *x, frames *y, frames *work) {
    const int n = f->size;
    const frames none = {0};
    /* what the first and the last bin have of an imaginary part is no part of a real wave */
    spectrum[1] = spectrum[2 * n + 1] = none;
    for (int k = 0; k < n; k++) {
        const frames *p = spectrum + 2 * k, *q = spectrum + 2 * (n - k);
        const float *t = f->halves + 2 * k;
        const frames even_re = p[0] + q[0], even_im = p[1] - q[1], d_re = p[0] - q[0], d_im = p[1] + q[1];
        const frames odd_re = d_re * t[0] + d_im * t[1], odd_im = d_im * t[0] - d_re * t[1];
        /* conjugated, so that the same transform goes back */
        x[2 * k] = even_re - odd_im;
        x[2 * k + 1] = -(even_im + odd_re);
    }
    return transformed(f, x, y, work);
}

#endif
