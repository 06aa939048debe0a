// Calls every function of kernels.h on shapes at the edges of what it is made for, and compares with plain loops in double
// precision. All arrays are exactly as long as the interface says, so that a sanitizer sees every step beyond them. Run it with
// `make sanitize`; the exit status is 1 after a mismatch.
#include "kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

std::mt19937 generator(0);
int failures = 0;

int64_t below(int64_t limit) { return std::uniform_int_distribution<int64_t>(0, limit - 1)(generator); }
template <class T>
T one_of(const std::vector<T>& values) {
  return values[size_t(below(int64_t(values.size())))];
}
Floats random_floats(int64_t count) {
  std::normal_distribution<float> normal;
  Floats values((size_t(count)));
  for (float& value : values) value = normal(generator);
  return values;
}
// What a kernel must overwrite: NaN shows where it did not.
Floats unwritten(int64_t count) { return Floats(size_t(count), std::numeric_limits<float>::quiet_NaN()); }

void fail(const std::string& what) {
  std::printf("MISMATCH %s\n", what.c_str());
  ++failures;
}

void compare(const std::string& what, const Floats& found, const Doubles& expected, double tolerance = 1e-5) {
  double largest = 1;
  for (double value : expected) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < expected.size(); ++i)
    if (!(std::abs(found[i] - expected[i]) <= tolerance * largest))
      return fail(what + ": value " + std::to_string(i) + " is " + std::to_string(found[i]) + ", not " +
                  std::to_string(expected[i]));
}

std::string shown(const std::string& name, const std::vector<int64_t>& numbers) {
  std::string text = name;
  for (int64_t number : numbers) text += " " + std::to_string(number);
  return text;
}

// ---- PReLU

void check_prelu(int64_t outer, int64_t channels, int64_t inner) {
  const int64_t count = outer * channels * inner;
  const Floats x = random_floats(count), dy = random_floats(count), alpha = random_floats(channels);
  Floats y = unwritten(count), dx = unwritten(count), dalpha = unwritten(channels);
  mtcnn_prelu_forward(x.data(), alpha.data(), y.data(), outer, channels, inner);
  mtcnn_prelu_backward(dy.data(), x.data(), alpha.data(), dx.data(), dalpha.data(), outer, channels, inner);
  Doubles expected_y, expected_dx, expected_dalpha(size_t(channels), 0.);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t c = i / inner % channels;
    expected_y.push_back(x[i] > 0 ? x[i] : double(alpha[c]) * x[i]);
    expected_dx.push_back(x[i] > 0 ? dy[i] : double(alpha[c]) * dy[i]);
    if (x[i] <= 0) expected_dalpha[c] += double(dy[i]) * x[i];
  }
  const std::string what = shown("prelu", {outer, channels, inner});
  compare(what + " forward", y, expected_y);
  compare(what + " dx", dx, expected_dx);
  compare(what + " dalpha", dalpha, expected_dalpha);
}

// ---- Pooling

// Where the largest value of each window of a plane is. `at(row, column)` is a value.
std::vector<int64_t> largest_of(int64_t height, int64_t width, int64_t kernel,
                                const std::function<double(int64_t, int64_t)>& at) {
  std::vector<int64_t> places;
  for (int64_t r = 0; r < 2 * mtcnn_pooled(height, kernel); r += 2)
    for (int64_t c = 0; c < 2 * mtcnn_pooled(width, kernel); c += 2) {
      int64_t row = r, column = c;
      for (int64_t i = r; i < std::min(r + kernel, height); ++i)
        for (int64_t j = c; j < std::min(c + kernel, width); ++j)
          if (at(i, j) > at(row, column)) row = i, column = j;
      places.push_back(row * width + column);
    }
  return places;
}

void check_pooled() {
  for (int64_t length = 1; length < 40; ++length)
    for (int64_t kernel : {2, 3}) {
      int64_t expected = 1;  // the last window is the first that reaches the end
      while (2 * (expected - 1) + kernel < length) ++expected;
      if (mtcnn_pooled(length, kernel) != expected) fail(shown("pooled", {length, kernel}));
    }
}

void check_max_pool(int64_t planes, int64_t height, int64_t width, int64_t kernel) {
  const int64_t size = height * width, pooled = mtcnn_pooled(height, kernel) * mtcnn_pooled(width, kernel);
  const Floats x = random_floats(planes * size), dy = random_floats(planes * pooled);
  Floats y = unwritten(planes * pooled), dx = unwritten(planes * size);
  const std::string what = shown("max_pool", {planes, height, width, kernel});
  if (!mtcnn_max_pool_forward(x.data(), y.data(), planes, height, width, kernel) ||
      !mtcnn_max_pool_backward(dy.data(), x.data(), dx.data(), planes, height, width, kernel))
    return fail(what + ": out of memory");
  Doubles expected_y, expected_dx(x.size(), 0.);
  for (int64_t p = 0; p < planes; ++p)
    for (int64_t place : largest_of(height, width, kernel, [&](int64_t i, int64_t j) { return x[p * size + i * width + j]; })) {
      expected_dx[p * size + place] += dy[expected_y.size()];
      expected_y.push_back(x[p * size + place]);
    }
  compare(what + " forward", y, expected_y);
  compare(what + " dx", dx, expected_dx);
}

