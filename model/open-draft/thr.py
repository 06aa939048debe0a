"""thr.py BUNDLE: false boxes on 500 empties, found and false on both lists, by O threshold"""
import sys,json,os,numpy as np
from multiprocessing import Pool
from mtcnn_gluon import Detector,read_image
bundle=sys.argv[1]; low=[float(v) for v in sys.argv[2:5]] if len(sys.argv)>4 else None
D="/work/exp/open/d3/"; W="/work/shared/data/"
E=[D+l for l in open(D+"empty_dev.txt").read().split("\n") if l]
E=[E[int(i)] for i in np.linspace(0,len(E)-1,500)]
def gt(p,root):
    L=open(p).read().split("\n");i=0;o={}
    while i<len(L) and L[i]:
        n=int(float(L[i+1])); o[root+L[i]]=np.array([list(map(float,L[i+2+k].split())) for k in range(max(n,1))]); i+=2+max(n,1)
    return o
G1=gt(W+"wider_more/wider_more_dev_bbx_gt.txt",W+"wider_more/images/"); G2=gt(W+"wider_train/wider_face_dev_bbx_gt.txt",W+"wider_train/images/")
det=None
def one(f):
    global det
    if det is None: det=Detector(bundle,min_face=20,threads=1,**({"thresholds":low} if low else {}))
    fa=det.detect(read_image(f)); return fa.boxes,fa.scores
def iou(b,g):
    x1=np.maximum(b[:,None,0],g[None,:,0]);y1=np.maximum(b[:,None,1],g[None,:,1]);x2=np.minimum(b[:,None,2],g[None,:,2]);y2=np.minimum(b[:,None,3],g[None,:,3])
    w=np.clip(x2-x1,0,None)*np.clip(y2-y1,0,None); a=lambda z:(z[:,2]-z[:,0])*(z[:,3]-z[:,1])
    return w/(a(b)[:,None]+a(g)[None]-w)
if __name__=="__main__":
    with Pool(2) as p: R=p.map(one,E+list(G1)+list(G2),chunksize=8)
    RE,R1,R2=R[:500],R[500:500+len(G1)],R[500+len(G1):]
    for t in ([float(x) for x in os.environ.get("T","0.3 0.4 0.5 0.6 0.65 0.7 0.75 0.8 0.85 0.9").split()]):
        fe=sum((s>=t).sum() for b,s in RE); pe=sum((s>=t).any() for b,s in RE); row=[t,int(fe),int(pe)]
        for G,RR in ((G1,R1),(G2,R2)):
            F={20:[0,0],40:[0,0],80:[0,0]}; false=0; big=0
            for (f,g),(b,s) in zip(G.items(),RR):
                b=b[s>=t]; g=g[g[:,2]>0]
                if not len(g): false+=len(b); continue
                gb=np.c_[g[:,0],g[:,1],g[:,0]+g[:,2],g[:,1]+g[:,3]]; o=iou(b,gb) if len(b) else np.zeros((0,len(g)))
                short=np.minimum(g[:,2],g[:,3]); ok=g[:,7]==0
                for k in F: m=ok&(short>=k); F[k][0]+=int((o[:,m].max(0)>=.5).sum()) if len(b) else 0; F[k][1]+=int(m.sum())
                fb=(o.max(1)<.5) if len(b) else np.zeros(0,bool); false+=int(fb.sum()); 
                if len(b): big+=int((fb&(np.minimum(b[:,2]-b[:,0],b[:,3]-b[:,1])>=80)).sum())
            row+=[*(f"{100*a/c:.1f}" for a,c in F.values()),false,big]
        print(*row)
