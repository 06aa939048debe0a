#!/bin/bash
# train.sh OUT MORE...
out=$1; shift
exec /work/main/.venv/bin/mtcnn-gluon train --records /work/exp/s/rec --out /work/exp/$out --net onet --batch 256 --optimiser muon --rate 0.0015 --average 0.999 --landmark-faces --part-faces 0.5 --box-weight 0.4 --overlap-weight 2 --overlap-faces 0.7 --landmark-weight 4 --listed-landmarks --regression absolute --ratio 3:1:1:1 --brightness 0.2 --contrast 0.4 --saturation 0.6 --blur 0.25 --occlusion 0.2 "$@"
