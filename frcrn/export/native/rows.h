/* The operations of networks that take frames to frames; what they share with those on images is in frcrn.c. */
#ifndef FRCRN_ROWS_H
#define FRCRN_ROWS_H

static void do_cut(const run *r, const cut_arguments *a) {
    float *past = buffer(r, a->past), *out = buffer(r, a->out);
    const float *taper = weights(r, a->taper);
    cut(r, past, taper, out);
}

static void do_transform(const run *r, const transform_arguments *a) {
    spectrum_of(buffer(r, a->x), buffer(r, a->work), r->window, weights(r, a->turns), weights(r, a->halves), buffer(r, a->out));
}

static void do_restore(const run *r, const restore_arguments *a) {
    float *clean = buffer(r, a->work), *x = clean + r->window + 2, *out = buffer(r, a->out);
    memmove(clean, buffer(r, a->x), (size_t)(r->window + 2) * sizeof *clean);
    wave_of(clean, x, r->window, weights(r, a->turns), weights(r, a->halves), out);
    const float share = 1.0f / (float)r->window;
    for (int i = 0; i < r->window; i += 2) {
        out[i] *= share;
        out[i + 1] *= -share;
    }
}

static void do_join(const run *r, const join_arguments *a) {
    const float *x = buffer(r, a->x), *taper = weights(r, a->taper);
    float *y = buffer(r, a->work);
    for (int i = 0; i < r->window; i++) y[i] = x[i] * taper[i];
    join(r, y, buffer(r, a->past), weights(r, a->gain));
}

static void do_magnitude(const run *r, const magnitude_arguments *a) {
    const float *x = buffer(r, a->x);
    float *out = buffer(r, a->out);
    for (int k = 0; k < a->bins; k++) {
        const float power = x[2 * k] * x[2 * k] + x[2 * k + 1] * x[2 * k + 1];
        out[k] = a->squared ? power : sqrtf(power + 1e-20f);
    }
}

static void do_mask(const run *r, const mask_arguments *a) {
    const float *x = buffer(r, a->x), *gains = buffer(r, a->gains);
    float *out = buffer(r, a->out);
    for (int k = 0; k < a->bins; k++) {
        out[2 * k] = x[2 * k] * gains[k];
        out[2 * k + 1] = x[2 * k + 1] * gains[k];
    }
}

static void do_multiply(const run *r, const multiply_arguments *a) {
    const float *x = buffer(r, a->x), *y = buffer(r, a->y);
    float *out = buffer(r, a->out);
    EACH(a->count, { AT(out) = AT(x) * AT(y); })
}

static void do_log(const run *r, const log_arguments *a) {
    const float *x = buffer(r, a->x), *terms = weights(r, a->terms);
    float *out = buffer(r, a->out);
    for (int i = 0; i < a->count; i++) out[i] = terms[1] * logf(x[i] + terms[0]) + terms[2];
}

static void do_normalise(const run *r, const normalise_arguments *a) {
    const float *x = buffer(r, a->x), *gain = weights(r, a->gain), *bias = weights(r, a->bias);
    float *out = buffer(r, a->out), sum = 0, squares = 0;
    for (int i = 0; i < a->count; i++) sum += x[i];
    const float mean = sum / (float)a->count;
    for (int i = 0; i < a->count; i++) squares += (x[i] - mean) * (x[i] - mean);
    const float scale = 1.0f / sqrtf(squares / (float)a->count + weights(r, a->epsilon)[0]);
    EACH(a->count, { AT(out) = (AT(x) - mean) * scale * AT(gain) + AT(bias); })
}

INLINE float sigmoid_of(float x) { return 1.0f / (1.0f + expf(-x)); }

static void do_sigmoid(const run *r, const sigmoid_arguments *a) {
    const float *x = buffer(r, a->x);
    float *out = buffer(r, a->out);
    for (int i = 0; i < a->count; i++) out[i] = sigmoid_of(x[i]);
}

static void do_tanh(const run *r, const tanh_arguments *a) {
    const float *x = buffer(r, a->x);
    float *out = buffer(r, a->out);
    for (int i = 0; i < a->count; i++) out[i] = tanhf(x[i]);
}

static void do_relu6(const run *r, const relu6_arguments *a) {
    const float *x = buffer(r, a->x);
    float *out = buffer(r, a->out);
    for (int i = 0; i < a->count; i++) out[i] = x[i] < 0 ? 0 : x[i] > 6 ? 6 : x[i];
}

/* One row times a matrix. */
static void gates_from(const float *x, int inputs, const float *matrix, const float *bias, int outputs, int pack, float *out) {
    const product p = {.x = x, .rows = 1, .inputs = inputs, .stride = inputs, .weights = matrix, .bias = bias,
                       .outputs = outputs, .pack = pack, .activation = PLAIN, .out = out, .row = outputs};
    multiply(&p);
}

static void do_speech(const run *r, const speech_arguments *a) { r->state[SPOKEN] = buffer(r, a->x)[0]; }

/* How like the window that ends `lag` samples before the end of `y` is to the one at the end, for its size. */
static float likeness(const float *y, int end, int window, int lag) {
    const float *now = y + end - window, *then = now - lag;
    float product = 0, energy = 0;
    for (int i = 0; i < window; i++) {
        product += now[i] * then[i];
        energy += then[i] * then[i];
    }
    return product / sqrtf(energy + 1e-12f);
}

#define COARSE 4 /* samples that are one in the first search */
#define LEAST -1e30f

