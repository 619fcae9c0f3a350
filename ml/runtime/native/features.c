/* Features of one request's candidates; enrich.py has the same in NumPy, and says what each means. */
#include <math.h>

#include "sorting.h"

enum { OWN = 14, SPANS = 3, WHOLE = 9 /* Of the own features: from here on unknown where never. */, HABITS = 4, RHYTHM = 5, SUMMARY = 3 };

static const int64_t SECONDS_PER_DAY = 86400;

struct history {
    int64_t num_events;
    const int32_t *item_rows;
    const int8_t *codes;
    const int64_t *occurred_at;
    const float *quantity;
    const float *weights; /* `[SPANS, num_events]` decayed. */
    int64_t at;
    int64_t purchase, view, cart_add, refund; /* Codes. */
};

static float larger(float a, float b) { return a != a || a > b ? a : b; }

static int64_t day_of(int64_t at) { return at / SECONDS_PER_DAY - (at % SECONDS_PER_DAY < 0); }

/* Of the events `words[0..count)`, all of one item, as they happened. Sums are doubles, as NumPy's `bincount` has them. */
static void own_of_item(const struct history *h, const uint64_t *words, int64_t count, float *own) {
    double quantity = 0, weights[SPANS] = {0};
    int64_t purchases = 0, views = 0, cart_adds = 0, refunds = 0, purchase_days = 0, last_day = INT64_MIN;
    float last = INFINITY, first = -INFINITY, last_bought = INFINITY, first_bought = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        int64_t event = (int64_t)(words[i] & 0xffffffffu);
        int8_t code = h->codes[event];
        float days = (float)((double)(h->at - h->occurred_at[event]) / (double)SECONDS_PER_DAY);
        last = days < last ? days : last;
        first = days > first ? days : first;
        for (int span = 0; span < SPANS; span++) weights[span] += (double)h->weights[span * h->num_events + event];
        views += code == h->view;
        cart_adds += code == h->cart_add;
        refunds += code == h->refund;
        if (code != h->purchase) continue;
        purchases++;
        quantity += (double)h->quantity[event];
        last_bought = days < last_bought ? days : last_bought;
        first_bought = days > first_bought ? days : first_bought;
        int64_t day = day_of(h->occurred_at[event]);
        purchase_days += day != last_day; /* Two lines of one order are one occasion. Events are in the order they happened. */
        last_day = day;
    }
    float interval = purchase_days > 1 ? (first_bought - last_bought) / (float)(purchase_days - 1) : NAN;
    last_bought = purchases ? last_bought : NAN;
    const float found[OWN] = {
        (float)purchases, (float)purchase_days, (float)quantity, (float)views, (float)cart_adds, (float)refunds, (float)weights[0],
        (float)weights[1], (float)weights[2], last, first, last_bought, interval, last_bought / larger(interval, 0.5f),
    };
    memcpy(own, found, sizeof found);
}

/* Occasions one item was bought on. */
struct occasions {
    int64_t count, first, last, among_last_3;
};

static struct occasions occasions_of_item(
    const struct history *h, const uint64_t *words, int64_t count, const int32_t *occasion_of, int64_t num_occasions
) {
    struct occasions found = {0, 0, -1, 0};
    for (int64_t i = 0; i < count; i++) {
        int64_t event = (int64_t)(words[i] & 0xffffffffu), occasion = occasion_of[event];
        if (h->codes[event] != h->purchase || occasion == found.last) continue;
        if (!found.count++) found.first = occasion;
        found.last = occasion;
        found.among_last_3 += occasion >= num_occasions - 3;
    }
    return found;
}

/* What the user did with each of ascending `rows`: `own` and habits, and how due the item is by other people's measure `due_after [catalogue]`,
   OWN + HABITS + 1 numbers a row, `stride` from one row to the next; and of the user `[RHYTHM + SUMMARY]`. -1 when there is no memory. */
