/* The first places of a list; places.py has the same in Python, and says what it means. */
#include <stdint.h>

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
