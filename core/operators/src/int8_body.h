// A net whose products are of 8-bit integers: a layer's input is uint8, its weights are int8, and sums are exact. So the result
// depends on the instruction set only in the last bits of what is done with a sum. A body for each_isa.h, after vectors.h.
//
// As in conv_tiles.h, what one output pixel sees of a row of an image is one run of values; here four of them count at once. AVX2
// has no exact product of bytes: there two count at once, and a layer's input and weights are widened to words of two bytes.

typedef int32_t sums __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t unaligned_sums __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES)));
using Int8Weight = std::conditional_t<INT8_BYTES == 2, int16_t, int8_t>;
typedef uint8_t unaligned_bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

constexpr int INT8_V = LANES == 16 ? 4 : 2;  // the most vectors of output channels, and the most pixels beside V of them
constexpr int int8_m(int v) {
  return LANES == 16 ? (v < 3 ? 12 : v == 3 ? 8 : 6) : LANES == 4 ? 2 : INT8_BYTES == 1 ? 4 : v == 1 ? 10 : 6;
}

constexpr int INT8_FOUR = 4 / INT8_BYTES;  // values that count at once

constexpr int64_t INT8_TILE = 16;         // rows of the matrix unit's tiles, each of 16 fours or sums
constexpr int64_t INT8_CACHED = INT8_BYTES == 1 ? 1 << 18 : 1 << 17;  // bytes of a layer's values that stay near a core
constexpr int64_t INT8_GROUP = 16;        // images that go through a net together
constexpr int64_t INT8_SLACK = 128;       // bytes that are read beyond an image

// sum + the products of the four values of x with the four of each lane of w
static inline sums dot4(sums sum, uint32_t x, sums w) {
#if INT8_DOT == 512
  return sums(_mm512_dpbusd_epi32(__m512i(sum), _mm512_set1_epi32(int32_t(x)), __m512i(w)));
#elif INT8_DOT == 256 && INT8_BYTES == 2
  return sum + sums(_mm256_madd_epi16(_mm256_set1_epi32(int32_t(x)), __m256i(w)));
#elif INT8_DOT == 256
  return sums(_mm256_dpbusd_avx_epi32(__m256i(sum), _mm256_set1_epi32(int32_t(x)), __m256i(w)));
#else
  const int32_t a = x & 255, b = x >> 8 & 255, c = x >> 16 & 255, d = x >> 24;
  return sum + a * (w << 24 >> 24) + b * (w << 16 >> 24) + c * (w << 8 >> 24) + d * (w >> 24);
#endif
}

// What is made of a channel's sum: x = sum * scale + shift, and then, unless alpha is null, prelu(x) as a byte:
// to_byte times it + zero.
struct Int8Output {
  const float *scale, *shift, *alpha, *to_byte, *zero;
};

// What all tiles of up to INT8_V vectors of output channels have in common.
struct Int8Block {
  const int8_t* weights;
  int rows, fours;        // of the kernel; of a run
  int64_t step, row;      // bytes from what a pixel sees to what the next one sees, and to the next row of the kernel
  Int8Output output;
  int64_t out_step;       // values from a pixel of the output to the next
  int channels;
  int64_t value() const { return output.alpha ? 1 : int64_t(sizeof(float)); }  // bytes
};

static inline vec as_floats(sums s) { return __builtin_convertvector(s, vec); }
static inline sums as_whole(vec x) {  // rounded and cut to 0..255
  const vec zero = {}, most = zero + 255.f;
  x = x > zero ? x : zero;
  return __builtin_convertvector((x < most ? x : most) + 0.5f, sums);
}
static inline bytes as_bytes(vec x) {
#if INT8_DOT == 256
  const __m256i whole = __m256i(as_whole(x));
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
  return bytes(_mm_cvtsi128_si64(_mm_packus_epi16(words, words)));
#else
  return __builtin_convertvector(as_whole(x), bytes);
#endif
}
static inline bytes load_bytes(const uint8_t* p) { return *reinterpret_cast<const unaligned_bytes*>(p); }
static inline void store_bytes(uint8_t* p, bytes v, int count) {
  if (count >= LANES) {
    *reinterpret_cast<unaligned_bytes*>(p) = v;
  } else {
#if INT8_DOT == 512
    _mm_mask_storeu_epi8(p, __mmask16((1 << count) - 1), __m128i(v));
#else
    std::memcpy(p, &v, size_t(count));
#endif
  }
}

