"""How much of its speed training loses by being fed from records, and by the trainer's own work.

    python tests/benchmarks/feeding.py pnet=pnet/records rnet=rnet/records onet=onet/records [--rounds 7]

For each net four ways take turns: plain Gluon on one fixed batch that lies in MXNet's memory; the trainer's steps on the same
batch, which update all parameters at once; these steps on batches drawn from records (mirrored at random); and the trainer's
loop, with figures and averaged weights. Prints samples a second, medians, and their ratio to plain Gluon's.
"""

import argparse
import statistics
import tempfile
import time
from typing import Any, Callable

from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.training import trainer
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.trainer import Run, split

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
            measure(Run(TrainingOptions(net, batch=384, clip=0, average=0.999), folder, out), options.rounds)


def measure(run: Run, rounds: int) -> None:
    """Let the four ways take turns."""
    ways = {"Gluon": gluon(run), "fixed batch": fixed(run), "from records": fed(run), "trainer": loop(run)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(0.5)
    for _ in range(rounds):
        for name, way in ways.items():
            rates[name].append(way(TURN))
    medians = {name: statistics.median(each) for name, each in rates.items()}
    bare = medians["Gluon"]
    print(
        f"{run.options.net}: "
        + ", ".join(f"{name} {rate:,.0f}/s ({100 * rate / bare:.0f} %)" for name, rate in medians.items())
    )


def gluon(run: Run) -> Callable[[float], float]:
    """Steps on one batch with a `gluon.Trainer` of the net's parameters, as people write them."""
    (arrays,) = split(run.sampler.draw(0), run.devices)
    plain = mx.gluon.Trainer(run.net.collect_params(), run.options.optimiser, update_on_kvstore=False)

    def turn(seconds: float) -> float:
        return timed(run, seconds, lambda: update(run, arrays, plain))

    return turn


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
    """The trainer's own loop: an epoch that takes about a turn."""
    run.steps_an_epoch = 50

    def turn(seconds: float) -> float:
        start = time.perf_counter()
        trainer.train_one_epoch(run, trainer.Interrupts())
        steps, duration = run.steps_an_epoch, time.perf_counter() - start
        run.steps_an_epoch = max(50, round(steps * seconds / duration))
        return steps * run.options.batch / duration

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


def update(run: Run, arrays: list[Any], plain: Any = None) -> None:
    """One bare step, by the trainer's way to update or plain Gluon's."""
    with mx.autograd.record():
        loss = run.graph(*arrays)[0]
    loss.backward()
    if plain is None:
        run.trained.is_written()
    (plain or run.trainer).step(1)
    _previous.append(loss)
    if len(_previous) > 1:
        _previous.pop(0).wait_to_read()


if __name__ == "__main__":
    main()
