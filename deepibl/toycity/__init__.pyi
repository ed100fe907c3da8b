from .city import make_city as make_city, render_names as render_names
from .plan import City as City
