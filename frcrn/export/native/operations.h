/* Made from a table of operations by `python -m frcrn.export.native.headers`, not by hand. */
#ifndef FRCRN_OPERATIONS_H
#define FRCRN_OPERATIONS_H

#include <stdint.h>

enum { ANALYSE, FEATURES, CONVOLVE, PRODUCT, ALONG_BINS, IN_BINS, ALONG_TIME, GATE, ADD, COPY, BOUND, APPLY, CUT, TRANSFORM, RESTORE, JOIN, MAGNITUDE, MASK, MULTIPLY, LOG, NORMALISE, SIGMOID, TANH, RELU6, LSTM, GRU, SPEECH, DELAY, COMB, LATER };

/* Window a hop and the samples before it, and transform them to their spectrum [bins][2]. */
typedef struct {
    int32_t past; /* state [window - hop] */
    int32_t spectrum; /* written [window + 2] */
    int32_t work; /* work [2 * window + 2] */
    int32_t taper; /* weights [window] */
    int32_t turns; /* weights [window + 2] */
    int32_t halves; /* weights [2 * window + 2] */
} analyse_arguments;

/* Compress a spectrum, put its magnitude beside it, and gather bins in bands. */
typedef struct {
    int32_t spectrum; /* read [2 * bins] */
    int32_t out; /* written [(2 + 2 * magnitude) * bands] */
    int32_t work; /* work [(2 + 2 * magnitude) * bins] */
    int32_t bins; /* count */
    int32_t bands; /* count */
    int32_t compress; /* weights [1] */
    int32_t magnitude; /* flag */
    int32_t shares; /* optional [3 * bands] */
} features_arguments;

/* One image of a convolution, or one of its earlier frames. */
typedef struct {
    int32_t x; /* read [2 * channels * bins] */
    int32_t channels; /* count */
} operand;

/* Convolve images along bins, scale and shift the sum; `channels` are those of all images together. */
typedef struct {
    int32_t out; /* written [(total - 1) * row + 2 * outputs] */
    int32_t row; /* count */
    int32_t total; /* count */
    int32_t outputs; /* count */
    int32_t group; /* count */
    int32_t pack; /* number */
    int32_t activation; /* activation */
    int32_t bins; /* count */
    int32_t taps; /* count */
    int32_t stride; /* count */
    int32_t pad; /* number */
    int32_t weights; /* weights [(1 + (pack == 0)) * padded(outputs, pack) * 2 * channels * taps] */
    int32_t scale; /* weights [2 * padded(outputs, pack)] */
    int32_t bias; /* weights [2 * padded(outputs, pack)] */
    int32_t count; /* count */
    operand images[];
} convolve_arguments;

/* Multiply rows by a matrix. */
typedef struct {
    int32_t x; /* read [(rows - 1) * stride + inputs] */
    int32_t rows; /* count */
    int32_t inputs; /* count */
    int32_t stride; /* count */
    int32_t weights; /* weights [padded(outputs, pack) * inputs] */
    int32_t bias; /* optional [padded(outputs, pack)] */
    int32_t outputs; /* count */
    int32_t pack; /* count */
    int32_t activation; /* activation */
    int32_t out; /* written [(rows - 1) * row + outputs] */
    int32_t row; /* count */
} product_arguments;

/* Remember along bins, from low to high: f and g of x, by their taps. */
typedef struct {
    int32_t x; /* read [2 * channels * bins] */
    int32_t f; /* read [2 * channels * bins] */
    int32_t g; /* read [2 * channels * bins] */
    int32_t taps_f; /* weights [order * channels] */
    int32_t taps_g; /* weights [order * channels] */
    int32_t order; /* count */
    int32_t bins; /* count */
    int32_t channels; /* count */
    int32_t out; /* written [2 * channels * bins] */
} along_bins_arguments;

/* Remember along time in each bin by itself. */
typedef struct {
    int32_t x; /* read [2 * channels * bins] */
    int32_t f; /* read [2 * channels * bins] */
    int32_t g; /* read [2 * channels * bins] */
    int32_t taps; /* weights [order * 2 * channels] */
    int32_t order; /* count */
    int32_t bins; /* count */
    int32_t channels; /* count */
    int32_t past; /* ring [(order - 1) * 2 * channels * bins] */
    int32_t work; /* work [2 * channels * bins] */
    int32_t out; /* written [2 * channels * bins] */
} in_bins_arguments;

