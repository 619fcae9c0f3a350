/* Scores of a few items by who else wants them; item_users.py has the same in NumPy, and says what they mean. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How alike everybody is to the one who asks: all 0 between two calls. A thread keeps its own, since a large shop's is megabytes
   of which one request touches little. */
static _Thread_local float *alike;
static _Thread_local int64_t known;

static int make_room(int64_t num_users) {
    if (num_users <= known) return 1;
    float *larger = realloc(alike, sizeof *larger * num_users);
    if (!larger) return 0;
    memset(larger + known, 0, sizeof *larger * (num_users - known));
    alike = larger;
    known = num_users;
    return 1;
}

#define EACH_WHO_LIKES(item, k) for (int64_t k = starts[item]; k < starts[item + 1]; k++)

/* `scores[i * stride]` of item `rows[i]`, of the `num_liked` items somebody likes with `strengths`. -1 without memory.
   `starts`, `users` and `weights` are the table; `strengths` and `weights` are not negative. */
int64_t score_by_users(
    const int64_t *starts, const int32_t *users, const float *weights, int64_t num_users,
    const int32_t *liked, const float *strengths, int64_t num_liked,
    const int32_t *rows, int64_t num_rows, float *scores, int64_t stride
) {
    if (!make_room(num_users)) return -1;
    for (int64_t i = 0; i < num_liked; i++) EACH_WHO_LIKES(liked[i], k) alike[users[k]] += strengths[i] * weights[k];
    /* To the power of 1.5, once each: below 0 says that it is done, and costs no bit. */
    for (int64_t i = 0; i < num_liked; i++)
        EACH_WHO_LIKES(liked[i], k) {
            float *one = alike + users[k];
            if (*one > 0) *one *= -sqrtf(*one);
        }
    for (int64_t i = 0; i < num_rows; i++) {
        float sum = 0;
        EACH_WHO_LIKES(rows[i], k) sum -= alike[users[k]] * weights[k];
        scores[i * stride] = sum;
    }
    for (int64_t i = 0; i < num_liked; i++) EACH_WHO_LIKES(liked[i], k) alike[users[k]] = 0;
    return 0;
}
