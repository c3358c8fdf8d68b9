/* The same layers over many frames at once, one operation at a time, for networks that hear whole waves.
 *
 * An image is [frames][row of values]; it is told by where it begins for a single frame, by what of a frame comes
 * before it, and by the length of its frames. Any number of threads may each do some frames of an operation.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

enum { CONVOLVE, ALONG_BINS, IN_BINS, ALONG_TIME, MEMORY, GATE, SUM, COPY };

typedef struct {
    const float *weights;
    float *images;
    int32_t frames, room; /* of the spectrum; of the longest image */
    int32_t first, last;  /* the frames to do */
    float *scratch;
} part;

/* The image whose three numbers are at `a`, at a frame. */
INLINE float *frame_at(const part *p, const int32_t *a, int frame) {
    return p->images + (size_t)a[0] * p->room + (size_t)frame * a[2] + a[1];
}

INLINE const float *weights(const part *p, int32_t at) { return at >= 0 ? p->weights + at : NULL; }

/* Out, row, total, more frames, outputs, group, pack, activation, bins, taps, stride, pad, weights, scale, bias, zeros,
 * count, images (each channels, shift, more frames). */
static void convolve_frames(const part *p, const int32_t *a) {
    image images[MOST_IMAGES];
    const int32_t *how = a + 6;
    convolution c = {images, a[18], how[4], how[5], how[6], how[7], weights(p, how[8]), weights(p, how[9]),
                     weights(p, how[10]), how[0], how[1], how[2], how[3], NULL, a[3]};
    /* all frames by some outputs, whose weights stay in the cache, and then by the next ones */
    const int once = c.pack ? outputs_at_once(&c) : c.outputs;
    for (int first = 0; first < c.outputs; first += once)
        for (int frame = p->first; frame < p->last; frame++) {
            const int32_t *x = a + 19;
            for (int n = 0; n < c.count; n++, x += 6) {
                const int at = frame + x[4];
                images[n].x = at < 0 || at >= p->frames + x[5] ? weights(p, a[17]) : frame_at(p, x, at);
                images[n].channels = x[3];
            }
            c.out = frame_at(p, a, frame);
            if (c.pack) convolve_outputs(&c, first, a[4]);
            else convolve_few(&c, a[4]);
        }
}

/* Linear, bias, pack, f, g, pack: rows [rows][n] -> f and g of them, with room for what is hidden. */
static void project(const part *p, const int32_t *a, const float *x, int rows, int n, int hidden, float *f, float *g,
                    float *room) {
    const product in = {x, rows, n, n, weights(p, a[0]), weights(p, a[1]), 2 * hidden, a[2], RELU, room, 2 * hidden};
    multiply(&in);
    product out = {room, rows, hidden, 2 * hidden, weights(p, a[3]), NULL, n, a[5], PLAIN, f, n};
    multiply(&out);
    out.x = room + hidden, out.weights = weights(p, a[4]), out.out = g;
    multiply(&out);
}

/* X, out, bins, channels, hidden, order, projections, taps of f, of g. */
static void along_bins(const part *p, const int32_t *a) {
    const int bins = a[6], n = a[7], size = 2 * n * bins + 2 * LANES;
    float *f = p->scratch, *g = f + size;
    for (int frame = p->first; frame < p->last; frame++) {
        const float *x = frame_at(p, a, frame);
        project(p, a + 10, x, 2 * bins, n, a[8], f, g, g + size);
        remember_bins(x, f, g, weights(p, a[16]), weights(p, a[17]), a[9], bins, n, frame_at(p, a + 3, frame));
    }
}

/* X, f and g together, bins, channels, hidden, order, projections: what a memory along time remembers. */
static void in_bins(const part *p, const int32_t *a) {
    const int bins = a[6], n = a[7], size = 2 * n * bins + 2 * LANES;
    float *f = p->scratch, *g = f + size;
    for (int frame = p->first; frame < p->last; frame++) {
        float *out = frame_at(p, a + 3, frame);
        project(p, a + 10, frame_at(p, a, frame), 2 * bins, n, a[8], f, g, g + size);
        for (int bin = 0; bin < bins; bin++) {
            const int at = 2 * n * bin;
            EACH(n, {
                AT(out + at) = AT(f + at) - AT(g + at + n);
                AT(out + at + n) = AT(f + at + n) + AT(g + at);
            })
        }
    }
}

