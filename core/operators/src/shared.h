// What the bodies of all instruction sets share.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#else
inline int omp_get_thread_num() { return 0; }
#endif

#include "instruction_set.h"
#include "kernels.h"

#if MTCNN_AMX
#include <immintrin.h>
#endif

constexpr int64_t SMALL_WORK = 16384;  // values below which threads cost more than they bring
constexpr int64_t SHORT_PLANE = 64;    // values below which a loop over one channel's plane is too short
constexpr int64_t CACHED = 32768;      // floats of working memory that stay in a core's own cache
constexpr int64_t MAX_GROUP = 24;      // images that are convolved together
constexpr int64_t MAX_LANES = 16;

// Sums over a batch are made over this many parts: a number that depends on the batch alone, so that results do too.
inline int64_t parts_of(int64_t count) { return std::min<int64_t>(count, 32); }
// `wanted`, if not 0, else OpenMP's number; 1 in a forked process, where OpenMP would wait for threads that are not there.
int usable_threads(int64_t wanted = 0);
inline int threads_for(int64_t tasks, int64_t wanted = 0) { return int(std::clamp<int64_t>(tasks, 1, usable_threads(wanted))); }

struct LayerSizes : MtcnnLayer {
  int64_t pooled_height, pooled_width, out_height, out_width;
};

// Memory that lives as long as this object. Never throws: ask is_enough() before use.
class Memory {
 public:
  ~Memory() {
    for (void* block : blocks_) std::free(block);
  }
  float* take(int64_t count) {
    void* block = count_ < MAX ? std::malloc(size_t(count) * sizeof(float) + 64) : nullptr;
    if (!block) return is_enough_ = false, nullptr;
    blocks_[count_++] = block;
    return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(block) + 63) / 64 * 64);
  }
  float* zeros(int64_t count) {
    float* block = take(count);
    if (block) std::memset(block, 0, size_t(count) * sizeof(float));
    return block;
  }
  bool is_enough() const { return is_enough_; }

 private:
  static constexpr int MAX = 8;
  void* blocks_[MAX] = {};
  int count_ = 0;
  bool is_enough_ = true;
};

// Calls f; false if there was not enough memory for it. No exception may leave a function of the C interface, or a parallel
// region: either would end the process.
template <class F>
bool with_memory(F f) {
  try {
    f();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  } catch (const std::length_error&) {  // a vector longer than there are addresses
    return false;
  }
}

inline std::vector<float> spread_alpha(const float* alpha, int64_t channels, int64_t inner) {
  std::vector<float> spread(channels * inner);
  for (int64_t i = 0; i < channels * inner; ++i) spread[i] = alpha[i / inner];
  return spread;
}
