"""The model with LeRobot's interface: losses of windows in training, one action per observation in rollouts.

Its weights have the names of gr1_core, and a saved policy is a checkpoint folder of gr1_core, too.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from safetensors.torch import load_file
from torch import Tensor

from gr1_core.model import checkpoint, factory, patches
from gr1_core.model.language import token_tensor, tokenize
from gr1_core.renamed import current_weight_name
from gr1_core.rig import ROLES, Rig, RigError
from gr1_core.train.losses import Inputs, Objective, total_loss
from gr1_core.train.recipe import LossWeights
from lerobot_policy_gr1.configuration_gr1 import ACTION, CAMERAS, NUMBERS, STATE, GR1Config

_TOKENIZER = "vocab.json"


class GR1Policy(PreTrainedPolicy):
    """See the module. Not for several threads.

    dataset_meta: of the dataset that it is trained on; its rig is taken where the configuration names none.
    """

    config_class = GR1Config
    name = "gr1"

    def __init__(self, config: GR1Config, dataset_meta=None, **_):
        super().__init__(config)
        self.rig = _find_rig(config, dataset_meta)
        config.take_features(self.rig)
        config.validate_features()
        self.model = factory.new_model(config.model_config())
        if config.trains_vision:
            self.model.vision.requires_grad_(True)
        self._require_trained_encoders = not config.pretrained_path
        self._tokenizer: Path | None = None
        self._tokens: dict[str, Tensor] = {}
        self.reset()

    # Loading and saving

    @classmethod
    def from_pretrained(cls, pretrained_name_or_path, *, config=None, revision=None, strict=True, **options):
        """A policy from a folder of LeRobot or of gr1_core, or from the hub. Names and shapes of all weights
        must fit; raises CheckpointError.
        """
        place = str(pretrained_name_or_path)
        if config is None:
            config = PreTrainedConfig.from_pretrained(place, revision=revision)
        if not config.rig:
            config.rig = str(_file_of(place, checkpoint.RIG, revision))
        config.pretrained_path = config.pretrained_path or Path(place)
        policy = super().from_pretrained(place, config=config, revision=revision, strict=True, **options)
        folder = Path(place)
        policy._tokenizer = folder if (folder / _TOKENIZER).is_file() else None
        return policy

    @classmethod
    def _load_as_safetensor(cls, model: GR1Policy, model_file: str, map_location: str, strict: bool):
        weights = {current_weight_name(name): value for name, value in load_file(model_file).items()}
        expected = {name: tuple(value.shape) for name, value in model.model.state_dict().items()}
        checkpoint.check_weights(weights, expected, model_file)
        model.model.load_state_dict(weights)
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        config = self.config.model_config()
        checkpoint.save(save_directory, self.model.state_dict(), config, self.rig)
        if self._tokenizer is not None:
            checkpoint.copy_tokenizer(self._tokenizer, save_directory)
        # LeRobot's configuration holds ours; the rig lies beside it.
        dataclasses.replace(self.config, rig="")._save_pretrained(save_directory)

    # Training

    def get_optim_params(self) -> list[torch.nn.Parameter]:
        return [value for value in self.parameters() if value.requires_grad]

    def train(self, mode: bool = True) -> GR1Policy:
        super().train(mode)
        self.model.train(mode)  # frozen encoders stay in eval mode
        return self

    def forward(self, batch: dict[str, Tensor], reduction: str = "mean") -> tuple[Tensor, dict]:
        """Windows of a dataset -> loss, and its parts as numbers.

        Cameras f32[B, W + n, 3, H, W'] in 0..1, state [B, W + n, 7], action [B, W + chunk - 1, 7], "task" a
        list of B texts, and the masks "*_is_pad". n: future_steps.
        """
        if reduction != "mean":
            raise ValueError(f"reduction '{reduction}': GR-1 has the mean over valid steps only")
        self._check_encoders()
        steps, ahead = self.config.window, self.config.future_steps
        weights = LossWeights(
            self.config.loss_arm, self.config.loss_gripper, self.config.loss_static, self.config.loss_wrist
        )
        video = [role for role in ROLES if self.config.policy == "gr1" and getattr(weights, role)]
        images = {role: self._images(role, batch[CAMERAS[role]]) for role in ROLES}
        action, inside = batch[ACTION], ~batch[f"{ACTION}_is_pad"]
        later = {"later_action": action[:, steps:], "later_valid": inside[:, steps:]}
        future = ~batch[f"{CAMERAS[ROLES[0]]}_is_pad"][:, ahead : ahead + steps] & inside[:, :steps]
        inputs = Inputs(
            embedding=None,
            state=batch[STATE][:, :steps],
            action=action[:, :steps],
            valid=inside[:, :steps],
            future=future if video else None,
            tokens=self._text(batch["task"]),
            images={role: views[:, :steps] for role, views in images.items()},
            future_images={role: images[role][:, ahead : ahead + steps] for role in video},
            **(later if self.config.chunk > 1 else {}),
        )
        objective = Objective(
            self.model, ("action", *video), bf16=False, absolute=self.config.frames == "change"
        )
        summed = objective(inputs)
        counts = (int(inputs.valid.sum()), int(future.sum()), 0)
        each = {name: float(value) / max(1, counts[name in ROLES]) for name, value in summed.items()}
        return total_loss(summed, weights, counts), {f"loss_{name}": value for name, value in each.items()}

    # Rollouts

    def reset(self) -> None:
        """Starts rollouts with empty histories."""
        self._history: deque[Tensor] = deque(maxlen=self.config.window)
        self._tasks: list[str] = []
        self._language: Tensor | None = None

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Tensor], **_) -> Tensor:
        """One observation of each of N rollouts -> the actions of the coming steps, f32[N, chunk, 7].

        Each call is a control step and enters the history.
        """
        tasks = batch["task"]
        tasks = [tasks] if isinstance(tasks, str) else list(tasks)
        if tasks != self._tasks:
            self._history.clear()
            self._tasks, self._language = tasks, self.model.encode_text(self._text(tasks))
        state = batch[STATE].float()
        views = torch.stack([self._images(role, batch[CAMERAS[role]][:, None])[:, 0] for role in ROLES], 1)
        tokens = self.model.step_tokens(self._language[:, None], views, state[:, :6], state[:, 6])
        self._history.append(tokens)
        window = torch.stack(list(self._history), 1)
        deltas, logits, _ = self.model.act(self.model.context(window))
        gripper = torch.where(logits > 0, 1.0, -1.0)
        return torch.cat([deltas, gripper[..., None]], -1).reshape(len(tasks), -1, NUMBERS)

    def select_action(self, batch: dict[str, Tensor], **options) -> Tensor:
        """The chunk's first action, f32[N, 7]: the model's units, and +1 open or -1 closed."""
        return self.predict_action_chunk(batch, **options)[:, 0]

    # Inputs

    def _images(self, role: str, images: Tensor) -> Tensor:
        """A camera's frames f32[N, T, 3, H, W] in 0..1 -> [N, T, 3, S, S] as the model reads them."""
        camera, (height, width) = self.rig.cameras[role], images.shape[-2:]
        if (height, width) != (camera.height, camera.width):
            raise RigError(
                f"{CAMERAS[role]} is {width}x{height}, rig '{self.rig.name}' has "
                f"{camera.width}x{camera.height}: set the camera to the rig's size, or name another rig by "
                "--policy.rig"
            )
        # Back to the 8-bit pixels that they were: bit for bit what our runtime reads.
        pixels = images.flatten(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
        top, left, side = 0, 0, (height, width)
        if camera.crop == "square":
            side = (min(side),) * 2
            top, left = (height - side[0]) // 2, (width - side[1]) // 2
        pixels = pixels[:, top : top + side[0], left : left + side[1]]
        views = patches.preprocess(pixels, self.config.image_size)
        return views.unflatten(0, images.shape[:2])

    def _text(self, tasks) -> Tensor:
        """Texts -> CLIP's token ids i64[N, 77]."""
        for task in tasks:
            if task not in self._tokens:
                self._tokens[task] = token_tensor(tokenize(task, self._tokenizer), torch.device("cpu"))
        device = next(self.model.parameters()).device
        return torch.cat([self._tokens[task] for task in tasks]).to(device)

    def _check_encoders(self) -> None:
        """Refuses to train around encoders that are frozen at random weights."""
        frozen = [] if self.config.trains_vision else ["vision"]
        frozen += [] if self.model.config.trains_text else ["text"]
        if frozen and self._require_trained_encoders:
            raise ValueError(
                f"{' and '.join(frozen)} would stay at random weights: start from a checkpoint by "
                "--policy.path=FOLDER, or choose --policy.vision=conv_film --policy.text=words"
            )


def _find_rig(config: GR1Config, dataset_meta) -> Rig:
    if config.rig:
        return Rig.load(config.rig)
    file = Path(dataset_meta.root) / "meta" / checkpoint.RIG if dataset_meta is not None else None
    if file is None or not file.is_file():
        raise RigError(
            "no rig: name a built-in one or a YAML file by --policy.rig, or train on a dataset of "
            "`gr1 convert`, which holds its rig"
        )
    return Rig.load(file)


def _file_of(place: str, name: str, revision: str | None) -> Path:
    """A file of a policy's folder, or of the hub's repository with that name."""
    if Path(place).is_dir():
        return Path(place) / name
    return Path(hf_hub_download(place, name, revision=revision))
