#!/bin/bash
# tree2.sh NAME: gives /work/wt/NAME a .venv (hard links of /work/main/.venv) whose mtcnn_gluon is links to that tree
set -e
T=/work/wt/$1; B=/work/main/.venv
cp -al $B $T/.venv
for f in $T/.venv/bin/*; do if file -b "$f" | grep -q text && grep -q "$B" "$f"; then sed "s#$B#$T/.venv#g" "$f" > "$f.new"; chmod +x "$f.new"; rm "$f"; mv "$f.new" "$f"; fi; done
sed "s#$B#$T/.venv#g" $B/pyvenv.cfg > $T/.venv/cfg.new; rm $T/.venv/pyvenv.cfg; mv $T/.venv/cfg.new $T/.venv/pyvenv.cfg
/work/tools/devlink.sh $T
