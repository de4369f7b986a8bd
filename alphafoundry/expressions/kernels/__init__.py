"""Compiled arithmetic over panels. Nothing here is imported before the first evaluation.

A kernel calls only kernels of its own file: the disk cache of compiled code is renewed file by
file, so a change elsewhere would go unseen.
"""
