// Vectors as wide as the processor's registers, on the compiler's own vector types. A body for each_isa.h.

constexpr int LANES = VECTOR_BYTES / 4;
typedef float vec __attribute__((vector_size(VECTOR_BYTES)));
typedef float unaligned_vec __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

static inline vec load(const float* p) { return *reinterpret_cast<const unaligned_vec*>(p); }
static inline void store(float* p, vec v) { *reinterpret_cast<unaligned_vec*>(p) = v; }
static inline void store_first(float* p, vec v, int count) {
  if (count >= LANES) return store(p, v);
  for (int i = 0; i < count; ++i) p[i] = v[i];
}

typedef int32_t mask __attribute__((vector_size(VECTOR_BYTES)));  // -1 for true

static inline mask beats(vec x, vec y) { return (x > y) | (x != x); }
static inline vec first_lanes(vec v, int64_t count) {  // the others are zero
  mask lane;
  for (int i = 0; i < LANES; ++i) lane[i] = i;
  return lane < int32_t(std::min<int64_t>(count, LANES)) ? v : vec{};
}

// Returns its argument in a register: the compiler must neither load it again for each use nor see through it.
static inline vec keep(vec v) {
#if MTCNN_X86
  __asm__("" : "+v"(v));
#endif
  return v;
}
static inline const float* keep(const float* p) {
  __asm__("" : "+r"(p));
  return p;
}

// The even and the odd values of two vectors that follow each other, and the two vectors that such values come from.
#if VECTOR_BYTES == 64
#define MTCNN_LANES(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12), f(13), f(14), f(15)
#elif VECTOR_BYTES == 32
#define MTCNN_LANES(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)
#else
#define MTCNN_LANES(f) f(0), f(1), f(2), f(3)
#endif
#define MTCNN_EVEN(i) 2 * i
#define MTCNN_ODD(i) 2 * i + 1
#define MTCNN_FIRST(i) i / 2 + i % 2 * LANES
#define MTCNN_SECOND(i) (i + LANES) / 2 + i % 2 * LANES
#if defined(__clang__)
#define MTCNN_SHUFFLE(f) __builtin_shufflevector(a, b, MTCNN_LANES(f))
#else
#define MTCNN_SHUFFLE(f) __builtin_shuffle(a, b, mask{MTCNN_LANES(f)})
#endif
static inline vec evens(vec a, vec b) { return MTCNN_SHUFFLE(MTCNN_EVEN); }
static inline vec odds(vec a, vec b) { return MTCNN_SHUFFLE(MTCNN_ODD); }
static inline vec first_half(vec a, vec b) { return MTCNN_SHUFFLE(MTCNN_FIRST); }
static inline vec second_half(vec a, vec b) { return MTCNN_SHUFFLE(MTCNN_SECOND); }
#undef MTCNN_LANES
#undef MTCNN_EVEN
#undef MTCNN_ODD
#undef MTCNN_FIRST
#undef MTCNN_SECOND
#undef MTCNN_SHUFFLE
