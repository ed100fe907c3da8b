from .app import create_app as create_app
from .finder import PlaceFinder as PlaceFinder
from .http import Limits as Limits
from .server import serve as serve