static int period_of(const float *y, float *rough, int window, int shortest, int longest) {
    const int size = longest + window, length = size / COARSE, short_window = window / COARSE;
    for (int i = 0; i < length; i++) {
        const float *four = y + size % COARSE + COARSE * i;
        rough[i] = 0.25f * (four[0] + four[1] + four[2] + four[3]);
    }
    int about = length - short_window, found = shortest;
    float most = LEAST;
    for (int lag = about; lag >= (shortest + COARSE - 1) / COARSE; lag--) {
        const float alike = likeness(rough, length, short_window, lag);
        if (alike > most) most = alike, about = lag;
    }
    most = LEAST;
    for (int near = 1 - COARSE; near < COARSE; near++) {
        int lag = COARSE * about + near;
        lag = lag < shortest ? shortest : lag > longest ? longest : lag;
        const float alike = likeness(y, size, window, lag);
        if (alike > most) most = alike, found = lag;
    }
    return found;
}

static void do_delay(const run *r, const delay_arguments *a) {
    const int kept = a->longest + r->window - r->hop, overlap = r->window - r->hop;
    const float *x = buffer(r, a->x), *taper = weights(r, a->taper);
    float *past = buffer(r, a->past), *y = buffer(r, a->work), *out = buffer(r, a->out);
    memcpy(y, past, (size_t)kept * sizeof *y);
    for (int i = 0; i < r->hop; i++) y[kept + i] = x[overlap + i] / taper[overlap + i];
    memcpy(past, y + r->hop, (size_t)kept * sizeof *y);
    const float *then = y + a->longest - period_of(y, y + kept + r->hop, r->window, a->shortest, a->longest);
    for (int i = 0; i < r->window; i++) out[i] = then[i] * taper[i];
}

/* The real part of the product of two spectra in each band. */
static void bands_of(const float *x, const float *y, const comb_arguments *a, const float *shares, float *out) {
    memset(out, 0, (size_t)a->bands * sizeof *out);
    for (int k = 0; k < a->bins; k++) {
        const float product = x[2 * k] * y[2 * k] + x[2 * k + 1] * y[2 * k + 1];
        for (int b = 0; b < a->bands; b++) out[b] += product * shares[k * a->bands + b];
    }
}

static float in_bin(const float *bands, const float *shares, int count) {
    float sum = 0;
    for (int b = 0; b < count; b++) sum += bands[b] * shares[b];
    return sum;
}

static void do_comb(const run *r, const comb_arguments *a) {
    const int n = a->bands;
    const float *x = buffer(r, a->x), *earlier = buffer(r, a->earlier), *gains = buffer(r, a->gains), *shares = weights(r, a->shares);
    float *own = buffer(r, a->work), *other = own + n, *both = other + n, *scale = both + n, *out = buffer(r, a->out);
    bands_of(x, x, a, shares, own);
    bands_of(earlier, earlier, a, shares, other);
    bands_of(x, earlier, a, shares, both);
    for (int b = 0; b < n; b++) {
        float alike = both[b] / sqrtf(own[b] * other[b] + 1e-12f);
        alike = alike < 0 ? 0 : alike > 1 ? 1 : alike;
        alike *= alike;
        const float square = gains[b] * gains[b];
        const float strength = sqrtf(alike * (1 - square) / ((1 - alike) * square + 1e-12f) + 1e-12f);
        scale[b] = (strength > 1 ? 1 : strength) * sqrtf(own[b] / (other[b] + 1e-12f));
    }
    for (int k = 0; k < a->bins; k++) {
        const float share = in_bin(scale, shares + k * n, n);
        out[2 * k] = x[2 * k] + share * earlier[2 * k];
        out[2 * k + 1] = x[2 * k + 1] + share * earlier[2 * k + 1];
    }
    bands_of(out, out, a, shares, other);
    for (int b = 0; b < n; b++) scale[b] = sqrtf(own[b] / (other[b] + 1e-12f));
    for (int k = 0; k < a->bins; k++) {
        const float share = in_bin(scale, shares + k * n, n);
        out[2 * k] *= share;
        out[2 * k + 1] *= share;
    }
}

static void do_lstm(const run *r, const lstm_arguments *a) {
    const int n = a->hidden;
    float *h = buffer(r, a->past), *c = h + n, *gates = buffer(r, a->work), *both = gates + 4 * n, *out = buffer(r, a->out);
    memmove(both, buffer(r, a->x), (size_t)a->inputs * sizeof *both);
    memcpy(both + a->inputs, h, (size_t)n * sizeof *both);
    gates_from(both, a->inputs + n, weights(r, a->weights), weights(r, a->bias), 4 * n, a->pack, gates);
    for (int i = 0; i < n; i++) {
        c[i] = sigmoid_of(gates[n + i]) * c[i] + sigmoid_of(gates[i]) * tanhf(gates[2 * n + i]);
        out[i] = h[i] = sigmoid_of(gates[3 * n + i]) * tanhf(c[i]);
    }
}

static void do_gru(const run *r, const gru_arguments *a) {
    const int n = a->hidden;
    float *h = buffer(r, a->past), *by_x = buffer(r, a->work), *by_h = by_x + 3 * n, *out = buffer(r, a->out);
    gates_from(buffer(r, a->x), a->inputs, weights(r, a->weights), weights(r, a->bias), 3 * n, a->pack, by_x);
    gates_from(h, n, weights(r, a->recurrent), weights(r, a->recurrent_bias), 3 * n, a->pack, by_h);
    for (int i = 0; i < n; i++) {
        const float reset = sigmoid_of(by_x[i] + by_h[i]), keep = sigmoid_of(by_x[n + i] + by_h[n + i]);
        const float fresh = tanhf(by_x[2 * n + i] + reset * by_h[2 * n + i]);
        out[i] = h[i] = (1 - keep) * fresh + keep * h[i];
    }
}

#endif
