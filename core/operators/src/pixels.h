// Three interleaved colours at a time, in vectors of four floats, of which the last is of no interest. A body for each_isa.h.

typedef float pixel __attribute__((vector_size(16)));
typedef float unaligned_pixel __attribute__((vector_size(16), aligned(4), may_alias));

static inline pixel get(const float* p) { return *reinterpret_cast<const unaligned_pixel*>(p); }
static inline void put(float* p, pixel v) { *reinterpret_cast<unaligned_pixel*>(p) = v; }
