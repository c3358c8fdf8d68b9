/* The same layers over many frames at once, one operation at a time, for networks that need whole waves.
 *
 * An image is [frames][row of values]; it is told by where it begins for a single frame, by what of a frame comes
 * before it, and by the length of its frames. Any number of threads may each do some frames of an operation.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "frames.h"
#include "kernels.h"

typedef struct {
    const float *weights;
    const uint32_t *pairs; /* of weights, in bfloat16, or none */
    float *images;
    int32_t frames, room; /* of the spectrum; of the longest image */
    int32_t first, last;  /* the frames to do */
    float *scratch;
    const float *silence; /* a frame of zeros */
    double *sums;         /* of a gate, which is done twice: for the sums of these frames, and then with those of all */
    int32_t ready;        /* whether the sums are those of all */
    int32_t count;        /* the frames of the operation's image */
} part;

/* A frame of an image. */
INLINE float *frame_at(const part *p, const region *x, int frame) {
    return p->images + (size_t)x->at * p->room + (size_t)frame * x->length + x->before;
}

INLINE const float *weights(const part *p, int32_t at) { return at >= 0 ? p->weights + at : NULL; }

static void do_convolve(const part *p, const convolve_arguments *a) {
    image images[MOST_IMAGES];
    convolution c = {
        .images = images, .count = a->count, .bins = a->bins, .taps = a->taps, .stride = a->stride, .pad = a->pad,
        .weights = weights(p, a->weights), .pairs = convolution_pairs(p->pairs, a->weights),
        .scale = weights(p, a->scale), .bias = weights(p, a->bias),
        .outputs = a->outputs, .group = a->group, .pack = a->pack, .activation = a->activation, .row = a->row};
    /* all frames by some outputs, whose weights stay in the cache, and then by the next ones */
    const int once = c.pack ? outputs_at_once(&c) : c.outputs;
    for (int first = 0; first < c.outputs; first += once)
        for (int frame = p->first; frame < p->last; frame++) {
            for (int n = 0; n < c.count; n++) {
                const operand *x = a->images + n;
                const int at = frame + x->shift;
                images[n].x = at < 0 || at >= p->frames + x->more ? p->silence : frame_at(p, &x->x, at);
                images[n].channels = x->channels;
            }
            c.out = frame_at(p, &a->out, frame);
            if (c.pack) convolve_outputs(&c, first, a->total);
            else convolve_few(&c, a->total);
        }
}

/* Rows [rows][n] -> f and g of them, with room for what is hidden. */
static void project(const part *p, const projections *by, const float *x, int rows, int n, int hidden, float *f, float *g,
                    float *room) {
    const product in = {
        .x = x, .rows = rows, .inputs = n, .stride = n, .weights = weights(p, by->linear), .pairs = product_pairs(p->pairs, by->linear, n),
        .bias = weights(p, by->bias),
        .outputs = 2 * hidden, .pack = by->linear_pack, .activation = RELU, .out = room, .row = 2 * hidden};
    multiply(&in);
    product out = {
        .x = room, .rows = rows, .inputs = hidden, .stride = 2 * hidden, .weights = weights(p, by->f), .pairs = product_pairs(p->pairs, by->f, hidden),
        .bias = NULL,
        .outputs = n, .pack = by->pack, .activation = PLAIN, .out = f, .row = n};
    multiply(&out);
    out.x = room + hidden, out.weights = weights(p, by->g), out.pairs = product_pairs(p->pairs, by->g, hidden), out.out = g;
    multiply(&out);
}

static void do_along_bins(const part *p, const along_bins_arguments *a) {
    const int bins = a->bins, n = a->channels, size = 2 * n * bins + 2 * LANES;
    float *f = p->scratch, *g = f + size;
    for (int frame = p->first; frame < p->last; frame++) {
        const float *x = frame_at(p, &a->x, frame);
        project(p, &a->by, x, 2 * bins, n, a->hidden, f, g, g + size);
        remember_bins(x, f, g, weights(p, a->taps_f), weights(p, a->taps_g), a->order, bins, n,
                      frame_at(p, &a->out, frame));
    }
}

static void do_in_bins(const part *p, const in_bins_arguments *a) {
    const int bins = a->bins, n = a->channels, size = 2 * n * bins + 2 * LANES;
    float *f = p->scratch, *g = f + size;
    for (int frame = p->first; frame < p->last; frame++) {
        float *out = frame_at(p, &a->out, frame);
        project(p, &a->by, frame_at(p, &a->x, frame), 2 * bins, n, a->hidden, f, g, g + size);
        for (int bin = 0; bin < bins; bin++) {
            const int at = 2 * n * bin;
            EACH(n, {
                AT(out + at) = AT(f + at) - AT(g + at + n);
                AT(out + at + n) = AT(f + at + n) + AT(g + at);
            })
        }
    }
}

