#include "shared.h"

namespace {

// What outputs of an area resize mix along one axis. Shares are counted in whole numbers, so that they are exact.
struct LevelTaps : Taps {
  // Outputs begin .. begin + count of `level`, from an axis of `base` pixels. Beyond its end, the last output repeats.
  LevelTaps(int64_t base, int64_t level, int64_t begin, int64_t count) {
    most = 1;
    const auto output = [&](int64_t i) { return std::min(begin + i, level - 1); };
    for (int64_t i = 0; i < count; ++i) {
      first.push_back(output(i) * base / level);
      most = std::max(most, ((output(i) + 1) * base + level - 1) / level - first.back());
    }
    weights.assign(size_t(count * most), 0.f);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t t = 0, pixel = first[i]; t < most; ++t, ++pixel) {
        const int64_t low = std::max(output(i) * base, pixel * level), high = std::min((output(i) + 1) * base, (pixel + 1) * level);
        weights[size_t(i * most + t)] = float(double(std::max<int64_t>(high - low, 0)) / double(base));
      }
  }
};

// A piece with its weights.
struct Plan {
  explicit Plan(const MtcnnPiece& p)
      : piece(p), rows(p.height, p.level_height, p.source_y, p.rows), columns(p.width, p.level_width, p.source_x, p.columns),
        used(std::min(columns.first.back() + columns.most, p.width) - columns.first[0]),
        held(columns.first.back() + columns.most - columns.first[0]) {}
  MtcnnPiece piece;
  LevelTaps rows, columns;
  int64_t used, held;  // pixels of a row: that exist, and that weights, some of them 0, are given for
};

}  // namespace

#define BODY "pyramid_body.h"
#include "each_isa.h"

void mtcnn_halve(const void* pixels, int64_t is_float, int64_t height, int64_t width, int64_t threads, float* out) {
  const int64_t rows = height / 2, columns = width / 2;
  const int team = threads_for(rows * columns / (8 * SMALL_WORK), threads);
  const auto halve_line = [=](int64_t y, int) {
    const int64_t at = 2 * y * width * 3;
    if (is_float)
      DISPATCH(halve_row, static_cast<const float*>(pixels) + at, width * 3, columns, out + y * columns * 3);
    else
      DISPATCH(halve_row, static_cast<const uint8_t*>(pixels) + at, width * 3, columns, out + y * columns * 3);
  };
  each_task(rows, team, halve_line, share_of(rows, team));
}

bool mtcnn_draw_pieces(const MtcnnPiece* pieces, int64_t count, float shift, float scale, int64_t height, int64_t width,
                       int64_t threads, int64_t is_bytes, void* out) {
  std::vector<Plan> plans;
  std::vector<int64_t> starts;  // of each plan's rows, counted over all
  int64_t pixels = 0, held = 0;
  std::atomic<bool> is_enough{true};
  is_enough = with_memory([&] {
    starts.push_back(0);
    for (int64_t i = 0; i < count; ++i) {
      plans.emplace_back(pieces[i]);
      starts.push_back(starts.back() + pieces[i].rows);
      pixels += pieces[i].rows * pieces[i].columns;
      held = std::max(held, plans.back().held);
    }
  });
  if (!is_enough) return false;
  Tasks tasks(starts.back(), 8);
  in_threads(threads_for(pixels / SMALL_WORK, threads), [&](int) {
    std::vector<float> row;
    const auto draw = [&](int64_t i) {
      return with_memory([&] {
        row.resize(size_t(3 * held + 1));  // one more: pixels are read four floats at a time
        const size_t k = size_t(std::upper_bound(starts.begin(), starts.end(), i) - starts.begin()) - 1;
        DISPATCH(draw_row, plans[k], i - starts[k], shift, scale, row.data(), height, width, is_bytes != 0, out);
      });
    };
    for (int64_t i, last; is_enough && tasks.take(&i, &last);)
      for (; i < last; ++i)
        if (!draw(i)) is_enough = false;
  });
  return is_enough;
}
