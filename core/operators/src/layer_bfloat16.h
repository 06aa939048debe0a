// The layer of layer.h with the factors of its three matrix products rounded to bfloat16 and the sums in float32, on a matrix
// unit: Intel's AMX, which multiplies tiles of 16 rows of 32 bfloat16. Activation, pooling and what is kept are float32. A body
// for each_isa.h, after layer.h, compiled for 64-byte vectors only.
//
// An image's pixels are numbered through its rows, as wide as the layer's pooled input everywhere. So what a tap of the kernel
// sees is the image moved by a fixed number of pixels, and all tiles but the last of an image are full. In the rows of outputs
// and of their gradients the last kernel - 1 pixels are surplus: they are not stored, and zero; such zeros are the border that
// the gradient of the inputs wants on both sides.
MTCNN_TARGET("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")

using bfloat16 = uint16_t;

constexpr int64_t TILE = 16;         // rows of a tile, and floats in a row of sums
constexpr int64_t DEEP = 2 * TILE;   // bfloat16 in a row
constexpr int64_t WHOLE = TILE * DEEP;

static int64_t up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }
static bfloat16* take_zeros(Memory* memory, int64_t count) {
  return reinterpret_cast<bfloat16*>(memory->zeros((count + 1) / 2));
}

// All eight tiles are whole ones, as long as this object lives, in the thread that made it.
class Tiles {
 public:
  Tiles() {
    alignas(64) uint8_t sizes[64] = {1};  // see the manual of LDTILECFG: from byte 16 bytes of a row, from byte 48 rows
    for (int i = 0; i < 8; ++i) sizes[16 + 2 * i] = 64, sizes[48 + i] = TILE;
    _tile_loadconfig(sizes);
  }
  ~Tiles() { _tile_release(); }
};

static void narrow(const float* x, int64_t count, bfloat16* y) {
  for (int64_t i = 0; i < count; i += TILE) {
    const __mmask16 some = count - i >= TILE ? __mmask16(-1) : __mmask16((1 << (count - i)) - 1);
    _mm256_mask_storeu_epi16(y + i, some, __m256i(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(some, x + i))));
  }
}

// x (pixels, channels) -> y (channels, pixels), rows of y `length` apart.
static void turn(const float* x, int64_t pixels, int64_t channels, bfloat16* y, int64_t length) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i places = _mm512_mullo_epi32(lane, _mm512_set1_epi32(int(channels)));
  for (int64_t p = 0; p < pixels; p += TILE) {
    const __mmask16 some = pixels - p >= TILE ? __mmask16(-1) : __mmask16((1 << (pixels - p)) - 1);
    for (int64_t c = 0; c < channels; ++c) {
      const __m512 values = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), some, places, x + p * channels + c, 4);
      _mm256_mask_storeu_epi16(y + c * length + p, some, __m256i(_mm512_cvtneps_pbh(values)));
    }
  }
}

// x (pixels, channels) -> y (pixels / 2, channels, 2), as the second factor's tiles want it; channels of y a multiple of TILE.
static void pair_up(const bfloat16* x, int64_t pixels, int64_t channels, bfloat16* y) {
  for (int64_t p = 0; p < pixels; p += 2, x += 2 * channels)
    for (int64_t c = 0; c < channels; c += TILE, y += 2 * TILE) {
      const __mmask16 some = channels - c >= TILE ? __mmask16(-1) : __mmask16((1 << (channels - c)) - 1);
      const __m512i first = _mm512_maskz_cvtepu16_epi32(some, _mm256_maskz_loadu_epi16(some, x + c));
      const __m512i second = _mm512_maskz_cvtepu16_epi32(some, _mm256_maskz_loadu_epi16(some, x + channels + c));
      _mm512_storeu_si512(y, _mm512_or_si512(first, _mm512_maskz_slli_epi32(some, second, 16)));
    }
}

// Tiles of weights: for 16 channels of output, for each row of the kernel, for each 32 places of its run, 16 pairs.
static int64_t run_steps(const Conv& c) { return up(c.kernel * c.in, DEEP) / DEEP; }
static int64_t tiles_size(const Conv& c) { return up(c.out, TILE) / TILE * c.kernel * run_steps(c) * WHOLE; }

