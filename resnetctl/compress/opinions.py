"""The teacher's logits of all train images, computed once for a run that shows the student the same images each epoch.

Without augmentation, the images of an epoch repeat: only their order changes. So a teacher need not see them again in
every step. The logits are float32 and come from batches of a fixed order. So they do not depend on the step that asks
first, and a resumed run has the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from resnetctl.compress.teacher import Teacher
from resnetctl.data.splits import ImageSet, eval_batches
from resnetctl.spec import ImageSpec

MOST_BYTES = 2**28  # of the table; a larger one would cost more memory than it saves time


@dataclass(frozen=True)
class Opinions:
    """The logits of a teacher by the row of the image in the stored split.

    Attributes:
        images: all images that the student can see.
        image: the student's preprocessing.
    """

    teacher: Teacher
    images: ImageSet
    image: ImageSpec

    @property
    def is_small(self) -> bool:
        """Whether the logits of all images fit into memory beside everything else."""
        return len(self.images) * len(self.teacher.columns) * torch.float32.itemsize <= MOST_BYTES

    def of(self, index: Tensor) -> Tensor:
        """Return the logits `(N, K)` float32 of these rows, int64 `(N,)`. The first call computes all of them."""
        return self._table.index_select(0, self._places.index_select(0, index))

    @cached_property
    def _table(self) -> Tensor:
        """Logits `(M, K)` of the M images of the set, in its order, on the teacher's device."""
        predict = self.teacher.predictor(self.image)
        device = self.teacher.columns.device
        with torch.autocast(device.type, enabled=False):  # the step that asks first may compute in bfloat16
            logits = [predict(pixels) for pixels, _ in eval_batches(self.images, self.image)]
        return torch.from_numpy(np.concatenate(logits)).to(device)

    @cached_property
    def _places(self) -> Tensor:
        """The place in the set for each row of the stored split; rows that are not in the set have none."""
        places = torch.zeros(int(self.images.index.max()) + 1, dtype=torch.int64)
        places[torch.from_numpy(self.images.index)] = torch.arange(len(self.images))
        return places.to(self.teacher.columns.device)