/* [bins][2 n] -> f(re), f(im), g(re), g(im) of all bins. */
static void do_along_time(const part *p, const along_time_arguments *a) {
    const int bins = a->bins, n = a->channels, all = n * bins;
    float *flat = p->scratch, *room = flat + 2 * all + 2 * LANES;
    for (int frame = p->first; frame < p->last; frame++) {
        const float *x = frame_at(p, &a->x, frame);
        float *f = frame_at(p, &a->out, frame);
        for (int bin = 0; bin < bins; bin++, x += 2 * n) {
            memcpy(flat + bin * n, x, (size_t)n * sizeof *x);
            memcpy(flat + all + bin * n, x + n, (size_t)n * sizeof *x);
        }
        project(p, &a->by, flat, 2, all, a->hidden, f, f + 2 * all, room);
    }
}

/* One row of taps is for memories in each bin, two for f and g over all bins. */
static void do_remember(const part *p, const remember_arguments *a) {
    const int bins = a->bins, n = a->channels, order = a->order;
    for (int frame = p->first; frame < p->last; frame++) {
        const float *x = frame_at(p, &a->x, frame), *of_f = weights(p, a->taps_f), *of_g = weights(p, a->taps_g);
        float *out = frame_at(p, &a->out, frame);
        const int from = most(0, order - 1 - frame);
        for (int bin = 0; bin < bins; bin++) {
            const int at = 2 * n * bin;
            if (!of_g) {
                EACH(2 * n, {
                    number sum = AT(x + at);
                    for (int tap = from; tap < order; tap++)
                        sum += AT(of_f + tap * 2 * n) * AT(frame_at(p, &a->found, frame + tap - order + 1) + at);
                    AT(out + at) = sum;
                })
                continue;
            }
            const int all = n * bins, here = n * bin;
            EACH(n, {
                number re = AT(x + at) - AT(x + at + n);
                number im = AT(x + at) + AT(x + at + n);
                for (int tap = from; tap < order; tap++) {
                    const float *f = frame_at(p, &a->found, frame + tap - order + 1) + here;
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

static void do_gate(const part *p, const gate_arguments *a) {
    const int bins = a->bins, n = a->channels;
    if (!p->ready) {
        /* a frame in single and all together in double precision */
        for (int frame = p->first; frame < p->last; frame++) {
            const float *x = frame_at(p, &a->x, frame);
            EACH(2 * n, {
                number sum = AT(x);
                for (int bin = 1; bin < bins; bin++) sum += AT(x + 2 * n * bin);
                AT(p->scratch) = sum;
            })
            for (int i = 0; i < 2 * n; i++) p->sums[i] += p->scratch[i];
        }
        return;
    }
    float *means = p->scratch, *gates = means + 2 * n;
    for (int i = 0; i < 2 * n; i++) means[i] = (float)(p->sums[i] / ((double)bins * p->count));
    gates_of(means, n, a->hidden, weights(p, a->gates), gates);
    for (int frame = p->first; frame < p->last; frame++)
        weigh(frame_at(p, &a->x, frame), gates, n, bins, frame_at(p, &a->out, frame));
}

static void do_add(const part *p, const add_arguments *a) {
    for (int frame = p->first; frame < p->last; frame++) {
        const float *x = frame_at(p, &a->x, frame), *y = frame_at(p, &a->y, frame);
        float *out = frame_at(p, &a->out, frame);
        EACH(a->count, { AT(out) = AT(x) + AT(y); })
    }
}

static void do_copy(const part *p, const copy_arguments *a) {
    for (int frame = p->first; frame < p->last; frame++)
        for (int row = 0; row < a->rows; row++)
            memcpy(frame_at(p, &a->out, frame) + row * a->row_out, frame_at(p, &a->x, frame) + row * a->row,
                   (size_t)a->count * sizeof(float));
}

/* Some frames of one operation. */
void frcrn_whole(const part *p, int kind, const void *a) {
    switch (kind) {
#define CASE(kind, name) case kind: do_##name(p, a); break;
        EACH_OPERATION(CASE)
#undef CASE
        default: break;
    }
}

static void pair_projections(const float *weights, const projections *by, int n, int hidden, uint32_t *pairs) {
    pair_product(weights, by->linear, by->linear_pack, 2 * hidden, n, pairs);
    pair_product(weights, by->f, by->pack, n, hidden, pairs);
    pair_product(weights, by->g, by->pack, n, hidden, pairs);
}

/* Pair up the weights of one operation; 0 where that cannot be. */
int frcrn_whole_pairs(const float *weights, int kind, const void *arguments, uint32_t *pairs) {
    if (kind == CONVOLVE) {
        const convolve_arguments *a = arguments;
        int channels = 0;
        for (int n = 0; n < a->count; n++) channels += a->images[n].channels;
        pair_convolution(weights, a->weights, a->pack, a->outputs, channels, a->taps, pairs);
    } else if (kind == ALONG_BINS) {
        const along_bins_arguments *a = arguments;
        pair_projections(weights, &a->by, a->channels, a->hidden, pairs);
    } else if (kind == IN_BINS) {
        const in_bins_arguments *a = arguments;
        pair_projections(weights, &a->by, a->channels, a->hidden, pairs);
    } else if (kind == ALONG_TIME) {
        const along_time_arguments *a = arguments;
        pair_projections(weights, &a->by, a->channels * a->bins, a->hidden, pairs);
    }
    return HAS_PAIRS;
}
