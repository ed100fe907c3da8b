from .io import (
    load as load,
)
from .io import (
    who as who,
)
from .values import (
    CharMatrix as CharMatrix,
)
from .values import (
    FunctionHandle as FunctionHandle,
)
from .values import (
    MatObject as MatObject,
)
from .values import (
    StructArray as StructArray,
)
from .values import (
    VariableInfo as VariableInfo,
)
from .values import (
    cell_list as cell_list,
)
from .values import (
    image_names as image_names,
)
from .values import (
    scalar as scalar,
)
from .values import (
    text as text,
)
from .values import (
    vector as vector,
)
from .write import (
    save as save,
)
from .write import (
    save_objects as save_objects,
)
