"""`gr1 bench policy`: the plain full-window loop against the cached step, in one run."""

from __future__ import annotations

import copy
import json
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from gr1_core.bench.timing import interleaved, peak_gflops
from gr1_core.model import GR1, GR1Config, checkpoint, patches
from gr1_core.model.language import token_tensor
from gr1_core.model.packed_linear import can_pack
from gr1_core.plural import plural
from gr1_core.policy import Observation, Policy
from gr1_core.rig import Rig

STEPS = 14
# "push the sliding door to the left side"
TOKENS = [49406, 6831, 518, 21468, 2489, 531, 518, 1823, 1145, 49407] + [0] * 67


class PlainLoop:
    """The control loop as published: at every step the text and all images of the padded window are encoded
    again, in fp32.
    """

    def __init__(self, model: GR1, rig: Rig):
        self.model, self.rig, self.history = (
            model.requires_grad_(False),
            rig,
            deque(maxlen=model.config.window),
        )

    def step(self, observation: Observation) -> tuple[np.ndarray, float]:
        """-> the action's delta f[6] and the gripper's logit."""
        size, window = self.model.config.image_size, self.model.config.window
        frames = [
            patches.preprocess(
                torch.from_numpy(
                    np.ascontiguousarray(self.rig.cameras[role].view(getattr(observation, role)))
                )[None],
                size,
            )
            for role in self.rig.cameras
        ]
        arm = torch.as_tensor(observation.arm, dtype=torch.float32)
        self.history.append((*frames, arm[None], torch.tensor([float(observation.gripper)])))
        count = len(self.history)
        *cameras, arm, gripper = (torch.cat(parts) for parts in zip(*self.history))

        def padded(x: torch.Tensor, value: float = 0.0) -> torch.Tensor:
            return torch.cat([x, x.new_full((window - count, *x.shape[1:]), value)])[None]

        valid = torch.arange(window)[None] < count
        with torch.inference_mode():
            prediction = self.model(
                token_tensor(TOKENS),
                padded(cameras[0]),
                padded(cameras[1]) if len(cameras) > 1 else None,
                padded(arm),
                padded(gripper, -1.0),
                valid,
                {"action"},
            )
        return prediction.arm[0, count - 1].numpy(), float(prediction.gripper_logit[0, count - 1])


def run(config: str, folder: Path | None, rig_name: str, threads: int, rounds: int) -> dict:
    """Measures on the CPU, prints the figures and returns them; the last line is one JSON document."""
    torch.set_num_threads(threads)
    console = Console(stderr=True)
    model, rig = _model(config, folder, rig_name)
    console.print(
        f"GR-1 [bold]{folder or config}[/], {model.parameter_counts()[0] / 1e6:.1f} M parameters, "
        f"{plural(threads, 'thread')}, {plural(rounds, 'round')}"
    )
    observations = [synthetic_observation(rig, step) for step in range(STEPS)]
    precisions = ["fp32", "bf16"] + ["int8"] * can_pack(torch.int8)

    plain = PlainLoop(copy.deepcopy(model), rig)
    with console.status("the plain loop's actions"):
        truth = np.array([plain.step(seen)[0] for seen in observations])
    policies, differences = {}, {}
    for precision in precisions:
        policies[precision] = policy = Policy(copy.deepcopy(model), rig, "cpu", precision)
        policy.reset(TOKENS)
        differences[precision] = np.array([policy.step(seen).delta for seen in observations]) - truth

    with console.status("FLOPs"):
        gflop = {
            "plain": _gflop(lambda: plain.step(observations[-1])),
            "step": _gflop_of_step(model, rig, observations),
        }
    with console.status("timing"):
        variants = {"plain": lambda: plain.step(observations[-1])}
        for precision, policy in policies.items():
            variants[precision] = lambda policy=policy: policy.step(observations[-1])
        times = interleaved(variants, rounds)
        parts = {
            precision: interleaved(_parts(policy, observations[-1]), rounds)
            for precision, policy in policies.items()
        }
        peaks = {"fp32": peak_gflops(torch.float32, rounds), "bf16": peak_gflops(torch.bfloat16, rounds)}

    result = {"config": str(folder or config), "device": "cpu", "threads": threads}
    result |= {f"{name}_ms": round(ms, 2) for name, ms in times.items()}
    result |= {f"{name}_ratio": round(times["plain"] / times[name], 2) for name in precisions}
    std = truth.std(0)
    for name, difference in differences.items():
        result[f"{name}_max_abs_diff"] = float(np.abs(difference).max())
        result[f"{name}_error_of_std"] = round(float(np.sqrt((difference**2).mean()) / std.mean()), 5)
    result |= {
        "action_std": [round(float(x), 4) for x in std],
        "gflop_plain": round(gflop["plain"], 2),
        "gflop_step": round(gflop["step"], 2),
        "peak_gflops_fp32": round(peaks["fp32"], 1),
        "peak_gflops_bf16": round(peaks["bf16"], 1),
    }
    _show(result, parts)
    print(json.dumps(result))
    return result


