// What this processor can do, and how to compile a part of a file for a processor that can do more than the rest of it asks.
#pragma once

#if defined(__x86_64__)
#define MTCNN_X86 1
#else
#define MTCNN_X86 0
#endif

// Whether the compiler knows Intel's matrix unit, and the system can be asked for it.
#if MTCNN_X86 && defined(__linux__) && (__clang_major__ >= 12 || (!defined(__clang__) && __GNUC__ >= 11))
#define MTCNN_AMX 1
#else
#define MTCNN_AMX 0
#endif

// Whether the compiler knows the instructions that multiply bytes.
#if MTCNN_X86 && (__clang_major__ >= 12 || (!defined(__clang__) && __GNUC__ >= 11))
#define MTCNN_INT8 1
#else
#define MTCNN_INT8 0
#endif

#define MTCNN_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define MTCNN_TARGET(features) MTCNN_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define MTCNN_TARGET_END _Pragma("clang attribute pop")
#else
#define MTCNN_TARGET(features) _Pragma("GCC push_options") MTCNN_PRAGMA(GCC target(features))
#define MTCNN_TARGET_END _Pragma("GCC pop_options")
#endif

#define NOINLINE __attribute__((noinline))
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

enum class InstructionSet { baseline, avx2, avx512 };
InstructionSet instruction_set();

enum class Int8Set { plain, avx2, avxvnni, avx512vnni, amx };
Int8Set int8_set();
