"""Families of networks as stages.

They import torch, so the encoders' declarations import them only to build.
"""
