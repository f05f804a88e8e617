"""Lightning's Trainer around a module with loss and accuracy logged, as its tutorials for CIFAR have it."""

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torchmetrics.functional import accuracy

from programs import plain, reference
from programs.task import DECAY, LR, MOMENTUM, Step


class Module(lightning.LightningModule):
    """The network, its loss and its optimizer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """The loss of a batch."""
        images, targets = batch
        output = self.net(images)
        loss = nn.functional.cross_entropy(output, targets)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_acc", accuracy(output, targets, task="multiclass", num_classes=output.shape[1]), prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD as torch makes it."""
        return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)


class Steps(Callback):
    """Tells the clock of every update."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: list[Tensor], index: int) -> None:
        """After the optimizer's step."""
        self.step(len(batch[0]))


class Program(reference.Program):
    """See `programs.task.Program`: the loader and the network of the reference, another loop."""

    def train(self, step: Step, epochs: int) -> None:
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            callbacks=[Steps(step)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(plain.net(self.task)), self._loader())
