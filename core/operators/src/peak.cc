// How fast this processor can multiply and add at best, to judge the nets by.
#include <chrono>

#include "shared.h"
#define BODY "peak_body.h"
#include "each_isa.h"

double mtcnn_peak_flops(double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t STEPS = 20000;  // some 50 us: longer than the clock needs, shorter than others leave the processor alone
  const auto since = [](Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); };
  const double operations = DISPATCH(multiply_add_operations, STEPS);
  volatile float x = 0.5f, y = 1.f;  // volatile: the compiler must not know them, nor leave out what nobody reads
  double best = 0;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point start = Clock::now();
    [[maybe_unused]] const volatile float result = DISPATCH(multiply_add, STEPS, x, y);
    best = std::max(best, operations / std::max(since(start), 1e-9));
  } while (since(begin) < seconds);
  return best;
}
