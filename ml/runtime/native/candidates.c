/* Joins what the sources of one request say; sources.py and sparse_scores.py have the same in NumPy, and say what it means. */
#include "sorting.h"

/* One source. Its scores are one of three: those of a table of neighbours, pairs of item and score, or a number for every item.
   It proposes the best `at_most` of what is allowed and scores above 0, and the `proposals`. */
struct source {
    const int64_t *starts; /* The table; NULL for none. */
    const int32_t *neighbours;
    const float *weights;
    const int32_t *items; /* What the table is asked for, with strengths; without a table the pairs. */
    const float *strengths;
    int64_t num_items;
    const float *dense;
    const int32_t *proposals;
    int64_t num_proposals;
    int64_t at_most;
};

struct joined {
    struct places places;
    double *sums;          /* By place, of the source at work; 0 between two of them. */
    double *other_sums;    /* The same of a second source that asks the same table. */
    uint32_t *proposed_by; /* By place, a bit for each source that may propose it, and one for the caller. */
    uint32_t *scored_by;   /* The same for a score. */
    int32_t *touched;      /* Places the source at work has scored. */
    int32_t *other_touched;
    float *scores;         /* `[num_sources, most]`; holds nothing where no bit says so. */
    int64_t most;
};

static int is_ascending(const struct source *s) {
    for (int64_t i = 1; i < s->num_items; i++)
        if (s->items[i] <= s->items[i - 1]) return 0;
    return 1;
}

/* The next source that asks the same table, if both can be asked at once; NULL if there is none. */
static const struct source *twin_of(const struct source *s, const struct source *end) {
    if (!s->starts || !is_ascending(s)) return NULL;
    for (const struct source *t = s + 1; t < end; t++)
        if (t->starts == s->starts) return is_ascending(t) ? t : NULL;
    return NULL;
}

static int64_t num_neighbours(const struct source *s, int32_t item) { return s->starts[item + 1] - s->starts[item]; }

/* Of a source that asks a table, or of two of them where both are asked at once. */
static int64_t num_heard(const struct source *s, const struct source *twin) {
    int64_t heard = 0;
    for (int64_t i = 0; i < s->num_items; i++) heard += num_neighbours(s, s->items[i]);
    for (int64_t i = 0, k = 0; twin && k < twin->num_items; k++) {
        while (i < s->num_items && s->items[i] < twin->items[k]) i++;
        if (i == s->num_items || s->items[i] != twin->items[k]) heard += num_neighbours(twin, twin->items[k]);
    }
    return heard;
}

/* How many items there can be at most, and how many words any of the sources needs `*most_touched`. */
static int64_t most_places(const struct source *sources, int64_t num_sources, int64_t num_named, int64_t catalogue, int64_t *most_touched) {
    int64_t most = num_named;
    uint32_t counted = 0;
    *most_touched = 0;
    for (int64_t s = 0; s < num_sources; s++) {
        const struct source *twin = counted >> s & 1 ? NULL : twin_of(sources + s, sources + num_sources);
        int64_t heard = counted >> s & 1 ? 0 : sources[s].starts ? num_heard(sources + s, twin) : sources[s].num_items;
        if (twin) counted |= 1u << (twin - sources);
        if (heard > *most_touched) *most_touched = heard;
        most += sources[s].num_proposals + heard;
    }
    return most < catalogue ? most : catalogue;
}

static inline void propose(struct joined *joined, const uint8_t *allowed, int64_t place, int64_t source) {
    if (allowed[joined->places.numbers[place]]) joined->proposed_by[place] |= 1u << source;
}

/* Its place, with nothing known of it yet when it is new. */
static inline int64_t heard_of(struct joined *joined, int32_t row) {
    int64_t known = joined->places.count, place = place_of(&joined->places, row);
    if (place == known) {
        joined->sums[place] = joined->other_sums[place] = 0.0;
        joined->proposed_by[place] = joined->scored_by[place] = 0;
    }
    return place;
}

