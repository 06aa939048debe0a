// Three interleaved colours at a time, in vectors of four floats, of which the last is of no interest. A body for each_isa.h.

typedef float pixel __attribute__((vector_size(16)));
typedef float unaligned_pixel __attribute__((vector_size(16), aligned(4), may_alias));

typedef int32_t four_numbers __attribute__((vector_size(16)));
typedef uint8_t four_bytes __attribute__((vector_size(4)));

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

// Where a row of pixels goes: to three rows of floats, or to bytes. Means of bytes are at most 255.
struct FloatRow {
  float *r, *g, *b, shift, scale;
  void set(int64_t x, pixel mean) const {
    mean = (mean - shift) * scale;
    r[x] = mean[0], g[x] = mean[1], b[x] = mean[2];
  }
};
struct ByteRow {
  uint8_t* out;
  void set(int64_t x, pixel mean) const {
    const four_bytes rounded = __builtin_convertvector(__builtin_convertvector(mean + 0.5f, four_numbers), four_bytes);
    std::memcpy(out + 3 * x, &rounded, 3);
  }
};

// `MOST`: columns.most if that is known when compiling, else 0.
template <int64_t MOST, class Row>
static void mix_so_many(const Taps& columns, const float* row, Row to) {
  const int64_t most = MOST ? MOST : columns.most, begin = columns.first[0], count = int64_t(columns.first.size());
  const float* weight = columns.weights.data();
  for (int64_t x = 0; x < count; ++x) {
    const float* from = row + 3 * (columns.first[x] - begin);
    pixel sum = {};
    for (int64_t t = 0; t < most; ++t, from += 3) sum += *weight++ * get(from);
    to.set(x, sum);
  }
}

// The outputs of a row that begins with the first pixel that the first of them takes and has a float more than all pixels with
// weights.
template <class Row>
static void mix_columns(const Taps& columns, const float* row, Row to) {
  const auto mix = columns.most == 2   ? mix_so_many<2, Row>
                   : columns.most == 3 ? mix_so_many<3, Row>
                   : columns.most == 4 ? mix_so_many<4, Row>
                   : columns.most == 5 ? mix_so_many<5, Row>
                                       : mix_so_many<0, Row>;
  mix(columns, row, to);
}
