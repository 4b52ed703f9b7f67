"""The phantom: a synthetic data set in EchoNet-Dynamic's layout."""