enum { AHEAD = 2, LINE = 64 / sizeof(float) };

/* The lists of an item's neighbours lie anywhere in memory, which takes long to answer. */
static inline void look_ahead(const struct source *s, int64_t first) {
    for (int64_t line = 0; line < 4; line++) {
        __builtin_prefetch(s->neighbours + first + line * LINE);
        __builtin_prefetch(s->weights + first + line * LINE);
    }
}

/* Adds up in the order of the items, as the twin in NumPy does: the same sums to the last bit. */
static int64_t add_up(struct joined *joined, const struct source *s) {
    int64_t num_touched = 0;
    for (int64_t i = 0; i < s->num_items; i++) {
        int64_t first = s->starts[s->items[i]], end = s->starts[s->items[i] + 1];
        if (i + AHEAD < s->num_items) look_ahead(s, s->starts[s->items[i + AHEAD]]);
        for (int64_t j = first; j < end; j++) {
            float score = s->weights[j] * s->strengths[i];
            int64_t place = heard_of(joined, s->neighbours[j]);
            /* What has summed up to nothing meanwhile is touched twice, and looked at once: see `settle`. */
            joined->touched[num_touched] = (int32_t)place;
            num_touched += joined->sums[place] == 0.0;
            joined->sums[place] += (double)score;
        }
    }
    return num_touched;
}

struct touched {
    int64_t one, other;
};

/* The same for two sources that ask one table about ascending items: the neighbours of what both ask about are looked up once. */
static struct touched add_up_both(struct joined *joined, const struct source *s, const struct source *t) {
    struct touched count = {0, 0};
    for (int64_t i = 0, k = 0; i < s->num_items || k < t->num_items;) {
        int of_one = k == t->num_items || (i < s->num_items && s->items[i] <= t->items[k]);
        int of_other = i == s->num_items || (k < t->num_items && t->items[k] <= s->items[i]);
        int32_t item = of_one ? s->items[i] : t->items[k];
        float one = of_one ? s->strengths[i++] : 0.0f, other = of_other ? t->strengths[k++] : 0.0f;
        if (i + AHEAD < s->num_items) look_ahead(s, s->starts[s->items[i + AHEAD]]);
        for (int64_t j = s->starts[item]; j < s->starts[item + 1]; j++) {
            int64_t place = heard_of(joined, s->neighbours[j]);
            if (of_one) {
                joined->touched[count.one] = (int32_t)place;
                count.one += joined->sums[place] == 0.0;
                joined->sums[place] += (double)(s->weights[j] * one);
            }
            if (of_other) {
                joined->other_touched[count.other] = (int32_t)place;
                count.other += joined->other_sums[place] == 0.0;
                joined->other_sums[place] += (double)(s->weights[j] * other);
            }
        }
    }
    return count;
}

/* The sums become the source's scores, and the best of them its proposals. */
static void settle(
    struct joined *joined, const struct source *s, int64_t source, int64_t num_touched, const uint8_t *allowed, uint64_t *words, double *sums,
    const int32_t *touched
) {
    int64_t num_positive = 0;
    for (int64_t i = 0; i < num_touched; i++) {
        int64_t place = touched[i];
        float score = (float)sums[place];
        sums[place] = 0.0; /* Seen again, it scores nothing more. */
        if (score == 0.0f) continue;
        joined->scores[source * joined->most + place] = score;
        joined->scored_by[place] |= 1u << source;
        uint32_t bits, row = (uint32_t)joined->places.numbers[place];
        memcpy(&bits, &score, sizeof bits);
        words[num_positive] = (uint64_t)bits << 32 | (0xffffffffu - row); /* Of equal scores the lower row is the better. */
        num_positive += score > 0.0f && allowed[row];
    }
    int64_t k = s->at_most < num_positive ? s->at_most : num_positive;
    if (0 < k && k < num_positive) select_largest(words, num_positive, k);
    for (int64_t i = 0; i < k; i++) propose(joined, allowed, place_of(&joined->places, (int32_t)(0xffffffffu - (uint32_t)words[i])), source);
}

