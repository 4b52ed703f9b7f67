"""What a complete run predicts of clips.

``run_network`` is the network of any run. What is predicted and drawn of a task has a file of its
own, today ``contours`` of landmarks, with the search of the phases, pictures, videos and whole
folders.
"""

from echolm.predict.contours import ContourPrediction, ContourPredictor
from echolm.predict.picture import LINE, PANEL, draw
from echolm.predict.run_network import Cine, RunNetwork

__all__ = ["LINE", "PANEL", "Cine", "ContourPrediction", "ContourPredictor", "RunNetwork", "draw"]