// The values of `count` <= M pixels and V vectors of channels from their sums.
template <int M, int V, class Sums>
static inline void int8_finish(const Int8Block& b, int count, Sums sum, char* out) {
  const Int8Output& o = b.output;
#pragma GCC unroll 16
  for (int v = 0; v < V; ++v) {
    const int first = v * LANES, some = b.channels - first;
    if (some <= 0) break;
    const vec scale = load(o.scale + first), shift = load(o.shift + first);
    if (!o.alpha) {
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m)
        if (m < count) store_first(reinterpret_cast<float*>(out) + m * b.out_step + first, as_floats(sum(m, v)) * scale + shift, some);
      continue;
    }
    const vec alpha = load(o.alpha + first), to_byte = load(o.to_byte + first), zero = load(o.zero + first);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      if (m >= count) break;
      const vec x = as_floats(sum(m, v)) * scale + shift, active = x > vec{} ? x : alpha * x;
      store_bytes(reinterpret_cast<uint8_t*>(out) + m * b.out_step + first, as_bytes(active * to_byte + zero), some);
    }
  }
}

#if INT8_MATRIX
#include "int8_matrix.h"
#else
template <int M, int V>
static void int8_tile(const Int8Block& b, const uint8_t* a, char* out) {
  const int8_t* weights = b.weights;
  const int64_t step = b.step;
  sums sum[M][V];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[m][v] = sums{};
  for (int r = 0; r < b.rows; ++r) {
    const uint8_t* p[(M + 2) / 3];
#pragma GCC unroll 16
    for (int m = 0; m < M; m += 3) p[m / 3] = a + r * b.row + m * step;
    for (int i = 0; i < b.fours; ++i) {
      sums w[V];
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) w[v] = *reinterpret_cast<const unaligned_sums*>(weights + v * VECTOR_BYTES);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        uint32_t x;
        std::memcpy(&x, p[m / 3] + (m % 3) * step, 4);
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sum[m][v] = dot4(sum[m][v], x, w[v]);
      }
#pragma GCC unroll 16
      for (int m = 0; m < M; m += 3) p[m / 3] += 4;
      weights += V * VECTOR_BYTES;
    }
  }
  int8_finish<M, V>(b, M, [&](int m, int v) { return sum[m][v]; }, out);
}

using Int8Tile = void (*)(const Int8Block&, const uint8_t*, char*);
template <int V, int... M>
static Int8Tile int8_tile_of(int m, std::integer_sequence<int, M...>) {
  static constexpr Int8Tile table[] = {int8_tile<M + 1, V>...};
  return table[m - 1];
}
static Int8Tile int8_tile_of(int v, int m) {
  switch (v) {
    case 1: return int8_tile_of<1>(m, std::make_integer_sequence<int, int8_m(1)>());
    case 2: return int8_tile_of<2>(m, std::make_integer_sequence<int, int8_m(2)>());
#if VECTOR_BYTES == 64
    case 3: return int8_tile_of<3>(m, std::make_integer_sequence<int, int8_m(3)>());
    case 4: return int8_tile_of<4>(m, std::make_integer_sequence<int, int8_m(4)>());
#endif
    default: return nullptr;
  }
}

// Makes `length` pixels and v vectors of channels at a time.
class Int8Row {
 public:
  Int8Row(const Int8Block& block, int v, int64_t length) : block_(block), v_(v), length_(length) {}
  static int64_t most(int v) { return int8_m(v); }  // pixels in a tile
  void operator()(const uint8_t* a, char* out) {
    for (int64_t t = 0, tiles = divide_up(length_, most(v_)); t < tiles; ++t) {
      const int64_t from = length_ * t / tiles, count = length_ * (t + 1) / tiles - from;
      int8_tile_of(v_, int(count))(block_, a + from * block_.step, out + from * block_.out_step * block_.value());
    }
  }

