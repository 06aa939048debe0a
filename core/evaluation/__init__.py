"""Measuring detectors: WIDER FACE's and FDDB's protocols, landmarks, and each stage of a cascade.

options, benchmarks    each benchmark as a function of its options
results, result_files  what detectors found, reading and writing it
run                    running a model bundle over photos
wider, wider_truth     average precision by WIDER FACE's protocol, its annotations
fddb, regions          discrete and continuous ROC by FDDB's protocol, on sets of pixels
landmarks              errors of the five landmarks
stages                 recall against proposals, thresholds and time of each stage
samples                one net on training samples
bootstrap              confidence intervals
coverage, scale        checks: which photos can be compared, and whether boxes have their scale
report, summaries      tables, curves and pictures of all of them
"""
