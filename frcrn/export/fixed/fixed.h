/* A network of whole numbers: 8-bit weights, 16-bit activations, 32-bit sums. No floating point, no allocation, no
 * library.
 *
 *     static int16_t state[DEF_NNn_NAME_STATE], scratch[DEF_NNn_NAME_SCRATCH];     state begins as zeros
 *     frcrn_fixed_step(&nnn_name, state, scratch, features, gains);                once a frame
 *
 * Features are logarithms as the network's description has them, times 4096; a gain g stands for g / 32768.
 */
#ifndef FRCRN_FIXED_H
#define FRCRN_FIXED_H

#include <stdint.h>

enum { FIXED_LINEAR, FIXED_RELU, FIXED_RELU6, FIXED_SIGMOID, FIXED_TANH };

/* Rows of weights, the shift after each row's sum, and its bias. */
typedef struct {
    const int8_t *weights;
    const uint8_t *shifts;
    const int32_t *bias;
} fixed_matrix;

/* A dense layer over some frames, or an LSTM where there are recurrent weights; its gates are i, f, g, o. */
typedef struct {
    int activation, inputs, frames, outputs;
    fixed_matrix matrix, recurrent;
} fixed_layer;

typedef struct {
    const fixed_layer *layers;
    int count, inputs, outputs, widest;
} fixed_network;

/* Features [inputs] -> gains [outputs]; scratch holds two rows of the widest. */
void frcrn_fixed_step(const fixed_network *network, int16_t *state, int16_t *scratch, const int16_t *features, int16_t *gains);

#endif
