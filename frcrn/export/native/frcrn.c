/* Runs the program that a model file holds: one operation after the other, over buffers laid out beforehand. */
#include "frcrn.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "checks.h"
#include "kernels.h"
#include "operations.h"
#include "weights.h"

#define START 8  /* bytes before the header: a name, its version and the end of the line */
#define LINE 256 /* bytes, a multiple of what a cache and a vector take at once */

/* version 1 has all weights in single precision, 3 says by how many hops more a network that looks ahead is late */
static const char MAGIC[7] = "FRCRN ";

enum { RATE, WINDOW, HOP, STATE, SCRATCH, OPERATIONS, WEIGHTS, PARTS, LATE, HEADER };

struct frcrn_model {
    int32_t header[HEADER];
    int32_t *operations;
    float *weights; /* where a line of the cache begins */
    void *room;     /* for both, as it was allocated */
    uint32_t *pairs; /* weights of products in bfloat16, once they are wanted */
};

/* What an operation works with. */
typedef struct {
    const float *weights;
    const uint32_t *pairs;
    float *state, *scratch;
    const float *in;
    float *out;
    uint64_t frame;
    int window, hop;
} run;

/* A buffer by its number: scratch from 0 on, state from -1 on downward. */
INLINE float *buffer(const run *r, int32_t at) { return at >= 0 ? r->scratch + at : r->state + ~at; }
/* Weights by their number; none if it is negative. */
INLINE const float *weights(const run *r, int32_t at) { return at >= 0 ? r->weights + at : NULL; }

/* Where the oldest of so many frames lies in a ring of them; the newest takes its place. */
INLINE int oldest_of(const run *r, int past) { return past ? (int)(r->frame % (unsigned)past) : 0; }
/* Where the one that came so many frames after it lies. */
INLINE int slot_of(int oldest, int frames, int past) { return oldest + frames < past ? oldest + frames : oldest + frames - past; }

/* Complex [n], `stride` apart, -> out [n]; `turns` holds e^(-2 pi i k / size), size = n * stride. */
static void transform(const float *x, float *out, int n, int stride, const float *turns, int size) {
    if (n == 1) {
        out[0] = x[0];
        out[1] = x[1];
        return;
    }
    int radix = n % 4 == 0 ? 4 : 2;
    while (n % radix) radix++;
    const int m = n / radix;
    for (int r = 0; r < radix; r++) transform(x + 2 * r * stride, out + 2 * r * m, m, stride * radix, turns, size);
    float sums[2 * radix];
    for (int k = 0; k < m; k++) {
        for (int r = 1; r < radix; r++) {
            float *y = out + 2 * (r * m + k);
            const float *t = turns + 2 * (r * k * stride % size), re = y[0], im = y[1];
            y[0] = re * t[0] - im * t[1];
            y[1] = re * t[1] + im * t[0];
        }
        if (radix == 4) {
            float *a = out + 2 * k, *b = a + 2 * m, *c = b + 2 * m, *d = c + 2 * m;
            const float p_re = a[0] + c[0], p_im = a[1] + c[1], q_re = a[0] - c[0], q_im = a[1] - c[1];
            const float s_re = b[0] + d[0], s_im = b[1] + d[1], t_re = b[1] - d[1], t_im = d[0] - b[0];
            a[0] = p_re + s_re, a[1] = p_im + s_im;
            b[0] = q_re + t_re, b[1] = q_im + t_im;
            c[0] = p_re - s_re, c[1] = p_im - s_im;
            d[0] = q_re - t_re, d[1] = q_im - t_im;
            continue;
        }
        for (int q = 0; q < radix; q++) {
            float re = 0, im = 0;
            for (int r = 0; r < radix; r++) {
                const float *t = turns + 2 * ((long)r * q % radix * (size / radix)), *y = out + 2 * (r * m + k);
                re += y[0] * t[0] - y[1] * t[1];
                im += y[0] * t[1] + y[1] * t[0];
            }
            sums[2 * q] = re;
            sums[2 * q + 1] = im;
        }
        for (int q = 0; q < radix; q++) {
            out[2 * (q * m + k)] = sums[2 * q];
            out[2 * (q * m + k) + 1] = sums[2 * q + 1];
        }
    }
}

