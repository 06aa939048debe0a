#include <cmath>

#include "shared.h"

// With two classes the cross-entropy is log(1 + exp(d)), d being the other class's logit less the label's own. It grows with d,
// so d ranks the samples: exact where the cross-entropy itself would round different samples to the same number.
bool mtcnn_negative_mining(const float* logits, const float* label, float* mask, int64_t count, double keep_ratio) {
  struct Sample {
    float hardness;
    int64_t index;
  };
  std::vector<Sample> samples;
  if (!with_memory([&] { samples.reserve(size_t(count)); })) return false;
  for (int64_t i = 0; i < count; ++i) {
    mask[i] = 0;
    if (label[i] != 0 && label[i] != 1) continue;
    const float background = logits[2 * i], face = logits[2 * i + 1];
    samples.push_back({label[i] == 1 ? background - face : face - background, i});
  }
  if (samples.empty()) return true;
  const auto kept = std::max<int64_t>(1, int64_t(keep_ratio * double(samples.size()) + 1e-6));
  const auto is_harder = [](const Sample& a, const Sample& b) {
    const bool a_nan = std::isnan(a.hardness), b_nan = std::isnan(b.hardness);
    if (a_nan || b_nan) return a_nan && b_nan ? a.index < b.index : a_nan;
    return a.hardness != b.hardness ? a.hardness > b.hardness : a.index < b.index;
  };
  std::nth_element(samples.begin(), samples.begin() + (kept - 1), samples.end(), is_harder);
  for (int64_t i = 0; i < kept; ++i) mask[samples[size_t(i)].index] = 1;
  return true;
}
