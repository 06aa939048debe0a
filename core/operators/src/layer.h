// prelu_pool_conv: out = conv(pool(prelu(in))) + bias, the layer of these nets cut between convolution and activation. Cut
// there, only the layers' outputs need be kept for the backward pass: activation and pooling are done again, image by image,
// in the cache. A body for each_isa.h, after conv_tiles.h and activation.h.
//
// Working memory is laid out so that loops over channels may read and write a vector's length beyond the last channel: there
// lies what is written later, or MAX_LANES floats that nothing is kept in.

// Splits channels into blocks of at most MAX_V vectors, of nearly equal width.
struct Blocks {
  int64_t channels, vectors, count;
  explicit Blocks(int64_t channels_)
      : channels(channels_), vectors((channels_ + LANES - 1) / LANES), count((vectors + MAX_V - 1) / MAX_V) {}
  int64_t first(int64_t block) const { return vectors * block / count * LANES; }  // channel
  int64_t lanes(int64_t block) const { return first(block + 1) - first(block); }
  int64_t padded() const { return vectors * LANES; }
};

// Calls f(place in the packed array, place in the weights (O, I, k, k)) for every weight. `transposed`: the packed array is of
// the convolution that takes the gradient of the outputs to that of the inputs: channels exchanged, taps reversed.
template <class F>
static void each_weight(int64_t in, int64_t out, int64_t kernel, bool transposed, F f) {
  const int64_t taps = kernel * kernel, inner = transposed ? out : in;
  const Blocks blocks(transposed ? in : out);
  int64_t packed = 0;
  for (int64_t b = 0; b < blocks.count; ++b)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t i = 0; i < inner; ++i, packed += blocks.lanes(b))
        for (int64_t lane = 0; lane < blocks.lanes(b) && blocks.first(b) + lane < blocks.channels; ++lane) {
          const int64_t o = blocks.first(b) + lane;
          f(packed + lane, transposed ? (i * in + o) * taps + taps - 1 - tap : (o * in + i) * taps + tap);
        }
}

static int64_t packed_size(int64_t in, int64_t out, int64_t kernel) { return Blocks(out).padded() * in * kernel * kernel; }

// A convolution, channels last, of images that lie `in_image` and `out_image` floats apart.
struct Conv {
  int64_t in, out, kernel, rows, columns;  // channels; output size
  int64_t in_row, in_image, out_row, out_image;
  int64_t stride = 1;
  int64_t pixel_step() const { return stride * in; }  // from what one output pixel sees to what the next one sees
  int64_t row_step() const { return stride * in_row; }
};

static void convolve(const Conv& c, int64_t images, const float* a, const float* packed, const float* bias, float* out) {
  const Blocks blocks(c.out);
  for (int64_t b = 0; b < blocks.count; ++b) {
    const int64_t V = blocks.lanes(b) / LANES, first = blocks.first(b), most = max_m(V);
    const bool is_narrow = c.columns < most && c.columns < images;  // then a tile holds one pixel of several images
    const int64_t length = is_narrow ? images : c.columns, step = is_narrow ? c.in_image : c.pixel_step();
    const int64_t out_step = is_narrow ? c.out_image : c.out;
    const int64_t others = is_narrow ? c.columns : images, other = is_narrow ? c.pixel_step() : c.in_image;
    const int64_t out_other = is_narrow ? c.out : c.out_image, tiles = (length + most - 1) / most;
    for (int64_t o = 0; o < others; ++o)
      for (int64_t y = 0; y < c.rows; ++y)
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t from = length * t / tiles, count = length * (t + 1) / tiles - from;
          run_tile_of(V, count)(a + o * other + y * c.row_step() + from * step, step, c.in_row, c.kernel, c.kernel * c.in, packed,
                                bias + first, out + o * out_other + y * c.out_row + from * out_step + first, out_step,
                                c.out - first);
        }
    packed += blocks.lanes(b) * c.in * c.kernel * c.kernel;
  }
}

// Adds the gradient of the packed weights to `grad`. dy: rows and images dy_row and dy_image floats apart.
static void weight_gradient(const Conv& c, int64_t images, const float* a, const float* dy, int64_t dy_row, int64_t dy_image,
                            float* grad) {
  const Blocks blocks(c.out);
  const int64_t run = c.kernel * c.in;
  for (int64_t b = 0; b < blocks.count; ++b) {
    const int64_t V = blocks.lanes(b) / LANES, first = blocks.first(b), most = max_m(V), tiles = (run + most - 1) / most;
    for (int64_t r = 0; r < c.kernel; ++r)
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = run * t / tiles, count = run * (t + 1) / tiles - from;
        float* g = grad + (r * run + from) * blocks.lanes(b);
        const float *x = a + r * c.in_row + from, *d = dy + first;
        const PixelTile tile = pixel_tile_of(V, count);
        // The longer the sums in registers the better: over an image, or over one row of all images.
        if (c.rows >= images) {
          for (int64_t i = 0; i < images; ++i)
            tile(x + i * c.in_image, c.pixel_step(), c.row_step(), d + i * dy_image, c.out, dy_row, c.rows, c.columns, g);
        } else {
          for (int64_t y = 0; y < c.rows; ++y)
            tile(x + y * c.row_step(), c.pixel_step(), c.in_image, d + y * dy_row, c.out, dy_image, images, c.columns, g);
        }
      }
    grad += blocks.lanes(b) * run * c.kernel;
  }
}

