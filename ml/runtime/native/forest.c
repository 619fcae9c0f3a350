/* Scores rows by a forest whose splits are bit masks; forest.py says what they mean.

   Plain C with the vector extensions of GCC and Clang. This file includes itself: its second half is compiled four lanes wide, as every x86-64
   and ARM64 processor has them, and on x86-64 once more eight wide for processors with AVX2, which takes two thirds of the time. So one
   build runs on all of them. */
#ifndef LANES
#include <stdint.h>

#include "lanes.h"

enum { ROWS = 16, BITS = 32, AT_ONCE = 4 };
struct column { int32_t feature; float fill; int32_t start, end; };
struct split { float threshold; int32_t word; uint32_t mask; };
typedef float four_floats __attribute__((vector_size(16), aligned(4)));
typedef int32_t four_ints __attribute__((vector_size(16), aligned(4)));

/* The larger of each two, NaN where one is NaN. Chosen by bits: the processor guesses every second branch on them wrong. */
static inline four_floats larger_of(four_floats a, four_floats b) {
    four_ints first = (a >= b) | (a != a);
    return (four_floats)((first & (four_ints)a) | (~first & (four_ints)b));
}

#define PARAMETERS const float *features, int64_t num_rows, int64_t num_features, const struct column *columns, int64_t num_columns, \
    const struct split *splits, const int32_t *tree_words, int64_t num_trees, const double *leaf_values, void *space, double *scores
#define ARGUMENTS features, num_rows, num_features, columns, num_columns, splits, tree_words, num_trees, leaf_values, space, scores

#define LANES 4
#define TARGET
#include "forest.c"
#ifdef __x86_64__
#undef LANES
#undef TARGET
#define LANES 8
#define TARGET EIGHT_LANES
#include "forest.c"
#undef LANES
#undef TARGET
#define LANES 16
#define TARGET SIXTEEN_LANES
#include "forest.c"
#endif

/* `space` has room for ROWS + 1 words of each word of the trees, and one of each feature. */
int64_t score_forest(PARAMETERS) {
    CALL_WIDEST(score)
    return 0;
}

#else
#define PARTS (ROWS / LANES)
#define EACH_PART _Pragma("GCC unroll 4") for (int part = 0; part < PARTS; part++)
#define INLINE TARGET __attribute__((always_inline)) static inline
#define floats OWN(floats)
#define ints OWN(ints)
#define words OWN(words)
#define floats_of_rows OWN(floats_of_rows)
#define ints_of_rows OWN(ints_of_rows)
/* Aligned to 4 only: NumPy promises no more. */
typedef float floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4)));
typedef union { float row[ROWS]; floats part[PARTS]; four_floats four[ROWS / 4]; } floats_of_rows;
typedef union { int32_t row[ROWS]; ints part[PARTS]; } ints_of_rows;

/* `differs [num_features]` is 0 where all rows have the same bits, as in what is known of the user and the hour. Row by row, as they lie. */
INLINE void OWN(compare_rows)(const float *first, int64_t num_rows, int64_t num_features, uint32_t *differs) {
    __builtin_memset(differs, 0, sizeof *differs * num_features);
    for (int64_t i = 1; i < num_rows; i++)
        for (int64_t feature = 0; feature < num_features; feature++) {
            uint32_t one, other;
            __builtin_memcpy(&one, first + feature, sizeof one);
            __builtin_memcpy(&other, first + i * num_features + feature, sizeof other);
            differs[feature] |= one ^ other;
        }
}

/* One feature of the rows at `places`; returns the largest, NaN if `fill` is NaN and one is. */
INLINE float OWN(read_column)(const float *feature, const int64_t *places, float fill, floats_of_rows *x) {
    for (int i = 0; i < ROWS; i++) x->row[i] = feature[places[i]];
    EACH_PART {
        ints known = x->part[part] == x->part[part];
        x->part[part] = (floats)((known & (ints)x->part[part]) | (~known & (ints)(fill - (floats){0})));
    }
    four_floats most = larger_of(larger_of(x->four[0], x->four[1]), larger_of(x->four[2], x->four[3]));
    most = larger_of(most, (four_floats){most[2], most[3], most[0], most[1]});
    return larger_of(most, (four_floats){most[1], most[0], most[3], most[2]})[0];
}

