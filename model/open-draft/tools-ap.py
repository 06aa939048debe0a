"""AP and false-positive analysis at height>=H from the jsonl (simple protocol: others ignored)."""
import json,sys,numpy as np
exec(open("/work/tools/missed.py").read().split("for d in sys.argv")[0].replace("from mtcnn_gluon.prepare_data.annotations import *",""))
allg={}
L=open(root+"wider_more_dev_bbx_gt.txt").read().split("\n"); i=0
while i<len(L) and L[i]:
    f=L[i]; n=int(float(L[i+1])); allg[f]=np.array([list(map(float,L[i+2+k].split())) for k in range(max(n,1))]); i+=2+max(n,1)
def ap(det,H,dump=None):
    S=[];T=[];N=0;D=[]
    for f,g in allg.items():
        r=det.get(f)
        if r is None: r=next((v for k,v in det.items() if k in f or f in k),None)
        ok=(g[:,2]>0); g=g[ok]
        if not len(g): continue
        gb=np.c_[g[:,0],g[:,1],g[:,0]+g[:,2],g[:,1]+g[:,3]]
        use=(g[:,3]>=H)&(g[:,7]==0); N+=use.sum()
        fs=r["faces"]
        if not fs: continue
        b=np.array([x["box"] for x in fs]); s=np.array([x["score"] for x in fs]); o=iou(b,gb)
        taken=np.zeros(len(g),bool)
        for k in np.argsort(-s):
            j=o[k].argmax()
            if o[k,j]>=.5:
                if not use[j]: continue
                if taken[j]: S.append(s[k]);T.append(0);D.append((s[k],f,b[k],o[k,j],"dup")); continue
                taken[j]=True; S.append(s[k]);T.append(1)
            else: S.append(s[k]);T.append(0); D.append((s[k],f,b[k],o[k,j],"fp"))
    S=np.array(S);T=np.array(T); od=np.argsort(-S,kind="stable"); T=T[od]; tp=T.cumsum(); rec=tp/N; pr=tp/np.arange(1,len(T)+1)
    m=np.maximum.accumulate(pr[::-1])[::-1]
    if dump is not None: dump+=sorted(D,key=lambda x:-x[0])
    fp=np.arange(1,len(T)+1)-tp
    return (np.diff(np.r_[0,rec])*m).sum(), N, [float(rec[np.searchsorted(fp,q)]) for q in (5,10,20,50,100,200)]
if __name__=="__main__":
  for d in sys.argv[1:]:
    det={}
    for line in open(f"/work/exp/draft/{d}/x.jsonl"):
        r=json.loads(line); det[r["image"].split("dev138/")[-1]]=r
    for H in (50,30,10): print(d,H,*ap(det,H))
    D=[]; ap(det,50,D)
    for s,f,b,o,k in D[:25]: print("  %.3f %s %s iou %.2f %s"%(s,f[-40:],np.round(b).astype(int).tolist(),o,k))