int64_t past_features(
    const struct history *h, const int32_t *rows, int64_t num_rows, const float *due_after, int64_t due_stride, float *features, int64_t stride,
    float *of_user
) {
    uint64_t *words = room_for(2 * sizeof *words * (h->num_events + 1) + sizeof(int32_t) * h->num_events);
    if (!words) return -1;
    int32_t *occasion_of = (int32_t *)(words + 2 * (h->num_events + 1));
    int64_t num_occasions = 0, first_day = 0, last_day = 0;
    for (int64_t i = 0; i < h->num_events; i++) {
        words[i] = (uint64_t)(uint32_t)h->item_rows[i] << 32 | (uint64_t)i;
        if (h->codes[i] == h->purchase) {
            int64_t day = day_of(h->occurred_at[i]);
            if (!num_occasions) first_day = day;
            if (!num_occasions++ || day != last_day) last_day = day;
            else num_occasions--;
        }
        occasion_of[i] = (int32_t)(num_occasions - 1);
    }
    sort_words(words, words + h->num_events, h->num_events, 32, 64);
    for (int64_t i = 0; i < num_rows; i++) {
        float *to = features + i * stride;
        for (int j = 0; j < OWN; j++) to[j] = j < WHOLE ? 0.0f : NAN;
        to[OWN] = to[OWN + 3] = 0.0f;
        to[OWN + 1] = to[OWN + 2] = to[OWN + HABITS] = NAN;
    }
    int64_t num_items = 0, num_bought = 0, num_pairs = 0, row = 0;
    for (int64_t begin = 0, end; begin < h->num_events; begin = end) {
        int32_t item = (int32_t)(words[begin] >> 32);
        for (end = begin + 1; end < h->num_events && (int32_t)(words[end] >> 32) == item;) end++;
        struct occasions o = occasions_of_item(h, words + begin, end - begin, occasion_of, num_occasions);
        num_items++;
        num_bought += o.count > 0;
        num_pairs += o.count;
        while (row < num_rows && rows[row] < item) row++;
        if (row == num_rows || rows[row] != item) continue;
        float *to = features + row * stride;
        own_of_item(h, words + begin, end - begin, to);
        to[OWN + HABITS] = to[11] / due_after[(int64_t)item * due_stride]; /* Days since a purchase. */
        if (!o.count) continue;
        to[OWN] = (float)((double)o.count / (double)num_occasions);
        to[OWN + 1] = (float)(num_occasions - 1 - o.last);
        to[OWN + 2] = (float)((double)o.count / (double)(num_occasions - o.first));
        to[OWN + 3] = (float)o.among_last_3;
    }
    double between = num_occasions > 1 ? (double)(last_day - first_day) / (double)(num_occasions - 1) : NAN;
    double due = ((double)h->at / (double)SECONDS_PER_DAY - (double)last_day) / between;
    double age = h->num_events ? (double)(h->at - h->occurred_at[h->num_events - 1]) / (double)SECONDS_PER_DAY : NAN;
    const float told[RHYTHM + SUMMARY] = {
        (float)num_occasions, (float)between, num_occasions > 1 ? (float)due : NAN,
        num_occasions ? (float)((double)num_pairs / (double)num_occasions) : NAN, num_pairs ? (float)((double)num_bought / (double)num_pairs) : NAN,
        (float)h->num_events, (float)num_items, (float)age,
    };
    memcpy(of_user, told, sizeof told);
    return 0;
}

/* Of the weights `[num_events]` of the events' items, the share that lies in each row's group, by kind `shares [num_rows, num_kinds]`,
   `stride` from one row to the next. `kinds [catalogue, num_kinds]` are groups; weights and groups below 0 count for nothing. Returns -1 when there is no memory. */
