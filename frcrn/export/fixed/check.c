/* Compares the network on this machine with the Python reference: prints "exact", or where they part. */
#include "vectors.h"

static int16_t state[NETWORK_STATE], scratch[NETWORK_SCRATCH], gains[NETWORK_OUTPUTS];

/* Return the first value that differs, counted from 1; 0 where all are the same. */
int check(void) {
    for (int frame = 0; frame < VECTORS; frame++) {
        frcrn_fixed_step(&NETWORK, state, scratch, vectors_in + frame * NETWORK_INPUTS, gains);
        for (int i = 0; i < NETWORK_OUTPUTS; i++)
            if (gains[i] != vectors_out[frame * NETWORK_OUTPUTS + i]) return frame * NETWORK_OUTPUTS + i + 1;
    }
    return 0;
}

#ifndef CHECK_ONLY
#include <stdio.h>

int main(void) {
    const int wrong = check();
    if (wrong) printf("value %d differs\n", wrong);
    else printf("exact\n");
    return wrong != 0;
}
#endif
