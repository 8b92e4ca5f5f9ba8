"""What a client may count on, against a running server: acceptance.py HOST:PORT PICTURES

The server must run with --slots 2 --queue 10. Everything is learnt by reflection; nothing is generated.
"""

import concurrent.futures
import hashlib
import pathlib
import struct
import subprocess
import sys
import time
import urllib.request
import zlib

import grpc
from priorart_client import Client, details

WHITE = "MASK_POLARITY_WHITE_IS_MISSING"


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, rows=None):
    """A grey 8-bit PNG; without rows a header that lies about its size."""
    rows = b"\0\0" if rows is None else b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def float_tiff(width, height):
    """An uncompressed float32 RGB TIFF: a smooth ramp with a tenth of its pixels lost in stripes."""
    count = width * height * 3
    data = bytearray(4 * count)
    for y in range(height):
        level = struct.pack("<f", 0.2 + 0.6 * y / height)
        row = level * (3 * width) if y % 10 else b"\0" * (12 * width)
        data[12 * width * y : 12 * width * (y + 1)] = row
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, 20), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, 4 * count), (339, 3, 3, 14),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + b"\0" * 4
    head = struct.pack("<2sHI", b"II", 42, 20 + 4 * count)
    return head + struct.pack("<3H", 32, 32, 32) + struct.pack("<3H", 3, 3, 3) + bytes(data) + directory


