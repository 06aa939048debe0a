import numpy as np, sys
sys.path.insert(0,"/work/exp/tools/f2f0843")
from mtcnn_gluon import Detector, read_image
W="/work/shared/data/"
def gt(p,root):
    L=open(p).read().split("\n");i=0;o={}
    while i<len(L) and L[i]:
        n=int(float(L[i+1])); o[root+L[i]]=np.array([list(map(float,L[i+2+k].split())) for k in range(max(n,1))]); i+=2+max(n,1)
    return o
def iou(b,g):
    x1=np.maximum(b[:,None,0],g[None,:,0]);y1=np.maximum(b[:,None,1],g[None,:,1]);x2=np.minimum(b[:,None,2],g[None,:,2]);y2=np.minimum(b[:,None,3],g[None,:,3])
    w=np.clip(x2-x1,0,None)*np.clip(y2-y1,0,None); a=lambda z:(z[:,2]-z[:,0])*(z[:,3]-z[:,1])
    return w/(a(b)[:,None]+a(g)[None]-w)
G=gt(W+"wider_more/wider_more_dev_bbx_gt.txt",W+"wider_more/images/")
for m in sys.argv[1:]:
  for mf,th in ((10,(.5,.5,.3)),(20,(.1,.05,.05))):
    d=Detector(m,min_face=mf,threads=1,**({"thresholds":th} if th else {}))
    n=miss=0; small=wrong=0; wide=0
    for f,g in G.items():
        g=g[g[:,2]>0]
        if not len(g): continue
        fa=d.detect(read_image(f)); gb=np.c_[g[:,0],g[:,1],g[:,0]+g[:,2],g[:,1]+g[:,3]]
        ok=g[:,7]==0; b=fa.boxes
        o=iou(b,gb) if len(b) else np.zeros((0,len(g)))
        best=o.max(0) if len(b) else np.zeros(len(g))
        big=ok&(g[:,3]>=50); n+=big.sum(); miss+=(big&(best<.5)).sum()
        sm=ok&(g[:,3]>=10)&(g[:,3]<20)
        small+=(sm&(best>=.2)).sum(); w=(sm&(best>=.2)&(best<.5)); wrong+=w.sum()
        for j in np.flatnonzero(w):
            k=o[:,j].argmax(); wide+=(b[k,2]-b[k,0])>1.2*g[j,2]
    print(m,mf,th,"from 50:",n,"missed",miss,"| 10-20:",small,"of which IoU<.5",wrong,"wide",wide,flush=True)