// ---- The layer

// A layer in plain loops, channels last, in double precision.
struct PlainLayer {
  PlainLayer(const MtcnnLayer& layer, const Floats& in_, const Floats* alpha_) : s(layer), in(in_), alpha(alpha_) {
    rows = s.pool ? mtcnn_pooled(s.height, s.pool) : s.height, columns = s.pool ? mtcnn_pooled(s.width, s.pool) : s.width;
    while (out_rows * s.stride + s.kernel <= rows) ++out_rows;
    while (out_columns * s.stride + s.kernel <= columns) ++out_columns;
    for (int64_t n = 0; n < s.images; ++n)
      for (int64_t c = 0; c < s.channels; ++c) {
        const auto at = [&](int64_t i, int64_t j) { return activated(place(n, i, j, c), c); };
        std::vector<int64_t> largest;
        if (s.pool) largest = largest_of(s.height, s.width, s.pool, at);
        for (int64_t i = 0; i < rows * columns; ++i) {
          const int64_t pixel = s.pool ? largest[i] : i;
          from.push_back(place(n, pixel / s.width, pixel % s.width, c));
          a.push_back(activated(from.back(), c));
        }
      }
  }
  int64_t place(int64_t n, int64_t i, int64_t j, int64_t c) const {  // in `in`
    if (s.channels_first) return ((n * s.channels + c) * s.height + i) * s.width + j;
    return ((n * s.height + i) * s.width + j) * s.channels + c;
  }
  double activated(int64_t at, int64_t c) const { return in[at] > 0 || !alpha ? in[at] : double((*alpha)[c]) * in[at]; }

  // Calls f(place in a, in weight, in out) for every product of the convolution.
  void each_product(const std::function<void(int64_t, int64_t, int64_t)>& f) const {
    for (int64_t n = 0; n < s.images; ++n)
      for (int64_t o = 0; o < s.filters; ++o)
        for (int64_t y = 0; y < out_rows; ++y)
          for (int64_t x = 0; x < out_columns; ++x)
            for (int64_t c = 0; c < s.channels; ++c)
              for (int64_t i = 0; i < s.kernel; ++i)
                for (int64_t j = 0; j < s.kernel; ++j)
                  f(((n * s.channels + c) * rows + y * s.stride + i) * columns + x * s.stride + j,
                    ((o * s.channels + c) * s.kernel + i) * s.kernel + j,
                    ((n * out_rows + y) * out_columns + x) * s.filters + o);
  }

  MtcnnLayer s;
  const Floats& in;
  const Floats* alpha;
  int64_t rows, columns, out_rows = 0, out_columns = 0;
  Doubles a;                  // pool(prelu(in)), (images, channels, rows, columns)
  std::vector<int64_t> from;  // where in `in` each value of a is
};