// Packs weights (O, I, k, k) for a convolution; `transposed` as in each_weight, `c` being the convolution of the gradient then.
static void pack_tiles(const Conv& c, const float* weight, bool transposed, bfloat16* packed) {
  const int64_t taps = c.kernel * c.kernel, steps = run_steps(c);
  for (int64_t o = 0; o < c.out; ++o)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t i = 0; i < c.in; ++i) {
        const int64_t k = tap % c.kernel * c.in + i, tile = (o / TILE * c.kernel + tap / c.kernel) * steps + k / DEEP;
        narrow(weight + (transposed ? (i * c.out + o) * taps + taps - 1 - tap : (o * c.in + i) * taps + tap), 1,
               packed + tile * WHOLE + k % DEEP / 2 * DEEP + o % TILE * 2 + k % 2);
      }
}

// Sums (16 M, 32) of 16 M pixels, `in` values apart, and 16 N channels, whose tiles of weights lie `next` apart.
template <int M, int N>
static void product(const Conv& c, const bfloat16* a, const bfloat16* packed, int64_t next, const float* bias, float* sums) {
  _tile_loadd(0, bias, 0);  // 0: every row of the tile is the same
  if (N > 1) _tile_loadd(1, bias + TILE, 0);
  if (M > 1) _tile_loadd(2, bias, 0);
  if (M > 1 && N > 1) _tile_loadd(3, bias + TILE, 0);
  for (int64_t r = 0, steps = run_steps(c); r < c.kernel; ++r)
    for (int64_t k = 0; k < steps; ++k, packed += WHOLE) {
      const bfloat16* p = a + r * c.in_row + k * DEEP;
      _tile_loadd(4, p, 2 * c.in);
      _tile_loadd(6, packed, 2 * DEEP);
      _tile_dpbf16ps(0, 4, 6);
      if (N > 1) _tile_loadd(7, packed + next, 2 * DEEP);
      if (N > 1) _tile_dpbf16ps(1, 4, 7);
      if (M > 1) _tile_loadd(5, p + TILE * c.in, 2 * c.in);
      if (M > 1) _tile_dpbf16ps(2, 5, 6);
      if (M > 1 && N > 1) _tile_dpbf16ps(3, 5, 7);
    }
  _tile_stored(0, sums, 4 * DEEP);
  if (N > 1) _tile_stored(1, sums + TILE, 4 * DEEP);
  if (M > 1) _tile_stored(2, sums + TILE * DEEP, 4 * DEEP);
  if (M > 1 && N > 1) _tile_stored(3, sums + TILE * DEEP + TILE, 4 * DEEP);
}

// One image, of which `a` holds 32 pixels and 32 values more than it has, all finite.
static void convolve_tiles(const Conv& c, const bfloat16* a, const bfloat16* packed, const float* bias, float* out) {
  const int64_t width = c.in_row / c.in, pixels = (c.rows - 1) * width + c.columns, next = c.kernel * run_steps(c) * WHOLE;
  alignas(64) float sums[DEEP * DEEP];
  for (int64_t o = 0; o < c.out; o += DEEP, packed += 2 * next) {
    const bool is_wide = c.out - o > TILE;
    for (int64_t p = 0; p < pixels; p += DEEP) {
      const int64_t count = std::min(DEEP, pixels - p);
      const auto f = count > TILE ? is_wide ? product<2, 2> : product<2, 1> : is_wide ? product<1, 2> : product<1, 1>;
      f(c, a + p * c.in, packed, next, bias + o, sums);
      for (int64_t m = 0, x = p % width, y = p / width; m < count; ++m, x == width - 1 ? ++y, x = 0 : ++x)
        for (int64_t v = 0; x < c.columns && v < std::min(DEEP, c.out - o); v += TILE)
          store_first(out + y * c.out_row + x * c.out + o + v, load(sums + m * DEEP + v), int(c.out - o - v));
    }
  }
}

