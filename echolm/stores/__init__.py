"""Stores: prepared clips on the disk, and the rules that choose their frames.

``prepare_clips.py`` makes a store of a scanned dataset: ``sampling.py`` chooses the frames of each
item, ``shards.py`` decodes them, ``writer.py`` writes what they are. ``clips.py`` opens a store,
``frames.py`` reads its frames.
"""
