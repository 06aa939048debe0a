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

static void max_pool_plane(const float* x, float* y, int64_t height, int64_t width, int64_t kernel, int64_t stride,
                           float* tall) {
  const int64_t rows = mtcnn_pooled(height, kernel, stride), columns = mtcnn_pooled(width, kernel, stride);
  const int64_t whole = width < kernel ? 0 : (width - kernel) / stride + 1;  // windows that do not reach beyond the border
  const bool is_fast = stride == 2 && (kernel == 2 || kernel == 3);
  for (int64_t r = 0; r < rows; ++r, y += columns) {
    const int64_t first = r * stride, last = std::min(first + kernel, height);
    std::copy(x + first * width, x + (first + 1) * width, tall);
    for (int64_t i = first + 1; i < last; ++i) max_rows(tall, x + i * width, width);
    if (is_fast && kernel == 2) {
      for (int64_t c = 0; c < whole; ++c) y[c] = beats(tall[2 * c + 1], tall[2 * c]) ? tall[2 * c + 1] : tall[2 * c];
    } else if (is_fast) {
      for (int64_t c = 0; c < whole; ++c) {
        const float pair = beats(tall[2 * c + 1], tall[2 * c]) ? tall[2 * c + 1] : tall[2 * c];
        y[c] = beats(tall[2 * c + 2], pair) ? tall[2 * c + 2] : pair;
      }
    }
    for (int64_t c = is_fast ? whole : 0; c < columns; ++c) {
      y[c] = tall[c * stride];
      for (int64_t i = c * stride + 1; i < std::min(c * stride + kernel, width); ++i)
        y[c] = beats(tall[i], y[c]) ? tall[i] : y[c];
    }
  }
}

// Adds the gradient of a pooling to dx: to the first of the largest values of each window.
static void max_pool_plane_gradient(const float* dy, const float* x, float* dx, int64_t height, int64_t width, int64_t kernel,
                                    int64_t stride) {
  const int64_t rows = mtcnn_pooled(height, kernel, stride), columns = mtcnn_pooled(width, kernel, stride);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      int64_t best = r * stride * width + c * stride;
      for (int64_t i = r * stride; i < std::min(r * stride + kernel, height); ++i)
        for (int64_t j = c * stride; j < std::min(c * stride + kernel, width); ++j)
          if (beats(x[i * width + j], x[best])) best = i * width + j;
      dx[best] += *dy++;
    }
}

static void prelu_forward(const float* x, const float* alpha, float* y, int64_t outer, int64_t channels, int64_t inner) {
  if (inner >= SHORT_PLANE) {
#pragma omp parallel for schedule(static) if (outer * channels * inner > SMALL_WORK)
    for (int64_t i = 0; i < outer * channels; ++i) prelu_plane(x + i * inner, alpha[i % channels], y + i * inner, inner);
    return;
  }
  const std::vector<float> spread = spread_alpha(alpha, channels, inner);
  const int64_t row = channels * inner;
#pragma omp parallel for schedule(static) if (outer * row > SMALL_WORK)
  for (int64_t i = 0; i < outer; ++i) prelu_row(x + i * row, spread.data(), y + i * row, row);
}

static void prelu_backward(const float* dy, const float* x, const float* alpha, float* dx, float* dalpha, int64_t outer,
                           int64_t channels, int64_t inner) {
  const int64_t parts = parts_of(outer), row = channels * inner;
  const bool is_long = inner >= SHORT_PLANE;
  const std::vector<float> spread = is_long ? std::vector<float>() : spread_alpha(alpha, channels, inner);
  const int64_t width = is_long ? channels : row;  // of a part's sums
  std::vector<float> sums(parts * width);
#pragma omp parallel for schedule(dynamic) if (outer * row > SMALL_WORK)
  for (int64_t part = 0; part < parts; ++part) {
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
  }
  for (int64_t c = 0; c < channels; ++c) {
    double total = 0;
    for (int64_t part = 0; part < parts; ++part)
      for (int64_t i = c * (width / channels); i < (c + 1) * (width / channels); ++i) total += sums[part * width + i];
    dalpha[c] = float(total);
  }
}

static void max_pool_forward(const float* x, float* y, int64_t planes, int64_t height, int64_t width, int64_t kernel,
                             int64_t stride) {
  const int64_t size = height * width, pooled = mtcnn_pooled(height, kernel, stride) * mtcnn_pooled(width, kernel, stride);
#pragma omp parallel if (planes * size > SMALL_WORK)
  {
    std::vector<float> tall(width);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < planes; ++i) max_pool_plane(x + i * size, y + i * pooled, height, width, kernel, stride, tall.data());
  }
}

static void max_pool_backward(const float* dy, const float* x, float* dx, int64_t planes, int64_t height, int64_t width,
                              int64_t kernel, int64_t stride) {
  const int64_t size = height * width, pooled = mtcnn_pooled(height, kernel, stride) * mtcnn_pooled(width, kernel, stride);
#pragma omp parallel for schedule(static) if (planes * size > SMALL_WORK)
  for (int64_t i = 0; i < planes; ++i) {
    std::fill(dx + i * size, dx + (i + 1) * size, 0.f);
    max_pool_plane_gradient(dy + i * pooled, x + i * size, dx + i * size, height, width, kernel, stride);
  }
}
