from .backbone_cache import BackboneCache as BackboneCache
from .extraction import (
    ExtractionReport as ExtractionReport,
    extract as extract,
    extract_to_file as extract_to_file,
)
from .files import convert_features as convert_features, read_features as read_features
from .whitening import add_pca_of_images as add_pca_of_images, pca_of_images as pca_of_images
