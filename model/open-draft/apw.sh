# apw.sh BUNDLE... : evaluate wider on both lists
D=/work/shared/data; M=""; for b in "$@"; do M="$M --model $b"; done
for l in wider_more:wider_more_dev wider_train:wider_face_dev; do IFS=: read d n <<< $l
/work/main/.venv/bin/mtcnn-gluon evaluate wider --annotations $D/$d/${n}_bbx_gt.txt --images $D/$d/images $M ${MORE:---resamples 0} 2>/dev/null | grep -E "height|\||model|photos" | head -20; done
