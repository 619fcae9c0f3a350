/* The vector of one moment of a user, as the query tower gives it; query_tower.py says what the parts are.

   Its numbers agree with the graph's to 1e-6 and not to the bit: exponentials and logarithms are the C library's. */
#include <math.h>
#include <string.h>

#include "sorting.h"

struct dense {
    const float *weights; /* `[inputs, outputs]` */
    const float *bias;    /* NULL for none. */
    int64_t inputs, outputs;
};

struct tower {
    const float *users;          /* `[many, size]` */
    const float *items;          /* `[many, size]` */
    int64_t size;
    const float *place_scores;   /* `[history_length]` */
    int64_t history_length;
    const float *event_scores;   /* `[num_events]` */
    const float *event_signs;    /* `[num_events]` */
    const float *event_vectors;  /* `[num_events, size]` */
    const float *content_score;  /* `[size]` */
    const float *age_score;      /* One number. */
    const struct dense *interest;
    const struct dense *layers;  /* Of the perceptron; negatives become 0 after each but the last. */
    int64_t num_layers;
    const float *const *attributes; /* `[num_attributes]` tables `[many, attribute_size]` */
    int64_t num_attributes, attribute_size;
    const float *factors;        /* `[many, num_factors + 1]`, the last number being the weight of all before it; NULL for none. */
    int64_t num_factors;
    const float *factor_weight;  /* One number: what factors are multiplied with beside the learned numbers. */
    const float *given;          /* `[many, given_size]`: vectors the shop has of its items, one after the other; NULL for none. */
    const int64_t *given_starts; /* `[num_given + 1]`: where each begins. Its first number says whether there is one. */
    int64_t num_given, given_size;
    const float *likes;          /* `[num_events]`: 1 for a kind of event that speaks for its item, else 0. */
    const struct dense *projection; /* Of the given vectors. */
    int64_t widest;              /* The most inputs or outputs of any layer. */
};

struct moment {
    const int32_t *ids;          /* `[1 + num_attributes]`: rows of the users' table and of the attributes'. */
    const int32_t *item_rows;    /* `[num_events]`, the newest last, as all of a history. */
    const int8_t *codes;
    const int64_t *occurred_at;
    int64_t num_events, at;
    const int32_t *item_indexes; /* Which row of `items` each item of the catalogue has. */
    const float *context;
    int64_t context_size;
};

static const double SECONDS_PER_DAY = 86400.0;
static const float LEAST_LENGTH = 1e-12f; /* Squared, of what TensorFlow divides by. */

