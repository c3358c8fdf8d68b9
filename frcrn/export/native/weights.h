/* Weights as a model file stores them: in parts, each in half or in single precision. */
#ifndef FRCRN_WEIGHTS_H
#define FRCRN_WEIGHTS_H

#include <stdint.h>
#include <string.h>

typedef struct {
    int32_t values, bytes; /* how many, and of how many bytes each: 2 or 4 */
} part;

/* One of a table of parts, which may begin at any address. */
static part part_at(const char *table, int32_t number) {
    part found;
    memcpy(&found, table + sizeof found * (size_t)number, sizeof found);
    return found;
}

/* How many bytes all parts take in the file; 0 if they are not parts of so many values. */
static uint64_t stored_size(const char *table, int32_t count, int32_t values) {
    uint64_t size = 0;
    int64_t left = values;
    for (int32_t i = 0; i < count; i++) {
        const part p = part_at(table, i);
        if (p.values < 1 || p.values > left || (p.bytes != 2 && p.bytes != 4)) return 0;
        size += (uint64_t)p.values * (uint32_t)p.bytes;
        left -= p.values;
    }
    return left ? 0 : size;
}

/* A finite number in half precision; what is too small for a normal one is a multiple of 2^-24. */
static float from_half(uint16_t half) {
    const uint32_t exponent = half >> 10 & 31, fraction = half & 1023u;
    const uint32_t bits = (exponent + 112) << 23 | fraction << 13;
    float size;
    memcpy(&size, &bits, sizeof size);
    if (!exponent) size = (float)fraction * 0x1p-24f;
    return half >> 15 ? -size : size;
}

/* Read all parts, one after the other. */
static void read_parts(const char *from, const char *table, int32_t count, float *out) {
    for (int32_t i = 0; i < count; i++) {
        const part p = part_at(table, i);
        if (p.bytes == 4) memcpy(out, from, (size_t)p.values * sizeof *out);
        else
            for (int32_t k = 0; k < p.values; k++) {
                uint16_t half;
                memcpy(&half, from + 2 * (size_t)k, sizeof half);
                out[k] = from_half(half);
            }
        from += (size_t)p.values * (size_t)p.bytes;
        out += p.values;
    }
}

#endif