/* Remember along time over all features of a frame; the ring holds f(re), f(im), g(re), g(im). */
typedef struct {
    int32_t x; /* read [2 * features] */
    int32_t f; /* read [2 * features] */
    int32_t g; /* read [2 * features] */
    int32_t taps_f; /* weights [order * features] */
    int32_t taps_g; /* weights [order * features] */
    int32_t order; /* count */
    int32_t features; /* count */
    int32_t past; /* ring [(order - 1) * 4 * features] */
    int32_t out; /* written [2 * features] */
} along_time_arguments;

/* Weigh channels by what their means over bins and frames say. */
typedef struct {
    int32_t x; /* read [2 * channels * bins] */
    int32_t bins; /* count */
    int32_t channels; /* count */
    int32_t hidden; /* count */
    int32_t frames; /* number */
    int32_t taps; /* weights [(frames + 1) * 2 * channels] */
    int32_t gates; /* weights [2 * (2 * hidden * channels + hidden + channels)] */
    int32_t past; /* ring [frames * 2 * channels] */
    int32_t work; /* work [8 * channels] */
    int32_t out; /* written [2 * channels * bins] */
} gate_arguments;

/* Add values. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t y; /* read [count] */
    int32_t count; /* count */
    int32_t out; /* written [count] */
} add_arguments;

/* Copy rows of values, `row` and `row_out` from one to the next. */
typedef struct {
    int32_t x; /* read [(rows - 1) * row + count] */
    int32_t row; /* number */
    int32_t out; /* written [(rows - 1) * row_out + count] */
    int32_t row_out; /* number */
    int32_t rows; /* count */
    int32_t count; /* count */
} copy_arguments;

/* Bound a stage's mask by tanh; a further one is added to what is there. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t count; /* count */
    int32_t bound; /* weights [1] */
    int32_t further; /* number */
    int32_t out; /* written [count] */
} bound_arguments;

/* Multiply a spectrum by a mask, transform it back, and add it to what earlier frames left. */
typedef struct {
    int32_t spectrum; /* read [window + 2] */
    int32_t mask; /* read [2 * bands] */
    int32_t work; /* work [2 * window + 2] */
    int32_t past; /* state [window - hop] */
    int32_t taper; /* weights [window] */
    int32_t gain; /* weights [hop] */
    int32_t turns; /* weights [window + 2] */
    int32_t halves; /* weights [2 * window + 2] */
    int32_t bands; /* count */
    int32_t shares; /* optional [3 * (window + 2) / 2] */
} apply_arguments;

/* Put a hop after the samples before it, and taper both: a frame. */
typedef struct {
    int32_t past; /* state [window - hop] */
    int32_t taper; /* weights [window] */
    int32_t out; /* written [window] */
} cut_arguments;

/* Transform a frame to its spectrum. */
typedef struct {
    int32_t x; /* read [window] */
    int32_t work; /* work [window] */
    int32_t turns; /* weights [window + 2] */
    int32_t halves; /* weights [2 * window + 2] */
    int32_t out; /* written [window + 2] */
} transform_arguments;

/* Transform a spectrum back to a frame; the imaginary parts of the first and the last bin play no part. */
typedef struct {
    int32_t x; /* read [window + 2] */
    int32_t work; /* work [2 * window + 2] */
    int32_t turns; /* weights [window + 2] */
    int32_t halves; /* weights [2 * window + 2] */
    int32_t out; /* written [window] */
} restore_arguments;

/* Taper a frame, add it to what earlier frames left, and put out the hop that is finished, times its gain. */
typedef struct {
    int32_t x; /* read [window] */
    int32_t taper; /* weights [window] */
    int32_t gain; /* weights [hop] */
    int32_t past; /* state [window - hop] */
    int32_t work; /* work [window] */
} join_arguments;

/* Find the magnitude of each bin, the square root of its power and 1e-20, or where `squared` its power. */
typedef struct {
    int32_t x; /* read [2 * bins] */
    int32_t bins; /* count */
    int32_t squared; /* flag */
    int32_t out; /* written [bins] */
} magnitude_arguments;

/* Multiply each bin of a spectrum by its gain. */
typedef struct {
    int32_t x; /* read [2 * bins] */
    int32_t gains; /* read [bins] */
    int32_t bins; /* count */
    int32_t out; /* written [2 * bins] */
} mask_arguments;

/* Multiply values. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t y; /* read [count] */
    int32_t count; /* count */
    int32_t out; /* written [count] */
} multiply_arguments;

/* Find `scale log(x + floor) + shift` of each value; the terms are floor, scale, shift. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t count; /* count */
    int32_t terms; /* weights [3] */
    int32_t out; /* written [count] */
} log_arguments;