void check_layer(const MtcnnLayer& s, bool has_alpha, bool wants_din) {
  const double tolerance = s.bfloat16 ? 0.02 : 1e-5;  // sums of products of factors with 8 bits
  const std::string what = shown("layer", {s.images, s.height, s.width, s.channels, s.pool, s.kernel, s.filters,
                                           s.channels_first, s.bfloat16, s.stride, has_alpha, wants_din});
  const int64_t pixels = s.images * s.height * s.width;
  const Floats in = random_floats(pixels * s.channels), alpha = random_floats(s.channels), bias = random_floats(s.filters);
  const Floats weight = random_floats(s.filters * s.channels * s.kernel * s.kernel);
  const PlainLayer plain(s, in, has_alpha ? &alpha : nullptr);
  int64_t height, width;
  const bool is_left = mtcnn_layer_output(&s, &height, &width);
  if (is_left != (plain.out_rows > 0 && plain.out_columns > 0)) fail(what + ": size");
  if (!is_left) return;
  if (height != plain.out_rows || width != plain.out_columns) return fail(what + ": size");

  const int64_t outputs = s.images * height * width * s.filters;
  const Floats dout = random_floats(outputs);
  Floats out = unwritten(outputs), dweight = unwritten(int64_t(weight.size())), dbias = unwritten(s.filters);
  Floats din = unwritten(wants_din ? int64_t(in.size()) : 0), dalpha = unwritten(wants_din && has_alpha ? s.channels : 0);
  const float* slopes = has_alpha ? alpha.data() : nullptr;
  const auto gradient = [](Floats& values) { return values.empty() ? nullptr : values.data(); };
  if (!mtcnn_layer_forward(&s, in.data(), slopes, weight.data(), bias.data(), out.data()) ||
      !mtcnn_layer_backward(&s, dout.data(), in.data(), slopes, weight.data(), gradient(din), gradient(dalpha), dweight.data(),
                            dbias.data()))
    return fail(what + ": out of memory");

  Doubles expected_out, expected_dweight(weight.size(), 0.), expected_dbias(size_t(s.filters), 0.);
  Doubles da(plain.a.size(), 0.), expected_din(in.size(), 0.), expected_dalpha(size_t(s.channels), 0.);
  for (int64_t i = 0; i < outputs; ++i) {
    expected_out.push_back(bias[i % s.filters]);
    expected_dbias[i % s.filters] += dout[i];
  }
  plain.each_product([&](int64_t a, int64_t w, int64_t o) {
    expected_out[o] += plain.a[a] * weight[w];
    expected_dweight[w] += plain.a[a] * dout[o];
    da[a] += double(weight[w]) * dout[o];
  });
  for (size_t i = 0; i < da.size(); ++i) expected_din[plain.from[i]] += da[i];
  for (int64_t i = 0; has_alpha && i < int64_t(in.size()); ++i) {
    const int64_t c = s.channels_first ? i / (s.height * s.width) % s.channels : i % s.channels;
    if (in[i] > 0) continue;
    expected_dalpha[c] += expected_din[i] * in[i];
    expected_din[i] *= alpha[c];
  }
  compare(what + " forward", out, expected_out, tolerance);
  compare(what + " dweight", dweight, expected_dweight, tolerance);
  compare(what + " dbias", dbias, expected_dbias);
  if (wants_din) compare(what + " din", din, expected_din, tolerance);
  if (wants_din && has_alpha) compare(what + " dalpha", dalpha, expected_dalpha, s.bfloat16 ? 0.1 : tolerance);  // its terms cancel out
}

// A net gives exactly what its layers give one after the other.
void check_net(int64_t images, int64_t height, int64_t width, const std::vector<MtcnnNetLayer>& sizes, int64_t threads) {
  std::vector<MtcnnNetLayer> layers = sizes;
  std::vector<Floats> alphas, packs;
  alphas.reserve(layers.size()), packs.reserve(layers.size());
  Floats values = random_floats(images * layers[0].channels * height * width);
  const Floats in = values;
  std::vector<int64_t> numbers = {images, height, width, threads};
  int64_t rows = height, columns = width;
  bool is_left = true;
  for (size_t l = 0; l < layers.size(); ++l) {
    MtcnnNetLayer& layer = layers[l];
    for (int64_t number : {layer.channels, layer.pool, layer.kernel, layer.filters, layer.stride}) numbers.push_back(number);
    const Floats weight = random_floats(layer.filters * layer.channels * layer.kernel * layer.kernel);
    const Floats bias = random_floats(layer.filters);
    alphas.push_back(random_floats(layer.channels));
    packs.push_back(unwritten(mtcnn_packed(&layer)));
    mtcnn_pack(&layer, weight.data(), bias.data(), packs.back().data());
    layer.alpha = l && below(5) ? alphas.back().data() : nullptr;
    layer.packed = packs.back().data();
    const MtcnnLayer s = {images, rows, columns, layer.channels, layer.pool, layer.kernel, layer.filters, l == 0, 0, layer.stride};
    is_left = is_left && mtcnn_layer_output(&s, &rows, &columns);
    if (!is_left) continue;
    Floats next = unwritten(images * rows * columns * layer.filters);
    if (!mtcnn_layer_forward(&s, values.data(), layer.alpha, weight.data(), bias.data(), next.data()))
      return fail(shown("net: layer", numbers));
    values = next;
  }
  const int64_t count = int64_t(layers.size());
  int64_t out_rows, out_columns;
  if (mtcnn_net_output(layers.data(), count, height, width, &out_rows, &out_columns) != is_left)
    return fail(shown("net: output", numbers));
  Floats out = unwritten(is_left ? int64_t(values.size()) : 0);
  if (mtcnn_net_forward(layers.data(), count, images, height, width, threads, in.data(), out.data()) != is_left)
    return fail(shown("net: forward", numbers));
  if (is_left && (out_rows != rows || out_columns != columns || out != values)) fail(shown("net", numbers));
}

// ---- Nets in 8 bits