// grad (16 M, 16 N), rows `width` apart, += a (16 M rows `length` apart, 32 pixels a step) times dy (pairs, channels, 2).
template <int M, int N>
static void gradient_product(const bfloat16* a, int64_t length, const bfloat16* dy, int64_t steps, float* grad, int64_t width) {
  _tile_loadd(0, grad, 4 * width);
  if (N > 1) _tile_loadd(1, grad + TILE, 4 * width);
  if (M > 1) _tile_loadd(2, grad + TILE * width, 4 * width);
  if (M > 1 && N > 1) _tile_loadd(3, grad + TILE * width + TILE, 4 * width);
  for (int64_t k = 0; k < steps; ++k, a += DEEP, dy += DEEP * width) {
    _tile_loadd(4, a, 2 * length);
    _tile_loadd(6, dy, 4 * width);
    _tile_dpbf16ps(0, 4, 6);
    if (N > 1) _tile_loadd(7, dy + DEEP, 4 * width);
    if (N > 1) _tile_dpbf16ps(1, 4, 7);
    if (M > 1) _tile_loadd(5, a + TILE * length, 2 * length);
    if (M > 1) _tile_dpbf16ps(2, 5, 6);
    if (M > 1 && N > 1) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, grad, 4 * width);
  if (N > 1) _tile_stored(1, grad + TILE, 4 * width);
  if (M > 1) _tile_stored(2, grad + TILE * width, 4 * width);
  if (M > 1 && N > 1) _tile_stored(3, grad + TILE * width + TILE, 4 * width);
}

// Adds an image's gradient of the weights to grad (taps, channels, filters), channels and filters multiples of TILE.
static void weight_gradient_tiles(const LayerSizes& s, const bfloat16* a, int64_t length, const bfloat16* dy, int64_t steps,
                                  float* grad) {
  const int64_t channels = up(s.channels, TILE), filters = up(s.filters, TILE);
  for (int64_t tap = 0; tap < s.kernel * s.kernel; ++tap, grad += channels * filters)
    for (int64_t i = 0; i < channels; i += DEEP)
      for (int64_t o = 0; o < filters; o += DEEP) {
        const bool is_tall = channels - i > TILE, is_wide = filters - o > TILE;
        const auto f = is_tall ? is_wide ? gradient_product<2, 2> : gradient_product<2, 1>
                               : is_wide ? gradient_product<1, 2> : gradient_product<1, 1>;
        f(a + i * length + tap / s.kernel * s.pooled_width + tap % s.kernel, length, dy + 2 * o, steps, grad + i * filters + o,
          filters);
      }
}

static bool layer_forward_bfloat16(const LayerSizes& s, const float* in, const float* alpha, const float* weight,
                                   const float* bias, float* out) {
  const Conv c = forward_conv(s);
  const int64_t row = s.width * s.channels, threads = threads_for(s.images);
  const int64_t room = up(c.in_image + 2 * row + 3 * MAX_LANES, TILE), narrow_room = up(c.in_image + DEEP * (s.channels + 1), DEEP);
  Memory memory;
  bfloat16* packed = take_zeros(&memory, tiles_size(c));
  float* biases = memory.zeros(up(s.filters, DEEP));
  float* alphas = memory.zeros(row);
  float* work = memory.zeros(threads * room);
  bfloat16* narrow_work = take_zeros(&memory, threads * narrow_room);
  if (!memory.is_enough()) return false;
  pack_tiles(c, weight, false, packed);
  std::copy(bias, bias + s.filters, biases);
  for (int64_t i = 0; alpha && i < row; ++i) alphas[i] = alpha[i % s.channels];
  Tasks tasks(s.images);
  in_threads(int(threads), [&](int thread) {
    const Tiles tiles;
    float* a = work + thread * room;
    bfloat16* b = narrow_work + thread * narrow_room;
    for (int64_t i, last; tasks.take(&i, &last);) {
      activate(s, in + i * s.height * row, alpha ? alphas : nullptr, 0, s.pooled_height, a, a + c.in_image + MAX_LANES);
      narrow(a, c.in_image, b);
      convolve_tiles(c, b, packed, biases, out + i * c.out_image);
    }
  });
  return true;
}

