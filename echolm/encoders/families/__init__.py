"""Encoder networks (torch), one file a family; the declarations in ``echolm.encoders`` build them."""
