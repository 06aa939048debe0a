cd /work/exp; source /work/main/.venv/bin/activate
nice -n 5 python teachp.py p9/rec p9/teach > p9/teach.log 2>&1
while ! grep -q "^done" o9/D2.log; do sleep 5; done
mkdir -p p9/F1; cp p9/teach/teacher.npz p9/F1/
unset STEPS
OMP_NUM_THREADS=2 python dtrain.py train --net pnet --records p9/rec --out p9/F1 --layers "conv 8 4 2, conv 16 3, pool 2 2, conv 32 3, conv 32 3, conv 32 3" --epochs 6 --optimiser muon --average 0.9995 --clip 0 --no-landmarks --brightness 0.1 --contrast 0.25 --saturation 0.5 --distil 0.5 > p9/F1.log 2>&1