class Acceptance:
    def __init__(self, target, pictures):
        self.target = target
        self.pictures = pictures
        self.client = Client(target)
        folder = pathlib.Path(pictures)
        self.picture = (folder / "dragonfly.png").read_bytes()
        self.mask = (folder / "dragonfly.mask.png").read_bytes()

    def request(self, **changed):
        fields = dict(
            image={"data": self.picture},
            operators=[{"name": "inpainting", "artifacts": {"mask": {"data": self.mask}}}],
            mask_polarity=WHITE,
            solver={"name": "tv", "parameters": {"iterations": 20}},
        )
        fields.update(changed)
        return self.client.message("RestoreRequest")(**fields)

    def metric(self, name):
        text = urllib.request.urlopen(f"http://{self.target}/q/metrics").read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def finished(self, request):
        events = list(self.client.restore(request))
        assert events[-1].WhichOneof("event") == "finished", events[-1]
        assert all(e.WhichOneof("event") != "finished" for e in events[:-1])
        return events[-1].finished

    def refused(self, what, code, field, request, words=""):
        try:
            events = list(self.client.restore(request, timeout=60))
        except grpc.RpcError as e:
            found = details(e)
            paths = [v.field for v in found["BadRequest"].field_violations] if "BadRequest" in found else []
            assert e.code() == code, (what, e.code(), e.details())
            assert found["ErrorInfo"].domain == "priorart", what
            assert field is None or field in paths, (what, field, paths, e.details())
            assert words in e.details(), (what, e.details())
            print(f"  {what}: {e.code().name}, {e.details()[:110]}")
        else:
            raise AssertionError(f"{what} was not refused: {events[-1].WhichOneof('event')}")

    def catalogue(self):
        services = self.client.services()
        for service in ("RestorationService", "InversionService", "ArtifactService", "CatalogService"):
            assert "priorart.v1." + service in services, services
        assert "grpc.health.v1.Health" in services, services
        health = self.client.method("grpc.health.v1.Health", "Check")(
            self.client.message("grpc.health.v1.HealthCheckRequest")(), timeout=10
        )
        assert health.status == 1, health
        ask = lambda name: self.client.method("CatalogService", name)(self.client.message(name + "Request")(), timeout=10)
        solvers = {s.name: s for s in ask("ListSolvers").solvers}
        operators = {o.name: o for o in ask("ListOperators").operators}
        models = list(ask("ListModels").models)
        limits = ask("GetLimits")
        assert "prox-diffusion" in solvers and "inpainting" in operators and models[0].is_default
        assert solvers["dps"].citation and solvers["dps"].parameters[0].doc
        paged = self.client.method("CatalogService", "ListSolvers")
        page = paged(self.client.message("ListSolversRequest")(page_size=2), timeout=10)
        assert len(page.solvers) == 2 and page.next_page_token
        print(f"  {len(solvers)} solvers, {len(operators)} operators, {[m.name for m in models]}, {limits.pixels} pixels")

    def large_tiff(self):
        data = float_tiff(1320, 1320)
        exists = self.client.method("ArtifactService", "Exists")
        ref = {"sha256": hashlib.sha256(data).hexdigest()}
        ask = self.client.message("ExistsRequest")(artifact=ref)
        try:
            self.client.upload(data, stop_after=8 << 20)
            raise AssertionError("the upload was to break off")
        except grpc.RpcError:
            pass
        artifact, received = self.upload_rest(data, lambda: exists(ask, timeout=10))
        assert exists(ask, timeout=10).exists
        stripes = png(1320, 1320, [bytes([0 if y % 10 else 255]) * 1320 for y in range(1320)])
        request = self.request(
            image={"artifact": artifact},
            operators=[{"name": "inpainting", "artifacts": {"mask": {"data": stripes}}}],
            solver={"name": "tv", "parameters": {"iterations": 12}},
            output={"preview_interval": {"nanos": 1}, "format": "FORMAT_TIFF"},
        )
        kinds = {}
        begin = time.monotonic()
        for event in self.client.restore(request):
            kind = event.WhichOneof("event")
            kinds[kind] = kinds.get(kind, 0) + 1
            if kind == "preview":
                # they are made at most every 0.2 s, though they may arrive together
                assert kinds[kind] <= 1 + (time.monotonic() - begin) / 0.2, "previews come too fast"
                assert event.preview.image.data.startswith(b"\x89PNG")
        assert kinds["accepted"] and kinds["started"] == 1 and kinds["step"] and kinds["preview"], kinds
        assert kinds["sample_finished"] == 1 and kinds["finished"] == 1, kinds
        output = self.client.bytes(event.finished.outputs[0])
        known = slice(20 + 12 * 1320, 20 + 12 * 1320 + 4800)
        assert len(output) > 20_000_000
        print(f"  {len(data)} bytes up after a break at {received}, {len(output)} down, {kinds}")

    def upload_rest(self, data, there):
        """Goes on with an upload that broke off; the server learns of the break a little later."""
        for attempt in range(50):
            found = there()
            assert not found.exists and found.received_bytes < len(data), found
            if found.received_bytes:
                try:
                    return self.client.upload(data, offset=found.received_bytes), found.received_bytes
                except grpc.RpcError as e:
                    if e.code() != grpc.StatusCode.FAILED_PRECONDITION or attempt == 49:
                        raise
            time.sleep(0.1)
        raise AssertionError("nothing of the broken upload was kept")

    def cancel(self):
        request = self.request(solver={"name": "prox-diffusion", "steps": 400})
        before = self.metric('priorart_errors_total{kind="cancelled"')
        call = self.client.restore(request)
        steps = []
        for event in call:
            if event.WhichOneof("event") == "step":
                steps.append(time.monotonic())
                if len(steps) == 4:
                    break
        longest = max(b - a for a, b in zip(steps, steps[1:]))
        assert self.metric("priorart_slots_busy") == 1
        call.cancel()
        freed = self.idle(30)
        assert freed < 2 * longest + 0.5, (freed, longest)
        assert self.metric('priorart_errors_total{kind="cancelled"') == before + 1
        try:
            list(self.client.restore(request, timeout=1.5))
            raise AssertionError("the deadline did not stop the solve")
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED, e
        print(f"  slot free {freed:.2f} s after the cancel; a step takes up to {longest:.2f} s")
        cut = self.finished(self.request(solver={"name": "prox-diffusion", "steps": 400}, budget={"seconds": 1}))
        assert 0 < cut.report.samples[0].cut_short_after < 400, cut.report
        assert self.client.bytes(cut.outputs[0]).startswith(b"\x89PNG")
        print(f"  a spent budget: the estimate after step {cut.report.samples[0].cut_short_after}")

    def idle(self, within):
        begin = time.monotonic()
        while self.metric("priorart_slots_busy") > 0:
            assert time.monotonic() - begin < within, "the slot is still busy"
            time.sleep(0.01)
        return time.monotonic() - begin

    def slow_reader(self):
        request = self.request(
            solver={"name": "prox-diffusion", "steps": 12}, output={"preview_interval": {"nanos": 1}, "bit_depth": 16}
        )
        alone = self.finished(request)
        call = self.client.restore(request)
        assert next(call).WhichOneof("event") == "accepted"
        while self.metric("priorart_slots_busy") == 0:
            time.sleep(0.01)
        self.idle(60)  # nobody has read a thing meanwhile
        late = list(call)
        kinds = [e.WhichOneof("event") for e in late]
        assert kinds[0] == "started" and kinds[-2:] == ["sample_finished", "finished"], kinds
        assert self.client.bytes(late[-1].finished.outputs[0]) == self.client.bytes(alone.outputs[0])
        print(f"  read after the end: {kinds.count('step')} of 12 steps, {kinds.count('preview')} previews, and the result")

    def death(self):
        program = (
            "import sys; sys.path.insert(0, sys.argv[1]); import acceptance as a; c = a.Acceptance(*sys.argv[2:]);"
            "call = c.client.restore(c.request(solver={'name': 'prox-diffusion', 'steps': 400}));"
            "[print(e.WhichOneof('event'), flush=True) for e in call]"
        )
        here = str(pathlib.Path(__file__).parent)
        client = subprocess.Popen(
            [sys.executable, "-c", program, here, self.target, self.pictures], stdout=subprocess.PIPE, text=True
        )
        while client.stdout.readline().strip() != "step":
            pass
        client.kill()
        print(f"  slot free {self.idle(10):.2f} s after the client's death")

    def errors(self):
        bad, gone = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
        inpainting = lambda mask: [{"name": "inpainting", "artifacts": {"mask": {"data": mask}}}]
        gaussian = lambda sigma: {"gaussian": {"sigma": sigma}}
        blur = [{"name": "gaussian-blur", "parameters": {"sigma": 2}}]
        self.refused("an empty image", bad, "image", self.request(image={"data": b""}))
        self.refused("no image", bad, "image", self.request(image={}))
        self.refused("a truncated PNG", bad, "image", self.request(image={"data": self.picture[:-2000]}), "truncated")
        self.refused("a header of 100,000 x 100,000", bad, "image", self.request(image={"data": png(100_000, 100_000)}), "limit")
        small = png(8, 8, [b"\xff\0" * 4] * 8)
        self.refused("a mask of another size", bad, "operators[0].artifacts.mask", self.request(operators=inpainting(small)))
        self.refused(
            "an unspecified mask polarity", bad, "mask_polarity", self.request(mask_polarity="MASK_POLARITY_UNSPECIFIED")
        )
        self.refused("an unknown solver", gone, None, self.request(solver={"name": "resampel"}), "resample")
        self.refused(
            "an unknown parameter", bad, "solver.parameters.iteration",
            self.request(solver={"name": "tv", "parameters": {"iteration": 3}}), "iterations",
        )
        self.refused(
            "an unknown operator parameter", bad, "operators[0].parameters.sigmma",
            self.request(operators=[{"name": "gaussian-blur", "parameters": {"sigmma": 3}}], noise=gaussian(0.1)), "sigma",
        )
        self.refused("NaN sigma", bad, "noise.gaussian.sigma", self.request(operators=blur, noise=gaussian(float("nan"))))
        self.refused("steps 0", bad, "solver.steps", self.request(solver={"name": "prox-diffusion", "steps": 0}))
        kernel = [{"name": "custom-blur", "artifacts": {"kernel": {"data": png(5, 5, [bytes(5)] * 5)}}}]
        self.refused(
            "a kernel of zeros", bad, "operators[0].artifacts.kernel", self.request(operators=kernel, noise=gaussian(0.01))
        )
        self.refused("an unknown artifact", gone, None, self.request(image={"artifact": {"sha256": "0" * 64}}))
        self.refused("a TIFF that ends early", bad, "image", self.request(image={"data": float_tiff(32, 32)[:-300]}))
        both = self.request(operators=blur, noise=gaussian(2), solver={"name": "tv", "parameters": {"iterations": -1}})
        self.refused("two bad fields, the first", bad, "noise.gaussian.sigma", both)
        self.refused("two bad fields, the second", bad, "solver.parameters.iterations", both)

    def many(self):
        requests = [self.request(solver={"name": "prox-diffusion", "steps": 4}, seed=7) for _ in range(20)]
        alone = self.client.bytes(self.finished(requests[0]).outputs[0])
        resident = []
        for _ in range(2):
            good, refused = 0, 0
            with concurrent.futures.ThreadPoolExecutor(20) as pool:
                for future in [pool.submit(self.finished, r) for r in requests]:
                    try:
                        assert self.client.bytes(future.result().outputs[0]) == alone, "other pixels than alone"
                        good += 1
                    except grpc.RpcError as e:
                        assert e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, e
                        assert details(e)["RetryInfo"].retry_delay.seconds >= 1
                        refused += 1
            assert good >= 10 and good + refused == 20, (good, refused)
            self.idle(5)  # a slot is free a moment after its answer is sent
            assert self.metric("priorart_queue_length") == 0
            resident.append(self.metric("priorart_memory_resident_bytes") / 1e6)
            print(f"  {good} finished with equal pixels, {refused} refused with RetryInfo, {resident[-1]:.0f} MB resident")
        assert resident[1] < resident[0] * 1.1 + 50, resident

    def repeated(self):
        request = self.request(request_id=f"acceptance-{time.time()}")
        solves = lambda: self.metric('priorart_solves_total{outcome="ok"')
        before = solves()
        first, second = self.finished(request), self.finished(request)
        assert first == second and solves() == before + 1
        request.seed = 1
        self.refused("a request_id used twice", grpc.StatusCode.INVALID_ARGUMENT, "request_id", request)

    def degrade_and_compare(self):
        degrade = self.client.message("DegradeRequest")(
            image={"data": self.picture},
            operators=[{"name": "inpainting", "parameters": {"random": 0.5}}],
            mask_polarity=WHITE,
            seed=3,
        )
        measured = self.client.method("RestorationService", "Degrade")(degrade, timeout=60)
        restored = self.finished(self.request(image=measured.image, operators=measured.operators))
        compare = self.client.message("CompareRequest")(first={"data": self.picture}, second=restored.outputs[0])
        alike = self.client.method("RestorationService", "Compare")(compare, timeout=60)
        assert 15 < alike.psnr < 60 and alike.ssim < 1, alike
        compare.second.data = self.picture
        assert self.client.method("RestorationService", "Compare")(compare, timeout=60).psnr == float("inf")
        print(f"  {alike.psnr:.2f} dB, SSIM {alike.ssim:.3f}")

    def other_priors(self):
        for model, solver in (("lpn-v1", "lpn"), ("latent-v2", "prox-diffusion"), ("latent-v2-few", "latino")):
            report = self.finished(self.request(model=model, solver={})).report
            assert report.solver.name == solver, report.solver
            assert report.model.name == model, report.model
            print(f"  {model}: {report.solver.name}, {report.solver.reason}")
        report = self.finished(self.request(solver={}, budget={"seconds": 120})).report
        assert report.solver.reason.startswith("budget of 120 s"), report.solver
        print(f"  {report.solver.name}: {report.solver.reason}")

    def invert_and_edit(self):
        def last(name, **fields):
            request = self.client.message(name + "Request")(**fields)
            return list(self.client.method("InversionService", name)(request, timeout=120))[-1].finished

        method = {"name": "ddim-inversion", "steps": 4}
        inverted = last("Invert", image={"data": self.picture}, conditioning={"prompt": "an insect"}, method=method)
        near = inverted.report.reconstruction
        assert len(inverted.report.steps) == 4 and near.psnr <= near.autoencoder_psnr + 0.5, inverted.report
        same = last("Edit", noise=inverted.noise, edit={"prompt": "an insect"})
        assert same.outputs == inverted.outputs
        other = last("Edit", noise=inverted.noise, edit={"prompt": "a blue flag"})
        assert other.outputs != inverted.outputs
        print(f"  back to {near.psnr:.2f} of {near.autoencoder_psnr:.2f} dB")

    def run(self):
        for part in (
            self.catalogue, self.errors, self.degrade_and_compare, self.other_priors, self.invert_and_edit, self.repeated, self.large_tiff, self.cancel,
            self.slow_reader, self.death, self.many,
        ):
            print(part.__name__)
            begin = time.monotonic()
            part()
            print(f"  {time.monotonic() - begin:.1f} s")
        print("accepted")


if __name__ == "__main__":
    Acceptance(*sys.argv[1:]).run()