// What plain loops make of a layer's input (images, rows, columns, channels); sizes are the output's afterwards.
Doubles plain_int8(const MtcnnInt8Layer& l, const std::vector<int8_t>& weight, Doubles in, int64_t images, int64_t& rows, int64_t& columns) {
  if (l.pool) {
    const int64_t high = mtcnn_pooled(rows, l.pool), wide = mtcnn_pooled(columns, l.pool);
    Doubles pooled(size_t(images * high * wide * l.channels), -1);
    for (int64_t at = 0; at < int64_t(pooled.size()); ++at) {
      const int64_t c = at % l.channels, x = at / l.channels % wide, y = at / l.channels / wide % high, n = at / l.channels / wide / high;
      for (int64_t i = 2 * y; i < std::min(2 * y + l.pool, rows); ++i)
        for (int64_t j = 2 * x; j < std::min(2 * x + l.pool, columns); ++j)
          pooled[size_t(at)] = std::max(pooled[size_t(at)], in[size_t(((n * rows + i) * columns + j) * l.channels + c)]);
    }
    in = pooled, rows = high, columns = wide;
  }
  if (rows < l.kernel || columns < l.kernel) return rows = 0, Doubles();
  const int64_t high = (rows - l.kernel) / l.stride + 1, wide = (columns - l.kernel) / l.stride + 1;
  Doubles out(size_t(images * high * wide * l.filters));
  for (int64_t at = 0; at < int64_t(out.size()); ++at) {
    const int64_t o = at % l.filters, x = at / l.filters % wide, y = at / l.filters / wide % high, n = at / l.filters / wide / high;
    double sum = 0;
    for (int64_t i = 0; i < l.kernel; ++i)
      for (int64_t j = 0; j < l.kernel; ++j)
        for (int64_t c = 0; c < l.channels; ++c)
          sum += in[size_t(((n * rows + y * l.stride + i) * columns + x * l.stride + j) * l.channels + c)] *
                 weight[size_t(((o * l.channels + c) * l.kernel + i) * l.kernel + j)];
    const double value = sum * l.scale[o] + l.shift[o];
    out[size_t(at)] = !l.alpha ? value : std::floor(std::clamp((value > 0 ? value : l.alpha[o] * value) * l.to_byte[o] + l.zero[o], 0., 255.) + 0.5);
  }
  rows = high, columns = wide;
  return out;
}

// Scales are powers of two, so that single precision rounds nothing and the results are equal.
void check_int8(int64_t images, int64_t height, int64_t width, std::vector<MtcnnInt8Layer> layers, int64_t threads) {
  const auto powers = [](int64_t count, int low, int high) {
    Floats values(size_t((count + 15) / 16 * 16), 0);
    for (int64_t i = 0; i < count; ++i) values[size_t(i)] = std::ldexp(1.f, low + int(below(high - low + 1)));
    return values;
  };
  const auto wholes = [](int64_t count, float unit) {
    Floats values(size_t((count + 15) / 16 * 16), 0);
    for (int64_t i = 0; i < count; ++i) values[size_t(i)] = float(below(256)) * unit;
    return values;
  };
  std::vector<Floats> kept;
  std::vector<std::vector<int8_t>> weights, packs;
  kept.reserve(5 * layers.size()), packs.reserve(layers.size());
  Floats in(size_t(images * layers[0].channels * height * width));
  for (float& value : in) value = float(below(256)) - 128;
  Doubles values(in.size());
  for (size_t i = 0; i < in.size(); ++i) {  // channels last, as bytes
    const int64_t c = int64_t(i) % layers[0].channels, pixel = int64_t(i) / layers[0].channels, n = pixel / (height * width);
    values[i] = in[size_t((n * layers[0].channels + c) * height * width + pixel % (height * width))] + 128;
  }
  const std::vector<uint8_t> bytes(values.begin(), values.end());
  std::vector<int64_t> numbers = {images, height, width, threads};
  int64_t rows = height, columns = width;
  for (size_t l = 0; l < layers.size(); ++l) {
    MtcnnInt8Layer& layer = layers[l];
    for (int64_t number : {layer.channels, layer.pool, layer.kernel, layer.filters, layer.stride}) numbers.push_back(number);
    std::vector<int8_t> weight(size_t(layer.filters * layer.channels * layer.kernel * layer.kernel));
    for (int8_t& value : weight) value = int8_t(below(255) - 127);
    packs.emplace_back(size_t(mtcnn_int8_packed(&layer)));
    mtcnn_int8_pack(&layer, weight.data(), packs.back().data());
    layer.packed = packs.back().data();
    kept.push_back(powers(layer.filters, -8, -6)), layer.scale = kept.back().data();
    kept.push_back(wholes(layer.filters, 0.25f)), layer.shift = kept.back().data();
    if (l + 1 < layers.size()) {
      kept.push_back(powers(layer.filters, -3, -1)), layer.alpha = kept.back().data();
      kept.push_back(powers(layer.filters, -3, 0)), layer.to_byte = kept.back().data();
      kept.push_back(wholes(layer.filters, 1)), layer.zero = kept.back().data();
    }
    if (rows) values = plain_int8(layer, weight, values, images, rows, columns);
  }
  Floats out = unwritten(rows ? int64_t(values.size()) : 0);
  for (int64_t is_bytes : {0, 1}) {
    std::fill(out.begin(), out.end(), 0.f);
    const void* images_in = is_bytes ? static_cast<const void*>(bytes.data()) : in.data();
    if (mtcnn_int8_forward(layers.data(), int64_t(layers.size()), images, height, width, threads, 1, 128, is_bytes, images_in,
                           out.data()) != (rows > 0))
      return fail(shown("int8: forward", numbers));
    if (!std::equal(out.begin(), out.end(), values.begin())) fail(shown("int8", numbers));
  }
}