/* A hop after the samples before it, tapered, which become its past. */
static void cut(const run *r, float *past, const float *taper, float *wave) {
    const int overlap = r->window - r->hop;
    for (int i = 0; i < overlap; i++) wave[i] = past[i] * taper[i];
    for (int i = 0; i < r->hop; i++) wave[overlap + i] = r->in[i] * taper[overlap + i];
    memmove(past, past + r->hop, (size_t)(overlap - r->hop) * sizeof *past);
    memcpy(past + overlap - r->hop, r->in, (size_t)r->hop * sizeof *past);
}

/* A frame added to what earlier ones left; what is finished goes out. */
static void join(const run *r, float *frame, float *past, const float *gain) {
    const int overlap = r->window - r->hop;
    for (int i = 0; i < overlap; i++) frame[i] += past[i];
    for (int i = 0; i < r->hop; i++) r->out[i] = frame[i] * gain[i];
    memcpy(past, frame + r->hop, (size_t)overlap * sizeof *past);
}

/* Real samples [size] -> spectrum [size / 2 + 1][2], by way of `found` [size]. */
static void spectrum_of(const float *wave, float *found, int size, const float *turns, const float *halves, float *spectrum) {
    const int n = size / 2;
    /* even samples as real and odd ones as imaginary parts of half as many complex ones */
    transform(wave, found, n, 1, turns, n);
    for (int k = 0; k <= n; k++) {
        const float *x = found + 2 * (k % n), *y = found + 2 * ((n - k) % n), *t = halves + 2 * k;
        const float even_re = 0.5f * (x[0] + y[0]), even_im = 0.5f * (x[1] - y[1]);
        const float odd_re = 0.5f * (x[1] + y[1]), odd_im = 0.5f * (y[0] - x[0]);
        spectrum[2 * k] = even_re + odd_re * t[0] - odd_im * t[1];
        spectrum[2 * k + 1] = even_im + odd_re * t[1] + odd_im * t[0];
    }
}

/* Spectrum [size / 2 + 1][2] -> real samples, `size` times too large and every second one negated, by way of x [size]. */
static void wave_of(float *clean, float *x, int size, const float *turns, const float *halves, float *y) {
    const int n = size / 2;
    /* what the first and the last bin have of an imaginary part is no part of a real wave */
    clean[1] = clean[2 * n + 1] = 0;
    for (int k = 0; k < n; k++) {
        const float *p = clean + 2 * k, *q = clean + 2 * (n - k), *t = halves + 2 * k;
        const float even_re = p[0] + q[0], even_im = p[1] - q[1], d_re = p[0] - q[0], d_im = p[1] + q[1];
        const float odd_re = d_re * t[0] + d_im * t[1], odd_im = d_im * t[0] - d_re * t[1];
        /* conjugated, so that the same transform goes back */
        x[2 * k] = even_re - odd_im;
        x[2 * k + 1] = -(even_im + odd_re);
    }
    transform(x, y, n, 1, turns, n);
}

/* The work is a wave and its transform. */
static void do_analyse(const run *r, const analyse_arguments *a) {
    float *wave = buffer(r, a->work);
    cut(r, buffer(r, a->past), weights(r, a->taper), wave);
    spectrum_of(wave, wave + r->window, r->window, weights(r, a->turns), weights(r, a->halves), buffer(r, a->spectrum));
}

static void do_apply(const run *r, const apply_arguments *a) {
    const float *spectrum = buffer(r, a->spectrum), *mask = buffer(r, a->mask);
    float *x = buffer(r, a->work), *y = x + r->window;
    const float *taper = weights(r, a->taper), *shares = weights(r, a->shares);
    const int n = r->window / 2, bands = a->bands;
    float *clean = y;
    for (int k = 0; k <= n; k++) {
        float re, im;
        if (shares) {
            /* two neighbouring bands stand for a bin */
            const int band = (int)shares[3 * k];
            const float *m = mask + 2 * band, *s = shares + 3 * k + 1;
            re = m[0] * s[0] + m[2] * s[1];
            im = m[1] * s[0] + m[3] * s[1];
        } else {
            re = k < bands ? mask[2 * k] : 0;
            im = k < bands ? mask[2 * k + 1] : 0;
        }
        const float s_re = spectrum[2 * k], s_im = spectrum[2 * k + 1];
        clean[2 * k] = re * s_re - im * s_im;
        clean[2 * k + 1] = re * s_im + im * s_re;
    }
    wave_of(clean, x, r->window, weights(r, a->turns), weights(r, a->halves), y);
    const float share = 1.0f / (float)r->window;
    for (int i = 0; i < n; i++) {
        y[2 * i] *= share * taper[2 * i];
        y[2 * i + 1] *= -share * taper[2 * i + 1];
    }
    join(r, y, buffer(r, a->past), weights(r, a->gain));
}

