from .cells import cell_shares as cell_shares
from .compare import compare_runs as compare_runs, comparison_page as comparison_page
from .heatmap import heat as heat
from .html import match_page as match_page
from .overlay import heat_overlay as heat_overlay
from .retrieval import write_report as write_report
from .run import collect as collect
from .sheet import heatmap_rows as heatmap_rows, write_sheet as write_sheet