// One output row of a pooling: `tall`, a row of pixels, is already the maximum of rows.
static void pool_across(const LayerSizes& s, const float* tall, float* y) {
  const int64_t C = s.channels;
  for (int64_t x = 0; x < s.pooled_width; ++x, y += C, tall += 2 * C) {
    const int64_t columns = std::min(s.pool, s.width - 2 * x);
    for (int64_t c = 0; c < C; c += LANES) {
      vec best = load(tall + c);
      for (int64_t i = 1; i < columns; ++i) {
        const vec v = load(tall + i * C + c);
        best = beats(v, best) ? v : best;
      }
      store(y + c, best);
    }
  }
}

// Rows [first, first + rows) of pool(prelu(image)), channels last. alpha: spread over a row of `in`, or null; tall: a row.
static void activate(const LayerSizes& s, const float* image, const float* alpha, int64_t first, int64_t rows, float* a,
                     float* tall) {
  const int64_t length = s.width * s.channels, plane = s.height * s.width;
  for (int64_t y = first; y < first + rows; ++y, a += s.pooled_width * s.channels) {
    if (s.channels_first) {
      for (int64_t c = 0; c < s.channels; ++c)
        for (int64_t x = 0; x < s.width; ++x) a[x * s.channels + c] = image[c * plane + y * s.width + x];
      if (alpha) prelu_row(a, alpha, a, length);
    } else if (!s.pool) {
      const float* x = image + y * length;
      alpha ? prelu_row(x, alpha, a, length) : void(std::copy(x, x + length, a));
    } else {
      const int64_t last = std::min(2 * y + s.pool, s.height);
      for (int64_t i = 2 * y; i < last; ++i) {
        const float* x = image + i * length;
        float* row = i == 2 * y ? tall : tall + length;
        alpha ? prelu_row(x, alpha, row, length) : void(std::copy(x, x + length, row));
        if (row != tall) max_rows(tall, row, length);
      }
      pool_across(s, tall, a);
    }
  }
}

// The pooling of one output row, seen from below: tall[i] is the largest of up to three values above each other, from[i] the row
// it is in.
static NOINLINE void tallest(const LayerSizes& s, const float* rows, const float* alpha, int64_t count, float* tall,
                             float* from) {
  const int64_t length = s.width * s.channels;
  for (int64_t r = 0; r < count; ++r, rows += length) {
    const float place = float(r);
    if (r == 0) {
      alpha ? prelu_row(rows, alpha, tall, length) : void(std::copy(rows, rows + length, tall));
      std::fill(from, from + length, 0.f);
      continue;
    }
    INDEPENDENT
    for (int64_t i = 0; i < length; ++i) {
      const float v = alpha ? prelu(rows[i], alpha[i]) : rows[i];
      const bool is_taller = beats(v, tall[i]);
      from[i] = is_taller ? place : from[i];
      tall[i] = is_taller ? v : tall[i];
    }
  }
}

// Adds the gradients of one output row to the columns that each window's largest value is in.
static void widen_gradient(const LayerSizes& s, const float* tall, const float* da, float* dtall) {
  const int64_t C = s.channels;
  for (int64_t x = 0; x < s.pooled_width; ++x, da += C, tall += 2 * C, dtall += 2 * C) {
    const int64_t columns = std::min(s.pool, s.width - 2 * x);
    for (int64_t c = 0; c < C; c += LANES) {
      const vec gradient = first_lanes(load(da + c), C - c), zero = {};
      float* d = dtall + c;
      vec best = load(tall + c);
      mask second = {}, third = {};
      if (columns > 1) {
        const vec v = load(tall + C + c);
        second = beats(v, best);
        best = second ? v : best;
      }
      if (columns > 2) {
        third = beats(load(tall + 2 * C + c), best);
        second &= ~third;
      }
      store(d, load(d) + (second | third ? zero : gradient));
      if (columns > 1) store(d + C, load(d + C) + (second ? gradient : zero));
      if (columns > 2) store(d + 2 * C, load(d + 2 * C) + (third ? gradient : zero));
    }
  }
}