 private:
  const Int8Block& block_;
  const int v_;
  const int64_t length_;
};
#endif

// Fours of a run: with a matrix unit as many as whole tiles hold, the weights of the last ones zero.
static int64_t int8_fours(const MtcnnInt8Layer& l) {
  const int64_t fours = divide_up(l.kernel * l.channels, INT8_FOUR);
  return INT8_MATRIX ? divide_up(fours, INT8_TILE) * INT8_TILE : fours;
}

// The places of the weights (O, I, k, k) in the packed ones: f(place, place).
template <class F>
static void each_int8_weight(const MtcnnInt8Layer& l, F f) {
  const int64_t taps = l.kernel * l.kernel, vectors = divide_up(l.filters, LANES);
  for (int64_t first = 0, block = 0; first < vectors; first += INT8_V) {
    const int64_t lanes = std::min<int64_t>(INT8_V, vectors - first) * LANES;
    for (int64_t r = 0; r < l.kernel; ++r, block += int8_fours(l) * lanes * INT8_FOUR)
      for (int64_t i = 0; i < l.kernel * l.channels; ++i)
        for (int64_t lane = 0; lane < lanes && first * LANES + lane < l.filters; ++lane)
          f(block + (i / INT8_FOUR * lanes + lane) * INT8_FOUR + i % INT8_FOUR,
            ((first * LANES + lane) * l.channels + i % l.channels) * taps + r * l.kernel + i / l.channels);
  }
}

// Bytes of the packed weights.
static int64_t int8_packed(const MtcnnInt8Layer& l) {
  return divide_up(l.filters, LANES) * LANES * l.kernel * int8_fours(l) * 4;
}

static void int8_pack(const MtcnnInt8Layer& l, const int8_t* weight, int8_t* packed) {
  std::memset(packed, 0, size_t(int8_packed(l)));
  Int8Weight* to = reinterpret_cast<Int8Weight*>(packed);
  each_int8_weight(l, [&](int64_t at, int64_t from) { to[at] = weight[from]; });
}

// A convolution of images that lie in_image bytes and out_image values apart, as in layer.h. The last layer's output is float.
static void int8_convolve(const MtcnnInt8Layer& l, int64_t images, int64_t rows, int64_t columns, const uint8_t* a, int64_t in_row,
                          int64_t in_image, void* out, int64_t out_image) {
  const int64_t vectors = divide_up(l.filters, LANES), pixel = l.stride * l.channels * INT8_BYTES;
  const int8_t* packed = l.packed;
  for (int64_t first = 0; first < vectors; first += INT8_V) {
    const int v = int(std::min<int64_t>(INT8_V, vectors - first));
    const bool is_narrow = columns < Int8Row::most(v) && columns < images;  // then a tile holds one pixel of several images
    const int64_t channel = first * LANES;
    const auto from_channel = [=](const float* values) { return values ? values + channel : nullptr; };
    const Int8Block block{packed, int(l.kernel), int(int8_fours(l)), is_narrow ? in_image : pixel, in_row,
                          {from_channel(l.scale), from_channel(l.shift), from_channel(l.alpha), from_channel(l.to_byte),
                           from_channel(l.zero)},
                          is_narrow ? out_image : l.filters, int(l.filters - channel)};
    const int64_t others = is_narrow ? columns : images, other = is_narrow ? pixel : in_image;
    const int64_t out_other = is_narrow ? l.filters : out_image;
    Int8Row row(block, v, is_narrow ? images : columns);
    for (int64_t i = 0; i < others; ++i)
      for (int64_t y = 0; y < rows; ++y)
        row(a + i * other + y * l.stride * in_row,
            static_cast<char*>(out) + (i * out_other + y * columns * l.filters + channel) * block.value());
    packed += v * LANES * l.kernel * int8_fours(l) * 4;
  }
}

