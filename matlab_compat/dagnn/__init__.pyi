from .display import describe_dagnn as describe_dagnn
from .layer import DagLayer as DagLayer, register_block as register_block
from .network import DagNN as DagNN, is_dagnn as is_dagnn
