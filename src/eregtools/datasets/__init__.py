"""Data to start from: real files as an object, simulated files with their truth, and a very small object."""

from __future__ import annotations

from eregtools.datasets.demo import demo, simulated_object
from eregtools.datasets.k562 import find_k562, k562
from eregtools.datasets.simulate import Simulation, SimulationConfig, simulate
from eregtools.datasets.toy import three_genes

__all__ = ["Simulation", "SimulationConfig", "demo", "find_k562", "k562", "simulate", "simulated_object", "three_genes"]
