"""Training steps of the three nets: ours, in bfloat16 too where that is possible, stock MXNet and, if installed, PyTorch.

    python tests/benchmarks/train_throughput.py [--batch 384] [--threads 2] [--rounds 7]

Each contender is a process of its own, since frameworks disturb each other's threads; they take turns. A step is forward,
backward and SGD with momentum on one batch in memory: cross-entropy of the classes plus squared errors of the other heads.
Prints samples a second, from the median over the rounds, and how many times as fast ours is.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from typing import Any, Callable

import numpy as np

from mtcnn_gluon.config import HEADS, NETS
from mtcnn_gluon.operators.native import has_bfloat16

CONTENDERS = ("ours", "ours bfloat16", "MXNet", "PyTorch", "PyTorch channels_last")
ROUND = 2.0  # seconds a turn


def main() -> None:
    """Start the contenders of each net and let them take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--net", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        serve(step_of(options.contender, options.net, options.batch, options.threads), options.batch)
        return
    can = {"PyTorch": importlib.util.find_spec("torch"), "bfloat16": has_bfloat16()}
    names = [name for name in CONTENDERS if all(possible for word, possible in can.items() if word in name)]
    for net in NETS:
        rates = race(net, names, options)
        ours = rates["ours"]
        cells = [
            f"{name} {rate:,.0f}/s" + (f" (x {ours / rate:.2f})" if name != "ours" else "") for name, rate in rates.items()
        ]
        print(f"{net}, batch {options.batch}:  " + "   ".join(cells))


def race(net: str, names: list[str], options: argparse.Namespace) -> dict[str, float]:
    """Samples a second of each contender, the median of its turns."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    command = [sys.executable, __file__, "--net", net, "--batch", str(options.batch), "--threads", str(options.threads)]
    pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    processes = {name: subprocess.Popen([*command, "--contender", name], **pipes) for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for process in processes.values():
        assert process.stdout and process.stdout.readline() == "ready\n"
    for _ in range(options.rounds):
        for name, process in processes.items():
            assert process.stdin and process.stdout
            process.stdin.write("go\n")
            process.stdin.flush()
            rates[name].append(float(process.stdout.readline()))
    for process in processes.values():
        process.communicate()
    return {name: statistics.median(each) for name, each in rates.items()}


def serve(step: Callable[[], None], batch: int) -> None:
    """Make steps for a turn whenever a line comes in, and print their rate."""
    for _ in range(3):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < ROUND:
            step()
            count += 1
        print(count * batch / (time.perf_counter() - start), flush=True)


def step_of(contender: str, net: str, batch: int, threads: int) -> Callable[[], None]:
    """A function that makes one step and waits for it."""
    generator, size = np.random.default_rng(0), NETS[net].size
    heads = [name for name in HEADS if name != "cls" and (name != "landmark" or NETS[net].landmarks)]
    images = generator.standard_normal((batch, 3, size, size)).astype(np.float32)
    label = generator.integers(0, 2, batch)
    targets = [generator.standard_normal((batch, HEADS[name])).astype(np.float32) for name in heads]
    if contender.startswith("PyTorch"):
        return torch_step(net, images, label, targets, threads, is_last="channels_last" in contender)
    # "export" is the form with MXNet's own PReLU operator; what is wrong with its gradient does not change its speed.
    form = {"ours": "native", "ours bfloat16": "bfloat16", "MXNet": "export"}[contender]
    return mxnet_step(net, images, label, targets, form)


def mxnet_step(net: str, images: Any, label: Any, targets: list, form: Any) -> Callable[[], None]:
    """A Gluon step of the package's net."""
    from mtcnn_gluon.mxnet_loader import load_mxnet

    mx = load_mxnet()
    from mtcnn_gluon.symbol.blocks import CascadeNet

    block = CascadeNet(NETS[net], f"{net}_", form)
    block.initialize(mx.init.Xavier())
    block.hybridize(static_alloc=True, static_shape=True)
    trainer = mx.gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": 0.01, "momentum": 0.9})
    entropy, squares = mx.gluon.loss.SoftmaxCrossEntropyLoss(), mx.gluon.loss.L2Loss()
    x, y, others = mx.nd.array(images), mx.nd.array(label), [mx.nd.array(target) for target in targets]

    def step() -> None:
        with mx.autograd.record():
            logits, *outputs = (output.reshape((len(images), -1)) for output in block(x))
            loss = entropy(logits, y)
            for output, target in zip(outputs, others):
                loss = loss + squares(output, target)
        loss.backward()
        trainer.step(len(images))
        mx.nd.waitall()

    return step


def torch_step(net: str, images: Any, label: Any, targets: list, threads: int, is_last: bool) -> Callable[[], None]:
    """The same step in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    layers: list[Any] = []
    channels, side, is_dense = 3, NETS[net].size, False
    for kind, *arguments in NETS[net].layers:
        if kind == "pool":
            layers.append(nn.MaxPool2d(*arguments, ceil_mode=True))
            side = -(-(side - arguments[0]) // arguments[1]) + 1
            continue
        if kind == "conv":
            layers.append(nn.Conv2d(channels, *arguments))
            side -= arguments[1] - 1
        else:
            layers += [nn.Flatten(), nn.Linear(channels * side**2, arguments[0])]
            is_dense = True
        channels = arguments[0]
        layers.append(nn.PReLU(channels))
    body = nn.Sequential(*layers)
    sizes = [HEADS.cls, *(target.shape[1] for target in targets)]
    heads = nn.ModuleList(nn.Linear(channels, size) if is_dense else nn.Conv2d(channels, size, 1) for size in sizes)
    x, y, others = torch.from_numpy(images), torch.from_numpy(label), [torch.from_numpy(target) for target in targets]
    if is_last:
        body, x = body.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD([*body.parameters(), *heads.parameters()], lr=0.01, momentum=0.9)

    def step() -> None:
        features = body(x)
        logits, *outputs = (head(features).flatten(1) for head in heads)
        loss = nn.functional.cross_entropy(logits, y)
        for output, target in zip(outputs, others):
            loss = loss + ((output - target) ** 2).mean() / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


if __name__ == "__main__":
    main()
