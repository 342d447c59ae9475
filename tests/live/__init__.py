"""Proofs with the real binary: each module starts servers of its own in a temporary folder on free
ports, does to them what its first line says, and prints one JSON object last. Standard library
only. The build that is tried: SIDETONE_BUILD, else build/release."""
