from .translate import (
    migrate_file as migrate_file,
)
from .translate import (
    parse_overrides as parse_overrides,
)
from .verify import (
    verify_features as verify_features,
)
from .verify import (
    verify_layers as verify_layers,
)
