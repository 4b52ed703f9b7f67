"""Media: what a file is, and how its pictures become arrays of 8-bit gray.

``read.py`` looks at a file and calls the decoder of its format. Every decoder returns a ``Video``
(``video.py``). A new format is one new file with a function that recognises it and one that reads
it, and one line in ``read.FORMATS``.
"""
