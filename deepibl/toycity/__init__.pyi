from .city import make_city as make_city, render_names as render_names
from .places import stops as stops
from .plan import City as City
