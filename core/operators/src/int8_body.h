// A net whose products are of 8-bit integers: a layer's input is uint8, its weights are int8, and sums are exact. So the result
// depends on the instruction set only in the last bits of what is done with a sum. A body for each_isa.h, after vectors.h.
//
// As in conv_tiles.h, what one output pixel sees of a row of an image is one run of bytes; here four of them count at once.

typedef int32_t sums __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t unaligned_sums __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES)));
typedef uint8_t unaligned_bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

constexpr int INT8_V = LANES == 16 ? 4 : 2;  // the most vectors of output channels, and the most pixels beside V of them
constexpr int int8_m(int v) { return LANES == 16 ? (v == 1 ? 12 : v == 2 ? 12 : v == 3 ? 8 : 6) : LANES == 8 ? 4 : 2; }

constexpr int64_t INT8_CACHED = 1 << 18;  // bytes of a layer's values that stay near a core
constexpr int64_t INT8_GROUP = 16;        // images that go through a net together
constexpr int64_t INT8_SLACK = 128;       // bytes that are read beyond an image

// sum + the products of the four bytes of x with the four of each lane of w
static inline sums dot4(sums sum, uint32_t x, sums w) {
#if INT8_DOT == 512
  return sums(_mm512_dpbusd_epi32(__m512i(sum), _mm512_set1_epi32(int32_t(x)), __m512i(w)));
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

static inline vec as_floats(sums s) { return __builtin_convertvector(s, vec); }
static inline bytes as_bytes(vec x) {  // rounded and cut to 0..255
  const vec zero = {}, most = zero + 255.f;
  x = x > zero ? x : zero;
  return __builtin_convertvector(__builtin_convertvector((x < most ? x : most) + 0.5f, sums), bytes);
}
static inline void store_bytes(uint8_t* p, bytes v, int count) {
  if (count >= LANES) {
    *reinterpret_cast<unaligned_bytes*>(p) = v;
  } else {
    std::memcpy(p, &v, size_t(count));
  }
}

template <int M, int V>
static void int8_tile(const uint8_t* a, int64_t step, int64_t row, int rows, int fours, const int8_t* weights, Int8Output o,
                      void* out, int64_t out_step, int channels) {
  sums sum[M][V];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[m][v] = sums{};
  for (int r = 0; r < rows; ++r) {
    const uint8_t* p[(M + 2) / 3];
#pragma GCC unroll 16
    for (int m = 0; m < M; m += 3) p[m / 3] = a + r * row + m * step;
    for (int i = 0; i < fours; ++i) {
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
#pragma GCC unroll 16
  for (int v = 0; v < V; ++v) {
    const int first = v * LANES, some = channels - first;
    if (some <= 0) break;
    const vec scale = load(o.scale + first), shift = load(o.shift + first);
    if (!o.alpha) {
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m)
        store_first(static_cast<float*>(out) + m * out_step + first, as_floats(sum[m][v]) * scale + shift, some);
      continue;
    }
    const vec alpha = load(o.alpha + first), to_byte = load(o.to_byte + first), zero = load(o.zero + first);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const vec x = as_floats(sum[m][v]) * scale + shift, active = x > vec{} ? x : alpha * x;
      store_bytes(static_cast<uint8_t*>(out) + m * out_step + first, as_bytes(active * to_byte + zero), some);
    }
  }
}

using Int8Tile = void (*)(const uint8_t*, int64_t, int64_t, int, int, const int8_t*, Int8Output, void*, int64_t, int);
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

static int64_t int8_fours(const MtcnnInt8Layer& l) { return divide_up(l.kernel * l.channels, 4); }  // of a run

// The places of the weights (O, I, k, k) in the packed ones: f(place, place).
template <class F>
static void each_int8_weight(const MtcnnInt8Layer& l, F f) {
  const int64_t taps = l.kernel * l.kernel, vectors = divide_up(l.filters, LANES);
  for (int64_t first = 0, block = 0; first < vectors; first += INT8_V) {
    const int64_t lanes = std::min<int64_t>(INT8_V, vectors - first) * LANES;
    for (int64_t r = 0; r < l.kernel; ++r, block += int8_fours(l) * lanes * 4)
      for (int64_t i = 0; i < l.kernel * l.channels; ++i)
        for (int64_t lane = 0; lane < lanes && first * LANES + lane < l.filters; ++lane)
          f(block + (i / 4 * lanes + lane) * 4 + i % 4,
            ((first * LANES + lane) * l.channels + i % l.channels) * taps + r * l.kernel + i / l.channels);
  }
}

static int64_t int8_packed(const MtcnnInt8Layer& l) {
  return divide_up(l.filters, LANES) * LANES * l.kernel * int8_fours(l) * 4;
}

static void int8_pack(const MtcnnInt8Layer& l, const int8_t* weight, int8_t* packed) {
  std::memset(packed, 0, size_t(int8_packed(l)));
  each_int8_weight(l, [&](int64_t at, int64_t from) { packed[at] = weight[from]; });
}

// A convolution of images that lie in_image bytes and out_image values apart, as in layer.h. The last layer's output is float.
static void int8_convolve(const MtcnnInt8Layer& l, int64_t images, int64_t rows, int64_t columns, const uint8_t* a, int64_t in_row,
                          int64_t in_image, void* out, int64_t out_image) {
  const int64_t vectors = divide_up(l.filters, LANES), pixel = l.stride * l.channels, size = l.alpha ? 1 : sizeof(float);
  const int8_t* packed = l.packed;
  for (int64_t first = 0; first < vectors; first += INT8_V) {
    const int64_t V = std::min<int64_t>(INT8_V, vectors - first), most = int8_m(int(V)), channel = first * LANES;
    const bool is_narrow = columns < most && columns < images;  // then a tile holds one pixel of several images
    const int64_t length = is_narrow ? images : columns, step = is_narrow ? in_image : pixel;
    const int64_t out_step = is_narrow ? out_image : l.filters, tiles = divide_up(length, most);
    const int64_t others = is_narrow ? columns : images, other = is_narrow ? pixel : in_image;
    const int64_t out_other = is_narrow ? l.filters : out_image;
    const auto from_channel = [=](const float* values) { return values ? values + channel : nullptr; };
    const Int8Output o{from_channel(l.scale), from_channel(l.shift), from_channel(l.alpha), from_channel(l.to_byte),
                       from_channel(l.zero)};
    for (int64_t i = 0; i < others; ++i)
      for (int64_t y = 0; y < rows; ++y)
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t from = length * t / tiles, count = length * (t + 1) / tiles - from;
          const int64_t at = i * out_other + y * columns * l.filters + from * out_step + channel;
          int8_tile_of(int(V), int(count))(a + i * other + y * l.stride * in_row + from * step, step, in_row, int(l.kernel),
                                           int(int8_fours(l)), packed, o, static_cast<char*>(out) + at * size, out_step,
                                           int(l.filters - channel));
        }
    packed += V * LANES * l.kernel * int8_fours(l) * 4;
  }
}

