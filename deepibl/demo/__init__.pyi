from .networks import small_network as small_network
from .playground import make_playground as make_playground
from .run import run_demo as run_demo, run_training_demo as run_training_demo, train_in_city as train_in_city