static float product(const float *a, const float *b, int64_t size) {
    float sums[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= size; i += 8)
        for (int j = 0; j < 8; j++) sums[j] += a[i + j] * b[i + j];
    for (int j = 0; i + j < size; j++) sums[j] += a[i + j] * b[i + j];
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

static void add(float *to, const float *values, float times, int64_t size) {
    for (int64_t i = 0; i < size; i++) to[i] += values[i] * times;
}

static void multiply(const struct dense *layer, const float *inputs, float *outputs) {
    if (layer->bias) memcpy(outputs, layer->bias, sizeof *outputs * layer->outputs);
    else memset(outputs, 0, sizeof *outputs * layer->outputs);
    for (int64_t i = 0; i < layer->inputs; i++) add(outputs, layer->weights + i * layer->outputs, inputs[i], layer->outputs);
}

static void to_unit_length(float *vector, int64_t size) {
    float squared = product(vector, vector, size), by = 1.0f / sqrtf(squared > LEAST_LENGTH ? squared : LEAST_LENGTH);
    for (int64_t i = 0; i < size; i++) vector[i] *= by;
}

/* Shares of the newest events, the newest first `[returned]`; they sum to 1. */
static int64_t attention(const struct tower *t, const struct moment *m, float *shares, const float **contents) {
    int64_t count = m->num_events < t->history_length ? m->num_events : t->history_length;
    float most = -INFINITY, sum = 0.0f;
    for (int64_t i = 0; i < count; i++) __builtin_prefetch(t->items + m->item_indexes[m->item_rows[m->num_events - 1 - i]] * t->size);
    for (int64_t i = 0; i < count; i++) {
        int64_t event = m->num_events - 1 - i, seconds = m->at - m->occurred_at[event];
        float age = (float)log1p((double)(seconds > 0 ? seconds : 0) / SECONDS_PER_DAY);
        contents[i] = t->items + (int64_t)m->item_indexes[m->item_rows[event]] * t->size;
        shares[i] = t->place_scores[i] + *t->age_score * age + t->event_scores[m->codes[event] + 1]
            + product(contents[i], t->content_score, t->size);
        most = shares[i] > most ? shares[i] : most;
    }
    for (int64_t i = 0; i < count; i++) sum += shares[i] = expf(shares[i] - most);
    for (int64_t i = 0; i < count; i++) shares[i] /= sum;
    return count;
}

/* Of the place-th newest event's item. */
static const float *row_of(const float *table, int64_t size, const struct moment *m, int64_t place) {
    return table + (int64_t)m->item_indexes[m->item_rows[m->num_events - 1 - place]] * size;
}

/* `factors [num_factors]`, of length 1 or 0. */
static void factors_of(const struct tower *t, const struct moment *m, const float *shares, int64_t count, float *factors) {
    memset(factors, 0, sizeof *factors * t->num_factors);
    for (int64_t i = 0; i < count; i++) {
        const float *known = row_of(t->factors, t->num_factors + 1, m, i);
        add(factors, known, sqrtf(shares[i]) * known[t->num_factors], t->num_factors);
    }
    to_unit_length(factors, t->num_factors);
}

/* `liked [size]`: of the given vectors of what the newest events liked, the mean of each, projected. `mean` has room for one of all. */
static void liked_of(const struct tower *t, const struct moment *m, int64_t count, float *mean, float *liked) {
    memset(mean, 0, sizeof *mean * t->given_size);
    for (int64_t i = 0; i < count; i++)
        if (t->likes[m->codes[m->num_events - 1 - i] + 1] > 0) add(mean, row_of(t->given, t->given_size, m, i), 1.0f, t->given_size);
    for (int64_t i = 0; i < t->num_given; i++) {
        float with_one = mean[t->given_starts[i]] > 1.0f ? mean[t->given_starts[i]] : 1.0f;
        for (int64_t j = t->given_starts[i]; j < t->given_starts[i + 1]; j++) mean[j] /= with_one;
    }
    multiply(t->projection, mean, liked);
}

/* `vector [size + num_factors]` of length 1. Returns -1 when there is no memory. */
int64_t query_vector(const struct tower *t, const struct moment *m, float *vector) {
    const float **contents =
        room_for(sizeof *contents * t->history_length + sizeof(float) * (2 * t->widest + 2 * t->size + t->history_length));
    if (!contents) return -1;
    float *mixed = (float *)(contents + t->history_length), *other = mixed + t->widest, *interest = other + t->widest;
    float *liked = interest + t->size, *shares = liked + t->size;
    const float *user = t->users + (int64_t)m->ids[0] * t->size;
    int64_t count = attention(t, m, shares, contents);
    memset(interest, 0, sizeof *interest * t->size);
    for (int64_t i = 0; i < count; i++) {
        int64_t event = m->codes[m->num_events - 1 - i] + 1;
        add(interest, contents[i], shares[i] * t->event_signs[event], t->size);
        add(interest, t->event_vectors + event * t->size, shares[i], t->size);
    }
    if (t->given) liked_of(t, m, count, other, liked);
    float *to = mixed;
    memcpy(to, user, sizeof *to * t->size);
    memcpy(to += t->size, interest, sizeof *to * t->size);
    if (t->given) memcpy(to += t->size, liked, sizeof *to * t->size);
    to += t->size;
    for (int64_t i = 0; i < t->num_attributes; i++, to += t->attribute_size)
        memcpy(to, t->attributes[i] + m->ids[1 + i] * t->attribute_size, sizeof *to * t->attribute_size);
    memcpy(to, m->context, sizeof *to * m->context_size);
    for (int64_t i = 0; i < t->num_layers; i++) {
        multiply(t->layers + i, mixed, other);
        for (int64_t j = 0; i < t->num_layers - 1 && j < t->layers[i].outputs; j++) other[j] = other[j] > 0 ? other[j] : 0.0f;
        float *swapped = mixed;
        mixed = other;
        other = swapped;
    }
    multiply(t->interest, interest, vector);
    for (int64_t i = 0; i < t->size; i++) vector[i] = user[i] + vector[i] + (t->given ? liked[i] : 0.0f) + mixed[i];
    to_unit_length(vector, t->size);
    if (!t->factors) return 0;
    factors_of(t, m, shares, count, vector + t->size);
    for (int64_t i = 0; i < t->num_factors; i++) vector[t->size + i] *= *t->factor_weight;
    to_unit_length(vector, t->size + t->num_factors);
    return 0;
}