// ---- Mining, suppression, crops

void check_mining(int64_t count, double keep_ratio) {
  Floats logits(size_t(2 * count)), label((size_t(count))), mask = unwritten(count);
  const float special[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1e38f, 0.f};
  for (float& value : logits) value = below(10) ? float(below(7)) : special[below(4)];
  for (float& value : label) value = float(below(4) - 2);
  mtcnn_negative_mining(logits.data(), label.data(), mask.data(), count, keep_ratio);
  const auto hardness = [&](int64_t i) {
    const float own = logits[2 * i + (label[i] == 1)], other = logits[2 * i + (label[i] != 1)], margin = other - own;
    return std::isnan(margin) ? std::pair<int, float>(1, 0.f) : std::pair<int, float>(0, margin);
  };
  std::vector<int64_t> order;
  for (int64_t i = 0; i < count; ++i)
    if (label[i] == 0 || label[i] == 1) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return hardness(i) > hardness(j); });
  const size_t kept = std::max<size_t>(1, size_t(keep_ratio * double(order.size()) + 1e-6));
  Doubles expected(size_t(count), 0.);
  for (size_t i = 0; i < std::min(kept, order.size()); ++i) expected[order[i]] = 1;
  compare(shown("mining", {count, int64_t(keep_ratio * 1000)}), mask, expected);
}

void check_nms(int64_t count, double threshold, bool min_mode, float extra) {
  Floats boxes(size_t(4 * count));
  for (int64_t i = 0; i < count; ++i)
    for (int k = 0; k < 2; ++k) {
      boxes[4 * i + k] = float(below(60));
      boxes[4 * i + 2 + k] = boxes[4 * i + k] + float(below(30)) - 1;  // some are empty
    }
  std::vector<int64_t> keep(size_t(count), -1), expected;
  const auto side = [&](int64_t i, int k) { return std::max(0., double(boxes[4 * i + 2 + k]) - boxes[4 * i + k] + extra); };
  const auto overlaps = [&](int64_t i, int64_t j) {
    double shared = 1;
    for (int k = 0; k < 2; ++k)
      shared *= std::max(0., double(std::min(boxes[4 * i + 2 + k], boxes[4 * j + 2 + k])) -
                                 std::max(boxes[4 * i + k], boxes[4 * j + k]) + extra);
    const double one = side(i, 0) * side(i, 1), other = side(j, 0) * side(j, 1);
    return shared > threshold * (min_mode ? std::min(one, other) : one + other - shared);
  };
  for (int64_t i = 0; i < count; ++i)
    if (std::none_of(expected.begin(), expected.end(), [&](int64_t j) { return overlaps(i, j); })) expected.push_back(i);
  keep.resize(size_t(mtcnn_nms(boxes.data(), count, threshold, min_mode, extra, keep.data())));
  if (keep != expected) fail(shown("nms", {count, int64_t(threshold * 100), min_mode, int64_t(extra)}));
}

// Pixels (count, pixels, 3) are rounded ones of (count, 3, pixels), of which what was expected is (pixel - 127.5) / 128.
void check_bytes(const std::string& what, const std::vector<uint8_t>& bytes, const Doubles& expected, int64_t count, int64_t pixels) {
  for (int64_t i = 0; i < count * pixels; ++i)
    for (int64_t c = 0; c < 3; ++c) {
      const double mean = expected[size_t((i / pixels * 3 + c) * pixels + i % pixels)] * 128 + 127.5;
      if (std::abs(bytes[size_t(3 * i + c)] - mean) > 0.5001) return fail(what);
    }
}

void check_crops(int64_t height, int64_t width, int64_t size, const Doubles& boxes) {
  std::vector<uint8_t> image(size_t(height * width * 3));
  for (uint8_t& value : image) value = uint8_t(below(256));
  const int64_t count = int64_t(boxes.size() / 4);
  Floats crops = unwritten(count * 3 * size * size);
  const float shift = 127.5f, scale = 1 / 128.f;
  mtcnn_crop_resize(image.data(), height, width, boxes.data(), count, size, shift, scale, 0, 0, crops.data());
  const auto share = [size](double start, double stop, int64_t part, int64_t pixel) {  // of one output, along an axis
    const double step = (stop - start) / double(size);
    const double low = start + step * double(part), high = start + step * double(part + 1);
    return std::max(0., std::min(high, double(pixel) + 1) - std::max(low, double(pixel))) / step;
  };
  Doubles expected;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t at = 0; at < 3 * size * size; ++at) {
      const int64_t c = at / (size * size), y = at / size % size, x = at % size;
      const double* box = &boxes[size_t(4 * i)];
      double sum = 0;
      for (int64_t r = 0; r < height; ++r)
        if (const double rows = share(box[1], box[3], y, r))
          for (int64_t k = 0; k < width; ++k)
            sum += rows * share(box[0], box[2], x, k) * image[size_t((r * width + k) * 3 + c)];
      expected.push_back((sum - shift) * scale);
    }
  compare(shown("crops", {height, width, size}), crops, expected);
  std::vector<uint8_t> bytes(crops.size());
  mtcnn_crop_resize(image.data(), height, width, boxes.data(), count, size, shift, scale, 0, 1, bytes.data());
  check_bytes(shown("crops as bytes", {height, width, size}), bytes, expected, count, size * size);
}

