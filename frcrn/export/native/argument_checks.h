/* Made from a table of operations by `python -m frcrn.export.native.headers`, not by hand. */
#ifndef FRCRN_ARGUMENT_CHECKS_H
#define FRCRN_ARGUMENT_CHECKS_H

#include <stdint.h>

#define MOST_ARGUMENTS 16

static const char *check_analyse(checks *m, const analyse_arguments *a, int32_t size) {
    CHECK_SIZE("ANALYSE", sizeof *a)
    CHECK_STATE("past of ANALYSE", a->past, (m->window - m->hop))
    CHECK_WRITTEN("spectrum of ANALYSE", a->spectrum, plus(m->window, 2))
    CHECK_WORK("work of ANALYSE", a->work, plus(times(2, m->window), 2))
    CHECK_WEIGHTS("taper of ANALYSE", a->taper, m->window)
    CHECK_WEIGHTS("turns of ANALYSE", a->turns, plus(m->window, 2))
    CHECK_WEIGHTS("halves of ANALYSE", a->halves, plus(times(2, m->window), 2))
    m->cost = plus(m->cost, times(2048, m->window));
    return NULL;
}

static const char *check_features(checks *m, const features_arguments *a, int32_t size) {
    CHECK_SIZE("FEATURES", sizeof *a)
    CHECK_COUNT("bins of FEATURES", a->bins)
    CHECK_COUNT("bands of FEATURES", a->bands)
    CHECK_FLAG("magnitude of FEATURES", a->magnitude)
    CHECK_RULE("FEATURES", "2 * bins <= window + 2", (times(2, a->bins) <= plus(m->window, 2)))
    CHECK_RULE("FEATURES", "shares >= 0 or bands <= bins", ((a->shares >= 0) || (a->bands <= a->bins)))
    CHECK_READ("spectrum of FEATURES", a->spectrum, times(2, a->bins))
    CHECK_WRITTEN("out of FEATURES", a->out, times(plus(2, times(2, a->magnitude)), a->bands))
    CHECK_WORK("work of FEATURES", a->work, times(plus(2, times(2, a->magnitude)), a->bins))
    CHECK_WEIGHTS("compress of FEATURES", a->compress, 1)
    CHECK_OPTIONAL("shares of FEATURES", a->shares, times(3, a->bands))
    m->cost = plus(m->cost, times(times(plus(4, times(4, a->magnitude)), plus(a->bands, 16)), a->bins));
    return NULL;
}

static const char *check_convolve(checks *m, const convolve_arguments *a, int32_t size) {
    CHECK_SIZE("CONVOLVE", sizeof *a + (uint64_t)most(0, a->count) * sizeof(operand))
    CHECK_COUNT("row of CONVOLVE", a->row)
    CHECK_COUNT("total of CONVOLVE", a->total)
    CHECK_COUNT("outputs of CONVOLVE", a->outputs)
    CHECK_COUNT("group of CONVOLVE", a->group)
    CHECK_NUMBER("pack of CONVOLVE", a->pack)
    CHECK_ACTIVATION("activation of CONVOLVE", a->activation)
    CHECK_COUNT("bins of CONVOLVE", a->bins)
    CHECK_COUNT("taps of CONVOLVE", a->taps)
    CHECK_COUNT("stride of CONVOLVE", a->stride)
    CHECK_NUMBER("pad of CONVOLVE", a->pad)
    CHECK_COUNT("count of CONVOLVE", a->count)
    int64_t channels = 0;
    for (const operand *b = a->images; b < a->images + a->count; b++) {
        CHECK_COUNT("channels of CONVOLVE", b->channels)
        channels = plus(channels, b->channels);
    }
    CHECK_RULE("CONVOLVE", "pack == 0 or pack == 16 or pack == 32", ((a->pack == 0) || (a->pack == 16) || (a->pack == 32)))
    CHECK_RULE("CONVOLVE", "outputs % group == 0", ((a->outputs % a->group) == 0))
    CHECK_RULE("CONVOLVE", "row >= 2 * outputs", (a->row >= times(2, a->outputs)))
    CHECK_RULE("CONVOLVE", "pad < taps", (a->pad < a->taps))
    CHECK_RULE("CONVOLVE", "(total - 1) * stride <= bins + pad", (times((a->total - 1), a->stride) <= plus(a->bins, a->pad)))
    CHECK_RULE("CONVOLVE", "stride <= bins + taps", (a->stride <= plus(a->bins, a->taps)))
    CHECK_RULE("CONVOLVE", "count <= 16", (a->count <= 16))
    CHECK_WRITTEN("out of CONVOLVE", a->out, plus(times((a->total - 1), a->row), times(2, a->outputs)))
    CHECK_WEIGHTS("weights of CONVOLVE", a->weights, times(times(times(times(plus(1, (a->pack == 0)), padded(a->outputs, a->pack)), 2), channels), a->taps))
    CHECK_WEIGHTS("scale of CONVOLVE", a->scale, times(2, padded(a->outputs, a->pack)))
    CHECK_WEIGHTS("bias of CONVOLVE", a->bias, times(2, padded(a->outputs, a->pack)))
    for (const operand *b = a->images; b < a->images + a->count; b++) {
        CHECK_READ("x of CONVOLVE", b->x, times(times(2, b->channels), a->bins))
    }
    m->cost = plus(m->cost, times(times(times(times(4, a->total), padded(a->outputs, a->pack)), channels), a->taps));
    return NULL;
}

