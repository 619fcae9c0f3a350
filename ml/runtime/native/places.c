/* The first places of a list; places.py has the same in Python, and says what it means. */
#include "sorting.h"

/* Places of `scores[i * stride]`, the largest score first, equal ones as they stand `[count]`. Returns -1 when there is no memory. */
int64_t falling_order(const float *scores, int64_t count, int64_t stride, int32_t *order) {
    uint64_t *words = room_for(2 * sizeof *words * (count + 1));
    if (!words) return -1;
    for (int64_t i = 0; i < count; i++) {
        float below = 0.0f - scores[i * stride]; /* And not -x: there is one zero in an order. */
        uint32_t bits;
        memcpy(&bits, &below, sizeof bits);
        bits = bits >> 31 ? ~bits : bits | 0x80000000u; /* A negative float's bits count down. */
        words[i] = (uint64_t)bits << 32 | (uint64_t)i;
    }
    sort_words(words, words + count, count, 32, 64);
    for (int64_t i = 0; i < count; i++) order[i] = (int32_t)(words[i] & 0xffffffffu);
    return 0;
}

/* `powers[i]` is -age / seconds, at least 0 of age, for each row's item. */
int64_t fading_powers(const double *born, const int32_t *rows, int64_t num_rows, int64_t at, double seconds, double *powers) {
    for (int64_t i = 0; i < num_rows; i++) {
        if (i + 8 < num_rows) __builtin_prefetch(born + rows[i + 8]);
        double age = (double)at - born[rows[i]];
        powers[i] = -(age > 0.0 ? age : age != age ? age : 0.0) / seconds;
    }
    return 0;
}

/* One kind of group, of which only so many items may be among the first. */
struct limit {
    const int32_t *groups; /* Of every item; below 0 for none. */
    int64_t most;
};

static int fits(int32_t row, const struct limit *limits, int64_t num_limits, const int32_t *taken, int64_t count) {
    for (const struct limit *limit = limits; limit < limits + num_limits; limit++) {
        int32_t group = limit->groups[row];
        int64_t members = 0;
        for (int64_t i = 0; i < count; i++) members += limit->groups[taken[i]] == group;
        if (group >= 0 && members >= limit->most) return 0;
    }
    return 1;
}

/* The first `most` of `rows` that break no limit, each beside those before it. Returns how many there are. */
int64_t first_within_limits(
    const int32_t *rows, int64_t num_rows, const struct limit *limits, int64_t num_limits, int64_t most, int32_t *taken
) {
    int64_t count = 0;
    for (int64_t i = 0; i < num_rows && count < most; i++)
        if (fits(rows[i], limits, num_limits, taken, count)) taken[count++] = rows[i];
    return count;
}
