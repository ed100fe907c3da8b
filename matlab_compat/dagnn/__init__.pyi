from .display import describe_dagnn as describe_dagnn
from .network import DagNN as DagNN, is_dagnn as is_dagnn