static void do_features(const run *r, const features_arguments *a) {
    const float *spectrum = buffer(r, a->spectrum);
    float *x = buffer(r, a->out), *fine = a->shares < 0 ? x : buffer(r, a->work);
    const int bins = a->bins, bands = a->bands, magnitude = a->magnitude, width = magnitude ? 4 : 2, found = a->shares < 0 ? bands : bins;
    const float power_of = weights(r, a->compress)[0];
    for (int k = 0; k < found; k++) {
        const float re = spectrum[2 * k], im = spectrum[2 * k + 1];
        float *y = fine + k * width, factor = 1, log_of = 0;
        if (power_of != 1 || magnitude) {
            log_of = logf(re * re + im * im + 1e-12f);
            factor = expf(0.5f * (power_of - 1) * log_of);
        }
        y[0] = re * factor;
        y[width / 2] = im * factor;
        if (magnitude) {
            y[1] = expf(0.5f * power_of * log_of);
            y[3] = 0.1f * log_of;
        }
    }
    if (a->shares < 0) return;
    const float *shares = weights(r, a->shares);
    for (int band = 0; band < bands; band++) {
        const int first = (int)shares[0], count = (int)shares[1];
        shares += 2;
        for (int i = 0; i < width; i++) {
            float sum = 0;
            for (int k = 0; k < count; k++) sum += shares[k] * fine[(first + k) * width + i];
            x[band * width + i] = sum;
        }
        shares += count;
    }
}

static void do_convolve(const run *r, const convolve_arguments *a) {
    image images[MOST_IMAGES];
    const convolution c = {
        .images = images, .count = a->count, .bins = a->bins, .taps = a->taps, .stride = a->stride, .pad = a->pad,
        .weights = weights(r, a->weights), .pairs = convolution_pairs(r->pairs, a->weights),
        .scale = weights(r, a->scale), .bias = weights(r, a->bias),
        .outputs = a->outputs, .group = a->group, .pack = a->pack, .activation = a->activation,
        .out = buffer(r, a->out), .row = a->row};
    for (int n = 0; n < c.count; n++) images[n] = (image){buffer(r, a->images[n].x), a->images[n].channels};
    if (!c.pack) convolve_few(&c, a->total);
    else
        for (int first = 0; first < c.outputs; first += outputs_at_once(&c)) convolve_outputs(&c, first, a->total);
}

static void do_product(const run *r, const product_arguments *a) {
    const product p = {
        .x = buffer(r, a->x), .rows = a->rows, .inputs = a->inputs, .stride = a->stride,
        .weights = weights(r, a->weights), .pairs = product_pairs(r->pairs, a->weights, a->inputs),
        .bias = weights(r, a->bias),
        .outputs = a->outputs, .pack = a->pack, .activation = a->activation, .out = buffer(r, a->out), .row = a->row};
    multiply(&p);
}

static void do_along_bins(const run *r, const along_bins_arguments *a) {
    remember_bins(buffer(r, a->x), buffer(r, a->f), buffer(r, a->g), weights(r, a->taps_f), weights(r, a->taps_g), a->order, a->bins, a->channels,
                  buffer(r, a->out));
}