/* The same over all bins of a frame: [bins][2 n] -> f(re), f(im), g(re), g(im) of all bins. */
static void along_time(const part *p, const int32_t *a) {
    const int bins = a[6], n = a[7], all = n * bins;
    float *flat = p->scratch, *room = flat + 2 * all + 2 * LANES;
    for (int frame = p->first; frame < p->last; frame++) {
        const float *x = frame_at(p, a, frame);
        float *f = frame_at(p, a + 3, frame);
        for (int bin = 0; bin < bins; bin++, x += 2 * n) {
            memcpy(flat + bin * n, x, (size_t)n * sizeof *x);
            memcpy(flat + all + bin * n, x + n, (size_t)n * sizeof *x);
        }
        project(p, a + 10, flat, 2, all, a[8], f, f + 2 * all, room);
    }
}

/* X, remembered, out, bins, channels, order, taps of f, of g or -1: x and a weighted sum of frames up to this one. */
static void memory(const part *p, const int32_t *a) {
    const int bins = a[9], n = a[10], order = a[11];
    for (int frame = p->first; frame < p->last; frame++) {
        const float *x = frame_at(p, a, frame), *of_f = weights(p, a[12]), *of_g = weights(p, a[13]);
        float *out = frame_at(p, a + 6, frame);
        const int from = most(0, order - 1 - frame);
        for (int bin = 0; bin < bins; bin++) {
            const int at = 2 * n * bin;
            if (!of_g) {
                EACH(2 * n, {
                    number sum = AT(x + at);
                    for (int tap = from; tap < order; tap++)
                        sum += AT(of_f + tap * 2 * n) * AT(frame_at(p, a + 3, frame + tap - order + 1) + at);
                    AT(out + at) = sum;
                })
                continue;
            }
            const int all = n * bins, here = n * bin;
            EACH(n, {
                number re = AT(x + at) - AT(x + at + n);
                number im = AT(x + at) + AT(x + at + n);
                for (int tap = from; tap < order; tap++) {
                    const float *f = frame_at(p, a + 3, frame + tap - order + 1) + here;
                    const number t = AT(of_f + tap * all + here);
                    const number s = AT(of_g + tap * all + here);
                    re += t * AT(f) - s * AT(f + 3 * all);
                    im += t * AT(f + all) + s * AT(f + 2 * all);
                }
                AT(out + at) = re;
                AT(out + at + n) = im;
            })
        }
    }
}

/* X, out, bins, channels, hidden, gates: first without `sums` of all frames, for the sums of these; then with them. */
static void gate(const part *p, const int32_t *a, double *sums, int ready, int frames) {
    const int bins = a[6], n = a[7];
    if (!ready) {
        /* a frame in single and all together in double precision */
        for (int frame = p->first; frame < p->last; frame++) {
            const float *x = frame_at(p, a, frame);
            EACH(2 * n, {
                number sum = AT(x);
                for (int bin = 1; bin < bins; bin++) sum += AT(x + 2 * n * bin);
                AT(p->scratch) = sum;
            })
            for (int i = 0; i < 2 * n; i++) sums[i] += p->scratch[i];
        }
        return;
    }
    float *means = p->scratch, *gates = means + 2 * n;
    for (int i = 0; i < 2 * n; i++) means[i] = (float)(sums[i] / ((double)bins * frames));
    gates_of(means, n, a[8], weights(p, a[9]), gates);
    for (int frame = p->first; frame < p->last; frame++)
        weigh(frame_at(p, a, frame), gates, n, bins, frame_at(p, a + 3, frame));
}

/* X, y, out, count. */
static void sum(const part *p, const int32_t *a) {
    for (int frame = p->first; frame < p->last; frame++) {
        const float *x = frame_at(p, a, frame), *y = frame_at(p, a + 3, frame);
        float *out = frame_at(p, a + 6, frame);
        EACH(a[9], { AT(out) = AT(x) + AT(y); })
    }
}

/* X, out, rows, count, from one row to the next, and that of out. */
static void copy(const part *p, const int32_t *a) {
    for (int frame = p->first; frame < p->last; frame++)
        for (int row = 0; row < a[6]; row++)
            memcpy(frame_at(p, a + 3, frame) + row * a[9], frame_at(p, a, frame) + row * a[8],
                   (size_t)a[7] * sizeof(float));
}

/* Some frames of one operation; gates come twice, as `ready` says, and know all `frames` of their image. */
void frcrn_whole(const part *p, int kind, const int32_t *a, double *sums, int ready, int frames) {
    switch (kind) {
        case CONVOLVE: convolve_frames(p, a); break;
        case ALONG_BINS: along_bins(p, a); break;
        case IN_BINS: in_bins(p, a); break;
        case ALONG_TIME: along_time(p, a); break;
        case MEMORY: memory(p, a); break;
        case GATE: gate(p, a, sums, ready, frames); break;
        case SUM: sum(p, a); break;
        case COPY: copy(p, a); break;
        default: break;
    }
}
