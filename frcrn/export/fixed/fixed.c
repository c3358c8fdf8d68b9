/* The arithmetic of fixed.h; the same, number for number, is written in Python beside the exporter. */
#include "fixed.h"

/* tanh(n / 32) in Q15 */
static const int16_t TANH[257] = {
    0, 1024, 2045, 3063, 4075, 5079, 6073, 7056, 8025, 8980, 9919, 10840, 11743, 12625, 13486, 14326, 15143, 15936, 16706, 17452, 18173, 18870, 19542, 20189,
    20813, 21411, 21986, 22538, 23066, 23571, 24054, 24516, 24956, 25376, 25776, 26157, 26519, 26864, 27191, 27502, 27797, 28076, 28341, 28592, 28830, 29055, 29268, 29470,
    29660, 29840, 30010, 30170, 30322, 30465, 30600, 30727, 30847, 30960, 31067, 31167, 31262, 31351, 31435, 31515, 31589, 31659, 31726, 31788, 31846, 31901, 31953, 32002,
    32048, 32091, 32132, 32170, 32206, 32240, 32271, 32301, 32329, 32356, 32381, 32404, 32426, 32447, 32466, 32484, 32501, 32517, 32532, 32547, 32560, 32573, 32584, 32596,
    32606, 32616, 32625, 32634, 32642, 32649, 32657, 32663, 32670, 32676, 32681, 32686, 32691, 32696, 32700, 32704, 32708, 32712, 32715, 32718, 32721, 32724, 32727, 32729,
    32732, 32734, 32736, 32738, 32740, 32741, 32743, 32745, 32746, 32747, 32749, 32750, 32751, 32752, 32753, 32754, 32755, 32755, 32756, 32757, 32758, 32758, 32759, 32759,
    32760, 32760, 32761, 32761, 32762, 32762, 32762, 32763, 32763, 32763, 32764, 32764, 32764, 32764, 32765, 32765, 32765, 32765, 32765, 32766, 32766, 32766, 32766, 32766,
    32766, 32766, 32766, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767,
    32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767,
    32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767,
    32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767
};

static int32_t shifted(int32_t x, int shift) { return (x + ((int32_t)(1u << shift) >> 1)) >> shift; }

static int16_t saturated(int32_t x) { return (int16_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : x); }

/* Q12 -> Q15, by straight lines between the table's values */
static int32_t tanh_of(int32_t z) {
    int32_t size = z < 0 ? -z : z;
    if (size > (8 << 12) - 1) size = (8 << 12) - 1;
    const int32_t place = size >> 7, rest = size & 127;
    const int32_t found = TANH[place] + (((TANH[place + 1] - TANH[place]) * rest + 64) >> 7);
    return z < 0 ? -found : found;
}

static int32_t sigmoid_of(int32_t z) { return (tanh_of(z >> 1) + 32768) >> 1; }

static int16_t activated(int32_t z, int kind) {
    switch (kind) {
        case FIXED_TANH: return (int16_t)tanh_of(z);
        case FIXED_SIGMOID: return (int16_t)sigmoid_of(z);
        case FIXED_RELU6: return (int16_t)(z < 0 ? 0 : z > 6 << 12 ? 6 << 12 : z);
        case FIXED_RELU: return saturated(z < 0 ? 0 : z);
        default: return saturated(z);
    }
}

/* One row's sum in Q12. */
static int32_t sum_of(const fixed_matrix *m, int row, int inputs, const int16_t *x) {
    const int8_t *w = m->weights + (int32_t)row * inputs;
    int32_t sum = m->bias[row];
    for (int i = 0; i < inputs; i++) sum += (int32_t)w[i] * x[i];
    return shifted(sum, m->shifts[row]);
}

static void copied(int16_t *out, const int16_t *x, int count) {
    for (int i = 0; i < count; i++) out[i] = x[i];
}

static void dense(const fixed_layer *l, const int16_t *x, int16_t *out) {
    for (int row = 0; row < l->outputs; row++) out[row] = activated(sum_of(&l->matrix, row, l->frames * l->inputs, x), l->activation);
}

/* The state is h in Q15, then c in Q11. */
static void lstm(const fixed_layer *l, int16_t *state, const int16_t *x, int16_t *out) {
    const int n = l->outputs;
    int16_t *h = state, *c = state + n;
    for (int j = 0; j < n; j++) {
        int32_t gates[4];
        for (int gate = 0; gate < 4; gate++)
            gates[gate] = sum_of(&l->matrix, gate * n + j, l->inputs, x) + sum_of(&l->recurrent, gate * n + j, n, h);
        const int32_t kept = shifted(sigmoid_of(gates[1]) * c[j], 15);
        c[j] = saturated(kept + shifted(sigmoid_of(gates[0]) * tanh_of(gates[2]), 19));
        out[j] = (int16_t)shifted(sigmoid_of(gates[3]) * tanh_of((int32_t)c[j] * 2), 15);
    }
    copied(h, out, n);
}

void frcrn_fixed_step(const fixed_network *network, int16_t *state, int16_t *scratch, const int16_t *features, int16_t *gains) {
    int16_t *rows[2] = {scratch, scratch + network->widest};
    const int16_t *x = features;
    for (int n = 0; n < network->count; n++) {
        const fixed_layer *l = network->layers + n;
        int16_t *out = n == network->count - 1 ? gains : rows[n % 2];
        if (l->recurrent.weights) {
            lstm(l, state, x, out);
            state += 2 * l->outputs;
        } else {
            if (l->frames > 1) {
                const int kept = (l->frames - 1) * l->inputs;
                copied(state, state + l->inputs, kept);
                copied(state + kept, x, l->inputs);
                x = state;
                state += l->frames * l->inputs;
            }
            dense(l, x, out);
        }
        x = out;
    }
}