static void do_in_bins(const run *r, const in_bins_arguments *a) {
    const int past = a->order - 1, bins = a->bins, n = a->channels, size = 2 * n * bins;
    const float *x = buffer(r, a->x), *f = buffer(r, a->f), *g = buffer(r, a->g), *taps = weights(r, a->taps);
    float *ring = buffer(r, a->past), *now = buffer(r, a->work), *out = buffer(r, a->out);
    const int oldest = oldest_of(r, past);
    for (int bin = 0; bin < bins; bin++) {
        const int at = 2 * n * bin;
        EACH(n, {
            AT(now + at) = AT(f + at) - AT(g + at + n);
            AT(now + at + n) = AT(f + at + n) + AT(g + at);
        })
        EACH(2 * n, {
            number sum = AT(x + at) + AT(taps + past * 2 * n) * AT(now + at);
            for (int tap = 0; tap < past; tap++)
                sum += AT(taps + tap * 2 * n) * AT(ring + slot_of(oldest, tap, past) * size + at);
            AT(out + at) = sum;
        })
    }
    if (past) memmove(ring + oldest * size, now, (size_t)size * sizeof *now);
}

static void do_along_time(const run *r, const along_time_arguments *a) {
    const int past = a->order - 1, n = a->features;
    const float *x = buffer(r, a->x), *f = buffer(r, a->f), *g = buffer(r, a->g);
    const float *of_f = weights(r, a->taps_f), *of_g = weights(r, a->taps_g);
    float *ring = buffer(r, a->past), *out = buffer(r, a->out);
    const int oldest = oldest_of(r, past);
    EACH(n, {
        const number t = AT(of_f + past * n);
        const number s = AT(of_g + past * n);
        number re = AT(x) - AT(x + n) + t * AT(f) - s * AT(g + n);
        number im = AT(x) + AT(x + n) + t * AT(f + n) + s * AT(g);
        for (int tap = 0; tap < past; tap++) {
            const float *p = ring + slot_of(oldest, tap, past) * 4 * n;
            const number u = AT(of_f + tap * n);
            const number v = AT(of_g + tap * n);
            re += u * AT(p) - v * AT(p + 3 * n);
            im += u * AT(p + n) + v * AT(p + 2 * n);
        }
        AT(out) = re;
        AT(out + n) = im;
    })
    if (!past) return;
    memmove(ring + oldest * 4 * n, f, 2 * (size_t)n * sizeof *f);
    memmove(ring + oldest * 4 * n + 2 * n, g, 2 * (size_t)n * sizeof *g);
}

/* The work is means, pooled means, and gates. */
static void do_gate(const run *r, const gate_arguments *a) {
    const int bins = a->bins, n = a->channels, hidden = a->hidden, past = a->frames;
    const float *x = buffer(r, a->x), *taps = weights(r, a->taps), *w = weights(r, a->gates);
    float *ring = buffer(r, a->past), *mean = buffer(r, a->work), *pooled = mean + 2 * n, *gates = pooled + 2 * n;
    float *out = buffer(r, a->out);
    const int oldest = oldest_of(r, past);
    EACH(2 * n, {
        number sum = AT(x);
        for (int bin = 1; bin < bins; bin++) sum += AT(x + 2 * n * bin);
        AT(mean) = sum * (1.0f / (float)bins);
        number all = AT(mean) * AT(taps + past * 2 * n);
        for (int tap = 0; tap < past; tap++)
            all += AT(taps + tap * 2 * n) * AT(ring + slot_of(oldest, tap, past) * 2 * n);
        AT(pooled) = all;
    })
    if (past) memcpy(ring + oldest * 2 * n, mean, 2 * (size_t)n * sizeof *mean);
    gates_of(pooled, n, hidden, w, gates);
    weigh(x, gates, n, bins, out);
}

static void do_add(const run *r, const add_arguments *a) {
    const float *x = buffer(r, a->x), *y = buffer(r, a->y);
    float *out = buffer(r, a->out);
    EACH(a->count, { AT(out) = AT(x) + AT(y); })
}

static void do_copy(const run *r, const copy_arguments *a) {
    const float *x = buffer(r, a->x);
    float *out = buffer(r, a->out);
    for (int row = 0; row < a->rows; row++) memmove(out + row * a->row_out, x + row * a->row, (size_t)a->count * sizeof *x);
}

static void do_later(const run *r, const later_arguments *a) {
    float *ring = buffer(r, a->past) + (size_t)oldest_of(r, a->frames) * (size_t)a->count;
    const size_t size = (size_t)a->count * sizeof *ring;
    memmove(buffer(r, a->out), ring, size);
    memmove(ring, buffer(r, a->x), size);
}

