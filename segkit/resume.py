"""What an interrupted training run needs to go on as if nothing had happened. Introduced in notebook 07."""

import json
from dataclasses import dataclass
from pathlib import Path

from segkit.checkpoint import read_tensors, write_tensors
from segkit.files import UserError


@dataclass
class ResumeState:
    """All that an unbroken run would have had in memory after its last whole epoch.

    One safetensors file, written whole or not at all. Order and augmentation need no state: they
    follow from seed and epoch.
    """

    tensors: dict
    optimizer_groups: list
    scheduler: dict
    scaler: dict
    history: list[dict]
    precision: str

    @staticmethod
    def path(run: Path) -> Path:
        return run / "last" / "state.safetensors"

    @classmethod
    def write(cls, run, model, optimizer, scheduler, accelerator, history, precision, average=None) -> None:
        state = optimizer.state_dict()
        tensors = {}
        for prefix, network in {"model": model, "average": average}.items():
            if network is not None:
                weights = network.state_dict().items()
                tensors |= {f"{prefix}/{name}": t.detach().cpu().clone().contiguous() for name, t in weights}
        for index, slots in state["state"].items():
            tensors |= {f"adam/{index}/{slot}": value.cpu().contiguous() for slot, value in slots.items()}
        rest = {
            "optimizer_groups": state["param_groups"],
            "scheduler": scheduler.state_dict(),
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler else {},
            "history": history,
            "precision": precision,
        }
        write_tensors(cls.path(run), tensors, {"segkit_state": json.dumps(rest)})

    @classmethod
    def read(cls, run: Path) -> "ResumeState":
        path = cls.path(run)
        if not path.exists():
            raise UserError(
                f"'{run}' holds no {path.relative_to(run)} to resume from: train without --resume."
            )
        tensors, metadata = read_tensors(path)
        if "segkit_state" not in metadata:
            raise UserError(f"'{path}' was not written by a training run: there is nothing to resume.")
        return cls(tensors, **json.loads(metadata["segkit_state"]))

    def restore(self, model, optimizer, scheduler, accelerator, average=None) -> None:
        try:
            for prefix, network in {"model/": model, "average/": average}.items():
                if network is not None:
                    network.load_state_dict(
                        {k.removeprefix(prefix): t for k, t in self._under(prefix).items()}
                    )
        except RuntimeError:
            raise UserError(
                "the run was made with another network: resume it with the same settings."
            ) from None
        slots: dict[int, dict] = {}
        for key, tensor in self._under("adam/").items():
            _, index, slot = key.split("/")
            slots.setdefault(int(index), {})[slot] = tensor
        optimizer.load_state_dict({"state": slots, "param_groups": self.optimizer_groups})
        scheduler.load_state_dict(self.scheduler)
        if self.scaler and accelerator.scaler:
            accelerator.scaler.load_state_dict(self.scaler)

    def _under(self, prefix: str) -> dict:
        return {key: tensor for key, tensor in self.tensors.items() if key.startswith(prefix)}
