#include "instruction_set.h"

#include <cstdlib>
#include <cstring>

#include "kernels.h"

#if MTCNN_X86
#include <cpuid.h>
#endif
#if MTCNN_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

// MTCNN_GLUON_ISA=baseline|avx2|avx512 asks for less than the processor has, so that tests can try every variant on one machine.
static InstructionSet best() {
#if MTCNN_X86
  const char* wanted = std::getenv("MTCNN_GLUON_ISA");
  const bool up_to_avx2 = wanted && !std::strcmp(wanted, "avx2"), up_to_baseline = wanted && !std::strcmp(wanted, "baseline");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512 && !up_to_avx2 && !up_to_baseline) return InstructionSet::avx512;
  if (avx2 && !up_to_baseline) return InstructionSet::avx2;
#endif
  return InstructionSet::baseline;
}

InstructionSet instruction_set() {
  static const InstructionSet set = best();
  return set;
}

const char* mtcnn_instruction_set() {
  static const char* const names[] = {"baseline", "avx2", "avx512"};
  return names[int(instruction_set())];
}

// Linux must let this process use the matrix unit; MTCNN_GLUON_ISA=avx512 does without it.
static bool may_use_matrix_unit() {
#if MTCNN_AMX
  constexpr unsigned AMX_TILE = 1u << 24;           // leaf 7: EDX
  constexpr long ASK = 0x1023, TILE_DATA = 18;      // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  const char* wanted = std::getenv("MTCNN_GLUON_ISA");
  unsigned a, b, c, d;
  return instruction_set() == InstructionSet::avx512 && !(wanted && !std::strcmp(wanted, "avx512")) &&
         __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_TILE) && syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
#else
  return false;
#endif
}

static bool best_bfloat16() {
#if MTCNN_AMX
  constexpr unsigned AMX_BF16 = 1u << 22, AVX512_BF16 = 1u << 5;  // leaf 7: EDX; of its part 1, EAX
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_BF16) && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
         (a & AVX512_BF16) && may_use_matrix_unit();
#else
  return false;
#endif
}

static Int8Set best_int8() {
#if MTCNN_INT8
  constexpr unsigned AVX512_VNNI = 1u << 11, AMX_INT8 = 1u << 25, AVX_VNNI = 1u << 4;  // leaf 7: ECX, EDX; of its part 1, EAX
  unsigned a, b, c, d;
  if (instruction_set() == InstructionSet::avx512 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & AVX512_VNNI))
    return (d & AMX_INT8) && may_use_matrix_unit() ? Int8Set::amx : Int8Set::avx512vnni;
  if (instruction_set() != InstructionSet::baseline && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX_VNNI))
    return Int8Set::avxvnni;
#endif
  if (instruction_set() == InstructionSet::avx2) return Int8Set::avx2;  // AVX-512 without VNNI multiplies floats as fast
  return Int8Set::plain;
}

Int8Set int8_set() {
  static const Int8Set set = best_int8();
  return set;
}

bool mtcnn_has_bfloat16() {
  static const bool has = best_bfloat16();
  return has;
}

const char* mtcnn_source_digest() { return SOURCE_DIGEST; }
