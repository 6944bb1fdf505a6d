"""Reducers: the results of a map merged in the jobs and as they arrive, ``condormap(f, xs, reduce=Mean())``."""

from __future__ import annotations

from .arrays import Concatenate
from .basic import Collect, Count, MergeDicts, Union
from .combined import GroupBy, Several
from .files import ConcatenateFiles
from .hdf5 import HDF5Rows, StackHDF5
from .histograms import Counts, Histogram, Histogram2D
from .moments import Covariance, Estimate, Mean, Variance
from .numbers import Extreme, Max, Min, Sum
from .protocol import Function, Reducer, as_reducer

__all__ = [
    "Collect",
    "Concatenate",
    "ConcatenateFiles",
    "Count",
    "Counts",
    "Covariance",
    "Estimate",
    "Extreme",
    "Function",
    "GroupBy",
    "HDF5Rows",
    "Histogram",
    "Histogram2D",
    "Max",
    "Mean",
    "MergeDicts",
    "Min",
    "Reducer",
    "Several",
    "StackHDF5",
    "Sum",
    "Union",
    "Variance",
    "as_reducer",
]
