// Three interleaved colours at a time, in vectors of four floats, of which the last is of no interest. A body for each_isa.h.

typedef float pixel __attribute__((vector_size(16)));
typedef float unaligned_pixel __attribute__((vector_size(16), aligned(4), may_alias));

static inline pixel get(const float* p) { return *reinterpret_cast<const unaligned_pixel*>(p); }
static inline void put(float* p, pixel v) { *reinterpret_cast<unaligned_pixel*>(p) = v; }

// row = weights of `most` rows * those rows
template <class Value>
static void mix_rows(const Value* values, int64_t stride, const float* weights, int64_t most, int64_t length, float* row) {
  const float first = weights[0];
  for (int64_t i = 0; i < length; ++i) row[i] = first * float(values[i]);
  for (int64_t t = 1; t < most; ++t) {
    const float weight = weights[t];
    if (weight == 0) return;  // nor may what lies there be read: it can be beyond the image
    values += stride;
    for (int64_t i = 0; i < length; ++i) row[i] += weight * float(values[i]);
  }
}

// `MOST`: columns.most if that is known when compiling, else 0.
template <int64_t MOST>
static void mix_so_many(const Taps& columns, const float* row, float shift, float scale, float* r, float* g, float* b) {
  const int64_t most = MOST ? MOST : columns.most, begin = columns.first[0], count = int64_t(columns.first.size());
  const float* weight = columns.weights.data();
  for (int64_t x = 0; x < count; ++x) {
    const float* from = row + 3 * (columns.first[x] - begin);
    pixel sum = {};
    for (int64_t t = 0; t < most; ++t, from += 3) sum += *weight++ * get(from);
    sum = (sum - shift) * scale;
    r[x] = sum[0], g[x] = sum[1], b[x] = sum[2];
  }
}

// Three rows of outputs, (value - shift) * scale, of a row that begins with the first pixel that the first of them takes and has
// a float more than all pixels with weights.
static void mix_columns(const Taps& columns, const float* row, float shift, float scale, float* r, float* g, float* b) {
  const auto mix = columns.most == 2   ? mix_so_many<2>
                   : columns.most == 3 ? mix_so_many<3>
                   : columns.most == 4 ? mix_so_many<4>
                   : columns.most == 5 ? mix_so_many<5>
                                       : mix_so_many<0>;
  mix(columns, row, shift, scale, r, g, b);
}