/* Takes the leaves of a split's left branch from the rows above its threshold. */
INLINE void OWN(cut)(words *alive, const struct split *s, const floats_of_rows *x) {
    EACH_PART alive[(int64_t)s->word * PARTS + part] &= s->mask | (words)(x->part[part] <= s->threshold);
}

/* The first leaf of words [first, end) that is left, for each row. The place of the lowest bit is the exponent of the number that has only it. */
INLINE void OWN(leaves_reached)(const words *alive, int32_t first, int32_t end, ints_of_rows *leaf) {
    __builtin_memset(leaf, 0, sizeof *leaf);
    for (int32_t word = end - 1; word >= first; word--)
        EACH_PART {
            words bits = alive[(int64_t)word * PARTS + part];
            ints any = (ints)(bits != 0), lowest = ((ints)__builtin_convertvector((ints)(bits & -bits), floats) >> 23 & 255) - 127;
            leaf->part[part] = (any & (word * BITS + lowest)) | (~any & leaf->part[part]);
        }
}

TARGET static void OWN(score)(PARAMETERS) {
    if (!num_rows) return;
    const int32_t num_words = tree_words[num_trees];
    words *alive = space;
    uint32_t *common = (uint32_t *)space + (int64_t)num_words * ROWS; /* What the constant features leave, once for all rows. */
    uint32_t *differs = common + num_words;
    OWN(compare_rows)(features, num_rows, num_features, differs);
    __builtin_memset(common, 0xff, sizeof *common * num_words);
    for (int64_t i = 0; i < num_columns; i++) {
        const struct column *c = columns + i;
        if (differs[c->feature]) continue;
        float x = features[c->feature] == features[c->feature] ? features[c->feature] : c->fill;
        for (const struct split *s = splits + c->start; s < splits + c->end && !(s->threshold >= x); s++) common[s->word] &= s->mask;
    }
    for (int64_t first = 0; first < num_rows; first += ROWS) {
        int64_t present = num_rows - first < ROWS ? num_rows - first : ROWS, places[ROWS];
        for (int64_t i = 0; i < ROWS; i++) places[i] = (first + (i < present ? i : present - 1)) * num_features; /* The last one fills up. */
        for (int64_t word = 0; word < num_words; word++)
            EACH_PART alive[word * PARTS + part] = common[word] - (words){0};
        for (const struct column *c = columns; c < columns + num_columns; c++) {
            if (!differs[c->feature]) continue;
            floats_of_rows x;
            float largest = OWN(read_column)(features + c->feature, places, c->fill, &x);
            /* Thresholds ascend: at the first that no row exceeds, and at all after it, every row goes left. NaN exceeds all. So it does no harm
               to go on for a few, and saves a look at each. */
            const struct split *s = splits + c->start, *end = splits + c->end;
            for (; end - s >= AT_ONCE && !(s->threshold >= largest); s += AT_ONCE)
                _Pragma("GCC unroll 4") for (int i = 0; i < AT_ONCE; i++) OWN(cut)(alive, s + i, &x);
            for (; s < end && !(s->threshold >= largest); s++) OWN(cut)(alive, s, &x);
        }
        double sums[ROWS] = {0};
        /* A tree's leaves take the place of its first word: out of memory they come one by one faster than out of a vector. */
        for (int64_t tree = 0; tree < num_trees; tree++) {
            ints_of_rows leaf;
            OWN(leaves_reached)(alive, tree_words[tree], tree_words[tree + 1], &leaf);
            __builtin_memcpy(alive + (int64_t)tree_words[tree] * PARTS, &leaf, sizeof leaf);
        }
        for (int64_t tree = 0; tree < num_trees; tree++) {
            const int32_t *leaf = (const int32_t *)(alive + (int64_t)tree_words[tree] * PARTS);
            for (int i = 0; i < ROWS; i++) sums[i] += leaf_values[leaf[i]];
        }
        for (int64_t i = 0; i < present; i++) scores[first + i] = sums[i];
    }
}
#undef PARTS
#undef EACH_PART
#undef INLINE
#undef floats
#undef ints
#undef words
#undef floats_of_rows
#undef ints_of_rows
#endif
