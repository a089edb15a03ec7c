"""Silos that give nothing, harm or drown the others, found in the ledger of a training; none is ever left out."""
