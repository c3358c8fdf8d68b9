/* What the browser's audio node calls: one model for sound at one rate, and a stream of samples for each channel. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "denoiser.h"

#define EXPORT(name) __attribute__((export_name(#name), used))

static const char *reason = "";
static frcrn_model *model;
static frcrn_denoiser *denoiser;
static float *scratch;

EXPORT(allocate) void *web_allocate(size_t size) { return malloc(size); }
EXPORT(release) void web_release(void *memory) { free(memory); }
EXPORT(reason) const char *web_reason(void) { return reason; }

static void leave(void) {
    frcrn_denoiser_close(denoiser), frcrn_close(model), free(scratch);
    denoiser = NULL, model = NULL, scratch = NULL;
}

/* In place of the model before, whose streams are then none any more. */
EXPORT(open) int web_open(const void *content, size_t size, int rate) {
    leave();
    reason = "there is not enough memory";
    model = content ? frcrn_from(content, size, &reason) : NULL;
    denoiser = model ? frcrn_denoiser_open(model, rate, &reason) : NULL;
    scratch = denoiser ? malloc(frcrn_denoiser_scratch_size(denoiser)) : NULL;
    if (denoiser && !scratch) reason = "there is not enough memory";
    if (!scratch) leave();
    return scratch != NULL;
}

EXPORT(latency) int web_latency(void) { return denoiser ? frcrn_denoiser_latency(denoiser) : 0; }

EXPORT(open_stream) float *web_open_stream(void) {
    float *stream = denoiser ? calloc(frcrn_denoiser_state_size(denoiser), 1) : NULL;
    if (!stream) reason = denoiser ? "there is not enough memory" : "no model is open";
    return stream;
}

EXPORT(process) void web_process(float *stream, const float *in, float *out, int count, float strength) {
    if (denoiser && stream) frcrn_denoise(denoiser, stream, scratch, in, out, count, strength, INFINITY);
    else if (count > 0) memset(out, 0, (size_t)count * sizeof *out);
}