static void do_bound(const run *r, const bound_arguments *a) {
    const float *x = buffer(r, a->x), most_of = weights(r, a->bound)[0];
    float *out = buffer(r, a->out);
    for (int i = 0; i < a->count; i++) out[i] = most_of * tanhf(x[i]) + (a->further ? out[i] : 0);
}

#define SPOKEN 2 /* the value of a state that says how probable speech was, after the number of the frame */
#include "rows.h"

void frcrn_step(const frcrn_model *model, float *state, float *scratch, const float *in, float *out) {
    run r = {model->weights, model->pairs, state, scratch, in, out, 0, model->header[WINDOW], model->header[HOP]};
    memcpy(&r.frame, state, sizeof r.frame);
    /* each operation: its kind, how many numbers follow, and those */
    const int32_t *end = model->operations + model->header[OPERATIONS];
    for (const int32_t *at = model->operations; at < end; at += 2 + at[1]) {
        switch (at[0]) {
#define CASE(kind, name) case kind: do_##name(&r, (const void *)(at + 2)); break;
            EACH_OPERATION(CASE)
#undef CASE
            default: break;
        }
    }
    r.frame++;
    memcpy(state, &r.frame, sizeof r.frame);
}

static frcrn_model *refused(frcrn_model *model, const char **why, const char *reason) {
    if (why) *why = reason;
    frcrn_close(model);
    return NULL;
}

/* How many bytes a file has, or may have at most where `parts` is none; 0 if its header is none. */
static uint64_t size_of(const int32_t *header, uint64_t head, const uint64_t *parts) {
    const uint64_t weights = parts ? *parts : sizeof(float) * (uint64_t)header[WEIGHTS];
    return head + sizeof(int32_t) * (uint64_t)header[OPERATIONS] + sizeof(part) * (uint64_t)header[PARTS] + weights;
}

/* Read the header at the beginning of a file; how many bytes it and the magic have, or 0 and the reason. */
static size_t read_header(const char *from, size_t size, int32_t *header, const char **why) {
    *why = "this is not a model for this version of frcrn.c";
    if (size < START || memcmp(from, MAGIC, 6) != 0 || from[6] < '1' || from[6] > '3' || from[7] != '\n') return 0;
    const int words = PARTS + from[6] - '1';
    const size_t head = START + sizeof *header * (size_t)words;
    if (size < head) return 0;
    memset(header, 0, sizeof *header * HEADER);
    memcpy(header, from + START, sizeof *header * (size_t)words);
    *why = "the model is damaged: a number of the header is below 1";
    for (int i = 0; i < words; i++)
        if (header[i] < 1) return 0;
    return head;
}

/* Make room for weights and operations. */
static int allocate(frcrn_model *model, uint64_t weights, uint64_t operations) {
    /* vectors may read past the last weight */
    const uint64_t room = LINE + weights + LINE + operations + LINE;
    model->room = room == (size_t)room ? malloc((size_t)room) : NULL;
    if (!model->room) return 0;
#ifdef MADV_HUGEPAGE
    /* all weights are read for each hop, one after the other: from large pages the processor reads further ahead */
    const uintptr_t page = (uintptr_t)1 << 21, start = ((uintptr_t)model->room + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)model->room + room) / page * page;
    if (start < end) madvise((void *)start, end - start, MADV_HUGEPAGE);
#endif
    model->weights = (float *)((char *)model->room + LINE - (uintptr_t)model->room % LINE);
    model->operations = (int32_t *)((char *)model->weights + weights + LINE);
    return 1;
}

