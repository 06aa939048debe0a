#include "shared.h"

#if !defined(_OPENMP)
int usable_threads(int64_t) { return 1; }
#elif defined(_WIN32)
int usable_threads(int64_t wanted) { return wanted ? int(wanted) : omp_get_max_threads(); }
#else
#include <pthread.h>

#include <atomic>

static std::atomic<bool> is_forked{false};
static const int is_registered = pthread_atfork(nullptr, nullptr, [] { is_forked = true; });

int usable_threads(int64_t wanted) { return is_forked ? 1 : wanted ? int(wanted) : omp_get_max_threads(); }
#endif