// Rows [first, first + rows) of a pooling of an image, channels last. `tall`: a row of the image.
static void int8_pool(const LayerSizes& s, const uint8_t* image, int64_t first, int64_t rows, uint8_t* out, uint8_t* tall) {
  const int64_t C = s.channels, length = s.width * C;
  for (int64_t y = first; y < first + rows; ++y, out += s.pooled_width * C) {
    const uint8_t* top = image + 2 * y * length;
    std::copy(top, top + length, tall);
    for (int64_t i = 2 * y + 1; i < std::min(2 * y + s.pool, s.height); ++i) {
      const uint8_t* row = image + i * length;
      INDEPENDENT
      for (int64_t x = 0; x < length; ++x) tall[x] = std::max(tall[x], row[x]);
    }
    for (int64_t x = 0; x < s.pooled_width; ++x) {
      const int64_t columns = std::min(s.pool, s.width - 2 * x);
      uint8_t* best = out + x * C;
      const uint8_t* p = tall + 2 * x * C;
      std::copy(p, p + C, best);
      for (int64_t k = 1; k < columns; ++k) {
        INDEPENDENT
        for (int64_t c = 0; c < C; ++c) best[c] = std::max(best[c], p[k * C + c]);
      }
    }
  }
}

// Rows [first, first + rows) of an image (channels, height, width), as bytes, channels last.
static void int8_input(const LayerSizes& s, const float* image, float to_byte, float zero, int64_t first, int64_t rows,
                       uint8_t* out) {
  for (int64_t y = first; y < first + rows; ++y)
    for (int64_t c = 0; c < s.channels; ++c) {
      const float* row = image + (c * s.height + y) * s.width;
      uint8_t* to = out + (y - first) * s.width * s.channels + c;
      INDEPENDENT
      for (int64_t x = 0; x < s.width; ++x)
        to[x * s.channels] = uint8_t(int32_t(std::min(std::max(row[x] * to_byte + zero, 0.f), 255.f) + 0.5f));
    }
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
    bytes = group * measured(s, count, strip) + INT8_SLACK;
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

// One task: rows [top, top + rows) of the outputs of images [from, from + count).
static void int8_part(const MtcnnInt8Layer* layers, const LayerSizes* sizes, int64_t number, float to_byte, float zero,
                      int64_t from, int64_t count, int64_t top, int64_t rows, const float* in, uint8_t* now, uint8_t* next,
                      uint8_t* tall, float* out) {
  const Strip part(sizes, number, top, rows);
  const int64_t image = sizes->height * sizes->width * sizes->channels, first = part.rows[0] * sizes->width * sizes->channels;
  for (int64_t i = 0; i < count; ++i)
    int8_input(*sizes, in + (from + i) * image, to_byte, zero, part.first[0], part.rows[0], now + i * first);
  for (int64_t l = 0; l < number; ++l) {
    LayerSizes s = sizes[l];
    const bool is_last = l + 1 == number;
    const int64_t out_rows = is_last ? rows : part.rows[l + 1], in_rows = rows_seen(s, out_rows);
    const int64_t row = s.pooled_width * s.channels, seen = s.pool ? in_rows * row : part.rows[l] * row;
    if (s.pool) {
      s.height = part.rows[l];
      for (int64_t i = 0; i < count; ++i)
        int8_pool(s, now + i * s.height * s.width * s.channels, 0, in_rows, next + i * seen, tall);
      std::swap(now, next);
    }
    const int64_t out_row = s.out_width * s.filters, whole = is_last ? sizes[l].out_height * out_row : out_rows * out_row;
    void* to = is_last ? static_cast<void*>(out + from * whole + top * out_row) : next;
    int8_convolve(layers[l], count, out_rows, s.out_width, now, row, seen, to, whole);
    std::swap(now, next);
  }
}

static bool int8_forward(const MtcnnInt8Layer* layers, const LayerSizes* sizes, int64_t count, int64_t wanted, float to_byte,
                         float zero, const float* in, float* out) {
  const int64_t usable = usable_threads(wanted);
  const Int8Plan plan(sizes, count, usable);
  const int64_t tasks = plan.groups * plan.strips, threads = std::clamp<int64_t>(tasks, 1, usable);
  int64_t row = 0;
  for (int64_t l = 0; l < count; ++l) row = std::max(row, sizes[l].width * sizes[l].channels);
  const int64_t room = divide_up(2 * plan.bytes + row + INT8_SLACK, 64) * 64;
  Memory memory;
  uint8_t* work = reinterpret_cast<uint8_t*>(memory.take(threads * room / 4));
  if (!memory.is_enough()) return false;
  each_task(tasks, int(threads), [&](int64_t task, int thread) {
    const int64_t from = task / plan.strips * plan.group, top = task % plan.strips * plan.strip;
    uint8_t* mine = work + thread * room;
    int8_part(layers, sizes, count, to_byte, zero, from, std::min(plan.group, sizes->images - from), top,
              std::min(plan.strip, sizes[count - 1].out_height - top), in, mine, mine + plan.bytes, mine + 2 * plan.bytes, out);
  });
  return true;
}
