/* Scores rows by a forest whose splits are bit masks; forest.py says what they mean.

   Plain C with the vector extensions of GCC and Clang, four lanes wide: every x86-64 and ARM64 processor has those, so one build runs on
   all of them. Eight lanes were 1.4 times as fast and would need a build for each family of processors. */
#include <stdint.h>

enum { LANES = 4, PARTS = 4, ROWS = LANES * PARTS, BITS = 32 };
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
#define EACH_PART _Pragma("GCC unroll 4") for (int part = 0; part < PARTS; part++)
typedef union { float row[ROWS]; floats part[PARTS]; } floats_of_rows;
typedef union { int32_t row[ROWS]; ints part[PARTS]; } ints_of_rows;

struct column { int32_t feature; float fill; int32_t start, end; };
struct split { float threshold; int32_t word; uint32_t mask; };

/* One feature of `present` rows, the last one repeated up to ROWS; returns the largest, NaN if one is NaN. */
static float read_column(const float *row, int64_t present, int64_t num_features, float fill, floats_of_rows *x) {
    float largest = -__builtin_inff();
    for (int64_t i = 0; i < ROWS; i++) {
        float value = row[(i < present ? i : present - 1) * num_features];
        value = value == value ? value : fill;
        x->row[i] = value;
        largest = largest >= value || largest != largest ? largest : value;
    }
    return largest;
}

/* The place of the lowest bit: the exponent of the number that has only this bit. */
static ints lowest_bit(words bits) {
    return ((ints)__builtin_convertvector(bits & -bits, floats) >> 23 & 255) - 127;
}

/* The first leaf of words [first, end) that is left, for each row. */
static ints_of_rows leaves_reached(const words *alive, int32_t first, int32_t end) {
    ints_of_rows leaf = {{0}};
    for (int32_t word = end - 1; word >= first; word--)
        EACH_PART {
            words bits = alive[(int64_t)word * PARTS + part];
            ints any = (ints)(bits != 0);
            leaf.part[part] = (any & (word * BITS + lowest_bit(bits))) | (~any & leaf.part[part]);
        }
    return leaf;
}

void score_forest(const float *features, int64_t num_rows, int64_t num_features,
                  const struct column *columns, int64_t num_columns, const struct split *splits,
                  const int32_t *tree_words, int64_t num_trees, const double *leaf_values,
                  words *alive, double *scores) {
    for (int64_t first = 0; first < num_rows; first += ROWS) {
        int64_t present = num_rows - first < ROWS ? num_rows - first : ROWS;
        __builtin_memset(alive, 0xff, sizeof(words) * PARTS * tree_words[num_trees]);
        for (const struct column *c = columns; c < columns + num_columns; c++) {
            floats_of_rows x;
            float largest = read_column(features + first * num_features + c->feature, present, num_features, c->fill, &x);
            /* Thresholds ascend: at the first that no row exceeds, and at all after it, every row goes left. NaN exceeds all. */
            for (const struct split *s = splits + c->start; s < splits + c->end && !(s->threshold >= largest); s++)
                EACH_PART
                    alive[(int64_t)s->word * PARTS + part] &= s->mask | (words)(x.part[part] <= s->threshold);
        }
        double sums[ROWS] = {0};
        for (int64_t tree = 0; tree < num_trees; tree++) {
            ints_of_rows leaf = leaves_reached(alive, tree_words[tree], tree_words[tree + 1]);
            for (int i = 0; i < ROWS; i++) sums[i] += leaf_values[leaf.row[i]];
        }
        for (int64_t i = 0; i < present; i++) scores[first + i] = sums[i];
    }
}