/* Bring values to mean 0 and variance 1, then scale and shift each. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t count; /* count */
    int32_t gain; /* weights [count] */
    int32_t bias; /* weights [count] */
    int32_t epsilon; /* weights [1] */
    int32_t out; /* written [count] */
} normalise_arguments;

/* Find `1 / (1 + exp(-x))` of each value. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t count; /* count */
    int32_t out; /* written [count] */
} sigmoid_arguments;

/* Find the hyperbolic tangent of each value. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t count; /* count */
    int32_t out; /* written [count] */
} tanh_arguments;

/* Bring each value between 0 and 6. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t count; /* count */
    int32_t out; /* written [count] */
} relu6_arguments;

/* Take a row through an LSTM, whose state is h and then c; gates i, f, g, o by one matrix of the row and h. */
typedef struct {
    int32_t x; /* read [inputs] */
    int32_t inputs; /* count */
    int32_t hidden; /* count */
    int32_t pack; /* count */
    int32_t weights; /* weights [padded(4 * hidden, pack) * (inputs + hidden)] */
    int32_t bias; /* weights [padded(4 * hidden, pack)] */
    int32_t past; /* state [2 * hidden] */
    int32_t work; /* work [4 * hidden + inputs + hidden] */
    int32_t out; /* written [hidden] */
} lstm_arguments;

/* Take a row through a GRU; gates r, z, n, each the sum of a product with the row and one with h. */
typedef struct {
    int32_t x; /* read [inputs] */
    int32_t inputs; /* count */
    int32_t hidden; /* count */
    int32_t pack; /* count */
    int32_t weights; /* weights [padded(3 * hidden, pack) * inputs] */
    int32_t bias; /* weights [padded(3 * hidden, pack)] */
    int32_t recurrent; /* weights [padded(3 * hidden, pack) * hidden] */
    int32_t recurrent_bias; /* weights [padded(3 * hidden, pack)] */
    int32_t past; /* state [hidden] */
    int32_t work; /* work [6 * hidden] */
    int32_t out; /* written [hidden] */
} gru_arguments;

/* Put how probable speech is, 0 to 1, into value 2 of the state. */
typedef struct {
    int32_t x; /* read [1] */
} speech_arguments;

/* Take a frame one period of its pitch earlier; periods are first looked for at a quarter of the rate. */
typedef struct {
    int32_t x; /* read [window] */
    int32_t taper; /* weights [window] */
    int32_t shortest; /* count */
    int32_t longest; /* count */
    int32_t past; /* state [longest + window - hop] */
    int32_t work; /* work [2 * longest + 2 * window] */
    int32_t out; /* written [window] */
} delay_arguments;

/* Add to each band of a spectrum what the one a period earlier tells of it, as far as the band's gain wants it. */
typedef struct {
    int32_t x; /* read [2 * bins] */
    int32_t earlier; /* read [2 * bins] */
    int32_t gains; /* read [bands] */
    int32_t bins; /* count */
    int32_t bands; /* count */
    int32_t shares; /* weights [bins * bands] */
    int32_t work; /* work [4 * bands] */
    int32_t out; /* written [2 * bins] */
} comb_arguments;

/* Hold values back for some frames. */
typedef struct {
    int32_t x; /* read [count] */
    int32_t count; /* count */
    int32_t frames; /* count */
    int32_t past; /* ring [frames * count] */
    int32_t out; /* written [count] */
} later_arguments;

#define EACH_OPERATION(CASE) \
    CASE(ANALYSE, analyse) \
    CASE(FEATURES, features) \
    CASE(CONVOLVE, convolve) \
    CASE(PRODUCT, product) \
    CASE(ALONG_BINS, along_bins) \
    CASE(IN_BINS, in_bins) \
    CASE(ALONG_TIME, along_time) \
    CASE(GATE, gate) \
    CASE(ADD, add) \
    CASE(COPY, copy) \
    CASE(BOUND, bound) \
    CASE(APPLY, apply) \
    CASE(CUT, cut) \
    CASE(TRANSFORM, transform) \
    CASE(RESTORE, restore) \
    CASE(JOIN, join) \
    CASE(MAGNITUDE, magnitude) \
    CASE(MASK, mask) \
    CASE(MULTIPLY, multiply) \
    CASE(LOG, log) \
    CASE(NORMALISE, normalise) \
    CASE(SIGMOID, sigmoid) \
    CASE(TANH, tanh) \
    CASE(RELU6, relu6) \
    CASE(LSTM, lstm) \
    CASE(GRU, gru) \
    CASE(SPEECH, speech) \
    CASE(DELAY, delay) \
    CASE(COMB, comb) \
    CASE(LATER, later)

#endif