// ---- Pyramids

template <class Value>
std::vector<Value> random_pixels(int64_t height, int64_t width) {
  std::vector<Value> pixels(size_t(height * width * 3));
  for (Value& value : pixels) value = Value(below(256));
  return pixels;
}

template <class Value>
void check_halve(int64_t height, int64_t width) {
  const std::vector<Value> image = random_pixels<Value>(height, width);
  const int64_t rows = height / 2, columns = width / 2;
  Floats out = unwritten(rows * columns * 3);
  mtcnn_halve(image.data(), sizeof(Value) > 1, height, width, 0, out.data());
  Doubles expected;
  for (int64_t i = 0; i < rows * columns * 3; ++i) {
    const int64_t at = (2 * (i / (3 * columns)) * width + 2 * (i / 3 % columns)) * 3 + i % 3;
    expected.push_back((double(image[at]) + image[at + 3] + image[at + 3 * width] + image[at + 3 * width + 3]) / 4);
  }
  compare(shown("halve", {height, width, int64_t(sizeof(Value))}), out, expected);
}

// One part of a level that begins at source_y, source_x and reaches one line beyond it, alone on a canvas with a margin.
template <class Value>
void check_pieces(int64_t height, int64_t width, int64_t level_height, int64_t level_width, int64_t source_y, int64_t source_x) {
  const std::vector<Value> image = random_pixels<Value>(height, width);
  const int64_t rows = level_height + 1 - source_y, columns = level_width + 1 - source_x, h = rows + 3, w = columns + 4;
  const MtcnnPiece piece = {image.data(), sizeof(Value) > 1, height, width, level_height, level_width,
                            source_y,     source_x,          rows,   columns, 2,          3};
  Floats out(size_t(3 * h * w), 0.f);
  const float shift = 127.5f, scale = 1 / 128.f;
  mtcnn_draw_pieces(&piece, 1, shift, scale, h, w, 0, 0, out.data());
  const auto share = [](int64_t part, int64_t parts, int64_t pixel, int64_t pixels) {  // of one output, along an axis
    const double low = double(part) * double(pixels) / double(parts), high = double(part + 1) * double(pixels) / double(parts);
    return std::max(0., std::min(high, double(pixel) + 1) - std::max(low, double(pixel))) / (high - low);
  };
  Doubles expected(out.size(), 0.);
  for (int64_t at = 0; at < 3 * rows * columns; ++at) {
    const int64_t c = at / (rows * columns), y = at / columns % rows, x = at % columns;
    double sum = 0;
    for (int64_t i = 0; i < height; ++i)
      if (const double row = share(std::min(source_y + y, level_height - 1), level_height, i, height))
        for (int64_t k = 0; k < width; ++k)
          sum += row * share(std::min(source_x + x, level_width - 1), level_width, k, width) * image[size_t((i * width + k) * 3 + c)];
    expected[size_t((c * h + y + 2) * w + x + 3)] = (sum - shift) * scale;
  }
  compare(shown("pieces", {height, width, level_height, level_width, source_y, source_x, int64_t(sizeof(Value))}), out, expected);
}

// ---- The tables

void check_planes() {
  for (int64_t outer : {1, 2, 3, 40})
    for (int64_t channels : {1, 3, 16, 17, 130})
      for (int64_t inner : {1, 5, 63, 64, 65, 130}) check_prelu(outer, channels, inner);
  check_pooled();
  for (int64_t kernel : {2, 3})
    for (int64_t height : {1, 2, 3, 4, 7, 24})
      for (int64_t width = 1; width < 70; ++width)
        for (int64_t planes : {1, 30}) check_max_pool(planes, height, width, kernel);
}

