from .kinds import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from .loading import (
    batches_by_size as batches_by_size,
    default_threads as default_threads,
    load_in_order as load_in_order,
)
from .reading import (
    AS_STORED as AS_STORED,
    LONG_SIDE as LONG_SIDE,
    OWN_PHOTOS as OWN_PHOTOS,
    Reading as Reading,
    load_pixels as load_pixels,
    open_image as open_image,
    pixels_of_photo as pixels_of_photo,
    read_image as read_image,
)
