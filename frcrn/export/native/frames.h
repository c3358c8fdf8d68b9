/* Made from a table of operations by `python -m frcrn.export.native.headers`, not by hand. */
#ifndef FRCRN_FRAMES_H
#define FRCRN_FRAMES_H

#include <stdint.h>

enum { CONVOLVE, ALONG_BINS, IN_BINS, ALONG_TIME, REMEMBER, GATE, ADD, COPY };

/* Where the frames of an image lie. */
typedef struct {
    int32_t at; /* place */
    int32_t before; /* number */
    int32_t length; /* count */
} region;

/* One image of a convolution: so many frames away, with so many more frames than the spectrum. */
typedef struct {
    region x;
    int32_t channels; /* count */
    int32_t shift; /* offset */
    int32_t more; /* number */
} operand;

/* Convolve images along bins, scale and shift the sum; frames that are not there are silent. */
typedef struct {
    region out;
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

/* F and g before a memory: the linear layers of both as one, and the projection of each. */
typedef struct {
    int32_t linear; /* weights [padded(2 * hidden, linear_pack) * features] */
    int32_t bias; /* weights [padded(2 * hidden, linear_pack)] */
    int32_t linear_pack; /* count */
    int32_t f; /* weights [padded(features, pack) * hidden] */
    int32_t g; /* weights [padded(features, pack) * hidden] */
    int32_t pack; /* count */
} projections;

/* Remember along bins, from low to high. */
typedef struct {
    region x;
    region out;
    int32_t bins; /* count */
    int32_t channels; /* count */
    int32_t hidden; /* count */
    projections by;
    int32_t order; /* count */
    int32_t taps_f; /* weights [order * channels] */
    int32_t taps_g; /* weights [order * channels] */
} along_bins_arguments;

/* Find what a memory in each bin remembers: [bins][2 channels]. */
typedef struct {
    region x;
    region out;
    int32_t bins; /* count */
    int32_t channels; /* count */
    int32_t hidden; /* count */
    projections by;
} in_bins_arguments;

/* Find what a memory over all bins remembers: f(re), f(im), g(re), g(im) of all bins. */
typedef struct {
    region x;
    region out;
    int32_t bins; /* count */
    int32_t channels; /* count */
    int32_t hidden; /* count */
    projections by;
} along_time_arguments;

/* Add to x a weighted sum of what was found in frames up to this one; with one row of taps, as in each bin. */
typedef struct {
    region x;
    region found;
    region out;
    int32_t bins; /* count */
    int32_t channels; /* count */
    int32_t order; /* count */
    int32_t taps_f; /* weights */
    int32_t taps_g; /* optional */
} remember_arguments;

/* Weigh channels by what their means over all frames say: first for the sums of these frames, then with all. */
typedef struct {
    region x;
    region out;
    int32_t bins; /* count */
    int32_t channels; /* count */
    int32_t hidden; /* count */
    int32_t gates; /* weights [2 * (2 * hidden * channels + hidden + channels)] */
} gate_arguments;

/* Add values. */
typedef struct {
    region x;
    region y;
    region out;
    int32_t count; /* count */
} add_arguments;

/* Copy rows of values, `row` and `row_out` from one to the next. */
typedef struct {
    region x;
    region out;
    int32_t rows; /* count */
    int32_t count; /* count */
    int32_t row; /* number */
    int32_t row_out; /* number */
} copy_arguments;

#define EACH_OPERATION(CASE) \
    CASE(CONVOLVE, convolve) \
    CASE(ALONG_BINS, along_bins) \
    CASE(IN_BINS, in_bins) \
    CASE(ALONG_TIME, along_time) \
    CASE(REMEMBER, remember) \
    CASE(GATE, gate) \
    CASE(ADD, add) \
    CASE(COPY, copy)

#endif
