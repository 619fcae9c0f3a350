/* Dense layers for rows of a table; dense.py has the same in NumPy, and says what they mean.

   Each output is added up input by input, in that order and rounded each time, so every width of vector, and NumPy, give the same bits.
   This file includes itself as forest.c does: four lanes wide for every processor, and eight and sixteen on x86-64. */
#ifndef LANES
#include <stdint.h>

#include "lanes.h"

enum { TOGETHER = 4, WIDEST = 1024 /* dense.py asks for no wider layer. */ };

/* `weights [inputs, outputs]`, `bias [outputs]`; outputs are a multiple of 16. */
struct layer {
    const float *weights;
    const float *bias;
    int64_t inputs, outputs;
};

#define PARAMETERS const float *table, int64_t stride, const int32_t *rows, int64_t num_rows, const struct layer *layers, \
    int64_t num_layers, float *answers, int64_t num_answers
#define ARGUMENTS table, stride, rows, num_rows, layers, num_layers, answers, num_answers

#define LANES 4
#define AHEAD 2
#define TARGET
#include "dense.c"
#ifdef __x86_64__
#undef LANES
#undef TARGET
#define LANES 8
#define TARGET EIGHT_LANES
#include "dense.c"
#undef LANES
#undef AHEAD
#undef TARGET
#define LANES 16
#define AHEAD 4
#define TARGET SIXTEEN_LANES
#include "dense.c"
#endif

/* `answers [num_rows, num_answers]` of the last layer for `rows` of `table [many, stride]`, whose first numbers the first layer takes; negatives
   become 0 after each layer but the last. */
int64_t dense_layers(PARAMETERS) {
    CALL_WIDEST(layers)
    return 0;
}

#else
#define floats OWN(floats)
#define ints OWN(ints)
typedef float floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4)));

/* `width` vectors of outputs, from `first` on, of TOGETHER rows. */
TARGET __attribute__((always_inline)) static inline void OWN(columns)(
    const float *const *inputs, const struct layer *layer, int64_t first, const int width, int is_last, float *const *outputs
) {
    floats sums[TOGETHER][4];
    _Pragma("GCC unroll 4") for (int row = 0; row < TOGETHER; row++)
        _Pragma("GCC unroll 4") for (int part = 0; part < width; part++)
            sums[row][part] = *(const floats *)(layer->bias + first + part * LANES);
    const float *weights = layer->weights + first;
    for (int64_t input = 0; input < layer->inputs; input++, weights += layer->outputs)
        _Pragma("GCC unroll 4") for (int part = 0; part < width; part++) {
            floats weight = *(const floats *)(weights + part * LANES);
            _Pragma("GCC unroll 4") for (int row = 0; row < TOGETHER; row++) sums[row][part] += inputs[row][input] * weight;
        }
    _Pragma("GCC unroll 4") for (int row = 0; row < TOGETHER; row++)
        _Pragma("GCC unroll 4") for (int part = 0; part < width; part++) {
            floats sum = sums[row][part];
            if (!is_last) sum = (floats)((ints)sum & (ints)(sum > 0));
            *(floats *)(outputs[row] + first + part * LANES) = sum;
        }
}

TARGET static void OWN(layers)(PARAMETERS) {
    float space[2][TOGETHER][WIDEST];
    for (int64_t begin = 0; begin < num_rows; begin += TOGETHER) {
        const float *inputs[TOGETHER];
        float *outputs[TOGETHER];
        for (int64_t row = 0; row < TOGETHER; row++) {
            int64_t place = begin + row < num_rows ? begin + row : num_rows - 1;
            inputs[row] = table + rows[place] * stride;
            int64_t later = begin + row + 2 * TOGETHER;
            if (later < num_rows) /* Rows lie anywhere in memory, which takes long to answer. */
                for (int64_t i = 0; i < layers->inputs; i += 16) __builtin_prefetch(table + rows[later] * stride + i);
        }
        for (const struct layer *layer = layers; layer < layers + num_layers; layer++) {
            int is_last = layer == layers + num_layers - 1;
            for (int row = 0; row < TOGETHER; row++) outputs[row] = space[(layer - layers) & 1][row];
            int64_t first = 0;
            for (; first + AHEAD * LANES <= layer->outputs; first += AHEAD * LANES) OWN(columns)(inputs, layer, first, AHEAD, is_last, outputs);
            for (; first < layer->outputs; first += LANES) OWN(columns)(inputs, layer, first, 1, is_last, outputs);
            for (int row = 0; row < TOGETHER; row++) inputs[row] = outputs[row];
        }
        for (int64_t row = 0; row < TOGETHER && begin + row < num_rows; row++)
            for (int64_t i = 0; i < num_answers; i++) answers[(begin + row) * num_answers + i] = inputs[row][i];
    }
}
#undef floats
#undef ints
#endif