int64_t shares_of_groups(
    const int32_t *items, const float *weights, int64_t num_events, const int32_t *kinds, int64_t num_kinds, const int32_t *rows, int64_t num_rows,
    float *shares, int64_t stride
) {
    int64_t num_slots = slots_for(num_events);
    double *sums = room_for(sizeof *sums * (num_events + 1) + sizeof(int32_t) * (num_slots + num_events));
    if (!sums) return -1;
    int32_t *numbers = (int32_t *)(sums + num_events + 1), *slots = numbers + num_events;
    for (int64_t kind = 0; kind < num_kinds; kind++) {
        struct places groups = places_in(slots, numbers, num_slots);
        double total = 0.0;
        if (kind == 0) look_up(kinds, rows, num_rows, num_kinds * (int64_t)sizeof *kinds);
        for (int64_t i = 0; i < num_events; i++) {
            int32_t group = kinds[(int64_t)items[i] * num_kinds + kind];
            if (group < 0) continue;
            int64_t known = groups.count, place = place_of(&groups, group);
            double weight = weights[i] > 0.0f ? (double)weights[i] : 0.0;
            sums[place] = (place == known ? 0.0 : sums[place]) + weight;
            total += weight;
        }
        if (!(total > 0)) total = 1.0;
        for (int64_t i = 0; i < num_rows; i++) {
            int32_t group = kinds[(int64_t)rows[i] * num_kinds + kind];
            int64_t place = group < 0 ? FREE : place_or_slot(&groups, group);
            shares[i * stride + kind] = place < 0 ? 0.0f : (float)(sums[place] / total);
        }
    }
    return 0;
}

/* Scores `[num_rows, num_sources]` as shares of each source's best, in [0, 1]. */
int64_t shares_of_best(const float *scores, int64_t num_rows, int64_t num_sources, float *shares) {
    for (int64_t source = 0; source < num_sources; source++) {
        float best = 0.0f;
        for (int64_t i = source; i < num_rows * num_sources; i += num_sources) best = scores[i] > best ? scores[i] : best;
        if (!(best > 0)) best = 1.0f;
        for (int64_t i = source; i < num_rows * num_sources; i += num_sources) {
            float share = scores[i] / best;
            shares[i] = share < 0.0f ? 0.0f : share > 1.0f ? 1.0f : share;
        }
    }
    return 0;
}

/* 1 / rank in each source, the lower row first of equal scores; 0 where the score is not above 0. And what all ranks come to: the sum of
   1 / (`smooth` + rank). Returns -1 when there is no memory. */
int64_t reciprocal_ranks(const float *scores, int64_t num_rows, int64_t num_sources, int64_t smooth, float *ranks, float *fused) {
    uint64_t *words = room_for(2 * sizeof *words * (num_rows + 1));
    if (!words) return -1;
    memset(ranks, 0, sizeof *ranks * num_rows * num_sources);
    memset(fused, 0, sizeof *fused * num_rows);
    for (int64_t source = 0; source < num_sources; source++) {
        int64_t count = 0;
        for (int64_t i = 0; i < num_rows; i++) {
            uint32_t bits;
            memcpy(&bits, scores + i * num_sources + source, sizeof bits);
            if (scores[i * num_sources + source] > 0) words[count++] = (uint64_t)~bits << 32 | (uint64_t)i;
        }
        sort_words(words, words + count, count, 32, 64);
        for (int64_t i = 0; i < count; i++) {
            int64_t row = (int64_t)(words[i] & 0xffffffffu);
            ranks[row * num_sources + source] = (float)(1.0 / (double)(i + 1));
            fused[row] += (float)(1.0 / (double)(smooth + i + 1));
        }
    }
    return 0;
}

/* Of candidates by ascending row, those with the `most` largest of `fused`, the lower row first of equal ones, and those that were named, by
   ascending row: everything else is taken out of all arrays. Returns how many are left, -1 when there is no memory. */
