from .toolbox import (
    Reference as Reference,
    copy_toolbox as copy_toolbox,
    read_reference_file as read_reference_file,
)
from .translate import migrate_file as migrate_file, parse_overrides as parse_overrides
from .verify import (
    verify_features as verify_features,
    verify_layers as verify_layers,
    verify_reference as verify_reference,
)
