from .translate import migrate_file as migrate_file, parse_overrides as parse_overrides
from .verify import verify_features as verify_features, verify_layers as verify_layers