frcrn_model *frcrn_from(const void *content, size_t size, const char **why) {
    if (!content) return refused(NULL, why, "there is no model: it is NULL");
    const char *from = content, *reason;
    int32_t header[HEADER];
    const size_t head = read_header(from, size, header, &reason);
    if (!head) return refused(NULL, why, reason);
    checks m = {NULL, header[WINDOW], header[HOP], header[STATE], header[SCRATCH], header[WEIGHTS], 0};
    if ((reason = check_sizes(&m, header[RATE], header[LATE]))) return refused(NULL, why, reason);

    const uint64_t operations = sizeof(int32_t) * (uint64_t)header[OPERATIONS], none = 0;
    const part whole = {header[WEIGHTS], sizeof(float)};
    const int older = !header[PARTS];
    const uint64_t before = size_of(header, head, &none);
    if (size < before) return refused(NULL, why, "the model is not as long as it says");
    const char *parts = older ? (const char *)&whole : from + head + operations;
    const int32_t count = older ? 1 : header[PARTS];
    const uint64_t stored = stored_size(parts, count, whole.values);
    if (!stored || size != before + stored) return refused(NULL, why, "the model is not as long as it says");

    frcrn_model *model = calloc(1, sizeof *model);
    if (!model || !allocate(model, sizeof(float) * (uint64_t)header[WEIGHTS], operations))
        return refused(model, why, "there is not enough memory");
    memcpy(model->header, header, sizeof header);
    memcpy(model->operations, from + head, operations);
    read_parts(from + before, parts, count, model->weights);
    m.weights = model->weights;
    if ((reason = check_weights(&m))) return refused(model, why, reason);
    if ((reason = check_operations(&m, model->operations, header[OPERATIONS]))) return refused(model, why, reason);
    return model;
}

frcrn_model *frcrn_open(const char *path, const char **why) {
    if (!path) return refused(NULL, why, "there is no path: it is NULL");
    const char *reason;
    char start[START + sizeof(int32_t[HEADER])];
    int32_t header[HEADER];
    FILE *file = fopen(path, "rb");
    if (!file) return refused(NULL, why, "the file cannot be opened");
    const size_t got = fread(start, 1, sizeof start, file), head = read_header(start, got, header, &reason);
    if (!head || header[WEIGHTS] > MOST_VALUES) {
        fclose(file);
        return refused(NULL, why, head ? "the model is damaged: too many weights" : reason);
    }
    /* one byte more than the file may have, and no more than that of a file that has no end */
    const uint64_t most_bytes = size_of(header, head, NULL) + 1;
    size_t size = got, room = sizeof start;
    char *content = malloc(room);
    if (content) memcpy(content, start, got);
    while (content && size == room && size < most_bytes) {
        room = 2 * (uint64_t)room < most_bytes ? 2 * room : (size_t)most_bytes;
        char *more = realloc(content, room);
        if (!more) free(content);
        if ((content = more)) size += fread(content + size, 1, room - size, file);
    }
    fclose(file);
    if (!content) return refused(NULL, why, "there is not enough memory");
    frcrn_model *model = frcrn_from(content, size, why);
    free(content);
    return model;
}

int frcrn_use_bfloat16(frcrn_model *model) {
    if (!HAS_PAIRS || !model) return 0;
    if (!model->pairs) model->pairs = calloc((size_t)model->header[WEIGHTS] / 2 + 1, sizeof *model->pairs);
    if (!model->pairs) return 0;
    const int32_t *end = model->operations + model->header[OPERATIONS];
    for (const int32_t *at = model->operations; at < end; at += 2 + at[1]) {
        if (at[0] == CONVOLVE) {
            const convolve_arguments *a = (const void *)(at + 2);
            int channels = 0;
            for (int n = 0; n < a->count; n++) channels += a->images[n].channels;
            pair_convolution(model->weights, a->weights, a->pack, a->outputs, channels, a->taps, model->pairs);
        } else if (at[0] == PRODUCT) {
            const product_arguments *a = (const void *)(at + 2);
            pair_product(model->weights, a->weights, a->pack, a->outputs, a->inputs, model->pairs);
        }
    }
    return 1;
}

void frcrn_close(frcrn_model *model) {
    if (model) free(model->room), free(model->pairs);
    free(model);
}

int frcrn_sample_rate(const frcrn_model *model) { return model->header[RATE]; }
int frcrn_hop(const frcrn_model *model) { return model->header[HOP]; }
int frcrn_lookahead(const frcrn_model *model) { return model->header[LATE] * model->header[HOP]; }
int frcrn_delay(const frcrn_model *model) { return model->header[WINDOW] - model->header[HOP] + frcrn_lookahead(model); }
float frcrn_speech(const float *state) { return state[SPOKEN]; }
size_t frcrn_state_size(const frcrn_model *model) { return (size_t)model->header[STATE] * sizeof(float); }
size_t frcrn_scratch_size(const frcrn_model *model) { return (size_t)model->header[SCRATCH] * sizeof(float); }
