"""Data to start from: real files as an object, simulated files with their truth, and a very small object."""

from __future__ import annotations

from eregtools.datasets.demo import demo, simulated_object
from eregtools.datasets.genomes import fetch_genome, fetched_genome
from eregtools.datasets.k562 import find_k562, k562
from eregtools.datasets.simulate import Simulation, SimulationConfig, simulate
from eregtools.datasets.simulate_erna import ErnaSimulation, ErnaSimulationConfig, simulate_erna
from eregtools.datasets.simulate_erna_genome import ErnaGenome, ErnaGenomeConfig, simulate_erna_genome
from eregtools.datasets.simulate_interactions import (
    InteractionConfig,
    InteractionSimulation,
    simulate_interactions,
)
from eregtools.datasets.toy import three_genes

__all__ = [
    "ErnaGenome",
    "ErnaGenomeConfig",
    "ErnaSimulation",
    "ErnaSimulationConfig",
    "InteractionConfig",
    "InteractionSimulation",
    "Simulation",
    "SimulationConfig",
    "demo",
    "fetch_genome",
    "fetched_genome",
    "find_k562",
    "k562",
    "simulate",
    "simulate_erna",
    "simulate_erna_genome",
    "simulate_interactions",
    "simulated_object",
    "three_genes",
]