static const char *check_product(checks *m, const product_arguments *a, int32_t size) {
    CHECK_SIZE("PRODUCT", sizeof *a)
    CHECK_COUNT("rows of PRODUCT", a->rows)
    CHECK_COUNT("inputs of PRODUCT", a->inputs)
    CHECK_COUNT("stride of PRODUCT", a->stride)
    CHECK_COUNT("outputs of PRODUCT", a->outputs)
    CHECK_COUNT("pack of PRODUCT", a->pack)
    CHECK_ACTIVATION("activation of PRODUCT", a->activation)
    CHECK_COUNT("row of PRODUCT", a->row)
    CHECK_RULE("PRODUCT", "pack == 16 or pack == 32 or pack == 64", ((a->pack == 16) || (a->pack == 32) || (a->pack == 64)))
    CHECK_RULE("PRODUCT", "row >= outputs", (a->row >= a->outputs))
    CHECK_READ("x of PRODUCT", a->x, plus(times((a->rows - 1), a->stride), a->inputs))
    CHECK_WEIGHTS("weights of PRODUCT", a->weights, times(padded(a->outputs, a->pack), a->inputs))
    CHECK_OPTIONAL("bias of PRODUCT", a->bias, padded(a->outputs, a->pack))
    CHECK_WRITTEN("out of PRODUCT", a->out, plus(times((a->rows - 1), a->row), a->outputs))
    m->cost = plus(m->cost, times(times(a->rows, padded(a->outputs, a->pack)), a->inputs));
    return NULL;
}

static const char *check_along_bins(checks *m, const along_bins_arguments *a, int32_t size) {
    CHECK_SIZE("ALONG_BINS", sizeof *a)
    CHECK_COUNT("order of ALONG_BINS", a->order)
    CHECK_COUNT("bins of ALONG_BINS", a->bins)
    CHECK_COUNT("channels of ALONG_BINS", a->channels)
    CHECK_READ("x of ALONG_BINS", a->x, times(times(2, a->channels), a->bins))
    CHECK_READ("f of ALONG_BINS", a->f, times(times(2, a->channels), a->bins))
    CHECK_READ("g of ALONG_BINS", a->g, times(times(2, a->channels), a->bins))
    CHECK_WEIGHTS("taps_f of ALONG_BINS", a->taps_f, times(a->order, a->channels))
    CHECK_WEIGHTS("taps_g of ALONG_BINS", a->taps_g, times(a->order, a->channels))
    CHECK_WRITTEN("out of ALONG_BINS", a->out, times(times(2, a->channels), a->bins))
    m->cost = plus(m->cost, times(times(times(4, a->order), a->channels), a->bins));
    return NULL;
}

static const char *check_in_bins(checks *m, const in_bins_arguments *a, int32_t size) {
    CHECK_SIZE("IN_BINS", sizeof *a)
    CHECK_COUNT("order of IN_BINS", a->order)
    CHECK_COUNT("bins of IN_BINS", a->bins)
    CHECK_COUNT("channels of IN_BINS", a->channels)
    CHECK_READ("x of IN_BINS", a->x, times(times(2, a->channels), a->bins))
    CHECK_READ("f of IN_BINS", a->f, times(times(2, a->channels), a->bins))
    CHECK_READ("g of IN_BINS", a->g, times(times(2, a->channels), a->bins))
    CHECK_WEIGHTS("taps of IN_BINS", a->taps, times(times(a->order, 2), a->channels))
    CHECK_RING("past of IN_BINS", a->past, times(times(times((a->order - 1), 2), a->channels), a->bins))
    CHECK_WORK("work of IN_BINS", a->work, times(times(2, a->channels), a->bins))
    CHECK_WRITTEN("out of IN_BINS", a->out, times(times(2, a->channels), a->bins))
    m->cost = plus(m->cost, times(times(times(2, a->order), a->channels), a->bins));
    return NULL;
}

static const char *check_along_time(checks *m, const along_time_arguments *a, int32_t size) {
    CHECK_SIZE("ALONG_TIME", sizeof *a)
    CHECK_COUNT("order of ALONG_TIME", a->order)
    CHECK_COUNT("features of ALONG_TIME", a->features)
    CHECK_READ("x of ALONG_TIME", a->x, times(2, a->features))
    CHECK_READ("f of ALONG_TIME", a->f, times(2, a->features))
    CHECK_READ("g of ALONG_TIME", a->g, times(2, a->features))
    CHECK_WEIGHTS("taps_f of ALONG_TIME", a->taps_f, times(a->order, a->features))
    CHECK_WEIGHTS("taps_g of ALONG_TIME", a->taps_g, times(a->order, a->features))
    CHECK_RING("past of ALONG_TIME", a->past, times(times((a->order - 1), 4), a->features))
    CHECK_WRITTEN("out of ALONG_TIME", a->out, times(2, a->features))
    m->cost = plus(m->cost, times(times(4, a->order), a->features));
    return NULL;
}

