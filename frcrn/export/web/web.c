/* What the browser's audio node calls: one model for sound at one rate, and a stream of samples for each channel. */
#include <math.h>
#include <stdlib.h>

#include "denoiser.h"

#define EXPORT(name) __attribute__((export_name(#name), used))

static const char *reason = "";
static frcrn_model *model;
static frcrn_denoiser *denoiser;
static float *scratch;

EXPORT(allocate) void *web_allocate(size_t size) { return malloc(size); }
EXPORT(release) void web_release(void *memory) { free(memory); }
EXPORT(reason) const char *web_reason(void) { return reason; }

EXPORT(open) int web_open(const void *content, size_t size, int rate) {
    model = frcrn_from(content, size, &reason);
    denoiser = model ? frcrn_denoiser_open(model, rate, &reason) : NULL;
    if (!denoiser) return 0;
    scratch = malloc(frcrn_denoiser_scratch_size(denoiser));
    if (!scratch) reason = "there is not enough memory";
    return scratch != NULL;
}

EXPORT(latency) int web_latency(void) { return frcrn_denoiser_latency(denoiser); }
EXPORT(open_stream) float *web_open_stream(void) { return calloc(frcrn_denoiser_state_size(denoiser), 1); }

EXPORT(process) void web_process(float *stream, const float *in, float *out, int count, float strength) {
    frcrn_denoise(denoiser, stream, scratch, in, out, count, strength, INFINITY);
}
