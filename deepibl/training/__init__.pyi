from .checkpoints import (
    Results as Results,
)
from .checkpoints import (
    SessionFiles as SessionFiles,
)
from .checkpoints import (
    find_session as find_session,
)
from .checkpoints import (
    read_results as read_results,
)
from .checkpoints import (
    read_session_network as read_session_network,
)
from .listeners import (
    BatchReport as BatchReport,
)
from .listeners import (
    Console as Console,
)
from .listeners import (
    Plotter as Plotter,
)
from .listeners import (
    TensorBoard as TensorBoard,
)
from .listeners import (
    TrainingListener as TrainingListener,
)
from .listeners import (
    draw_results as draw_results,
)
from .listeners import (
    plot_training as plot_training,
)
from .listeners import (
    usual_listeners as usual_listeners,
)
from .loop import train as train
from .options import (
    SpeedOptions as SpeedOptions,
)
from .options import (
    TrainingOptions as TrainingOptions,
)
from .session import (
    Course as Course,
)
from .session import (
    run_session as run_session,
)
from .state import (
    Curves as Curves,
)
from .state import (
    History as History,
)
from .state import (
    TrainingState as TrainingState,
)
from .step import Stepper as Stepper
from .tuples import (
    LOSSES as LOSSES,
)
from .tuples import (
    TRAINERS as TRAINERS,
)
from .tuples import (
    MinedTuple as MinedTuple,
)
from .tuples import (
    Objective as Objective,
)
from .tuples import (
    mine as mine,
)
from .tuples import (
    weakly as weakly,
)