void check_layers() {
  const std::vector<MtcnnLayer> nets = {
      {2, 12, 12, 3, 0, 3, 10, 1}, {2, 10, 10, 10, 2, 3, 16, 0},  {2, 3, 3, 16, 0, 3, 32, 0},   {2, 1, 1, 32, 0, 1, 6, 0},
      {2, 24, 24, 3, 0, 3, 28, 1}, {2, 22, 22, 28, 3, 3, 48, 0},  {2, 9, 9, 48, 3, 2, 64, 0},   {1, 48, 48, 3, 0, 3, 32, 1},
      {1, 46, 46, 32, 3, 3, 64, 0}, {1, 21, 21, 64, 3, 3, 64, 0}, {2, 8, 8, 64, 2, 2, 128, 0},  {60, 10, 10, 10, 2, 3, 16, 0},
      {60, 3, 3, 16, 0, 3, 32, 0}, {1, 150, 130, 3, 0, 3, 10, 1}, {1, 101, 199, 10, 2, 3, 16, 0}, {1, 700, 40, 2, 3, 2, 5, 0},
      {1, 3, 900, 40, 0, 3, 7, 0}, {3, 9, 9, 130, 3, 3, 130, 0},  {5, 34, 34, 3, 0, 4, 16, 1, 0, 2},
      {1, 403, 131, 3, 0, 8, 10, 1, 0, 4}, {60, 9, 10, 3, 0, 3, 17, 1, 0, 2}, {1, 37, 600, 40, 0, 3, 65, 1, 0, 3},
  };
  const auto check = [](MtcnnLayer layer, bool has_alpha, bool wants_din) {
    check_layer(layer, has_alpha, wants_din && layer.stride == 1);
    layer.bfloat16 = mtcnn_has_bfloat16() && layer.stride == 1;
    if (layer.bfloat16) check_layer(layer, has_alpha, wants_din);
  };
  for (const MtcnnLayer& layer : nets)
    for (int variant = 0; variant < 3; ++variant) check(layer, variant != 1, variant != 2);
  const std::vector<int64_t> sides = {1, 2, 3, 4, 5, 7, 12}, channels = {1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 28, 33, 64, 65};
  for (int64_t i = 0; i < 1500; ++i) {
    const int64_t pool = one_of<int64_t>({0, 0, 2, 3}), kernel = 1 + below(3);
    MtcnnLayer layer = {one_of<int64_t>({1, 1, 2, 3, 7, 30}), one_of(sides), one_of(sides),    one_of(channels),
                        pool,                                 kernel,        one_of(channels), !pool && below(3) == 0};
    if (layer.channels_first) layer.stride = 1 + below(MTCNN_MAX_STRIDE);
    check(layer, below(4) != 0, below(4) != 0);
  }
}

void check_nets() {
  const auto layer = [](int64_t channels, int64_t pool, int64_t kernel, int64_t filters, int64_t stride = 1) {
    return MtcnnNetLayer{channels, pool, kernel, filters, stride, nullptr, nullptr};
  };
  const std::vector<MtcnnNetLayer> pnet = {layer(3, 0, 3, 10), layer(10, 2, 3, 16), layer(16, 0, 3, 32), layer(32, 0, 1, 6)};
  const std::vector<MtcnnNetLayer> rnet = {layer(3, 0, 3, 28), layer(28, 3, 3, 48), layer(48, 3, 2, 64), layer(64, 0, 3, 128),
                                           layer(128, 0, 1, 6)};
  const std::vector<MtcnnNetLayer> strided = {layer(3, 0, 4, 16, 2), layer(16, 0, 3, 16), layer(16, 2, 3, 32), layer(32, 0, 1, 6)};
  for (int64_t threads : {0, 1, 2, 5, 40}) {
    for (int64_t images : {1, 3, 20}) check_net(images, 34, 34, strided, threads), check_net(images, 173, 61, strided, threads);
    for (int64_t images : {1, 3}) check_net(images, 12, 12, pnet, threads), check_net(images, 131, 60, pnet, threads);
    for (int64_t images : {1, 2, 7, 40}) check_net(images, 24, 24, rnet, threads);
    check_net(1, 11, 12, pnet, threads);  // too small
    check_net(1, 90, 250, pnet, threads);
  }
  check_net(1, 700, 260, pnet, 3);
  for (int i = 0; i < 300; ++i) {
    std::vector<MtcnnNetLayer> layers;
    int64_t channels = 1 + below(5);
    for (int64_t l = below(MTCNN_MAX_LAYERS); l >= 0; --l) {
      const int64_t filters = one_of<int64_t>({1, 2, 7, 8, 9, 16, 17, 33});
      const bool is_first = layers.empty();
      layers.push_back(layer(channels, is_first ? 0 : one_of<int64_t>({0, 0, 0, 2, 3}), 1 + below(3), filters,
                             is_first ? one_of<int64_t>({1, 1, 2, 3, 4}) : 1));
      channels = filters;
    }
    check_net(one_of<int64_t>({1, 2, 9}), 1 + below(60), 1 + below(60), layers, below(4));
  }
  const std::vector<MtcnnNetLayer> many(MTCNN_MAX_LAYERS + 1, layer(1, 0, 1, 1));
  int64_t rows, columns;
  if (mtcnn_net_output(many.data(), int64_t(many.size()), 9, 9, &rows, &columns)) fail("net: too many layers");
}

