"""Restores the picture of the README through a running server: restore.py HOST:PORT PICTURES OUTPUT.png"""

import pathlib
import sys

from priorart_client import Client


def main(target, pictures, output):
    client = Client(target)
    folder = pathlib.Path(pictures)
    request = client.message("RestoreRequest")(
        image={"data": (folder / "dragonfly.png").read_bytes()},
        operators=[
            {"name": "inpainting", "artifacts": {"mask": {"data": (folder / "dragonfly.mask.png").read_bytes()}}}
        ],
        mask_polarity="MASK_POLARITY_WHITE_IS_MISSING",
        output={"format": "FORMAT_PNG"},
    )
    for event in client.restore(request):
        kind = event.WhichOneof("event")
        if kind == "step":
            print(f"step {event.step.step} of {event.step.total}, {event.step.eta.ToTimedelta()} left", flush=True)
        elif kind == "finished":
            pathlib.Path(output).write_bytes(client.bytes(event.finished.outputs[0]))
            print(event.finished.report.samples[0].verdict.judgement, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
