# NAME LAYERS EPOCHS EXTRA
cd /work/exp; source /work/main/.venv/bin/activate
mkdir -p o9/$1; cp o9/teach/teacher.npz o9/$1/
python dtrain.py train --net onet --records o9/rec --out o9/$1 --layers "$2" --epochs $3 --batch 256 --optimiser muon --rate 0.001 --init o9/D1/best.npz --average 0.999 --landmark-faces --part-faces 0.5 --box-weight 0.4 --overlap-weight 2 --overlap-faces 0.7 --landmark-weight 4 --listed-landmarks --regression absolute --ratio 3:1:1:1 --brightness 0.15 --contrast 0.3 --saturation 0.5 --blur 0.08 --occlusion 0.08 --distil 0.7 $4 > o9/$1.log 2>&1
