/* A host of several threads, for tools that look for races: threads PLUGIN < in.f32, mono, 48 kHz. All threads make
 * instances of the one plugin at the same moment, run them and end them, twice; the last thread changes the controls
 * while it runs. Ends with 0 where all instances with equal controls gave equal sound, else 1. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

enum { MOST = 1 << 17, THREADS = 4, BLOCK = 480 };

static float wave[MOST], out[THREADS][MOST];
static size_t length;
static const LADSPA_Descriptor *plugin;
static pthread_barrier_t together;

static void *work(void *argument) {
    float *own = argument;
    const int changes = own == out[THREADS - 1];
    for (int round = 0; round < 2; round++) {
        float strength = 1, limit = 100, latency = 0;
        pthread_barrier_wait(&together);
        LADSPA_Handle handle = plugin->instantiate(plugin, 48000);
        if (!handle) return argument;
        plugin->connect_port(handle, 2, &strength);
        plugin->connect_port(handle, 3, &limit);
        plugin->connect_port(handle, 4, &latency);
        plugin->activate(handle);
        for (size_t at = 0; at + BLOCK <= length; at += BLOCK) {
            if (changes) strength = (float)(at / BLOCK % 3) / 2;
            plugin->connect_port(handle, 0, wave + at);
            plugin->connect_port(handle, 1, own + at);
            plugin->run(handle, BLOCK);
        }
        plugin->cleanup(handle);
    }
    return NULL;
}

int main(int count, char **words) {
    pthread_t threads[THREADS];
    void *library = count == 2 ? dlopen(words[1], RTLD_NOW | RTLD_LOCAL) : NULL, *failed;
    if (!library) return 2;
    const LADSPA_Descriptor *(*find)(unsigned long) = (const LADSPA_Descriptor *(*)(unsigned long))dlsym(library, "ladspa_descriptor");
    plugin = find(0);
    for (ssize_t got; (got = read(0, (char *)wave + 4 * length, sizeof wave - 4 * length)) > 0;) length += (size_t)got / 4;
    pthread_barrier_init(&together, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, out[i])) return 3;
    int wrong = 0;
    for (int i = 0; i < THREADS; i++) wrong |= pthread_join(threads[i], &failed) || failed;
    for (int i = 1; i < THREADS - 1; i++) wrong |= memcmp(out[0], out[i], 4 * length) != 0;
    return wrong;
}
