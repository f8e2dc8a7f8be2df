"""Where the figures of a run are sent while it runs: the trackers that ``report_to`` names.

To add one, write a class that takes ``folder``, ``name`` and ``settings`` and has the methods of
`presrm.protocols.Tracker`, and name it in the table below, or from another package under the entry-point group
``presrm.trackers``. Each writes below the run folder, and none needs a network or an account.
"""

from presrm.protocols import Tracker
from presrm.registry import Registry

TRACKERS: Registry[Tracker] = Registry(
    "tracker",
    {
        "tensorboard": "presrm.trackers.tensorboard:TensorBoardTracker",
        "wandb": "presrm.trackers.wandb:WandbTracker",
        "mlflow": "presrm.trackers.mlflow:MlflowTracker",
        "trackio": "presrm.trackers.trackio:TrackioTracker",
    },
    group="presrm.trackers",
)