int64_t keep_best(
    const float *fused, int64_t num_rows, int64_t num_sources, int64_t most, const int32_t *named, int64_t num_named, int32_t *rows,
    float *scores, uint8_t *proposed, float *shares, float *ranks
) {
    uint64_t *words = room_for(sizeof *words * num_rows + num_rows);
    if (!words) return -1;
    uint8_t *kept = (uint8_t *)(words + num_rows);
    memset(kept, 0, num_rows);
    for (int64_t i = 0; i < num_rows; i++) {
        uint32_t bits;
        memcpy(&bits, fused + i, sizeof bits);
        words[i] = (uint64_t)bits << 32 | (0xffffffffu - (uint32_t)i);
    }
    if (0 < most && most < num_rows) select_largest(words, num_rows, most);
    for (int64_t i = 0; i < most && i < num_rows; i++) kept[0xffffffffu - (uint32_t)words[i]] = 1;
    for (int64_t i = 0, j = 0; i < num_rows && j < num_named; i++) {
        while (j < num_named && named[j] < rows[i]) j++;
        if (j < num_named && named[j] == rows[i]) kept[i] = 1;
    }
    int64_t count = 0;
    for (int64_t i = 0; i < num_rows; i++) {
        if (!kept[i]) continue;
        if (count < i) {
            int64_t from = i * num_sources, to = count * num_sources;
            rows[count] = rows[i];
            memcpy(scores + to, scores + from, sizeof *scores * num_sources);
            memcpy(proposed + to, proposed + from, num_sources);
            memcpy(shares + to, shares + from, sizeof *shares * num_sources);
            memcpy(ranks + to, ranks + from, sizeof *ranks * num_sources);
        }
        count++;
    }
    return count;
}

/* Scores, shares, ranks and proposals of each row side by side, and by how many sources it was proposed. */
int64_t source_features(
    const float *scores, const float *shares, const float *ranks, const uint8_t *proposed, int64_t num_rows, int64_t num_sources,
    float *features, int64_t stride
) {
    for (int64_t i = 0; i < num_rows; i++, features += stride) {
        int64_t from = i * num_sources, count = 0;
        memcpy(features, scores + from, sizeof *scores * num_sources);
        memcpy(features + num_sources, shares + from, sizeof *shares * num_sources);
        memcpy(features + 2 * num_sources, ranks + from, sizeof *ranks * num_sources);
        for (int64_t s = 0; s < num_sources; s++) {
            features[3 * num_sources + s] = (float)proposed[from + s];
            count += proposed[from + s];
        }
        features[4 * num_sources] = (float)count;
    }
    return 0;
}

/* Columns that stand side by side in the features. */
struct block {
    const float *values;
    int64_t width;
    int64_t stride;       /* Values from one row to the next; 0 where all rows have the same. */
    const int32_t *index; /* Which row of `values` each row has; NULL: its own. */
};

/* Widths that occur: a copy of known size is a few instructions, one of any size is a call. */
#define COPIES(width) \
    case width: \
        for (int64_t i = 0; i < num_rows; i++) \
            memcpy(to + i * num_features, from + (b->index ? b->index[i] : i) * b->stride, sizeof(float) * width); \
        break;

static void copy(const struct block *b, int64_t num_rows, int64_t num_features, float *to) {
    const float *from = b->values;
    if (b->index) look_up(from, b->index, num_rows, b->stride * (int64_t)sizeof *from);
    switch (b->width) {
        COPIES(1) COPIES(2) COPIES(3) COPIES(4) COPIES(5) COPIES(6) COPIES(7) COPIES(8) COPIES(9) COPIES(10) COPIES(11) COPIES(12)
        COPIES(13) COPIES(14) COPIES(15) COPIES(16) COPIES(17) COPIES(18) COPIES(19) COPIES(20)
        default:
            for (int64_t i = 0; i < num_rows; i++)
                memcpy(to + i * num_features, from + (b->index ? b->index[i] : i) * b->stride, sizeof(float) * b->width);
    }
}

/* `features [num_rows, num_features]`; a block without values leaves its columns as they are. */
int64_t side_by_side(const struct block *blocks, int64_t num_blocks, int64_t num_rows, int64_t num_features, float *features) {
    for (const struct block *b = blocks; b < blocks + num_blocks; features += b->width, b++)
        if (b->values) copy(b, num_rows, num_features, features);
    return 0;
}
