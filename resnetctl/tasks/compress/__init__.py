"""`compress`: a smaller network, as a weights file or as a run."""

from resnetctl.tasks.compress.files import compress
from resnetctl.tasks.compress.order import Cut, Order, OrderOptions
from resnetctl.tasks.compress.report import CompressReport
from resnetctl.tasks.compress.stages import into_run

__all__ = ["CompressReport", "Cut", "Order", "OrderOptions", "compress", "into_run"]
