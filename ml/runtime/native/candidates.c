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
    uint32_t *proposed_by; /* By place, a bit for each source that may propose it, and one for the caller. */
    uint32_t *scored_by;   /* The same for a score. */
    int32_t *touched;      /* Places the source at work has scored. */
    float *scores;         /* `[num_sources, most]`; holds nothing where no bit says so. */
    int64_t most;
};

static int64_t most_places(const struct source *sources, int64_t num_sources, int64_t num_named, int64_t catalogue) {
    int64_t most = num_named;
    for (const struct source *s = sources; s < sources + num_sources; s++) {
        most += s->num_proposals + (s->starts ? 0 : s->num_items);
        for (int64_t i = 0; s->starts && i < s->num_items; i++) most += s->starts[s->items[i] + 1] - s->starts[s->items[i]];
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
        joined->sums[place] = 0.0;
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
            if (joined->sums[place] == 0.0) joined->touched[num_touched++] = (int32_t)place;
            joined->sums[place] += (double)score;
        }
    }
    return num_touched;
}

/* The sums become the source's scores, and the best of them its proposals. */
static void settle(
    struct joined *joined, const struct source *s, int64_t source, int64_t num_touched, const uint8_t *allowed, uint64_t *words
) {
    int64_t num_positive = 0;
    for (int64_t i = 0; i < num_touched; i++) {
        int64_t place = joined->touched[i];
        float score = (float)joined->sums[place];
        joined->sums[place] = 0.0; /* Seen again, it scores nothing more. */
        if (score == 0.0f) continue;
        joined->scores[source * joined->most + place] = score;
        joined->scored_by[place] |= 1u << source;
        uint32_t bits, row = (uint32_t)joined->places.numbers[place];
        if (score < 0.0f || !allowed[row]) continue;
        memcpy(&bits, &score, sizeof bits);
        words[num_positive++] = (uint64_t)bits << 32 | (0xffffffffu - row); /* Of equal scores the lower row is the better. */
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
    settle(joined, s, source, num_touched, allowed, words);
    for (int64_t i = 0; i < s->num_proposals; i++) propose(joined, allowed, heard_of(joined, s->proposals[i]), source);
}

/* The distinct allowed items of all proposals and of those named, by ascending row, with every source's score.
   Arrays that are written to have room for all that may be proposed. Returns how many there are, or -1 when there is no memory.
   At most 31 sources. */
int64_t join_sources(
    const struct source *sources, int64_t num_sources, const int32_t *named, int64_t num_named, const uint8_t *allowed, int64_t catalogue,
    int32_t *rows, float *scores, uint8_t *proposed
) {
    int64_t most_known = most_places(sources, num_sources, num_named, catalogue), num_slots = slots_for(most_known);
    int64_t most_touched = 0, most = num_named;
    for (const struct source *s = sources; s < sources + num_sources; s++) {
        most += s->num_proposals + s->at_most;
        int64_t touched = s->starts ? 0 : s->num_items;
        for (int64_t i = 0; s->starts && i < s->num_items; i++) touched += s->starts[s->items[i] + 1] - s->starts[s->items[i]];
        if (touched > most_touched) most_touched = touched;
    }
    int64_t num_words = 2 * ((most_touched > most ? most_touched : most) + 1);
    char *memory = room_for(
        sizeof(uint64_t) * num_words + sizeof(double) * most_known + sizeof(int32_t) * (num_slots + 3 * most_known + most_touched)
        + sizeof(float) * most_known * num_sources
    );
    if (!memory) return -1;
    uint64_t *words = (uint64_t *)memory;
    struct joined joined;
    joined.sums = (double *)(words + num_words);
    joined.scores = (float *)(joined.sums + most_known);
    joined.proposed_by = (uint32_t *)(joined.scores + most_known * num_sources);
    joined.scored_by = joined.proposed_by + most_known;
    joined.touched = (int32_t *)(joined.scored_by + most_known);
    joined.most = most_known;
    joined.places = places_in(joined.touched + most_touched + most_known, joined.touched + most_touched, num_slots);
    for (int64_t s = 0; s < num_sources; s++) hear(&joined, sources + s, s, allowed, words);
    for (int64_t i = 0; i < num_named; i++) propose(&joined, allowed, heard_of(&joined, named[i]), num_sources);
    int64_t count = 0;
    for (int64_t place = 0; place < joined.places.count; place++)
        if (joined.proposed_by[place]) words[count++] = (uint64_t)joined.places.numbers[place] << 32 | (uint64_t)place;
    sort_words(words, words + count, count, 32, 64);
    for (int64_t i = 0; i < count; i++) {
        int64_t place = (int64_t)(words[i] & 0xffffffffu);
        rows[i] = joined.places.numbers[place];
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
