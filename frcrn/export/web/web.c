/* What the browser's audio node calls: one model, and a stream of samples for each channel. */
#include <stdlib.h>
#include <string.h>

#include "frcrn.h"

#define EXPORT(name) __attribute__((export_name(#name), used))

typedef struct {
    const frcrn_model *model;
    float *state, *scratch, *hop, *clean, *past; /* past: what came in, as late as what goes out */
    float strength, wanted;
    int at, late;
} stream;

static const char *reason = "";

EXPORT(allocate) void *web_allocate(size_t size) { return malloc(size); }
EXPORT(release) void web_release(void *memory) { free(memory); }
EXPORT(reason) const char *web_reason(void) { return reason; }
EXPORT(open_model) frcrn_model *web_open_model(const void *content, size_t size) { return frcrn_from(content, size, &reason); }

EXPORT(open_stream) stream *web_open_stream(const frcrn_model *model, int rate) {
    if (rate != frcrn_sample_rate(model)) {
        reason = "the model has another sample rate";
        return NULL;
    }
    const size_t hop = (size_t)frcrn_hop(model), late = (size_t)frcrn_delay(model);
    stream *s = calloc(1, sizeof *s);
    *s = (stream){model, calloc(frcrn_state_size(model), 1), malloc(frcrn_scratch_size(model)), calloc(hop, 4), calloc(hop, 4),
                  calloc(hop + late, 4), 1, 1, 0, (int)late};
    return s;
}

EXPORT(latency) int web_latency(const stream *s) { return s->late + frcrn_hop(s->model); }
EXPORT(strength) void web_strength(stream *s, float strength) { s->wanted = strength; }

static void step(stream *s) {
    const int hop = frcrn_hop(s->model);
    frcrn_step(s->model, s->state, s->scratch, s->hop, s->clean);
    for (int i = 0; i < hop; i++) {
        const float share = s->strength + (s->wanted - s->strength) * (float)(i + 1) / (float)hop;
        s->clean[i] = s->past[i] + share * (s->clean[i] - s->past[i]);
    }
    s->strength = s->wanted;
}

EXPORT(process) void web_process(stream *s, const float *in, float *out, int count) {
    const int hop = frcrn_hop(s->model);
    for (int i = 0; i < count; i++) {
        s->hop[s->at] = in[i];
        out[i] = s->clean[s->at];
        if (++s->at < hop) continue;
        s->at = 0;
        memmove(s->past, s->past + hop, (size_t)s->late * sizeof *s->past);
        memcpy(s->past + s->late, s->hop, (size_t)hop * sizeof *s->past);
        step(s);
    }
}
