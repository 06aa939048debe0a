#include <cmath>

#include "shared.h"

namespace {

// Boxes that were kept so far, an array a coordinate.
struct Kept {
  static constexpr int64_t BLOCK = 32;
  explicit Kept(int64_t most) : data(size_t(5 * padded(most))) {
    const int64_t n = padded(most);
    x1 = data.data(), y1 = x1 + n, x2 = y1 + n, y2 = x2 + n, area = y2 + n;
    std::fill(x1, x1 + 2 * n, 1e300);  // no box: it ends where it begins, far away
    std::fill(x2, x2 + 2 * n, -1e300);
  }
  void add(const double* box, double size) {
    x1[count] = box[0], y1[count] = box[1], x2[count] = box[2], y2[count] = box[3], area[count] = size;
    ++count;
  }
  static int64_t padded(int64_t count) { return (count + BLOCK - 1) / BLOCK * BLOCK; }
  std::vector<double> data;
  double *x1, *y1, *x2, *y2, *area;
  int64_t count = 0;
};

// What a crop mixes along one axis of an image of `length` pixels. Where it is beyond the image, all weights are 0. One object
// serves for many crops, so that its memory is taken once.
struct Axis : Taps {
  void set(double start, double stop, int64_t size, int64_t length) {
    const double step = (stop - start) / double(size);
    const auto pixel = [length](double x) { return int64_t(std::clamp(x, 0., double(length))); };
    most = std::clamp<int64_t>(int64_t(std::min(std::ceil(step), double(length))) + 1, 1, std::max<int64_t>(length, 1));
    first.clear(), weights.clear();
    for (int64_t i = 0; i < size; ++i) {
      const double low = start + step * double(i), high = start + step * double(i + 1);
      first.push_back(pixel(std::floor(low)));
      const int64_t end = pixel(std::ceil(high));
      for (int64_t t = 0; t < most; ++t) {
        const double x = double(first.back() + t);
        weights.push_back(first.back() + t < end ? float(std::max(std::min(high, x + 1) - std::max(low, x), 0.) / step) : 0.f);
      }
    }
    used = std::clamp<int64_t>(pixel(std::ceil(stop)) - first[0], 0, held());
  }
  int64_t held() const { return first.back() + most - first[0]; }  // pixels that weights, some of them 0, are given for
  int64_t used;                                                    // pixels of the image from the first one on
};

// Crops of a batch lie anywhere in a large file: fetching one takes longer than working on it. So the beginnings of those to
// come are asked for in time.
constexpr int64_t AHEAD = 8;
void prefetch(const uint8_t* crop, int64_t bytes) {
  for (int64_t i = 0; i < std::min<int64_t>(bytes, 512); i += 64) __builtin_prefetch(crop + i);
}

}  // namespace

#define BODY "boxes_body.h"
#include "each_isa.h"

int64_t mtcnn_nms(const float* boxes, int64_t count, double threshold, int min_mode, float extra, int64_t* keep) {
  int64_t found = -1;
  with_memory([&] {
    Kept kept(count);
    found = DISPATCH(nms, kept, boxes, count, threshold, min_mode != 0, extra, keep);
  });
  return found;
}

bool mtcnn_crop_resize(const uint8_t* image, int64_t height, int64_t width, const double* boxes, int64_t count, int64_t size,
                       float shift, float scale, int64_t threads, int64_t is_bytes, void* out) {
  std::atomic<bool> is_enough{true};
  Tasks tasks(count, 4);
  in_threads(threads_for(count / 16, threads), [&](int) {
    Axis rows, columns;
    std::vector<float> row;
    const auto crop = [&](int64_t i) {
      return with_memory([&] {
        const double* box = boxes + 4 * i;
        rows.set(box[1], box[3], size, height);
        columns.set(box[0], box[2], size, width);
        row.resize(size_t(3 * columns.held() + 1));
        void* to = static_cast<char*>(out) + i * 3 * size * size * int64_t(is_bytes ? 1 : sizeof(float));
        DISPATCH(crop_one, image, width, rows, columns, size, shift, scale, row.data(), is_bytes != 0, to);
      });
    };
    for (int64_t i, last; is_enough && tasks.take(&i, &last);)
      for (; i < last; ++i)
        if (!crop(i)) is_enough = false;
  });
  return is_enough;
}

bool mtcnn_make_batch(const uint8_t* crops, int64_t stride, const int64_t* rows, const uint8_t* mirror, const float* mix,
                      int64_t count, int64_t size, float shift, float scale, float* out) {
  return with_memory([=] {
    const int64_t floats = 3 * size * size;
    std::vector<float> planes(static_cast<size_t>(floats));
    for (int64_t i = 0; i < count; ++i) {
      if (i + AHEAD < count) prefetch(crops + rows[i + AHEAD] * stride, floats);
      DISPATCH(batch_one, crops + rows[i] * stride, mirror[i] != 0, mix ? mix + 12 * i : nullptr, size, shift, scale,
               planes.data(), out + i * floats);
    }
  });
}
