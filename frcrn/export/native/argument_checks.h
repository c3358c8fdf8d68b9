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

static const char *check_cut(checks *m, const cut_arguments *a, int32_t size) {
    CHECK_SIZE("CUT", sizeof *a)
    CHECK_STATE("past of CUT", a->past, (m->window - m->hop))
    CHECK_WEIGHTS("taper of CUT", a->taper, m->window)
    CHECK_WRITTEN("out of CUT", a->out, m->window)
    m->cost = plus(m->cost, m->window);
    return NULL;
}

static const char *check_transform(checks *m, const transform_arguments *a, int32_t size) {
    CHECK_SIZE("TRANSFORM", sizeof *a)
    CHECK_READ("x of TRANSFORM", a->x, m->window)
    CHECK_WORK("work of TRANSFORM", a->work, m->window)
    CHECK_WEIGHTS("turns of TRANSFORM", a->turns, plus(m->window, 2))
    CHECK_WEIGHTS("halves of TRANSFORM", a->halves, plus(times(2, m->window), 2))
    CHECK_WRITTEN("out of TRANSFORM", a->out, plus(m->window, 2))
    m->cost = plus(m->cost, times(2048, m->window));
    return NULL;
}

static const char *check_restore(checks *m, const restore_arguments *a, int32_t size) {
    CHECK_SIZE("RESTORE", sizeof *a)
    CHECK_READ("x of RESTORE", a->x, plus(m->window, 2))
    CHECK_WORK("work of RESTORE", a->work, plus(times(2, m->window), 2))
    CHECK_WEIGHTS("turns of RESTORE", a->turns, plus(m->window, 2))
    CHECK_WEIGHTS("halves of RESTORE", a->halves, plus(times(2, m->window), 2))
    CHECK_WRITTEN("out of RESTORE", a->out, m->window)
    m->cost = plus(m->cost, times(2048, m->window));
    return NULL;
}

static const char *check_join(checks *m, const join_arguments *a, int32_t size) {
    CHECK_SIZE("JOIN", sizeof *a)
    CHECK_READ("x of JOIN", a->x, m->window)
    CHECK_WEIGHTS("taper of JOIN", a->taper, m->window)
    CHECK_WEIGHTS("gain of JOIN", a->gain, m->hop)
    CHECK_STATE("past of JOIN", a->past, (m->window - m->hop))
    CHECK_WORK("work of JOIN", a->work, m->window)
    m->cost = plus(m->cost, times(2, m->window));
    return NULL;
}

static const char *check_magnitude(checks *m, const magnitude_arguments *a, int32_t size) {
    CHECK_SIZE("MAGNITUDE", sizeof *a)
    CHECK_COUNT("bins of MAGNITUDE", a->bins)
    CHECK_FLAG("squared of MAGNITUDE", a->squared)
    CHECK_READ("x of MAGNITUDE", a->x, times(2, a->bins))
    CHECK_WRITTEN("out of MAGNITUDE", a->out, a->bins)
    m->cost = plus(m->cost, times(16, a->bins));
    return NULL;
}

static const char *check_mask(checks *m, const mask_arguments *a, int32_t size) {
    CHECK_SIZE("MASK", sizeof *a)
    CHECK_COUNT("bins of MASK", a->bins)
    CHECK_READ("x of MASK", a->x, times(2, a->bins))
    CHECK_READ("gains of MASK", a->gains, a->bins)
    CHECK_WRITTEN("out of MASK", a->out, times(2, a->bins))
    m->cost = plus(m->cost, times(2, a->bins));
    return NULL;
}

static const char *check_multiply(checks *m, const multiply_arguments *a, int32_t size) {
    CHECK_SIZE("MULTIPLY", sizeof *a)
    CHECK_COUNT("count of MULTIPLY", a->count)
    CHECK_READ("x of MULTIPLY", a->x, a->count)
    CHECK_READ("y of MULTIPLY", a->y, a->count)
    CHECK_WRITTEN("out of MULTIPLY", a->out, a->count)
    m->cost = plus(m->cost, a->count);
    return NULL;
}