def run_cuda(config: str, folder: Path | None, rig_name: str, steps: int = 300) -> dict:
    """The step on a GPU, kernel by kernel and as a graph: p50, p99 in ms; the last line is one JSON document.

    Raises ValueError without a GPU.
    """
    if not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch finds no GPU here")
    model, rig = _model(config, folder, rig_name)
    observations = [synthetic_observation(rig, step) for step in range(STEPS)]
    result = {"config": str(folder or config), "device": torch.cuda.get_device_name()}
    exact = None
    for precision in ("fp32", "bf16"):
        policy = Policy(copy.deepcopy(model), rig, "cuda", precision)
        for way in ("eager", "graph"):
            if way == "graph":
                policy.warm_up()
            policy.reset(TOKENS)
            deltas = np.array([policy.step(seen).delta for seen in observations])
            exact = deltas if exact is None else exact
            times = []
            for number in range(steps):
                began = time.perf_counter()
                policy.step(observations[number % STEPS])
                times.append(1e3 * (time.perf_counter() - began))
            p50, p99 = np.percentile(times, (50, 99))
            result |= {f"{precision}_{way}_p50_ms": round(p50, 3), f"{precision}_{way}_p99_ms": round(p99, 3)}
            result[f"{precision}_{way}_max_abs_diff"] = float(np.abs(deltas - exact).max())
    result["action_std"] = [round(float(x), 4) for x in exact.std(0)]
    table = Table(title="one control step on " + result["device"])
    for column in ("", "p50 ms", "p99 ms", "max action difference"):
        table.add_column(column, justify="left" if not column else "right")
    for precision in ("fp32", "bf16"):
        for way in ("eager", "graph"):
            name = f"{precision}_{way}"
            table.add_row(
                f"{precision}, {way}",
                f"{result[f'{name}_p50_ms']:.2f}",
                f"{result[f'{name}_p99_ms']:.2f}",
                f"{result[f'{name}_max_abs_diff']:.1e}",
            )
    Console().print(table)
    print(json.dumps(result))
    return result


def _model(config: str, folder: Path | None, rig_name: str) -> tuple[GR1, Rig]:
    if folder is None:
        return random_model(getattr(GR1Config, config)()), Rig.load(rig_name)
    return checkpoint.load(folder)


