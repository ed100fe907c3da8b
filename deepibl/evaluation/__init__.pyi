from .evaluate import (
    Evaluation as Evaluation,
    evaluate_index as evaluate_index,
    evaluate_network as evaluate_network,
    recall_lines as recall_lines,
    recall_table as recall_table,
)
from .measures import (
    best_epoch as best_epoch,
    rank_loss as rank_loss,
    read_feature_pair as read_feature_pair,
    recall_at_n as recall_at_n,
    recall_of_searcher as recall_of_searcher,
    squared_distances as squared_distances,
)
from .plots import (
    plot_recall as plot_recall,
    plot_recall_by_dimension as plot_recall_by_dimension,
    recall_by_dimension as recall_by_dimension,
    show_figures as show_figures,
)
