from .devices import device_for as device_for, exact_products as exact_products, inference as inference
from .paths import LocalPaths as LocalPaths, localPaths as localPaths, missing_paths as missing_paths
from .processes import Team as Team, alone as alone, team as team
from .progress import ProgressCallback as ProgressCallback, reporting as reporting
