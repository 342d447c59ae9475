"""The parts of bench/run: what is measured, each begun on its core and stopped again."""
