from .evaluate import (
    Evaluation as Evaluation,
)
from .evaluate import (
    evaluate_index as evaluate_index,
)
from .evaluate import (
    evaluate_network as evaluate_network,
)
from .evaluate import (
    recall_table as recall_table,
)
from .measures import (
    best_epoch as best_epoch,
)
from .measures import (
    rank_loss as rank_loss,
)
from .measures import (
    read_feature_pair as read_feature_pair,
)
from .measures import (
    recall_at_n as recall_at_n,
)
from .measures import (
    recall_of_searcher as recall_of_searcher,
)
from .measures import (
    squared_distances as squared_distances,
)
from .plots import (
    plot_recall as plot_recall,
)
from .plots import (
    plot_recall_by_dimension as plot_recall_by_dimension,
)
from .plots import (
    recall_by_dimension as recall_by_dimension,
)
from .plots import (
    show_figures as show_figures,
)
