/* A host that watches: run it as host PLUGIN BLOCK < in.f32 > out.f32, mono, 48 kHz. While the plugin runs, any system
 * call but read and write ends the process (seccomp), and allocations and locks are counted; then silence follows, in
 * which no operation may meet a denormal number. Ends with 0, or 10 for an allocation or lock, 11 for a denormal. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "plugin.h"

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);
static volatile int watching, seen;
static int (*real_lock)(pthread_mutex_t *);

void *malloc(size_t size) { return seen += watching, __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return seen += watching, __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return seen += watching, __libc_realloc(old, size); }
void free(void *old) { seen += watching, __libc_free(old); }
int pthread_mutex_lock(pthread_mutex_t *door) {
    if (!real_lock) real_lock = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
    return seen += watching, real_lock(door);
}

enum { MOST = 1 << 20 };

int main(int count, char **words) {
    static float wave[MOST], silence[4096];
    const size_t block = (size_t)atol(words[2]);
    void *library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
    if (count != 3 || !library) return 2;
    const LADSPA_Descriptor *(*find)(unsigned long) = (const LADSPA_Descriptor *(*)(unsigned long))dlsym(library, "ladspa_descriptor");
    const LADSPA_Descriptor *plugin = find(0);
    LADSPA_Handle handle = plugin->instantiate(plugin, 48000);
    if (!handle) return 3;
    float strength = 1, limit = 100, latency = 0;
    plugin->connect_port(handle, 2, &strength);
    plugin->connect_port(handle, 3, &limit);
    plugin->connect_port(handle, 4, &latency);
    plugin->activate(handle);
    size_t bytes = 0, got;
    while ((got = (size_t)read(0, (char *)wave + bytes, sizeof wave - bytes)) > 0) bytes += got;
    const size_t length = bytes / sizeof(float);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    watching = 1;
    for (size_t at = 0; at < length; at += block) {
        plugin->connect_port(handle, 0, wave + at);
        plugin->connect_port(handle, 1, wave + at);
        plugin->run(handle, length - at < block ? length - at : block);
    }
    int code = 0;
    plugin->connect_port(handle, 0, silence);
    plugin->connect_port(handle, 1, silence);
    for (int second = 0; second < 4; second++) {
#ifdef __SSE__
        if (second == 3) _mm_setcsr(_mm_getcsr() & ~0x3fu);
#endif
        for (int at = 0; at < 48000; at += 480) {
            memset(silence, 0, sizeof silence);
            plugin->run(handle, 480);
        }
    }
#ifdef __SSE__
    if (_mm_getcsr() & 2) code = 11;
#endif
    watching = 0;
    if (seen) code = 10;
    for (size_t sent = 0; sent < bytes; sent += got)
        if ((got = (size_t)write(1, (char *)wave + sent, bytes - sent)) == 0) break;
    syscall(SYS_exit, code);
    return 0;
}
