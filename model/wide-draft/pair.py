import sys, time, os, numpy as np
sys.argv=[sys.argv[0]]+sys.argv[1:]
os.environ.setdefault("MTCNN_GLUON_DATA","/work/shared/data")
sys.path.insert(0,"/work/main/tests/benchmarks")
from beside_yunet import chosen, fitted, SIZES
from mtcnn_gluon import Detector
models=sys.argv[1:]
photos=chosen()
for engine in ("native",):
  dets={m:Detector(m,min_face=20,threads=1,engine=engine) for m in models}
  for w,h in SIZES:
    med={m:[] for m in models}
    for p in photos:
        im=np.ascontiguousarray(fitted(p,w,h)); t={m:[] for m in models}
        for r in range(5):
            for m in models:
                a=time.perf_counter(); dets[m].detect(im); t[m].append(time.perf_counter()-a)
        for m in models: med[m].append(np.median(t[m]))
    print(engine,w,h,{m:f"{1e3*np.median(med[m]):.1f} ms, ratio {np.median(np.array(med[models[0]])/np.array(med[m])):.2f}" for m in models},flush=True)