// Adds the gradient of every pooled value to that of the largest value of its window. work: three rows.
static NOINLINE void pool_gradient(const LayerSizes& s, const float* image, const float* alpha, const float* da, float* din,
                                   float* work) {
  const int64_t length = s.width * s.channels;
  float *tall = work, *from = tall + length, *dtall = from + length;
  for (int64_t y = 0; y < s.pooled_height; ++y, da += s.pooled_width * s.channels) {
    const int64_t count = std::min(s.pool, s.height - 2 * y);
    tallest(s, image + 2 * y * length, alpha, count, tall, from);
    std::fill(dtall, dtall + length, 0.f);
    widen_gradient(s, tall, da, dtall);
    for (int64_t r = 0; r < count; ++r) {
      float* d = din + (2 * y + r) * length;
      const float place = float(r);
      INDEPENDENT
      for (int64_t i = 0; i < length; ++i) d[i] += from[i] == place ? dtall[i] : 0.f;
    }
  }
}

// The gradient of `in` (one image, channels last or first as it is) from that of pool(prelu(in)), and alpha's, added to a row.
static void activate_gradient(const LayerSizes& s, const float* image, const float* alpha, const float* da, float* din,
                              float* dalpha, float* work) {
  const int64_t length = s.width * s.channels, plane = s.height * s.width;
  if (s.channels_first) {
    for (int64_t y = 0; y < s.height; ++y)
      for (int64_t c = 0; c < s.channels; ++c)
        for (int64_t x = 0; x < s.width; ++x) {
          const int64_t at = c * plane + y * s.width + x, i = x * s.channels + c;
          const float d = da[y * length + i], v = image[at];
          if (alpha) dalpha[i] += v > 0 ? 0.f : d * v;
          din[at] = !alpha || v > 0 ? d : alpha[i] * d;
        }
    return;
  }
  if (!s.pool) {
    for (int64_t y = 0; y < s.height; ++y, da += length, image += length, din += length)
      alpha ? prelu_row_gradient(da, image, alpha, din, dalpha, length) : void(std::copy(da, da + length, din));
    return;
  }
  std::fill(din, din + s.height * length, 0.f);
  pool_gradient(s, image, alpha, da, din, work);
  for (int64_t y = 0; alpha && y < s.height; ++y, image += length, din += length)
    prelu_row_gradient(din, image, alpha, din, dalpha, length);
}

static Conv forward_conv(const LayerSizes& s) {
  const int64_t row = s.pooled_width * s.channels, out_row = s.out_width * s.filters;
  return {s.channels, s.filters, s.kernel, s.out_height, s.out_width,
          row, s.pooled_height * row, out_row, s.out_height * out_row, s.stride};
}

// Takes gradients of outputs, with a border of kernel - 1 zeros around them, to those of pool(prelu(in)); of stride 1.
static Conv backward_conv(const LayerSizes& s) {
  const int64_t border = 2 * (s.kernel - 1), row = s.pooled_width * s.channels, out_row = (s.out_width + border) * s.filters;
  return {s.filters, s.channels, s.kernel, s.pooled_height, s.pooled_width,
          out_row, (s.out_height + border) * out_row, row, s.pooled_height * row};
}

// Copies the gradient of an image's outputs into the middle of a bordered one, and adds it up by channel.
static void copy_bordered(const LayerSizes& s, const float* dout, float* dy, int64_t dy_row, float* dbias) {
  const int64_t length = s.out_width * s.filters;
  for (int64_t y = 0; y < s.out_height; ++y, dout += length, dy += dy_row) {
    std::copy(dout, dout + length, dy);
    for (int64_t x = 0; x < length; x += s.filters)
      for (int64_t k = 0; k < s.filters; ++k) dbias[k] += dout[x + k];
  }
}

