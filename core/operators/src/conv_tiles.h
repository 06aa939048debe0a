// The arithmetic of convolutions, channels last. A body for each_isa.h.
//
// With channels last, what one output pixel sees of an image is one run of kernel * channels consecutive floats a row. So all
// three products of training are the same small matrix product, held in registers: a tile of M broadcast values times V
// vectors of consecutive output channels, summed along the runs (outputs, and gradients of inputs) or along the pixels
// (gradients of weights). Weights are packed in blocks of V vectors, and in a block as [place in the runs][channel].

// The most vectors of a block, and the most broadcast values beside V of them, for which all sums fit the registers.
constexpr int MAX_V = LANES == 16 ? 4 : 2;
constexpr int MAX_M = 12;
constexpr int max_m(int v) { return LANES == 16 ? (v <= 2 ? 12 : v == 3 ? 8 : 6) : LANES == 8 ? (v == 1 ? 8 : 6) : 3; }

// out[m][lane] = bias[lane] + sum over r, i of a[m * step + r * row + i] * weights[r * length + i][lane]
template <int M, int V>
static void run_tile(const float* a, int64_t step, int64_t row, int rows, int length, const float* weights, const float* bias,
                     float* out, int64_t out_step, int channels) {
  vec sum[M][V];
#pragma GCC unroll 16
  for (int v = 0; v < V; ++v)
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) sum[m][v] = load(bias + v * LANES);
  for (int r = 0; r < rows; ++r) {
    const float* p[(M + 2) / 3];  // three values share a pointer: x86 has few registers, but adds a step or two for nothing
#pragma GCC unroll 16
    for (int m = 0; m < M; m += 3) p[m / 3] = a + r * row + m * step;
    for (int i = 0; i < length; ++i) {
      vec w[V];
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) w[v] = keep(load(weights + v * LANES));
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const float x = p[m / 3][(m % 3) * step];
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sum[m][v] += x * w[v];
      }
#pragma GCC unroll 16
      for (int m = 0; m < M; m += 3) p[m / 3] = keep(p[m / 3] + 1);
      weights += V * LANES;
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v)
      if (v * LANES < channels) store_first(out + m * out_step + v * LANES, sum[m][v], channels - v * LANES);
}

// grad[m][lane] += sum over r, c of x[r * row + c * step + m] * dy[r * dy_row + c * dy_step + lane]
template <int M, int V>
static void pixel_tile(const float* x, int64_t step, int64_t row, const float* dy, int64_t dy_step, int64_t dy_row, int rows,
                       int columns, float* grad) {
  vec sum[M][V];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[m][v] = load(grad + (m * V + v) * LANES);
  for (int r = 0; r < rows; ++r) {
    const float *p = x + r * row, *q = dy + r * dy_row;
    for (int c = 0; c < columns; ++c) {
      vec d[V];
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) d[v] = keep(load(q + v * LANES));
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) sum[m][v] += p[m] * d[v];
      p += step;
      q += dy_step;
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) store(grad + (m * V + v) * LANES, sum[m][v]);
}

using RunTile = void (*)(const float*, int64_t, int64_t, int, int, const float*, const float*, float*, int64_t, int);
using PixelTile = void (*)(const float*, int64_t, int64_t, const float*, int64_t, int64_t, int, int, float*);

template <int V, int... M>
static RunTile run_tile_of(int m, std::integer_sequence<int, M...>) {
  static constexpr RunTile table[] = {run_tile<M + 1, V>...};
  return table[m - 1];
}
template <int V, int... M>
static PixelTile pixel_tile_of(int m, std::integer_sequence<int, M...>) {
  static constexpr PixelTile table[] = {pixel_tile<M + 1, V>...};
  return table[m - 1];
}
template <int V>
using Counts = std::make_integer_sequence<int, max_m(V)>;

static RunTile run_tile_of(int v, int m) {
  switch (v) {
    case 1: return run_tile_of<1>(m, Counts<1>());
    case 2: return run_tile_of<2>(m, Counts<2>());
#if VECTOR_BYTES == 64
    case 3: return run_tile_of<3>(m, Counts<3>());
    case 4: return run_tile_of<4>(m, Counts<4>());
#endif
    default: return nullptr;
  }
}
static PixelTile pixel_tile_of(int v, int m) {
  switch (v) {
    case 1: return pixel_tile_of<1>(m, Counts<1>());
    case 2: return pixel_tile_of<2>(m, Counts<2>());
#if VECTOR_BYTES == 64
    case 3: return pixel_tile_of<3>(m, Counts<3>());
    case 4: return pixel_tile_of<4>(m, Counts<4>());
#endif
    default: return nullptr;
  }
}
