/* FRCRN as a LADSPA plugin for CHANNELS channels; the model is part of the library.
 *
 * All memory is taken when the host makes an instance. While it runs, nothing is allocated, locked or asked of the system. */
#include "plugin.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "denoiser.h"

#define PIECE 256 /* samples that are worked on at once, so that a host may let all ports share their memory */

#if CHANNELS == 1
#define LABEL "frcrn_mono"
#define NAME "FRCRN noise suppression, mono"
#else
#define LABEL "frcrn_stereo"
#define NAME "FRCRN noise suppression, stereo"
#endif

__asm__(".pushsection .rodata, \"a\"\n"
        ".balign 64\n"
        ".hidden frcrn_model_inside\n.globl frcrn_model_inside\nfrcrn_model_inside:\n.incbin \"model.frcrn\"\n"
        ".hidden frcrn_model_ends\n.globl frcrn_model_ends\nfrcrn_model_ends:\n.byte 0\n"
        ".popsection\n");
extern const char frcrn_model_inside[], frcrn_model_ends[];

enum { IN, OUT = CHANNELS, STRENGTH = 2 * CHANNELS, LIMIT, LATENCY, PORTS };

#define UNLIMITED 100.0f /* dB; a limit as large as this is none */

typedef struct {
    frcrn_denoiser *denoiser;
    float *state[CHANNELS], *scratch;
    size_t size;
    LADSPA_Data *ports[PORTS];
} instance;

/* One model for all instances, open as long as there is one. */
static pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
static frcrn_model *model;
static unsigned long users;

static const frcrn_model *borrow_model(void) {
    pthread_mutex_lock(&door);
    if (!model) model = frcrn_from(frcrn_model_inside, (size_t)(frcrn_model_ends - frcrn_model_inside), NULL);
    if (model) users++;
    pthread_mutex_unlock(&door);
    return model;
}

static void return_model(void) {
    pthread_mutex_lock(&door);
    if (!--users) frcrn_close(model), model = NULL;
    pthread_mutex_unlock(&door);
}

static void cleanup(LADSPA_Handle handle) {
    instance *i = handle;
    frcrn_denoiser_close(i->denoiser);
    for (int c = 0; c < CHANNELS; c++) free(i->state[c]);
    free(i->scratch);
    free(i);
    return_model();
}

static LADSPA_Handle instantiate(const LADSPA_Descriptor *descriptor, unsigned long rate) {
    (void)descriptor;
    const frcrn_model *shared = borrow_model();
    if (!shared) return NULL;
    instance *i = calloc(1, sizeof *i);
    if (!i) {
        return_model();
        return NULL;
    }
    i->denoiser = rate < 1000000 ? frcrn_denoiser_open(shared, (int)rate, NULL) : NULL;
    int complete = i->denoiser != NULL;
    if (complete) {
        i->size = frcrn_denoiser_state_size(i->denoiser);
        for (int c = 0; c < CHANNELS; c++) complete = (i->state[c] = calloc(i->size, 1)) && complete;
        complete = (i->scratch = calloc(frcrn_denoiser_scratch_size(i->denoiser), 1)) && complete;
    }
    if (complete) return i;
    cleanup(i);
    return NULL;
}

static void connect_port(LADSPA_Handle handle, unsigned long port, LADSPA_Data *place) {
    if (port < PORTS) ((instance *)handle)->ports[port] = place;
}

/* Begin another sound. */
static void activate(LADSPA_Handle handle) {
    instance *i = handle;
    for (int c = 0; c < CHANNELS; c++) memset(i->state[c], 0, i->size);
}

static void run(LADSPA_Handle handle, unsigned long count) {
    instance *i = handle;
    const float strength = i->ports[STRENGTH] ? *i->ports[STRENGTH] : 1, most = i->ports[LIMIT] ? *i->ports[LIMIT] : UNLIMITED;
    const float limit = most < UNLIMITED ? most : INFINITY;
    for (unsigned long at = 0; at < count; at += PIECE) {
        const unsigned long size = count - at < PIECE ? count - at : PIECE;
        float in[CHANNELS][PIECE];
        for (int c = 0; c < CHANNELS; c++) {
            if (i->ports[IN + c]) memcpy(in[c], i->ports[IN + c] + at, size * sizeof(float));
            else memset(in[c], 0, sizeof in[c]);
        }
        for (int c = 0; c < CHANNELS; c++) {
            frcrn_denoise(i->denoiser, i->state[c], i->scratch, in[c], in[c], (int)size, strength, limit);
            if (i->ports[OUT + c]) memcpy(i->ports[OUT + c] + at, in[c], size * sizeof(float));
        }
    }
    if (i->ports[LATENCY]) *i->ports[LATENCY] = (float)frcrn_denoiser_latency(i->denoiser);
}

#define AUDIO_IN (LADSPA_PORT_INPUT | LADSPA_PORT_AUDIO)
#define AUDIO_OUT (LADSPA_PORT_OUTPUT | LADSPA_PORT_AUDIO)
#define CONTROL_IN (LADSPA_PORT_INPUT | LADSPA_PORT_CONTROL)
#define CONTROL_OUT (LADSPA_PORT_OUTPUT | LADSPA_PORT_CONTROL)
#define WITHIN (LADSPA_HINT_BOUNDED_BELOW | LADSPA_HINT_BOUNDED_ABOVE | LADSPA_HINT_DEFAULT_MAXIMUM)

static const int kinds[PORTS] = {
    [IN] = AUDIO_IN, [OUT] = AUDIO_OUT,
#if CHANNELS == 2
    [IN + 1] = AUDIO_IN, [OUT + 1] = AUDIO_OUT,
#endif
    [STRENGTH] = CONTROL_IN, [LIMIT] = CONTROL_IN, [LATENCY] = CONTROL_OUT};

static const char *const names[PORTS] = {
#if CHANNELS == 1
    [IN] = "Input", [OUT] = "Output",
#else
    [IN] = "Input left", [IN + 1] = "Input right", [OUT] = "Output left", [OUT + 1] = "Output right",
#endif
    [STRENGTH] = "Strength", [LIMIT] = "Attenuate by at most (dB)", [LATENCY] = "latency"};

static const LADSPA_PortRangeHint hints[PORTS] = {[STRENGTH] = {WITHIN, 0, 1}, [LIMIT] = {WITHIN, 0, UNLIMITED}};

static const LADSPA_Descriptor descriptor = {
    .UniqueID = 0x46520 + CHANNELS,
    .Label = LABEL,
    .Properties = LADSPA_PROPERTY_HARD_RT_CAPABLE,
    .Name = NAME,
    .Maker = "frcrn",
    .Copyright = "Apache-2.0",
    .PortCount = PORTS,
    .PortDescriptors = kinds,
    .PortNames = names,
    .PortRangeHints = hints,
    .instantiate = instantiate,
    .connect_port = connect_port,
    .activate = activate,
    .run = run,
    .cleanup = cleanup,
};

__attribute__((visibility("default"))) const LADSPA_Descriptor *ladspa_descriptor(unsigned long number) {
    return number ? NULL : &descriptor;
}