void check_int8_nets() {
  const auto layer = [](int64_t channels, int64_t pool, int64_t kernel, int64_t filters, int64_t stride = 1) {
    return MtcnnInt8Layer{channels, pool, kernel, filters, stride, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  };
  const std::vector<MtcnnInt8Layer> pnet = {layer(3, 0, 4, 16, 2), layer(16, 0, 3, 24), layer(24, 2, 3, 32), layer(32, 0, 1, 6)};
  const std::vector<MtcnnInt8Layer> onet = {layer(3, 0, 3, 32), layer(32, 3, 3, 64), layer(64, 2, 10, 130), layer(130, 0, 1, 16)};
  for (int64_t threads : {0, 1, 2, 5, 40}) {
    for (int64_t images : {1, 3}) check_int8(images, 34, 34, pnet, threads), check_int8(images, 173, 61, pnet, threads);
    for (int64_t images : {1, 2, 19}) check_int8(images, 46, 46, onet, threads);
    check_int8(1, 11, 12, pnet, threads);  // too small
  }
  check_int8(1, 500, 260, pnet, 3);
  for (int i = 0; i < 300; ++i) {
    std::vector<MtcnnInt8Layer> layers;
    int64_t channels = 1 + below(5);
    for (int64_t l = below(MTCNN_MAX_LAYERS); l >= 0; --l) {
      const int64_t filters = one_of<int64_t>({1, 2, 7, 8, 9, 16, 17, 33, 70});
      const bool is_first = layers.empty();
      layers.push_back(layer(channels, is_first ? 0 : one_of<int64_t>({0, 0, 0, 2, 3}), 1 + below(3), filters,
                             is_first ? one_of<int64_t>({1, 1, 2, 3, 4}) : 1));
      channels = filters;
    }
    check_int8(one_of<int64_t>({1, 2, 9}), 1 + below(40), 1 + below(40), layers, below(4));
  }
}

void check_boxes() {
  for (int64_t count : {0, 1, 2, 3, 90, 170, 180, 200})
    for (double ratio : {1e-9, 0.3, 0.7, 1.0})
      for (int i = 0; i < 10; ++i) check_mining(count, ratio);
  for (int64_t count : {0, 1, 31, 32, 33, 200})
    for (double threshold : {0., 0.3, 0.5, 1.})
      for (int variant = 0; variant < 4; ++variant) check_nms(count, threshold, variant & 1, float(variant >> 1));
  const Doubles boxes = {0, 0, 1,  1,    0.25, 0.5,  0.26, 0.75, -50,  -60, 80,  90,     -1e6, -1e6, 1e6, 1e6, 30, 40, 31, 41,
                         3, 2, 15, 14.5, -9,   -9.5, -1,   -2,   30.5, 3,   900, 1000.5, 7,    -100, 8,   200, 0,  0,  37, 23};
  const std::vector<std::pair<int64_t, int64_t>> images = {{1, 1}, {1, 9}, {23, 1}, {23, 37}};
  for (const auto& [height, width] : images)
    for (int64_t size : {1, 5, 12, 24}) {
      check_crops(height, width, size, boxes);
      check_crops(height, width, size, {boxes.begin(), boxes.begin() + 4});
      check_crops(height, width, size, {});
    }
}

void check_pyramids() {
  for (int64_t height : {2, 3, 5, 8})
    for (int64_t width : {2, 3, 7, 254, 255, 256, 257, 258, 513}) check_halve<uint8_t>(height, width), check_halve<float>(height, width);
  const std::vector<int64_t> bases = {1, 2, 3, 12, 23, 40, 61}, levels = {1, 2, 3, 7, 12, 13, 24, 36};
  for (int i = 0; i < 400; ++i) {
    const int64_t level_height = one_of(levels), level_width = one_of(levels);
    const int64_t source_y = below(level_height), source_x = below(level_width);
    check_pieces<uint8_t>(one_of(bases), one_of(bases), level_height, level_width, source_y, source_x);
    check_pieces<float>(one_of(bases), one_of(bases), level_height, level_width, source_y, source_x);
  }
  check_pieces<uint8_t>(130, 190, 101, 99, 0, 0);
  mtcnn_draw_pieces(nullptr, 0, 0, 1, 5, 5, 0, 0, nullptr);
}

}  // namespace

int main() {
  std::printf("%s, 8 bits %s, sources %s\n", mtcnn_instruction_set(), mtcnn_int8_instructions(), mtcnn_source_digest());
  const double peak = mtcnn_peak_flops(0.001);
  if (!(peak > 1e6 && peak < 1e15)) fail("peak: " + std::to_string(peak));
  check_planes();
  check_layers();
  check_nets();
  check_int8_nets();
  check_boxes();
  check_pyramids();
  if (failures) std::printf("%d mismatches\n", failures);
  return failures ? 1 : 0;
}
