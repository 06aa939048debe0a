. /work/exp/env.sh
while ! tail -1 r6.log | grep -q UTC; do sleep 2; done
$G train --net rnet --layers 'conv 16 4 2, conv 32 3, pool 2 2, conv 64 3, conv 64 3, dense 128' --epochs 2 --optimiser muon --rate 0.001 --average 0.9995 --no-landmarks --box-weight 3 --brightness 0.15 --contrast 0.3 --saturation 0.6 --blur 0.1 --occlusion 0.1 --records s6/rrec --out r6 --init draft/rnet-0000.params --device cpu > tr6.log 2>&1
/work/main/.venv/bin/python /work/tools/mkbundle.py b_r6 draft/onet-0000.params --p p6/last.npz --r r6/last.npz
[ -f r6/last.npz ] || exit 1
bash o6.sh > o6.log 2>&1
bash /work/exp/to6.sh