static void hear(struct joined *joined, const struct source *s, int64_t source, const uint8_t *allowed, uint64_t *words) {
    int64_t num_touched = 0;
    if (s->starts) {
        num_touched = add_up(joined, s);
    } else if (!s->dense) {
        for (; num_touched < s->num_items; num_touched++) {
            int64_t place = heard_of(joined, s->items[num_touched]);
            joined->sums[place] = s->strengths[num_touched];
            joined->touched[num_touched] = (int32_t)place;
        }
    }
    settle(joined, s, source, num_touched, allowed, words, joined->sums, joined->touched);
}

/* What a source proposes whatever the scores. */
static void propose_besides(struct joined *joined, const struct source *s, int64_t source, const uint8_t *allowed) {
    for (int64_t i = 0; i < s->num_proposals; i++) propose(joined, allowed, heard_of(joined, s->proposals[i]), source);
}

/* The distinct allowed items of all proposals and of those named, by ascending row, with every source's score.
   Arrays that are written to have room for all that may be proposed. Returns how many there are, or -1 when there is no memory.
   At most 31 sources. */
int64_t join_sources(
    const struct source *sources, int64_t num_sources, const int32_t *named, int64_t num_named, const uint8_t *allowed, int64_t catalogue,
    int32_t *rows, float *scores, uint8_t *proposed
) {
    int64_t most_touched, most_known = most_places(sources, num_sources, num_named, catalogue, &most_touched), num_slots = slots_for(most_known);
    int64_t most = num_named;
    for (const struct source *s = sources; s < sources + num_sources; s++) most += s->num_proposals + s->at_most;
    int64_t num_words = 2 * ((most_touched > most ? most_touched : most) + 1);
    char *memory = room_for(
        sizeof(uint64_t) * num_words + sizeof(double) * 2 * most_known + sizeof(int32_t) * (num_slots + 3 * most_known + 2 * most_touched)
        + sizeof(float) * most_known * num_sources
    );
    if (!memory) return -1;
    uint64_t *words = (uint64_t *)memory;
    struct joined joined;
    joined.sums = (double *)(words + num_words);
    joined.other_sums = joined.sums + most_known;
    joined.scores = (float *)(joined.other_sums + most_known);
    joined.proposed_by = (uint32_t *)(joined.scores + most_known * num_sources);
    joined.scored_by = joined.proposed_by + most_known;
    joined.touched = (int32_t *)(joined.scored_by + most_known);
    joined.most = most_known;
    joined.other_touched = joined.touched + most_touched;
    int32_t *numbers = joined.other_touched + most_touched;
    joined.places = places_in(numbers + most_known, numbers, num_slots);
    uint32_t heard = 0; /* A bit for each source that was asked with the one before it. */
    for (int64_t s = 0; s < num_sources; s++) {
        if (heard >> s & 1) continue;
        const struct source *twin = twin_of(sources + s, sources + num_sources);
        if (!twin) {
            hear(&joined, sources + s, s, allowed, words);
            continue;
        }
        struct touched count = add_up_both(&joined, sources + s, twin);
        settle(&joined, sources + s, s, count.one, allowed, words, joined.sums, joined.touched);
        settle(&joined, twin, twin - sources, count.other, allowed, words, joined.other_sums, joined.other_touched);
        heard |= 1u << (twin - sources);
    }
    for (int64_t s = 0; s < num_sources; s++) propose_besides(&joined, sources + s, s, allowed);
    for (int64_t i = 0; i < num_named; i++) propose(&joined, allowed, heard_of(&joined, named[i]), num_sources);
    int64_t count = 0;
    for (int64_t place = 0; place < joined.places.count; place++)
        if (joined.proposed_by[place]) words[count++] = (uint64_t)joined.places.numbers[place] << 32 | (uint64_t)place;
    sort_words(words, words + count, count, 32, 64);
    for (int64_t i = 0; i < count; i++) rows[i] = joined.places.numbers[words[i] & 0xffffffffu];
    for (int64_t s = 0; s < num_sources; s++)
        if (sources[s].dense) look_up(sources[s].dense, rows, count, sizeof *sources[s].dense);
    for (int64_t i = 0; i < count; i++) {
        int64_t place = (int64_t)(words[i] & 0xffffffffu);
        for (int64_t s = 0; s < num_sources; s++) {
            float score = joined.scored_by[place] >> s & 1 ? joined.scores[s * most_known + place] : 0.0f;
            scores[i * num_sources + s] = sources[s].dense ? sources[s].dense[rows[i]] : score;
            proposed[i * num_sources + s] = joined.proposed_by[place] >> s & 1;
        }
    }
    return count;
}

