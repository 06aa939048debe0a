import sys,csv; sys.argv=["x"]
from pathlib import Path
import open_data as o
o.write_frames(Path("sources/sample-videos"))
ph=o.Photos(Path("sources"),Path("d3"),Path("/work/shared/peers/yunet_n_640_640.onnx"))
new=("rladies.github.io","open-life-science.github.io","sample-videos"); rows=[];empty=[];k=0
for n,p in enumerate(o.files_of(ph.sources,new)):
    im=ph.copied(p)
    if im is None: continue
    k+=1
    r=ph.found(im)
    if n%8==0: continue
    rows+=[(p,q) for q in r]
    if not r and not ph.found(im,2): empty.append(p)
def app(f,rows):
    with open(f,"a",newline="") as g: csv.writer(g,lineterminator="\n").writerows((p,*map("{:.3f}".format,r)) for p,r in rows)
app("d3/photos.csv",rows); app("d3/faces.csv",rows); app("d3/landmarks.csv",[r for r in rows if r[1][4]>=.6])
open("d3/empty.txt","a").write("".join(e+"\n" for e in empty)); open("d3/empty_more.txt","w").write("".join(e+"\n" for e in empty)); 
app("d3/photos_more_only.csv",rows)
print(k,len(rows),len({p for p,_ in rows}),len(empty))