// Rows [first, first + rows) of a pooling of an image, channels last, and some bytes more. `tall`: a row of the image.
static void int8_pool(const LayerSizes& s, const uint8_t* image, int64_t first, int64_t rows, uint8_t* out, uint8_t* tall) {
  const int64_t C = s.channels, length = s.width * C;
  for (int64_t y = first; y < first + rows; ++y, out += s.pooled_width * C) {
    const int64_t last = std::min(2 * y + s.pool, s.height) - 1;  // a window at the border sees its last row or column twice
    const uint8_t *top = image + 2 * y * length, *middle = image + std::min(2 * y + 1, last) * length, *low = image + last * length;
    INDEPENDENT
    for (int64_t x = 0; x < length; ++x) tall[x] = std::max(std::max(top[x], middle[x]), low[x]);
    for (int64_t x = 0; x < s.pooled_width; ++x) {
      const uint8_t *p = tall + 2 * x * C, *end = tall + (std::min(2 * x + s.pool, s.width) - 1) * C;
      const uint8_t* next = std::min(p + C, end);
      for (int64_t c = 0; c < C; c += LANES) {  // what is beyond C is written again by the next pixel
        const bytes one = load_bytes(p + c), two = load_bytes(next + c), three = load_bytes(end + c);
        const bytes some = one > two ? one : two;
        store_bytes(out + x * C + c, some > three ? some : three, LANES);
      }
    }
  }
}

// Rows [first, first + rows) of an image (channels, height, width), as bytes, channels last, and a byte more.
static void int8_input(const LayerSizes& s, const float* image, float to_byte, float zero, int64_t first, int64_t rows,
                       uint8_t* out) {
  const int64_t plane = s.height * s.width, count = rows * s.width;
  const float* in = image + first * s.width;
  const auto byte = [=](float x) { return uint8_t(int32_t(std::min(std::max(x * to_byte + zero, 0.f), 255.f) + 0.5f)); };
  int64_t i = 0;
  if (s.channels == 3)
    for (; i + LANES <= count; i += LANES) {  // a pixel is the low three bytes of a lane
      const auto whole = [&](int64_t c) { return as_whole(load(in + c * plane + i) * to_byte + zero); };
      const sums pixels = whole(0) | whole(1) << 8 | whole(2) << 16;
      for (int lane = 0; lane < LANES; ++lane) {
        const int32_t pixel = pixels[lane];
        std::memcpy(out + 3 * (i + lane), &pixel, 4);
      }
    }
  for (; i < count; ++i)
    for (int64_t c = 0; c < s.channels; ++c) out[i * s.channels + c] = byte(in[c * plane + i]);
}

// How the work is cut: tasks of some images, or of a strip of rows of the output; and the bytes of each of two buffers of a task.
struct Int8Plan {
  int64_t strip, strips, group, groups, bytes = 0;
  Int8Plan(const LayerSizes* s, int64_t count, int64_t threads) {
    const int64_t height = s[count - 1].out_height, images = s->images;
    strips = std::max(divide_up(measured(s, count, height), INT8_CACHED), images < threads ? threads : 1);
    if (strips > 1) strips = divide_up(strips, threads) * threads;
    strip = std::max(divide_up(height, strips), std::min<int64_t>(height, 4));
    strips = divide_up(height, strip);
    group = strips > 1 ? 1 : divide_up(images, divide_up(images, INT8_GROUP * threads) * threads);
    groups = divide_up(images, group);
    bytes = divide_up(group * measured(s, count, strip) + INT8_SLACK, 64) * 64;
  }
  static int64_t measured(const LayerSizes* s, int64_t count, int64_t rows) {
    const Strip part(s, count, 0, rows);
    int64_t most = 0;
    for (int64_t l = 0; l < count; ++l) {
      const int64_t out = l + 1 < count ? part.rows[l + 1] : rows;
      most = std::max({most, part.rows[l] * s[l].width * s[l].channels, rows_seen(s[l], out) * s[l].pooled_width * s[l].channels});
    }
    return most;
  }
};

