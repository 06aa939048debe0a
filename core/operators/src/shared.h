// What the bodies of all instruction sets share.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

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
// `wanted`, if not 0, else OMP_NUM_THREADS or the processors that this process may use. OPERATOR: what mtcnn_set_operator_threads said.
enum { OPERATOR = -1 };
int usable_threads(int64_t wanted = OPERATOR);
inline int threads_for(int64_t tasks, int64_t wanted = OPERATOR) { return int(std::clamp<int64_t>(tasks, 1, usable_threads(wanted))); }

// Calls run(context, i) in at most `threads` threads at once, i being another number below `threads` in each and 0 in this one.
// It must not throw.
void run_in_threads(int threads, void (*run)(void*, int), void* context);

// Calls f(i) so.
template <class F>
void in_threads(int threads, F f) {
  run_in_threads(threads, [](void* context, int i) { (*static_cast<F*>(context))(i); }, &f);
}

// The numbers below a count, for threads that take some each time.
class Tasks {
 public:
  explicit Tasks(int64_t count, int64_t some = 1) : count_(count), some_(some) {}
  // Takes first to last - 1; false if none is left.
  bool take(int64_t* first, int64_t* last) {
    *first = next_.fetch_add(some_, std::memory_order_relaxed);
    *last = std::min(*first + some_, count_);
    return *first < count_;
  }

 private:
  std::atomic<int64_t> next_{0};
  const int64_t count_, some_;
};

// Calls f(task, i) for every task below a count, in threads as above; each takes `some` tasks at a time.
template <class F>
void each_task(int64_t count, int threads, F f, int64_t some = 1) {
  Tasks tasks(count, some);
  in_threads(threads, [&](int i) {
    for (int64_t task, last; tasks.take(&task, &last);)
      for (; task < last; ++task) f(task, i);
  });
}
// How many of `count` like tasks a thread should take at a time.
inline int64_t share_of(int64_t count, int threads) { return std::max<int64_t>(1, count / (4 * threads)); }

struct LayerSizes : MtcnnLayer {
  int64_t pooled_height, pooled_width, out_height, out_width;
};

// Length of the output along one axis; 0 if there is none.
inline int64_t convolved(int64_t length, const MtcnnLayer& layer) {
  return length < layer.kernel ? 0 : (length - layer.kernel) / layer.stride + 1;
}

inline LayerSizes sizes_of(const MtcnnLayer& layer) {
  LayerSizes s;
  static_cast<MtcnnLayer&>(s) = layer;
  s.pooled_height = s.pool ? mtcnn_pooled(s.height, s.pool) : s.height;
  s.pooled_width = s.pool ? mtcnn_pooled(s.width, s.pool) : s.width;
  s.out_height = convolved(s.pooled_height, s);
  s.out_width = convolved(s.pooled_width, s);
  return s;
}

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

// What outputs along an axis mix: each takes `most` pixels from its first one on, with weights of which the last ones may be 0.
struct Taps {
  int64_t most;
  std::vector<int64_t> first;
  std::vector<float> weights;  // `most` for each output
};