static const char *check_log(checks *m, const log_arguments *a, int32_t size) {
    CHECK_SIZE("LOG", sizeof *a)
    CHECK_COUNT("count of LOG", a->count)
    CHECK_READ("x of LOG", a->x, a->count)
    CHECK_WEIGHTS("terms of LOG", a->terms, 3)
    CHECK_WRITTEN("out of LOG", a->out, a->count)
    m->cost = plus(m->cost, times(16, a->count));
    return NULL;
}

static const char *check_normalise(checks *m, const normalise_arguments *a, int32_t size) {
    CHECK_SIZE("NORMALISE", sizeof *a)
    CHECK_COUNT("count of NORMALISE", a->count)
    CHECK_READ("x of NORMALISE", a->x, a->count)
    CHECK_WEIGHTS("gain of NORMALISE", a->gain, a->count)
    CHECK_WEIGHTS("bias of NORMALISE", a->bias, a->count)
    CHECK_WEIGHTS("epsilon of NORMALISE", a->epsilon, 1)
    CHECK_WRITTEN("out of NORMALISE", a->out, a->count)
    m->cost = plus(m->cost, times(4, a->count));
    return NULL;
}

static const char *check_sigmoid(checks *m, const sigmoid_arguments *a, int32_t size) {
    CHECK_SIZE("SIGMOID", sizeof *a)
    CHECK_COUNT("count of SIGMOID", a->count)
    CHECK_READ("x of SIGMOID", a->x, a->count)
    CHECK_WRITTEN("out of SIGMOID", a->out, a->count)
    m->cost = plus(m->cost, times(16, a->count));
    return NULL;
}

static const char *check_tanh(checks *m, const tanh_arguments *a, int32_t size) {
    CHECK_SIZE("TANH", sizeof *a)
    CHECK_COUNT("count of TANH", a->count)
    CHECK_READ("x of TANH", a->x, a->count)
    CHECK_WRITTEN("out of TANH", a->out, a->count)
    m->cost = plus(m->cost, times(16, a->count));
    return NULL;
}

static const char *check_relu6(checks *m, const relu6_arguments *a, int32_t size) {
    CHECK_SIZE("RELU6", sizeof *a)
    CHECK_COUNT("count of RELU6", a->count)
    CHECK_READ("x of RELU6", a->x, a->count)
    CHECK_WRITTEN("out of RELU6", a->out, a->count)
    m->cost = plus(m->cost, times(16, a->count));
    return NULL;
}

static const char *check_lstm(checks *m, const lstm_arguments *a, int32_t size) {
    CHECK_SIZE("LSTM", sizeof *a)
    CHECK_COUNT("inputs of LSTM", a->inputs)
    CHECK_COUNT("hidden of LSTM", a->hidden)
    CHECK_COUNT("pack of LSTM", a->pack)
    CHECK_RULE("LSTM", "pack == 16 or pack == 32 or pack == 64", ((a->pack == 16) || (a->pack == 32) || (a->pack == 64)))
    CHECK_READ("x of LSTM", a->x, a->inputs)
    CHECK_WEIGHTS("weights of LSTM", a->weights, times(padded(times(4, a->hidden), a->pack), plus(a->inputs, a->hidden)))
    CHECK_WEIGHTS("bias of LSTM", a->bias, padded(times(4, a->hidden), a->pack))
    CHECK_STATE("past of LSTM", a->past, times(2, a->hidden))
    CHECK_WORK("work of LSTM", a->work, plus(plus(times(4, a->hidden), a->inputs), a->hidden))
    CHECK_WRITTEN("out of LSTM", a->out, a->hidden)
    m->cost = plus(m->cost, plus(times(padded(times(4, a->hidden), a->pack), plus(a->inputs, a->hidden)), times(100, a->hidden)));
    return NULL;
}

