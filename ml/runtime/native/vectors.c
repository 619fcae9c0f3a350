/* Scores of a few rows by vectors; likeness.py has the same in NumPy, and says what they mean.

   Products are added up in sixteen sums, which are then added in pairs: so every width of vector, and NumPy, give the same bits. */
#include <stdint.h>
#include <string.h>

enum { SUMS = 16, ROWS_AHEAD = 4 };

#define INLINE __attribute__((always_inline)) static inline
#ifdef __x86_64__
#define WIDER __attribute__((target("avx2")))
#else
#define WIDER
#endif

/* Of a finite half-precision number: its exponent is moved by a product, which also makes what is subnormal right. */
INLINE float of_half(uint16_t half) {
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    number *= 0x1p112f;
    memcpy(&bits, &number, sizeof bits);
    bits |= sign;
    memcpy(&number, &bits, sizeof number);
    return number;
}

INLINE float in_pairs(float *sums) {
    for (int width = SUMS / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) sums[i] += sums[i + width];
    return sums[0];
}

#define PARAMETERS const int32_t *rows, int64_t num_rows, int64_t size, const float *query, float *scores, int64_t stride
#define ARGUMENTS rows, num_rows, size, query, scores, stride

/* Rows lie anywhere in memory, which takes long to answer. */
#define SCORES(table, read) \
    for (int64_t i = 0; i < num_rows; i++) { \
        if (i + ROWS_AHEAD < num_rows) \
            for (int64_t j = 0; j < size * (int64_t)sizeof *table; j += 64) \
                __builtin_prefetch((const char *)(table + rows[i + ROWS_AHEAD] * size) + j); \
        float sums[SUMS] = {0}; \
        const __typeof__(*table) *row = table + rows[i] * size; \
        int64_t j = 0; \
        for (; j + SUMS <= size; j += SUMS) \
            for (int k = 0; k < SUMS; k++) sums[k] += read(row[j + k]) * query[j + k]; \
        for (int k = 0; j + k < size; k++) sums[k] += read(row[j + k]) * query[j + k]; \
        scores[i * stride] = in_pairs(sums); \
    }
#define AS_IT_IS(number) (number)

INLINE void floats_inline(const float *table, PARAMETERS) { SCORES(table, AS_IT_IS) }
INLINE void halves_inline(const uint16_t *table, PARAMETERS) { SCORES(table, of_half) }
static void floats_plain(const float *table, PARAMETERS) { floats_inline(table, ARGUMENTS); }
WIDER static void floats_wider(const float *table, PARAMETERS) { floats_inline(table, ARGUMENTS); }
static void halves_plain(const uint16_t *table, PARAMETERS) { halves_inline(table, ARGUMENTS); }
WIDER static void halves_wider(const uint16_t *table, PARAMETERS) { halves_inline(table, ARGUMENTS); }

static int is_wider(void) {
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2");
#else
    return 0;
#endif
}

/* `scores[i * stride]` is the product of `query [size]` and row `rows[i]` of `table [many, size]`. */
int64_t score_by_floats(const float *table, PARAMETERS) {
    (is_wider() ? floats_wider : floats_plain)(table, ARGUMENTS);
    return 0;
}

/* The same of a table in half precision. */
int64_t score_by_halves(const uint16_t *table, PARAMETERS) {
    (is_wider() ? halves_wider : halves_plain)(table, ARGUMENTS);
    return 0;
}

/* `sum [size]` of rows of a table in half precision, each times its weight. */
int64_t sum_of_halves(const uint16_t *table, const int32_t *rows, const float *weights, int64_t num_rows, int64_t size, float *sum) {
    memset(sum, 0, sizeof *sum * size);
    for (int64_t i = 0; i < num_rows; i++) {
        if (i + ROWS_AHEAD < num_rows)
            for (int64_t j = 0; j < size; j += 32) __builtin_prefetch(table + rows[i + ROWS_AHEAD] * size + j);
        for (int64_t j = 0; j < size; j++) sum[j] += of_half(table[rows[i] * size + j]) * weights[i];
    }
    return 0;
}
