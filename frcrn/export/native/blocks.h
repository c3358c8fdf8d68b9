/* How many bins and vectors of outputs go through a product at once: their sums stay in registers. */
#ifndef FRCRN_BLOCKS_H
#define FRCRN_BLOCKS_H

#include "vectors.h"

#if defined(__AVX512F__)
#define COMPLEX_VECTORS 2
#define COMPLEX_BINS 6
#define REAL_VECTORS 4
#define REAL_BINS 6
#elif defined(__AVX__)
#define COMPLEX_VECTORS 2
#define COMPLEX_BINS 2
#define REAL_VECTORS 2
#define REAL_BINS 5
#else
#define COMPLEX_VECTORS 2
#define COMPLEX_BINS 4
#define REAL_VECTORS 2
#define REAL_BINS 6
#endif
#define MOST_BINS 6

INLINE int least(int a, int b) { return a < b ? a : b; }
INLINE int most(int a, int b) { return a > b ? a : b; }

#endif