// The work is cut into tasks of whole small images or strips of rows of large ones, such that a task's input stays in the cache.
static bool layer_forward(const LayerSizes& s, const float* in, const float* alpha, const float* weight, const float* bias,
                          float* out) {
  Conv c = forward_conv(s);
  const int64_t threads = usable_threads();
  const int64_t strip = std::min(s.out_height, std::max<int64_t>(4, (CACHED / c.in_row - s.kernel) / s.stride + 1));
  const int64_t strips = (s.out_height + strip - 1) / strip;
  const int64_t group = strips > 1 ? 1 : std::max<int64_t>(1, std::min({CACHED / c.in_image, MAX_GROUP, s.images / (2 * threads)}));
  const int64_t groups = (s.images + group - 1) / group, size = group * rows_seen(s, strip) * c.in_row;
  const int64_t row = s.width * s.channels, room = size + 2 * row + 2 * MAX_LANES;  // of a thread
  Memory memory;
  float* packed = memory.zeros(packed_size(s.channels, s.filters, s.kernel));
  float* biases = memory.zeros(Blocks(s.filters).padded());
  float* alphas = memory.zeros(row);
  float* work = memory.take(threads * room);
  if (!memory.is_enough()) return false;
  each_weight(s.channels, s.filters, s.kernel, false, [&](int64_t at, int64_t from) { packed[at] = weight[from]; });
  std::copy(bias, bias + s.filters, biases);
  for (int64_t i = 0; alpha && i < row; ++i) alphas[i] = alpha[i % s.channels];
  each_task(groups * strips, threads_for(groups * strips), [&](int64_t task, int thread) {
    float *a = work + thread * room, *tall = a + size + MAX_LANES;
    const int64_t from = task / strips * group, count = std::min(group, s.images - from);
    const int64_t top = task % strips * strip, rows = std::min(strip, s.out_height - top);
    Conv part = c;
    part.rows = rows;
    part.in_image = rows_seen(s, rows) * c.in_row;
    for (int64_t i = 0; i < count; ++i)
      activate(s, in + (from + i) * s.height * row, alpha ? alphas : nullptr, top * s.stride, rows_seen(s, rows),
               a + i * part.in_image, tall);
    convolve(part, count, a, packed, biases, out + from * c.out_image + top * c.out_row);
  });
  return true;
}

// Gradients of weights and slopes are summed over fixed parts of the batch, so that they do not depend on the threads.
static bool layer_backward(const LayerSizes& s, const float* dout, const float* in, const float* alpha, const float* weight,
                           float* din, float* dalpha, float* dweight, float* dbias) {
  const Conv c = forward_conv(s), back = backward_conv(s);
  const int64_t row = s.width * s.channels, image = s.height * row, threads = usable_threads();
  const int64_t floats = 2 * c.in_image + back.in_image;  // of an image: activated input, its gradient, bordered dout
  const int64_t group = std::max<int64_t>(1, std::min(CACHED / floats, MAX_GROUP)), groups = (s.images + group - 1) / group;
  const int64_t parts = parts_of(groups), size = group * floats + 3 * row + 2 * MAX_LANES;
  const int64_t weights = packed_size(s.channels, s.filters, s.kernel), sums = weights + s.filters + row;
  Memory memory;
  float* packed = memory.zeros(packed_size(s.filters, s.channels, s.kernel));
  float* no_bias = memory.zeros(Blocks(s.channels).padded());
  float* alphas = memory.zeros(row);
  float* total = memory.zeros(parts * sums);
  float* work = memory.zeros(threads * size);
  if (!memory.is_enough()) return false;
  each_weight(s.channels, s.filters, s.kernel, true, [&](int64_t at, int64_t from) { packed[at] = weight[from]; });
  for (int64_t i = 0; alpha && i < row; ++i) alphas[i] = alpha[i % s.channels];
  each_task(parts, threads_for(parts), [&](int64_t part, int thread) {
    float *a = work + thread * size, *da = a + group * c.in_image, *dy = da + group * c.in_image;
    float *tall = dy + group * back.in_image + MAX_LANES, *sum = total + part * sums;
    const int64_t border = (s.kernel - 1) * (back.in_row + s.filters);
    for (int64_t g = groups * part / parts; g < groups * (part + 1) / parts; ++g) {
      const int64_t from = g * group, count = std::min(group, s.images - from);
      for (int64_t i = 0; i < count; ++i) {
        activate(s, in + (from + i) * image, alpha ? alphas : nullptr, 0, s.pooled_height, a + i * c.in_image, tall);
        copy_bordered(s, dout + (from + i) * c.out_image, dy + i * back.in_image + border, back.in_row, sum + weights);
      }
      weight_gradient(c, count, a, dy + border, back.in_row, back.in_image, sum);
      if (!din) continue;
      convolve(back, count, dy, packed, no_bias, da);
      for (int64_t i = 0; i < count; ++i)
        activate_gradient(s, in + (from + i) * image, alpha ? alphas : nullptr, da + i * c.in_image, din + (from + i) * image,
                          sum + weights + s.filters, tall);
    }
  });
  for (int64_t part = 1; part < parts; ++part)
    for (int64_t i = 0; i < sums; ++i) total[i] += total[part * sums + i];
  each_weight(s.channels, s.filters, s.kernel, false, [&](int64_t at, int64_t to) { dweight[to] = total[at]; });
  std::copy(total + weights, total + weights + s.filters, dbias);
  for (int64_t k = 0; dalpha && k < s.channels; ++k) {
    dalpha[k] = 0;
    for (int64_t x = 0; x < s.width; ++x) dalpha[k] += total[weights + s.filters + x * s.channels + k];
  }
  return true;
}
