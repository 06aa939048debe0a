cd /work/exp/s6; G=/work/main/.venv/bin/mtcnn-gluon; D=/work/exp/open/d5; H=/work/exp/heads
LM="prepare landmarks --net onet --square-faces --min-face 20 --rotation 20 --no-mirror --size 64 --context 8 --workers ${W:-1}"
t() { echo "$(date +%T) $1"; shift; "$@" > log_cut2 2>&1 || tail -3 log_cut2; tail -2 log_cut2; }
rm -rf cl hl
t crops-lm $G $LM --landmark-jitters 24 --out cl --root $D --list $D/points.csv
t heads-lm $G $LM --landmark-jitters 16 --out hl --root $H --list $H/points.csv
date
