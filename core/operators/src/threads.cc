// The threads of the kernels: a pool of our own instead of OpenMP's. It does no harm beside another library's OpenMP, goes on
// working in a forked process, and needs nothing that a wheel would have to bring along.
#include <pthread.h>

#include <mutex>
#include <thread>

#include "shared.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace {

constexpr int MOST = 256;      // threads of the pool
constexpr int SPINS = 20000;   // looks for more work before a thread sleeps, some 100 us: a net's stages follow each other sooner

// std::mutex and std::condition_variable would need the newest standard library.
class Mutex {
 public:
  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }
  pthread_mutex_t* get() { return &mutex_; }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};
class Signal {
 public:
  void notify_one() { pthread_cond_signal(&condition_); }
  void notify_all() { pthread_cond_broadcast(&condition_); }
  template <class F>
  void wait(Mutex* locked, F is_so) {
    while (!is_so()) pthread_cond_wait(&condition_, locked->get());
  }

 private:
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

void pause() {
#if MTCNN_X86
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// OMP_NUM_THREADS, as the frameworks beside this library, else the processors that this process may use.
int default_threads() {
  const char* asked = std::getenv("OMP_NUM_THREADS");
  const long count = asked ? std::strtol(asked, nullptr, 10) : 0;
  if (count > 0) return int(std::min<long>(count, MOST));
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::clamp(CPU_COUNT(&set), 1, MOST);
#endif
  return std::clamp(int(std::thread::hardware_concurrency()), 1, MOST);
}

struct Job {
  void (*run)(void*, int);
  void* context;
  int places;                  // threads that may work on it, the one that gives it among them
  int taken = 1;               // places that are taken; changes under the pool's lock
  std::atomic<int> inside{0};  // threads of the pool that work on it; grows and falls under the lock
};

// Whoever gives a job works on it too, and it gets done even if no other thread ever comes. So a job may give jobs, and several
// threads may give jobs at once.
class Pool {
 public:
  void run(Job* job) {
    {
      const std::lock_guard<Mutex> lock(mutex_);
      try {
        jobs_.push_back(job);
        open_ += job->places - 1;
        while (count_ < std::min(job->places - 1, MOST)) {
          std::thread([this] { serve(); }).detach();
          ++count_;
        }
      } catch (const std::exception&) {  // no memory or no thread: those that are there do it
      }
    }
    job->places == 2 ? wake_.notify_one() : wake_.notify_all();
    job->run(job->context, 0);
    mutex_.lock();
    const auto place = std::find(jobs_.begin(), jobs_.end(), job);
    if (place != jobs_.end()) {
      jobs_.erase(place);
      open_ -= job->places - job->taken;
    }
    mutex_.unlock();  // nobody can join any more
    for (int i = 0; i < SPINS && job->inside.load(std::memory_order_acquire); ++i) pause();
    mutex_.lock();
    done_.wait(&mutex_, [job] { return job->inside.load() == 0; });
    mutex_.unlock();
  }

 private:
  [[noreturn]] void serve() {
    for (;;) {
      for (int i = 0; i < SPINS && open_.load(std::memory_order_relaxed) == 0; ++i) pause();
      mutex_.lock();
      wake_.wait(&mutex_, [this] { return open_.load() > 0; });
      Job* job = *std::find_if(jobs_.begin(), jobs_.end(), [](const Job* each) { return each->taken < each->places; });
      const int place = job->taken++;
      ++job->inside;
      --open_;
      mutex_.unlock();
      job->run(job->context, place);
      mutex_.lock();
      const bool is_last = --job->inside == 0;  // after this the job may be gone
      mutex_.unlock();
      if (is_last) done_.notify_all();
    }
  }

  Mutex mutex_;
  Signal wake_, done_;
  std::vector<Job*> jobs_;
  std::atomic<int> open_{0};  // places in all jobs that are not taken
  int count_ = 0;             // threads
};

const int DEFAULT_THREADS = default_threads();
std::atomic<Pool*> pool{nullptr};  // never deleted: its threads may outlive all static objects

Pool& current_pool() {
  Pool* found = pool.load();
  if (found) return *found;
  Pool* made = new Pool;
  if (pool.compare_exchange_strong(found, made)) return *made;
  delete made;
  return *found;
}

// A forked process has none of its parent's threads, and perhaps a lock that nobody will open: it gets a pool of its own.
const int is_registered = pthread_atfork(nullptr, nullptr, [] { pool = nullptr; });

}  // namespace

static std::atomic<int64_t> operator_threads{0};

void mtcnn_set_operator_threads(int64_t threads) { operator_threads = threads; }

int usable_threads(int64_t wanted) {
  if (wanted == OPERATOR) wanted = operator_threads;
  return wanted ? int(std::min<int64_t>(wanted, MOST)) : DEFAULT_THREADS;
}

void run_in_threads(int threads, void (*run)(void*, int), void* context) {
  if (threads < 2) return run(context, 0);
  Job job{run, context, threads};
  current_pool().run(&job);
}
