"""How much of its speed training loses by being fed from records, and by the trainer's own work.

    python tests/benchmarks/feeding.py pnet=pnet/records rnet=rnet/records onet=onet/records [--rounds 7]

For each net three ways take turns: bare steps on one fixed batch that lies in MXNet's memory; the same with batches drawn from
records (mirrored at random); and the trainer's loop, with figures and averaged weights. Prints samples a second, medians.
"""

import argparse
import statistics
import tempfile
import time
from typing import Any, Callable

from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.training import trainer
from mtcnn_gluon.training.trainer import Options, Run, split

mx = load_mxnet()
TURN = 2.0  # seconds


def main() -> None:
    """Measure every net that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="+", metavar="NET=DIR")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for net, folder in (each.split("=", 1) for each in options.records):
        with tempfile.TemporaryDirectory() as out:
            measure(Run(Options(net, average=0.999), folder, out), options.rounds)


def measure(run: Run, rounds: int) -> None:
    """Let the three ways take turns."""
    ways = {"fixed batch": fixed(run), "from records": fed(run), "trainer": loop(run)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(0.5)
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(way(TURN))
    medians = {name: statistics.median(each) for name, each in rates.items()}
    bare = medians["fixed batch"]
    print(
        f"{run.options.net}: "
        + ", ".join(f"{name} {rate:,.0f}/s ({100 * rate / bare:.0f} %)" for name, rate in medians.items())
    )


def fixed(run: Run) -> Callable[[float], float]:
    """Steps on one batch."""
    (arrays,) = split(run.sampler.draw(0), run.devices)

    def turn(seconds: float) -> float:
        return timed(run, seconds, lambda: update(run, arrays))

    return turn


def fed(run: Run) -> Callable[[float], float]:
    """Steps on batches from records."""

    def turn(seconds: float) -> float:
        batches = run.sampler.batches()
        rate = timed(run, seconds, lambda: update(run, *split(next(batches), run.devices)))
        batches.close()  # type: ignore[attr-defined]
        return rate

    return turn


def loop(run: Run) -> Callable[[float], float]:
    """The trainer's own loop, over as many batches as take about a turn."""
    run.steps_an_epoch = 50

    def turn(seconds: float) -> float:
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            trainer.train_one_epoch(run)
            count += run.steps_an_epoch
        return count * run.options.batch / (time.perf_counter() - start)

    return turn


def timed(run: Run, seconds: float, step: Callable[[], None]) -> float:
    """Samples a second of steps that are waited for one step late, as the trainer does."""
    mx.nd.waitall()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        count += 1
    mx.nd.waitall()
    return count * run.options.batch / (time.perf_counter() - start)


_previous: list[Any] = []


def update(run: Run, arrays: list[Any]) -> None:
    """One bare step."""
    with mx.autograd.record():
        loss = run.graph(*arrays)[0]
    loss.backward()
    run.trainer.step(1)
    _previous.append(loss)
    if len(_previous) > 1:
        _previous.pop(0).wait_to_read()


if __name__ == "__main__":
    main()
