import csv,sys,numpy as np,collections,os
from mtcnn_gluon import Detector,read_image
D="/work/exp/open/d3/"
def iou(b,g):
    x1=np.maximum(b[:,None,0],g[None,:,0]);y1=np.maximum(b[:,None,1],g[None,:,1]);x2=np.minimum(b[:,None,2],g[None,:,2]);y2=np.minimum(b[:,None,3],g[None,:,3])
    w=np.clip(x2-x1,0,None)*np.clip(y2-y1,0,None); a=lambda z:(z[:,2]-z[:,0])*(z[:,3]-z[:,1])
    return w/(a(b)[:,None]+a(g)[None]-w)
def run(det,lists,limit=400,root=D):
    G=collections.defaultdict(list)
    for l in lists:
        for r in csv.DictReader(open(l)):
            if r["x1"] and float(r.get("score") or 1)>.6: G[r["file"]].append([float(r[k]) for k in("x1","y1","x2","y2")])
    R=[]; fs=sorted(G); fs=fs[::max(1,len(fs)//limit)]
    for f in fs:
        g=np.array(G[f]); im=read_image(root+f); fa=det.detect(im); b=fa.boxes[fa.scores>.5]
        if not len(b): continue
        o=iou(b,g)
        for k in range(len(b)):
            j=o[k].argmax()
            if o[k,j]>.3 and o[:,j].argmax()==k:
                w=g[j,2]-g[j,0];h=g[j,3]-g[j,1]; R.append([*((b[k]-g[j])/[w,h,w,h]),h,o[k,j]])
    R=np.array(R)
    for lo,hi in ((10,20),(20,30),(30,50),(50,999)):
        q=R[(R[:,4]>=lo)&(R[:,4]<hi)]
        if len(q): print(lo,len(q),"bias",np.median(q[:,:4],0).round(3),"spread",np.std(q[:,:4],0).round(3),"IoU",np.median(q[:,5]).round(3),"below .5",np.mean(q[:,5]<.5).round(3))
d=Detector("/work/exp/draft/b_run1",min_face=10,thresholds=(.8,.85,.3))
w=Detector("wide-1",min_face=10,thresholds=(.5,.5,.05))
for name,l,root in (("photos_dev",[D+"photos_dev.csv"],D),("photos",[D+"photos.csv"],D),("scenes",[D+"scenes/faces.csv"],D+"scenes/")):
    print(name,"run1"); run(d,l,150,root); print(name,"wide"); run(w,l,150,root)