static bool layer_backward_bfloat16(const LayerSizes& s, const float* dout, const float* in, const float* alpha,
                                    const float* weight, float* din, float* dalpha, float* dweight, float* dbias) {
  const Conv c = forward_conv(s);
  const int64_t W = s.pooled_width, halo = s.kernel - 1, border = halo * W + halo;  // pixels before the first gradient
  const Conv back = {s.filters, s.channels, s.kernel, s.pooled_height, W, W * s.filters, 0, W * s.channels, 0};
  const int64_t row = s.width * s.channels, image = s.height * row, taps = s.kernel * s.kernel;
  const int64_t steps = up(s.out_height * W, DEEP) / DEEP, length = steps * DEEP + up(border, DEEP);
  const int64_t channels = up(s.channels, TILE), filters = up(s.filters, TILE), weights = taps * channels * filters;
  const int64_t parts = parts_of(s.images), sums = up(weights + s.filters + row, TILE), threads = threads_for(parts);
  const int64_t room = up(2 * c.in_image + 3 * row + 4 * MAX_LANES, TILE);
  const int64_t dy_size = up((2 * border + steps * DEEP + DEEP) * s.filters + DEEP, DEEP);
  const int64_t narrow_room = dy_size + steps * DEEP * filters + channels * length;
  Memory memory;
  bfloat16* packed = take_zeros(&memory, tiles_size(back));
  float* no_bias = memory.zeros(up(s.channels, DEEP));
  float* alphas = memory.zeros(row);
  float* total = memory.zeros(parts * sums);
  float* work = memory.zeros(threads * room);
  bfloat16* narrow_work = take_zeros(&memory, threads * narrow_room);
  if (!memory.is_enough()) return false;
  pack_tiles(back, weight, true, packed);
  for (int64_t i = 0; alpha && i < row; ++i) alphas[i] = alpha[i % s.channels];
  Tasks tasks(parts);
  in_threads(int(threads), [&](int thread) {
    const Tiles tiles;
    float *a = work + thread * room, *da = a + c.in_image + MAX_LANES, *tall = da + c.in_image + MAX_LANES;
    bfloat16 *dy = narrow_work + thread * narrow_room, *pairs = dy + dy_size;
    bfloat16* turned = pairs + steps * DEEP * filters;
    for (int64_t part, last; tasks.take(&part, &last);) {
      float* sum = total + part * sums;
      for (int64_t i = s.images * part / parts; i < s.images * (part + 1) / parts; ++i) {
        for (int64_t y = 0; y < s.out_height; ++y) {
          const float* d = dout + i * c.out_image + y * c.out_row;
          narrow(d, c.out_row, dy + (border + y * W) * s.filters);
          for (int64_t x = 0; x < c.out_row; x += s.filters)
            for (int64_t k = 0; k < s.filters; ++k) sum[weights + k] += d[x + k];
        }
        if (s.channels_first && !alpha) {
          for (int64_t k = 0; k < s.channels; ++k)
            narrow(in + i * image + k * s.height * s.width, s.height * s.width, turned + k * length);
        } else {
          activate(s, in + i * image, alpha ? alphas : nullptr, 0, s.pooled_height, a, tall);
          turn(a, s.pooled_height * W, s.channels, turned, length);
        }
        pair_up(dy + border * s.filters, steps * DEEP, s.filters, pairs);
        weight_gradient_tiles(s, turned, length, pairs, steps, sum);
        if (!din) continue;
        convolve_tiles(back, dy, packed, no_bias, da);
        activate_gradient(s, in + i * image, alpha ? alphas : nullptr, da, din + i * image, sum + weights + s.filters, tall);
      }
    }
  });
  for (int64_t part = 1; part < parts; ++part)
    for (int64_t i = 0; i < sums; ++i) total[i] += total[part * sums + i];
  for (int64_t o = 0; o < s.filters; ++o)
    for (int64_t k = 0; k < s.channels; ++k)
      for (int64_t tap = 0; tap < taps; ++tap)
        dweight[(o * s.channels + k) * taps + tap] = total[(tap * channels + k) * filters + o];
  std::copy(total + weights, total + weights + s.filters, dbias);
  for (int64_t k = 0; dalpha && k < s.channels; ++k) {
    dalpha[k] = 0;
    for (int64_t x = 0; x < s.width; ++x) dalpha[k] += total[weights + s.filters + x * s.channels + k];
  }
  return true;
}
MTCNN_TARGET_END
