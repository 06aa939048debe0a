import sys,json,os,numpy as np,subprocess
from multiprocessing import Pool
sys.argv=["x"]; 
import contextlib
exec(open("/work/exp/thr.py").read().split("det=None")[0].replace("bundle=sys.argv[1]","bundle=''"))
from mtcnn_gluon import Detector,read_image
exec("def iou"+open("/work/exp/thr.py").read().split("def iou")[1].split("if __name__")[0])
def ap(G,RR,H):
    S=[];T=[];N=0
    for (f,g),(b,s) in zip(G.items(),RR):
        g=g[g[:,2]>0]
        if not len(g): continue
        gb=np.c_[g[:,0],g[:,1],g[:,0]+g[:,2],g[:,1]+g[:,3]]; use=(g[:,3]>=H)&(g[:,7]==0); N+=use.sum()
        if not len(b): continue
        o=iou(b,gb); taken=np.zeros(len(g),bool)
        for k in np.argsort(-s,kind="stable"):
            j=o[k].argmax()
            if o[k,j]>=.5:
                if not use[j]: continue
                S.append(s[k]); T.append(not taken[j]); taken[j]=True
            else: S.append(s[k]); T.append(False)
    S=np.array(S);T=np.array(T)[np.argsort(-S,kind="stable")]; tp=T.cumsum(); rec=tp/N; pr=tp/np.arange(1,len(T)+1); m=np.maximum.accumulate(pr[::-1])[::-1]
    return (np.diff(np.r_[0,rec])*m).sum()
C={}
def one(a):
    b,th,f=a
    k=(b,th)
    if k not in C: C.clear(); C[k]=Detector(b,min_face=10,threads=1,thresholds=th)
    fa=C[k].detect(read_image(f)); return fa.boxes,fa.scores
if __name__=="__main__":
    M={}
    for w in ((0,.25),(.1,.25),(0,.5),(.15,.5)):
        b=f"/work/exp/draft/sw_{w[0]}_{w[1]}"; subprocess.run(["/work/main/.venv/bin/python","/work/tools/mkbundle.py",b,"/work/exp/run2/last.npz","--p","/work/exp/draft/pnet-0000.params","--r","/work/exp/draft/rnet-0000.params","--shift","1.85","2.15","1.656","--weights",str(w[0]),str(w[1])],check=True,stdout=subprocess.DEVNULL); M[w]=b
    with Pool(2) as p:
        for w,th in (((0,.25),(.6,.5,.3)),((0,.25),(.6,.65,.3)),((0,.25),(.75,.65,.3)),((.1,.25),(.6,.5,.3)),((0,.5),(.6,.5,.3)),((.15,.5),(.6,.65,.3)),((.15,.5),(.75,.65,.3))):
            out=[]
            for G in (G1,G2):
                RR=p.map(one,[(M[w],th,f) for f in G],chunksize=16); out+=[round(float(ap(G,RR,H)),3) for H in (50,30,10)]
            print(w,th,out,flush=True)
