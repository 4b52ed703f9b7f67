"""What a grid is: its file, its cells, and the tables it asks for."""
