/* Scores of a few rows by vectors; likeness.py has the same in NumPy, and says what they mean.

   Products are added up in sixteen sums, which are then added in pairs: so every width of vector, and NumPy, give the same bits. */
#include <stdint.h>
#include <string.h>

enum { SUMS = 16, ROWS_AHEAD = 4 };

#ifdef __x86_64__
#include <immintrin.h>
#define WIDER __attribute__((target("avx2,f16c")))
#endif

/* Of a finite half-precision number: its exponent is moved by a product, which also makes what is subnormal right. */
static inline float of_half(uint16_t half) {
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    number *= 0x1p112f;
    memcpy(&bits, &number, sizeof bits);
    bits |= sign;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static inline float in_pairs(float *sums) {
    for (int i = 0; i < 8; i++) sums[i] += sums[i + 8];
    for (int i = 0; i < 4; i++) sums[i] += sums[i + 4];
    return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

#define PARAMETERS const int32_t *rows, int64_t num_rows, int64_t size, const float *query, float *scores, int64_t stride
#define ARGUMENTS rows, num_rows, size, query, scores, stride

/* Rows lie anywhere in memory, which takes long to answer. `sixteen` adds products from the j-th on to the sums. */
#define SCORES(table, read, sixteen) \
    for (int64_t i = 0; i < num_rows; i++) { \
        if (i + ROWS_AHEAD < num_rows) \
            for (int64_t j = 0; j < size * (int64_t)sizeof *table; j += 64) \
                __builtin_prefetch((const char *)(table + rows[i + ROWS_AHEAD] * size) + j); \
        float sums[SUMS] __attribute__((aligned(64))) = {0}; \
        const __typeof__(*table) *row = table + rows[i] * size; \
        int64_t j = 0; \
        sixteen(read) \
        for (int k = 0; j + k < size; k++) sums[k] += read(row[j + k]) * query[j + k]; \
        scores[i * stride] = in_pairs(sums); \
    }
#define AS_IT_IS(number) (number)

#define ONE_BY_ONE(read) \
    for (; j + SUMS <= size; j += SUMS) \
        for (int k = 0; k < SUMS; k++) sums[k] += read(row[j + k]) * query[j + k];

static void floats_plain(const float *table, PARAMETERS) { SCORES(table, AS_IT_IS, ONE_BY_ONE) }
static void halves_plain(const uint16_t *table, PARAMETERS) { SCORES(table, of_half, ONE_BY_ONE) }

#ifdef __x86_64__
#define BY_EIGHT(load) \
    __m256 low = _mm256_setzero_ps(), high = low; \
    for (; j + SUMS <= size; j += SUMS) { \
        low = _mm256_add_ps(low, _mm256_mul_ps(load(row + j), _mm256_loadu_ps(query + j))); \
        high = _mm256_add_ps(high, _mm256_mul_ps(load(row + j + 8), _mm256_loadu_ps(query + j + 8))); \
    } \
    _mm256_store_ps(sums, low); \
    _mm256_store_ps(sums + 8, high);
#define FLOATS_BY_EIGHT(read) BY_EIGHT(_mm256_loadu_ps)
#define EIGHT_HALVES(from) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from)))
#define HALVES_BY_EIGHT(read) BY_EIGHT(EIGHT_HALVES)

WIDER static void floats_wider(const float *table, PARAMETERS) { SCORES(table, AS_IT_IS, FLOATS_BY_EIGHT) }
WIDER static void halves_wider(const uint16_t *table, PARAMETERS) { SCORES(table, of_half, HALVES_BY_EIGHT) }

static int is_wider(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"); }
#endif

/* `scores[i * stride]` is the product of `query [size]` and row `rows[i]` of `table [many, size]`. */
int64_t score_by_floats(const float *table, PARAMETERS) {
#ifdef __x86_64__
    if (is_wider()) {
        floats_wider(table, ARGUMENTS);
        return 0;
    }
#endif
    floats_plain(table, ARGUMENTS);
    return 0;
}

/* The same of a table in half precision. */
int64_t score_by_halves(const uint16_t *table, PARAMETERS) {
#ifdef __x86_64__
    if (is_wider()) {
        halves_wider(table, ARGUMENTS);
        return 0;
    }
#endif
    halves_plain(table, ARGUMENTS);
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
