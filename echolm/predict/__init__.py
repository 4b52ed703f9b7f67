"""Contours of clips from a complete landmark run: prediction, search of the phases, pictures, videos, whole folders."""

from echolm.predict.picture import LINE, PANEL, draw
from echolm.predict.predictor import Cine, Prediction, Predictor

__all__ = ["LINE", "PANEL", "Cine", "Prediction", "Predictor", "draw"]
