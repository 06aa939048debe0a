import subprocess, sys, os
repo, commit, out, *under = sys.argv[1:]
names = subprocess.run(["git","-C",repo,"ls-tree","-r","--name-only","-z",commit,*under],capture_output=True,check=True).stdout.split(b"\0")
ok=bad=0
for n in names:
    if not n: continue
    p=os.path.join(out,n.decode())
    r=subprocess.run(["git","-C",repo,"show",f"{commit}:{n.decode()}"],capture_output=True)
    if r.returncode: bad+=1; continue
    os.makedirs(os.path.dirname(p),exist_ok=True); open(p,"wb").write(r.stdout); ok+=1
print(out, ok, bad)
