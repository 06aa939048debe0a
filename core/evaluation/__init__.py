"""Measuring detectors: WIDER FACE's and FDDB's protocols, landmarks, and each stage of a cascade.

results     what detectors found: reading and writing result files, and what was wrong with them
run         running a model bundle over photos
wider       average precision by WIDER FACE's protocol
fddb        discrete and continuous ROC by FDDB's protocol, on the regions of `regions`
landmarks   errors of five points
stages      recall against proposals, thresholds and time of each stage
bootstrap   how much figures would vary with other photos
report      tables, curves and pictures of all of them
"""
