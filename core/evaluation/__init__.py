"""Measuring detectors: WIDER FACE's and FDDB's protocols, landmarks, and each stage of a cascade.

options, benchmarks    each benchmark as a function of its options
results, result_files  what detectors found, and reading and writing it
run                    running a model bundle over photos
wider                  average precision by WIDER FACE's protocol
fddb                   discrete and continuous ROC by FDDB's protocol, on the regions of `regions`
landmarks              errors of five points
stages                 recall against proposals, thresholds and time of each stage
samples                one net on training samples
bootstrap              how much figures would vary with other photos
report, summaries      tables, curves and pictures of all of them
"""