static const char *check_gate(checks *m, const gate_arguments *a, int32_t size) {
    CHECK_SIZE("GATE", sizeof *a)
    CHECK_COUNT("bins of GATE", a->bins)
    CHECK_COUNT("channels of GATE", a->channels)
    CHECK_COUNT("hidden of GATE", a->hidden)
    CHECK_NUMBER("frames of GATE", a->frames)
    CHECK_READ("x of GATE", a->x, times(times(2, a->channels), a->bins))
    CHECK_WEIGHTS("taps of GATE", a->taps, times(times(plus(a->frames, 1), 2), a->channels))
    CHECK_WEIGHTS("gates of GATE", a->gates, times(2, plus(plus(times(times(2, a->hidden), a->channels), a->hidden), a->channels)))
    CHECK_RING("past of GATE", a->past, times(times(a->frames, 2), a->channels))
    CHECK_WORK("work of GATE", a->work, times(8, a->channels))
    CHECK_WRITTEN("out of GATE", a->out, times(times(2, a->channels), a->bins))
    m->cost = plus(m->cost, times(times(2, a->channels), plus(plus(a->bins, a->frames), times(4, a->hidden))));
    return NULL;
}

static const char *check_add(checks *m, const add_arguments *a, int32_t size) {
    CHECK_SIZE("ADD", sizeof *a)
    CHECK_COUNT("count of ADD", a->count)
    CHECK_READ("x of ADD", a->x, a->count)
    CHECK_READ("y of ADD", a->y, a->count)
    CHECK_WRITTEN("out of ADD", a->out, a->count)
    m->cost = plus(m->cost, a->count);
    return NULL;
}

static const char *check_copy(checks *m, const copy_arguments *a, int32_t size) {
    CHECK_SIZE("COPY", sizeof *a)
    CHECK_NUMBER("row of COPY", a->row)
    CHECK_NUMBER("row_out of COPY", a->row_out)
    CHECK_COUNT("rows of COPY", a->rows)
    CHECK_COUNT("count of COPY", a->count)
    CHECK_RULE("COPY", "rows == 1 or row >= count", ((a->rows == 1) || (a->row >= a->count)))
    CHECK_RULE("COPY", "rows == 1 or row_out >= count", ((a->rows == 1) || (a->row_out >= a->count)))
    CHECK_READ("x of COPY", a->x, plus(times((a->rows - 1), a->row), a->count))
    CHECK_WRITTEN("out of COPY", a->out, plus(times((a->rows - 1), a->row_out), a->count))
    m->cost = plus(m->cost, times(a->rows, a->count));
    return NULL;
}

static const char *check_bound(checks *m, const bound_arguments *a, int32_t size) {
    CHECK_SIZE("BOUND", sizeof *a)
    CHECK_COUNT("count of BOUND", a->count)
    CHECK_NUMBER("further of BOUND", a->further)
    CHECK_READ("x of BOUND", a->x, a->count)
    CHECK_WEIGHTS("bound of BOUND", a->bound, 1)
    CHECK_WRITTEN("out of BOUND", a->out, a->count)
    m->cost = plus(m->cost, times(16, a->count));
    return NULL;
}

static const char *check_apply(checks *m, const apply_arguments *a, int32_t size) {
    CHECK_SIZE("APPLY", sizeof *a)
    CHECK_COUNT("bands of APPLY", a->bands)
    CHECK_RULE("APPLY", "2 * bands <= window + 2", (times(2, a->bands) <= plus(m->window, 2)))
    CHECK_RULE("APPLY", "shares < 0 or bands >= 2", ((a->shares < 0) || (a->bands >= 2)))
    CHECK_READ("spectrum of APPLY", a->spectrum, plus(m->window, 2))
    CHECK_READ("mask of APPLY", a->mask, times(2, a->bands))
    CHECK_WORK("work of APPLY", a->work, plus(times(2, m->window), 2))
    CHECK_STATE("past of APPLY", a->past, (m->window - m->hop))
    CHECK_WEIGHTS("taper of APPLY", a->taper, m->window)
    CHECK_WEIGHTS("gain of APPLY", a->gain, m->hop)
    CHECK_WEIGHTS("turns of APPLY", a->turns, plus(m->window, 2))
    CHECK_WEIGHTS("halves of APPLY", a->halves, plus(times(2, m->window), 2))
    CHECK_OPTIONAL("shares of APPLY", a->shares, (times(3, plus(m->window, 2)) / 2))
    m->cost = plus(m->cost, times(2048, m->window));
    return NULL;
}

#endif
