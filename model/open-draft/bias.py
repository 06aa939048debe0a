import sys; names=sys.argv[1:]; sys.argv=["x"]; exec(open("/work/tools/ap.py").read().split('if __name__')[0])
for nm in names:
    det={}
    for line in open(f"/work/exp/draft/{nm}/x.jsonl"):
        r=json.loads(line); det[r["image"].split("dev138/")[-1]]=r
    R=[]
    for f,g in allg.items():
        g=g[g[:,2]>0]; 
        if not len(g): continue
        gb=np.c_[g[:,0],g[:,1],g[:,0]+g[:,2],g[:,1]+g[:,3]]
        fs=[x for x in det[f]["faces"] if x["score"]>.5]
        if not fs: continue
        b=np.array([x["box"] for x in fs]); o=iou(b,gb)
        for k in range(len(b)):
            j=o[k].argmax()
            if o[k,j]>.3 and o[:,j].argmax()==k and g[j,7]==0:
                w=g[j,2];h=g[j,3]; R.append([(b[k,0]-gb[j,0])/w,(b[k,1]-gb[j,1])/h,(b[k,2]-gb[j,2])/w,(b[k,3]-gb[j,3])/h,h,o[k,j]])
    R=np.array(R)
    for lo,hi in ((10,20),(20,30),(30,50),(50,999)):
        q=R[(R[:,4]>=lo)&(R[:,4]<hi)]; print(nm,lo,len(q),"bias",np.median(q[:,:4],0).round(3),"spread",np.std(q[:,:4],0).round(3),"IoU median",np.median(q[:,5]).round(3),"below .5",np.mean(q[:,5]<.5).round(3))
