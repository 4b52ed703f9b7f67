"""Where jobs run on Ray."""
