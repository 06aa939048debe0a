// PReLU and max pooling, alone and as parts of a layer. A body for each_isa.h. The loops are plain: the compiler turns them
// into vectors, best in functions of their own. NaN wins every maximum, so that a diverging net is seen.

static inline float prelu(float x, float alpha) { return x > 0 ? x : alpha * x; }

// y = prelu(x) for `length` values; alpha[i] belongs to x[i].
static NOINLINE void prelu_row(const float* x, const float* alpha, float* y, int64_t length) {
  INDEPENDENT
  for (int64_t i = 0; i < length; ++i) y[i] = prelu(x[i], alpha[i]);
}
// dx from dy, which may be the same array, and the sum of alpha's gradient, value by value.
static NOINLINE void prelu_row_gradient(const float* dy, const float* x, const float* alpha, float* dx, float* dalpha,
                                        int64_t length) {
  INDEPENDENT
  for (int64_t i = 0; i < length; ++i) {
    const float d = dy[i];
    dalpha[i] += x[i] > 0 ? 0.f : d * x[i];
    dx[i] = x[i] > 0 ? d : alpha[i] * d;
  }
}

// The same for one channel, whose alpha is one number.
static void prelu_plane(const float* x, float alpha, float* y, int64_t length) {
  for (int64_t i = 0; i < length; ++i) y[i] = prelu(x[i], alpha);
}
static float prelu_plane_gradient(const float* dy, const float* x, float alpha, float* dx, int64_t length) {
  constexpr int SUMS = 64;  // side by side, since the compiler may not reorder one sum
  float sums[SUMS] = {};
  int64_t i = 0;
  for (; i + SUMS <= length; i += SUMS)
    for (int k = 0; k < SUMS; ++k) {
      const float d = dy[i + k], v = x[i + k];
      sums[k] += v > 0 ? 0.f : d * v;
      dx[i + k] = v > 0 ? d : alpha * d;
    }
  for (; i < length; ++i) {
    sums[0] += x[i] > 0 ? 0.f : dy[i] * x[i];
    dx[i] = x[i] > 0 ? dy[i] : alpha * dy[i];
  }
  float sum = 0;
  for (float s : sums) sum += s;
  return sum;
}

static inline bool beats(float x, float y) { return (x > y) | (x != x); }

static NOINLINE void max_rows(float* y, const float* x, int64_t length) {  // y = max(x, y)
  INDEPENDENT
  for (int64_t i = 0; i < length; ++i) y[i] = beats(x[i], y[i]) ? x[i] : y[i];
}

// A plane under a pooling, with rows of whole vectors: beyond the last column is -inf, which is never the largest. A gradient
// is gathered in `dx`, with the same rows.
struct PooledPlane {
  int64_t height, width, kernel, rows, columns, stride;
  float *x, *dx, *y;
  static int64_t row(int64_t columns) { return (columns + LANES - 1) / LANES * 2 * LANES + LANES; }
  static int64_t floats(int64_t height, int64_t width, int64_t kernel) {
    const int64_t columns = mtcnn_pooled(width, kernel);
    return (2 * height + 1) * row(columns) + 2 * LANES;
  }
  PooledPlane(int64_t height_, int64_t width_, int64_t kernel_, float* work)
      : height(height_), width(width_), kernel(kernel_), rows(mtcnn_pooled(height, kernel)), columns(mtcnn_pooled(width, kernel)),
        stride(row(columns)), x(work), dx(x + height * stride), y(dx + height * stride) {
    std::fill(x, dx, -std::numeric_limits<float>::infinity());
  }
  void take(const float* plane) const {
    for (int64_t i = 0; i < height; ++i) std::copy(plane + i * width, plane + (i + 1) * width, x + i * stride);
  }
};

static inline vec larger(vec x, vec y) { return beats(x, y) ? x : y; }

// The values of LANES windows, whose first one begins at x, that lie in one of their columns.
static inline vec column_of(const float* x, int64_t column) {
  const float* p = x + (column == 2 ? 2 : 0);
  return column == 1 ? odds(load(p), load(p + LANES)) : evens(load(p), load(p + LANES));
}

template <int KERNEL>
static inline vec largest(const float* x, int64_t stride, int64_t count) {
  vec best = column_of(x, 0);
  for (int64_t i = 0; i < count; ++i, x += stride)
    for (int64_t j = i == 0; j < KERNEL; ++j) best = larger(column_of(x, j), best);
  return best;
}

template <int KERNEL>
static NOINLINE void pool_plane(const PooledPlane& p, float* y) {
  for (int64_t r = 0; r < p.rows; ++r, y += p.columns) {
    for (int64_t c = 0; c < p.columns; c += LANES)
      store(p.y + c, largest<KERNEL>(p.x + 2 * r * p.stride + 2 * c, p.stride, std::min(p.kernel, p.height - 2 * r)));
    std::copy(p.y, p.y + p.columns, y);
  }
}

