#!/bin/bash
# devlink.sh TREE: mtcnn_gluon in TREE/.venv becomes links to the tree; operators is a real folder with the built kernels
set -e
T=$1; S=$(echo $T/.venv/lib/python3*/site-packages)
P=$S/mtcnn_gluon; K=/tmp/keep_kernels_$$.so
cp $P/operators/_kernels.so $K
rm -rf $P; mkdir $P
for f in $T/core/*; do n=$(basename $f); [ $n = operators ] || [ $n = __pycache__ ] || ln -s $f $P/$n; done
mkdir $P/operators; for f in $T/core/operators/*; do n=$(basename $f); [ $n = __pycache__ ] || ln -s $f $P/operators/$n; done
cp $K $P/operators/_kernels.so
ln -s $T/symbol $P/symbol; ln -s $T/prepare_data $P/prepare_data; ln -s $T/model $P/model; ln -s $T/example/web $P/web