static const char *check_gru(checks *m, const gru_arguments *a, int32_t size) {
    CHECK_SIZE("GRU", sizeof *a)
    CHECK_COUNT("inputs of GRU", a->inputs)
    CHECK_COUNT("hidden of GRU", a->hidden)
    CHECK_COUNT("pack of GRU", a->pack)
    CHECK_RULE("GRU", "pack == 16 or pack == 32 or pack == 64", ((a->pack == 16) || (a->pack == 32) || (a->pack == 64)))
    CHECK_READ("x of GRU", a->x, a->inputs)
    CHECK_WEIGHTS("weights of GRU", a->weights, times(padded(times(3, a->hidden), a->pack), a->inputs))
    CHECK_WEIGHTS("bias of GRU", a->bias, padded(times(3, a->hidden), a->pack))
    CHECK_WEIGHTS("recurrent of GRU", a->recurrent, times(padded(times(3, a->hidden), a->pack), a->hidden))
    CHECK_WEIGHTS("recurrent_bias of GRU", a->recurrent_bias, padded(times(3, a->hidden), a->pack))
    CHECK_STATE("past of GRU", a->past, a->hidden)
    CHECK_WORK("work of GRU", a->work, times(6, a->hidden))
    CHECK_WRITTEN("out of GRU", a->out, a->hidden)
    m->cost = plus(m->cost, plus(times(padded(times(3, a->hidden), a->pack), plus(a->inputs, a->hidden)), times(100, a->hidden)));
    return NULL;
}

static const char *check_speech(checks *m, const speech_arguments *a, int32_t size) {
    CHECK_SIZE("SPEECH", sizeof *a)
    CHECK_READ("x of SPEECH", a->x, 1)
    m->cost = plus(m->cost, 1);
    return NULL;
}

static const char *check_delay(checks *m, const delay_arguments *a, int32_t size) {
    CHECK_SIZE("DELAY", sizeof *a)
    CHECK_COUNT("shortest of DELAY", a->shortest)
    CHECK_COUNT("longest of DELAY", a->longest)
    CHECK_RULE("DELAY", "shortest <= longest", (a->shortest <= a->longest))
    CHECK_READ("x of DELAY", a->x, m->window)
    CHECK_WEIGHTS("taper of DELAY", a->taper, m->window)
    CHECK_STATE("past of DELAY", a->past, (plus(a->longest, m->window) - m->hop))
    CHECK_WORK("work of DELAY", a->work, plus(times(2, a->longest), times(2, m->window)))
    CHECK_WRITTEN("out of DELAY", a->out, m->window)
    m->cost = plus(m->cost, plus(times(a->longest, m->window), times(8, m->window)));
    return NULL;
}

static const char *check_comb(checks *m, const comb_arguments *a, int32_t size) {
    CHECK_SIZE("COMB", sizeof *a)
    CHECK_COUNT("bins of COMB", a->bins)
    CHECK_COUNT("bands of COMB", a->bands)
    CHECK_READ("x of COMB", a->x, times(2, a->bins))
    CHECK_READ("earlier of COMB", a->earlier, times(2, a->bins))
    CHECK_READ("gains of COMB", a->gains, a->bands)
    CHECK_WEIGHTS("shares of COMB", a->shares, times(a->bins, a->bands))
    CHECK_WORK("work of COMB", a->work, times(4, a->bands))
    CHECK_WRITTEN("out of COMB", a->out, times(2, a->bins))
    m->cost = plus(m->cost, times(times(8, a->bins), a->bands));
    return NULL;
}

static const char *check_later(checks *m, const later_arguments *a, int32_t size) {
    CHECK_SIZE("LATER", sizeof *a)
    CHECK_COUNT("count of LATER", a->count)
    CHECK_COUNT("frames of LATER", a->frames)
    CHECK_READ("x of LATER", a->x, a->count)
    CHECK_RING("past of LATER", a->past, times(a->frames, a->count))
    CHECK_WRITTEN("out of LATER", a->out, a->count)
    m->cost = plus(m->cost, a->count);
    return NULL;
}

#endif