/* Numbers of rows that occur several times, added up as they stand `[returned]`, by ascending row. -1 when there is no memory. */
int64_t sum_by_row(const int32_t *rows, const float *numbers, int64_t count, int32_t *distinct, float *sums) {
    uint64_t *words = room_for(2 * sizeof *words * (count + 1));
    if (!words) return -1;
    for (int64_t i = 0; i < count; i++) words[i] = (uint64_t)(uint32_t)rows[i] << 32 | (uint64_t)i;
    sort_words(words, words + count, count, 32, 64);
    int64_t found = 0;
    for (int64_t i = 0; i < count; found++) {
        uint64_t row = words[i] >> 32;
        double sum = 0.0;
        for (; i < count && words[i] >> 32 == row; i++) sum += (double)numbers[words[i] & 0xffffffffu];
        distinct[found] = (int32_t)row;
        sums[found] = (float)sum;
    }
    return found;
}

/* One history by ascending item: how much each event of it weighs in all `lasting [returned]`, and as it has faded `fading`. Of the newest events
   that weigh more than 0, the `most` newest distinct items, and how many moments before the last each was: `newest`, `moments [*num_newest]`.
   -1 when there is no memory. */
int64_t read_history(
    const int32_t *items, const int8_t *codes, const int64_t *occurred_at, int64_t num_events, const float *weight_of_code, const float *faded,
    int64_t most, int32_t *distinct, float *lasting, float *fading, int32_t *newest, int64_t *moments, int64_t *num_newest
) {
    uint64_t *words = room_for(2 * sizeof *words * (num_events + 1));
    if (!words) return -1;
    for (int64_t i = 0; i < num_events; i++) words[i] = (uint64_t)(uint32_t)items[i] << 32 | (uint64_t)i;
    sort_words(words, words + num_events, num_events, 32, 64);
    int64_t found = 0, count = 0, moment = 0, last = -1;
    for (int64_t i = 0; i < num_events; found++) {
        uint64_t item = words[i] >> 32;
        double sum = 0.0, faded_sum = 0.0;
        for (; i < num_events && words[i] >> 32 == item; i++) {
            int64_t event = (int64_t)(words[i] & 0xffffffffu);
            sum += (double)weight_of_code[codes[event]];
            faded_sum += (double)faded[event];
        }
        distinct[found] = (int32_t)item;
        lasting[found] = (float)sum;
        fading[found] = (float)faded_sum;
    }
    for (int64_t i = num_events - 1; i >= 0 && count < most; i--) {
        if (!(weight_of_code[codes[i]] > 0)) continue;
        moment += last >= 0 && occurred_at[i] != occurred_at[last];
        last = i;
        int64_t j = 0;
        while (j < count && newest[j] != items[i]) j++;
        if (j < count) continue;
        newest[count] = items[i];
        moments[count++] = moment;
    }
    for (int64_t i = 1; i < count; i++) /* By ascending item, as every reading is. */
        for (int64_t j = i; j > 0 && newest[j - 1] > newest[j]; j--) {
            int32_t item = newest[j];
            int64_t at = moments[j];
            newest[j] = newest[j - 1];
            moments[j] = moments[j - 1];
            newest[j - 1] = item;
            moments[j - 1] = at;
        }
    *num_newest = count;
    return found;
}