def synthetic_observation(rig: Rig, step: int) -> Observation:
    """A seeded observation with coarse and fine structure, so that actions differ from step to step."""
    random = np.random.default_rng(step)

    def frame(role: str) -> np.ndarray:
        camera = rig.cameras[role]
        coarse = random.integers(0, 224, (-(-camera.height // 40), -(-camera.width // 40), 3))
        image = coarse.repeat(40, 0).repeat(40, 1)[: camera.height, : camera.width]
        return (image + random.integers(0, 32, image.shape)).astype(np.uint8)

    return Observation(
        **{role: frame(role) for role in rig.cameras},
        arm=random.uniform(-1, 1, 6),
        gripper=1 if step // 3 % 2 == 0 else -1,
    )


def random_model(config: GR1Config, seed: int = 0) -> GR1:
    """A GR-1 with large random weights and peaked attention: its actions depend on all of its input, as a
    trained one's do.
    """
    model = GR1(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name == "decoder.pos_embed":
                continue
            if name.endswith(("token_embedding.weight", "position_embedding.weight")) or name.startswith(
                ("query.", "embed_time")
            ):
                parameter.copy_(0.5 * noise)
            elif (
                parameter.ndim >= 2
                and "latents" not in name
                and not name.endswith(("cls_token", "pos_embed", "media_pos_emb"))
            ):
                gain = (
                    2.0
                    if any(part in name for part in ("qkv", "to_q", "to_kv", "q_proj", "k_proj", "v_proj"))
                    else 1.0
                )
                parameter.copy_(gain * (2 / (parameter.shape[0] + parameter[0].numel())) ** 0.5 * noise)
            elif parameter.ndim >= 2:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_((1.0 if name.endswith("weight") else 0.0) + 0.1 * noise)
    return model


def _parts(policy: Policy, seen: Observation) -> dict:
    """The step, part by part, on the inputs that each part has in the step."""
    model = policy.model
    with torch.inference_mode():
        views = policy._views(seen)
        images = policy._preprocess(views)
        patch_tokens = model.encode_images(images[None], policy._language)[1][0]
        context = model.context(torch.stack(list(policy._window))[None])
        query = model.queries(("action",))[None]

    def inference(function):
        def call():
            with torch.inference_mode():
                function()

        return call

    return {
        "preprocessing": inference(lambda: policy._preprocess(policy._views(seen))),
        "vision, 2 frames": inference(lambda: model.encode_images(images[None], policy._language)),
        "resampler, 2 frames": inference(lambda: model.resampler(patch_tokens)),
        "transformer": inference(lambda: model.transformer(context, query)),
    }


def _gflop(call) -> float:
    counter = FlopCounterMode(display=False)
    with counter:
        call()
    return counter.get_total_flops() / 1e9


def _gflop_of_step(model: GR1, rig: Rig, observations: list[Observation]) -> float:
    # The counter does not know the packed products; in fp64 nothing is packed, and the count is the same.
    policy = Policy(copy.deepcopy(model), rig, "cpu", "fp64")
    policy.reset(TOKENS)
    random = torch.Generator().manual_seed(0)
    shape = (len(policy._language) + 1 + 2 * (model.config.latents + 1), model.config.width)
    policy._window.extend(
        torch.randn(shape, generator=random).double() for _ in range(model.config.window - 1)
    )
    return _gflop(lambda: policy.step(observations[-1]))


def _show(result: dict, parts: dict[str, dict[str, float]]) -> None:
    table = Table(title="one control step")
    for column in ("", "ms", "x plain", "GFLOP", "GFLOP/s", "of peak", "max action difference"):
        table.add_column(column, justify="left" if not column else "right")
    rows = [("plain", "plain")] + [(f"cached {key}", key) for key in parts]
    for name, key in rows:
        ms, gflop = result[f"{key}_ms"], result["gflop_plain" if key == "plain" else "gflop_step"]
        speed, peak = gflop / ms * 1e3, result["peak_gflops_bf16" if key == "bf16" else "peak_gflops_fp32"]
        difference = "" if key == "plain" else f"{result[f'{key}_max_abs_diff']:.1e}"
        table.add_row(
            name,
            f"{ms:.1f}",
            f"{result['plain_ms'] / ms:.1f}",
            f"{gflop:.1f}",
            f"{speed:.0f}",
            "" if key == "int8" else f"{speed / peak:.0%}",
            difference,
        )
    split = Table(title="the cached step by part, ms")
    for column in ("", *parts):
        split.add_column(column, justify="left" if not column else "right")
    for name in parts["fp32"]:
        split.add_row(name, *(f"{parts[precision][name]:.1f}" for precision in parts))
    console = Console()
    console.print(table)
    console.print(split)
    std = result["action_std"]
    console.print(
        f"peak: fp32 {result['peak_gflops_fp32']:.0f}, bf16 {result['peak_gflops_bf16']:.0f} GFLOP/s; "
        f"the action's standard deviation over the steps: {min(std):.2f} .. {max(std):.2f}"
    )
