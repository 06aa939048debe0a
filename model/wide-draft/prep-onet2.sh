cd /work/exp/o9; G=/work/main/.venv/bin/mtcnn-gluon; D=/work/shared/data
$G prepare mine --model wide-1 --stage rnet --find-from 10 --negatives-mined 120 --square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 12 --size 64 --context 8 --workers 2 --out mgr --images $D/open --annotations gr.txt --limit 250 > log 2>&1; tail -1 log
$G prepare records --net onet --in lm cwt cwm cff cco mwt mwm mff mco mgr --out rec > log 2>&1; tail -3 log; date