// Gathers the gradient of a pooling: each window's goes to the first of its largest values, or of its NaNs.
template <int KERNEL>
static NOINLINE void pool_plane_gradient(const PooledPlane& p, const float* dy) {
  std::fill(p.dx, p.dx + p.height * p.stride, 0.f);
  for (int64_t r = 0; r < p.rows; ++r, dy += p.columns) {
    std::copy(dy, dy + p.columns, p.y);
    std::fill(p.y + p.columns, p.y + p.stride, 0.f);
    const int64_t count = std::min(p.kernel, p.height - 2 * r);
    for (int64_t c = 0; c < p.columns; c += LANES) {
      const int64_t corner = 2 * r * p.stride + 2 * c;
      const vec best = largest<KERNEL>(p.x + corner, p.stride, count), zero = {};
      vec gradient = load(p.y + c);
      for (int64_t i = 0; i < count; ++i) {
        const float* x = p.x + corner + i * p.stride;
        float* dx = p.dx + corner + i * p.stride;
        vec part[KERNEL];
        for (int64_t j = 0; j < KERNEL; ++j) {
          const vec v = column_of(x, j);
          const mask is_it = (v == best) | (v != v);
          part[j] = is_it ? gradient : zero;
          gradient = is_it ? zero : gradient;
        }
        store(dx, load(dx) + first_half(part[0], part[1]));
        store(dx + LANES, load(dx + LANES) + second_half(part[0], part[1]));
        if (KERNEL < 3) continue;
        store(dx + 2, load(dx + 2) + first_half(part[KERNEL - 1], zero));
        store(dx + LANES + 2, load(dx + LANES + 2) + second_half(part[KERNEL - 1], zero));
      }
    }
  }
}

static void prelu_forward(const float* x, const float* alpha, float* y, int64_t outer, int64_t channels, int64_t inner) {
  if (inner >= SHORT_PLANE) {
    const int threads = threads_for(outer * channels * inner / SMALL_WORK);
    return each_task(
        outer * channels, threads,
        [=](int64_t i, int) { prelu_plane(x + i * inner, alpha[i % channels], y + i * inner, inner); },
        share_of(outer * channels, threads));
  }
  const std::vector<float> spread = spread_alpha(alpha, channels, inner);
  const int64_t row = channels * inner;
  const float* alphas = spread.data();
  const int threads = threads_for(outer * row / SMALL_WORK);
  each_task(
      outer, threads, [=](int64_t i, int) { prelu_row(x + i * row, alphas, y + i * row, row); }, share_of(outer, threads));
}

static void prelu_backward(const float* dy, const float* x, const float* alpha, float* dx, float* dalpha, int64_t outer,
                           int64_t channels, int64_t inner) {
  const int64_t parts = parts_of(outer), row = channels * inner;
  const bool is_long = inner >= SHORT_PLANE;
  const std::vector<float> spread = is_long ? std::vector<float>() : spread_alpha(alpha, channels, inner);
  const int64_t width = is_long ? channels : row;  // of a part's sums
  std::vector<float> sums(parts * width);
  each_task(parts, threads_for(outer * row / SMALL_WORK), [&](int64_t part, int) {
    float* sum = sums.data() + part * width;
    for (int64_t i = outer * part / parts; i < outer * (part + 1) / parts; ++i) {
      const int64_t at = i * row;
      if (!is_long) {
        prelu_row_gradient(dy + at, x + at, spread.data(), dx + at, sum, row);
        continue;
      }
      for (int64_t c = 0; c < channels; ++c)
        sum[c] += prelu_plane_gradient(dy + at + c * inner, x + at + c * inner, alpha[c], dx + at + c * inner, inner);
    }
  });
  for (int64_t c = 0; c < channels; ++c) {
    double total = 0;
    for (int64_t part = 0; part < parts; ++part)
      for (int64_t i = c * (width / channels); i < (c + 1) * (width / channels); ++i) total += sums[part * width + i];
    dalpha[c] = float(total);
  }
}

// Calls f(number of a plane, the plane) for all planes of x.
template <class F>
static bool each_pooled_plane(const float* x, int64_t planes, int64_t height, int64_t width, int64_t kernel, F f) {
  const int64_t size = height * width, floats = PooledPlane::floats(height, width, kernel);
  const int threads = threads_for(planes * size / SMALL_WORK);
  Memory memory;
  float* work = memory.take(threads * floats);
  if (!memory.is_enough()) return false;
  each_task(
      planes, threads,
      [&](int64_t i, int thread) {
        const PooledPlane plane(height, width, kernel, work + thread * floats);
        plane.take(x + i * size);
        f(i, plane);
      },
      share_of(planes, threads));
  return true;
}

static bool max_pool_forward(const float* x, float* y, int64_t planes, int64_t height, int64_t width, int64_t kernel) {
  const int64_t pooled = mtcnn_pooled(height, kernel) * mtcnn_pooled(width, kernel);
  return each_pooled_plane(x, planes, height, width, kernel, [=](int64_t i, const PooledPlane& plane) {
    kernel == 2 ? pool_plane<2>(plane, y + i * pooled) : pool_plane<3>(plane, y + i * pooled);
  });
}

static bool max_pool_backward(const float* dy, const float* x, float* dx, int64_t planes, int64_t height, int64_t width,
                              int64_t kernel) {
  const int64_t size = height * width, pooled = mtcnn_pooled(height, kernel) * mtcnn_pooled(width, kernel);
  return each_pooled_plane(x, planes, height, width, kernel, [=](int64_t i, const PooledPlane& plane) {
    kernel == 2 ? pool_plane_gradient<2>(plane, dy + i * pooled) : pool_plane_gradient<3>(plane, dy + i * pooled);
    for (int64_t r = 0; r < height; ++r)
      std::copy(plane.dx + r * plane.stride, plane.dx + r * plane.stride + width, dx + i * size + r * width);
  });
}
