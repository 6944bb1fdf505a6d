"""The seam to HTCondor: calls with a deadline, made by a child process, which alone imports the bindings."""

from condormap.condor.client import Condor, connect
from condormap.condor.results import Action, ActResult, Event, EventBatch, Identity, Submitted

__all__ = ["ActResult", "Action", "Condor", "Event", "EventBatch", "Identity", "Submitted", "connect"]
