from .checkpoints import (
    Results as Results,
    SessionFiles as SessionFiles,
    find_session as find_session,
    read_results as read_results,
    read_session_network as read_session_network,
)
from .listeners import (
    BatchReport as BatchReport,
    Console as Console,
    Plotter as Plotter,
    TensorBoard as TensorBoard,
    TrainingListener as TrainingListener,
    draw_results as draw_results,
    plot_training as plot_training,
    usual_listeners as usual_listeners,
)
from .options import TrainingOptions as TrainingOptions
from .session import TrainingRun as TrainingRun, train as train
from .state import Curves as Curves, History as History, TrainingState as TrainingState
from .step import Stepper as Stepper
from .tuples import (
    LOSSES as LOSSES,
    TRAINERS as TRAINERS,
    MinedTuple as MinedTuple,
    Objective as Objective,
    weakly as weakly,
)
