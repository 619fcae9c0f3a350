/* What the compiled parts of a list share: an order of 64-bit words, and a place for each of a few numbers. */
#ifndef AISLE_SORTING_H
#define AISLE_SORTING_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 48, FREE = -1 };

/* Room for one call, kept for the next of the same thread: what malloc gives back to the system costs a page fault each 4 KB to get again.
   NULL when there is none. Whatever a thread got before is gone. */
static inline void *room_for(size_t size) {
    static _Thread_local void *room;
    static _Thread_local size_t has;
    if (has < size) {
        free(room);
        room = malloc(size + size / 2);
        has = room ? size + size / 2 : 0;
    }
    return room;
}

/* Asks for some rows of a table, which lie anywhere in memory: all of them come while the first are awaited. */
static inline void look_up(const void *table, const int32_t *rows, int64_t num_rows, int64_t bytes) {
    for (int64_t i = 0; i < num_rows; i++) {
        const char *row = (const char *)table + (int64_t)rows[i] * bytes;
        for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(row + line);
        __builtin_prefetch(row + bytes - 1);
    }
}

/* Ascending by the bits [low, high), a byte at a time; words that are equal there stay as they stood. `space` has room for as many. */
static inline void sort_words(uint64_t *words, uint64_t *space, int64_t count, int low, int high) {
    if (count <= FEW) {
        const uint64_t bits = (high == 64 ? ~0ull : (1ull << high) - 1) >> low << low;
        for (int64_t i = 1; i < count; i++) {
            uint64_t word = words[i];
            int64_t j = i;
            for (; j > 0 && (words[j - 1] & bits) > (word & bits); j--) words[j] = words[j - 1];
            words[j] = word;
        }
        return;
    }
    uint64_t *from = words, *to = space;
    for (int shift = low; shift < high; shift += 8) {
        int64_t ends[256] = {0};
        for (int64_t i = 0; i < count; i++) ends[from[i] >> shift & 255]++;
        if (ends[from[0] >> shift & 255] == count) continue; /* All have the same byte there. */
        int64_t before = 0;
        for (int i = 0; i < 256; i++) {
            int64_t size = ends[i];
            ends[i] = before;
            before += size;
        }
        for (int64_t i = 0; i < count; i++) to[ends[from[i] >> shift & 255]++] = from[i];
        uint64_t *other = from;
        from = to;
        to = other;
    }
    if (from != words) memcpy(words, from, sizeof *words * count);
}

enum { MANY = 512, TOP_BITS = 11 };

/* Keeps, of `count` words, at least the `k` largest, in front, and not many more: it counts the words by their first bits. Returns how many.
   Choosing by comparisons alone, the processor guesses every second one wrong. */
static inline int64_t keep_large(uint64_t *words, int64_t count, int64_t k) {
    int32_t counts[1 << TOP_BITS] = {0};
    for (int64_t i = 0; i < count; i++) counts[words[i] >> (64 - TOP_BITS)]++;
    int64_t first = 1 << TOP_BITS;
    for (int64_t above = 0; above < k; above += counts[first]) first--;
    const uint64_t least = (uint64_t)first << (64 - TOP_BITS);
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t word = words[i];
        words[kept] = word;
        kept += word >= least;
    }
    return kept;
}

/* Puts the `k` largest of `count` distinct words in front; those behind them are lost. */
static inline void select_largest(uint64_t *words, int64_t count, int64_t k) {
    if (count > MANY && k < count) count = keep_large(words, count, k);
    int64_t first = 0, last = count - 1;
    while (first < last) {
        uint64_t a = words[first], b = words[first + (last - first) / 2], c = words[last];
        uint64_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int64_t i = first, j = last;
        while (i <= j) {
            while (words[i] > pivot) i++;
            while (words[j] < pivot) j--;
            if (i > j) break;
            uint64_t word = words[i];
            words[i++] = words[j];
            words[j--] = word;
        }
        if (k - 1 <= j) last = j;
        else if (k - 1 >= i) first = i;
        else return;
    }
}

/* Numbers from 0 on, each with its place among those seen so far. */
struct places {
    int32_t *slots; /* Where a number's place is noted, FREE where none is. */
    int32_t *numbers;
    int64_t count;
    uint32_t last; /* Slots are a power of two; this is one less. */
    int shift;
};

static inline int64_t slots_for(int64_t most) {
    int64_t slots = 16;
    while (slots < 2 * most) slots *= 2;
    return slots;
}

/* `slots` of `slots_for(most)`, `numbers` of at least as many as there will be. */
static inline struct places places_in(int32_t *slots, int32_t *numbers, int64_t num_slots) {
    memset(slots, 0xff, sizeof *slots * num_slots);
    return (struct places){slots, numbers, 0, (uint32_t)(num_slots - 1), 32 - (63 - __builtin_clzll(num_slots))};
}

/* The place of a number, or the slot to note it in as FREE - slot - 1. */
static inline int64_t place_or_slot(const struct places *places, int32_t number) {
    uint32_t slot = (uint32_t)number * 2654435769u >> places->shift; /* Fibonacci hashing: neighbouring rows lie apart. */
    while (places->slots[slot] != FREE) {
        if (places->numbers[places->slots[slot]] == number) return places->slots[slot];
        slot = (slot + 1) & places->last;
    }
    return FREE - 1 - (int64_t)slot;
}

/* The place of a number, made when it has none. */
static inline int64_t place_of(struct places *places, int32_t number) {
    int64_t found = place_or_slot(places, number);
    if (found >= 0) return found;
    places->slots[FREE - 1 - found] = (int32_t)places->count;
    places->numbers[places->count] = number;
    return places->count++;
}

#endif
