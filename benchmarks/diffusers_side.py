"""Full-size checkpoints with random weights, and diffusers' side of benchmarks/full-size.

    python diffusers_side.py make sd15|sdxl FOLDER     writes a float16 checkpoint of the family's public configuration
    python diffusers_side.py run sd15|sdxl FOLDER PRECISION WHAT REPEATS
WHAT is `all`; `denoiser` with everything loaded; `vae` for the auto-encoder alone; `load` for loading alone. Prints one line of JSON with the figures of `priorart bench model --json`.
"""

import json
import os
import pathlib
import re
import statistics
import sys
import threading
import time

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
CLIP_L = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768)
CLIP_G = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, projection_dim=1280,
              hidden_act="gelu")
KL = dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
          down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
FAMILIES = {
    "sd15": dict(pipeline="StableDiffusionPipeline", clip=[("CLIPTextModel", CLIP_L)], vae=dict(KL, scaling_factor=0.18215),
                 unet=dict(block_out_channels=(320, 640, 1280, 1280), layers_per_block=2, cross_attention_dim=768, sample_size=64),
                 batch=2, side=512),
    "sdxl": dict(pipeline="StableDiffusionXLPipeline", clip=[("CLIPTextModel", CLIP_L), ("CLIPTextModelWithProjection", CLIP_G)],
                 vae=dict(KL, scaling_factor=0.13025),
                 unet=dict(block_out_channels=(320, 640, 1280), layers_per_block=2, cross_attention_dim=2048, sample_size=128,
                           attention_head_dim=(5, 10, 20), use_linear_projection=True, transformer_layers_per_block=(1, 2, 10),
                           down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                           up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                           addition_embed_type="text_time", addition_time_embed_dim=256,
                           projection_class_embeddings_input_dim=2816),
                 batch=1, side=512),
}


def make(name, root):
    import diffusers
    import safetensors.torch
    import torch
    import transformers
    spec = FAMILIES[name]
    g = torch.Generator().manual_seed(0)

    def write(part, module, stem):
        folder = root / part
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {}
        for key, value in module.state_dict().items():
            if key.endswith("position_ids"):
                continue
            norm = value.dim() == 1 and key.endswith("weight")
            scale = 0.5 / max(1, value[0].numel()) ** 0.5 if value.dim() > 1 else 0.02
            drawn = torch.ones(value.shape) if norm else torch.randn(value.shape, generator=g) * scale
            tensors[key] = drawn.half()
        safetensors.torch.save_file(tensors, folder / (stem + ".safetensors"), metadata={"format": "pt"})
        (module.save_config if hasattr(module, "save_config") else module.config.save_pretrained)(folder)

    with torch.device("meta"):
        unet, vae = diffusers.UNet2DConditionModel(**spec["unet"]), diffusers.AutoencoderKL(**spec["vae"])
    write("unet", unet, "diffusion_pytorch_model")
    write("vae", vae, "diffusion_pytorch_model")
    index = {"_class_name": spec["pipeline"], "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
             "scheduler": ["diffusers", "DDIMScheduler"]}
    own = pathlib.Path(__file__).parent.parent / "models/src/main/resources/io/priorart/models/tokenizer/clip-merges.txt.gz"
    import gzip
    merges = gzip.open(own, "rt", encoding="utf-8").read().splitlines()
    printable = [b for b in range(256) if 32 < b < 127 or 160 < b and b != 173]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    tokens = letters + [c + "</w>" for c in letters] + [m.replace(" ", "") for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    for i, (kind, config) in enumerate(spec["clip"]):
        suffix = "" if i == 0 else f"_{i + 1}"
        with torch.device("meta"):
            text = getattr(transformers, kind)(transformers.CLIPTextConfig(vocab_size=len(tokens), **config))
        text.config.architectures = [kind]
        write("text_encoder" + suffix, text, "model")
        folder = root / ("tokenizer" + suffix)
        folder.mkdir(exist_ok=True)
        (folder / "vocab.json").write_text(json.dumps({t: n for n, t in enumerate(tokens)}))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
        index |= {"text_encoder" + suffix: ["transformers", kind], "tokenizer" + suffix: ["transformers", "CLIPTokenizer"]}
    diffusers.DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).save_config(root / "scheduler")
    (root / "model_index.json").write_text(json.dumps(index, indent=1))


def status(name):
    return int(re.search(name + r":\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024


def run(name, root, precision, what, repeats):
    import diffusers
    import torch
    import transformers
    torch.set_num_threads(THREADS)
    spec = FAMILIES[name]
    dtype = getattr(torch, precision)
    peak = [0.0]

    def watch():
        while True:
            peak[0] = max(peak[0], status("RssAnon"))
            time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()

    def median(f):
        found = []
        for i in range(int(repeats) + 1):
            begin = time.perf_counter()
            f()
            if i:
                found.append(time.perf_counter() - begin)
        return statistics.median(found)

    figures = {}
    begin = time.perf_counter()
    vae = diffusers.AutoencoderKL.from_pretrained(root / "vae", torch_dtype=dtype)
    if what != "vae":
        unet = diffusers.UNet2DConditionModel.from_pretrained(root / "unet", torch_dtype=dtype)
        texts = [getattr(transformers, kind).from_pretrained(root / ("text_encoder" + ("" if i == 0 else "_2")), torch_dtype=dtype)
                 for i, (kind, _) in enumerate(spec["clip"])]
    figures["load"] = time.perf_counter() - begin
    figures["load_anonymous"] = peak[0]
    g = torch.Generator().manual_seed(0)
    side = spec["side"] // 8
    z = torch.randn(1, 4, side, side, generator=g).to(dtype)
    if what in ("all", "denoiser"):
        n = spec["batch"]
        x = z.expand(n, -1, -1, -1).contiguous()
        context = torch.randn(n, 77, spec["unet"]["cross_attention_dim"], generator=g).to(dtype)
        added = None
        if name == "sdxl":
            added = {"text_embeds": torch.randn(n, 1280, generator=g).to(dtype),
                     "time_ids": torch.tensor([[512.0, 512, 0, 0, 512, 512]] * n).to(dtype)}
        with torch.no_grad():
            figures["denoise"] = median(lambda: unet(x, 500, context, added_cond_kwargs=added).sample)
    for p in vae.parameters():
        p.requires_grad_(False)

    def pullback():
        leaf = z.clone().requires_grad_(True)
        y = vae.decode(leaf).sample
        torch.autograd.grad(y, leaf, y.detach())

    if what in ("all", "vae"):
        with torch.no_grad():
            figures["decode"] = median(lambda: vae.decode(z).sample)
        figures["decode_pullback"] = median(pullback)
    figures |= {"anonymous": peak[0], "peak": status("VmHWM")}
    print(json.dumps({"torch": torch.__version__, "diffusers": diffusers.__version__, "precision": precision, "figures": figures}))


if __name__ == "__main__":
    command, name, root, *rest = sys.argv[1:]
    if command == "make":
        make(name, pathlib.Path(root))
    else:
        run(name, pathlib.Path(root), *rest)
