# NAME LAYERS EPOCHS EXTRA
cd /work/exp; source /work/main/.venv/bin/activate
mkdir -p o9/$1; cp o9/teach/teacher.npz o9/$1/
python dtrain.py train --net onet --records o9/rec --out o9/$1 --layers "$2" --epochs $3 --batch 256 --optimiser muon --rate 0.002 --average 0.999 --landmark-faces --part-faces 0.5 --box-weight 0.4 --overlap-weight 2 --overlap-faces 0.7 --landmark-weight 4 --listed-landmarks --regression absolute --ratio 3:1:1:1 --brightness 0.2 --contrast 0.4 --saturation 0.6 --blur 0.15 --occlusion 0.15 --distil 0.5 $4 > o9/$1.log 2>&1
