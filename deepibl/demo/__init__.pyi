from .playground import make_playground as make_playground
from .run import run_city_demo as run_city_demo, run_demo as run_demo
from .training import run_training_demo as run_training_demo, train_in_city as train_in_city
