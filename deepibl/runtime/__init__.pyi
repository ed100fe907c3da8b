from .devices import (
    device_for as device_for,
)
from .devices import (
    exact_products as exact_products,
)
from .devices import (
    inference as inference,
)
from .paths import (
    LocalPaths as LocalPaths,
)
from .paths import (
    localPaths as localPaths,
)
from .paths import (
    missing_paths as missing_paths,
)
from .processes import (
    Team as Team,
)
from .processes import (
    alone as alone,
)
from .processes import (
    team as team,
)
from .progress import (
    ProgressCallback as ProgressCallback,
)
from .progress import (
    reporting as reporting,
)
