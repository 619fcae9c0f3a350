/* A file that includes itself is compiled once for each width of vectors, so that one build runs on every processor: LANES floats wide, for
   TARGET. This says what the widths are called and which one a processor has. */
#ifndef AISLE_LANES_H
#define AISLE_LANES_H

#define JOINED(name, lanes) name##_##lanes
#define WITH(name, lanes) JOINED(name, lanes)
#define OWN(name) WITH(name, LANES) /* The name of this width. */

#ifdef __x86_64__
#define EIGHT_LANES __attribute__((target("avx2")))
#define SIXTEEN_LANES __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

static inline int lanes_here(void) {
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) return 16;
    return __builtin_cpu_supports("avx2") ? 8 : 4;
}

/* Calls the widest form of a function, with the ARGUMENTS of its file. */
#define CALL_WIDEST(name) \
    switch (lanes_here()) { \
    case 16: name##_16(ARGUMENTS); break; \
    case 8: name##_8(ARGUMENTS); break; \
    default: name##_4(ARGUMENTS); \
    }
#else
#define CALL_WIDEST(name) name##_4(ARGUMENTS);
#endif

#endif