// One task: rows [top, top + rows) of the outputs of images [from, from + count). `now` and `next` are buffers for layers' inputs;
// `other` is one for a row and, where factors are words, for an input as such.
static void int8_part(const MtcnnInt8Layer* layers, const LayerSizes* sizes, int64_t number, float to_byte, float zero, bool is_bytes,
                      int64_t from, int64_t count, int64_t top, int64_t rows, const void* in, uint8_t* now, uint8_t* next,
                      uint8_t* other, float* out) {
  const Strip part(sizes, number, top, rows);
  const int64_t row = sizes->width * sizes->channels, image = sizes->height * row, first = part.rows[0] * row;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = (from + i) * image;
    if (is_bytes)
      std::memcpy(now + i * first, static_cast<const uint8_t*>(in) + at + part.first[0] * row, size_t(first));
    else
      int8_input(*sizes, static_cast<const float*>(in) + at, to_byte, zero, part.first[0], part.rows[0], now + i * first);
  }
  for (int64_t l = 0; l < number; ++l) {
    LayerSizes s = sizes[l];
    const bool is_last = l + 1 == number;
    const int64_t out_rows = is_last ? rows : part.rows[l + 1], in_rows = rows_seen(s, out_rows);
    const int64_t row = s.pooled_width * s.channels, seen = s.pool ? in_rows * row : part.rows[l] * row;
    if (s.pool) {
      s.height = part.rows[l];
      for (int64_t i = 0; i < count; ++i)
        int8_pool(s, now + i * s.height * s.width * s.channels, 0, in_rows, next + i * seen, other);
      std::swap(now, next);
    }
    const int64_t out_row = s.out_width * s.filters, whole = is_last ? sizes[l].out_height * out_row : out_rows * out_row;
    void* to = is_last ? static_cast<void*>(out + from * whole + top * out_row) : next;
    const uint8_t* factors = now;
    if (INT8_BYTES == 2) {
      uint16_t* words = reinterpret_cast<uint16_t*>(other);
      for (int64_t i = 0, values = count * seen; i < values; ++i) words[i] = now[i];
      factors = other;
    }
    int8_convolve(layers[l], count, out_rows, s.out_width, factors, row * INT8_BYTES, seen * INT8_BYTES, to, whole);
    std::swap(now, next);
  }
}

static bool int8_forward(const MtcnnInt8Layer* layers, const LayerSizes* sizes, int64_t count, int64_t wanted, float to_byte,
                         float zero, bool is_bytes, const void* in, float* out) {
  const int64_t usable = usable_threads(wanted);
  const Int8Plan plan(sizes, count, usable);
  const int64_t tasks = plan.groups * plan.strips, threads = std::clamp<int64_t>(tasks, 1, usable);
  int64_t row = 0;
  for (int64_t l = 0; l < count; ++l) row = std::max(row, sizes[l].width * sizes[l].channels);
  const int64_t third = std::max(row + INT8_SLACK, INT8_BYTES == 2 ? 2 * plan.bytes : 0);  // see int8_part
  const int64_t room = divide_up(2 * plan.bytes + third, 64) * 64;
  Memory memory;
  uint8_t* work = reinterpret_cast<uint8_t*>(memory.take(threads * room / 4));
  if (!memory.is_enough()) return false;
  each_task(tasks, int(threads), [&](int64_t task, int thread) {
    const int64_t from = task / plan.strips * plan.group, top = task % plan.strips * plan.strip;
    uint8_t* mine = work + thread * room;
    int8_part(layers, sizes, count, to_byte, zero, is_bytes, from, std::min(plan.group, sizes->images - from), top,
              std::min(plan.strip, sizes[count - 1].out_height - top), in, mine, mine + plan.bytes, mine + 2 * plan.bytes, out);
  });
  return true;
}
