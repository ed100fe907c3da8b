from .backbone import head_start as head_start
from .batch import extract_batch as extract_batch
from .choose import Engine as Engine, choose_engine as choose_engine
from .scales import Scales as Scales, calibrate as calibrate, read_scales as read_scales
from .settings import ExtractionSettings as ExtractionSettings
