// The fastest multiply-adds that this processor has: on vectors that stay in registers. A body for each_isa.h.
#include "vectors.h"

// A multiply-add can begin long before the one before it has ended, so that many sums must grow side by side: two a cycle that
// take five cycles each need ten. With two factors, twelve fit the sixteen registers of the oldest processors.
constexpr int64_t CHAINS = 12;

// Operations of multiply_add: two for each lane of each multiply-add.
static double multiply_add_operations(int64_t steps) { return 2. * double(steps) * double(CHAINS * LANES); }

// The argument, of which the compiler then knows nothing, so that it can compute no product once for several sums.
static inline vec unknown(vec v) {
#if defined(__aarch64__)
  __asm__("" : "+w"(v));
#endif
  return keep(v);
}

// Adds x * y to each of the sums, `steps` times. The result must be used, or else the compiler leaves all out.
static NOINLINE float multiply_add(int64_t steps, float x, float y) {
  vec sum[CHAINS] = {}, xs, ys;
  for (int i = 0; i < LANES; ++i) xs[i] = x, ys[i] = y;
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int64_t c = 0; c < CHAINS; ++c) {
      xs = unknown(xs);
      sum[c] += xs * ys;
    }
  }
  vec total = {};
#pragma GCC unroll 16
  for (int64_t c = 0; c < CHAINS; ++c) total += sum[c];
  float result = 0;
  for (int i = 0; i < LANES; ++i) result += total[i];
  return result;
}
